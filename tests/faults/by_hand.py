"""A group start and a mass stop at their full size, over HTTP, while every part is killed once.

`python -m tests.faults.by_hand [--database sqlite|postgresql] [--contacts 20000] [--waiting 5000]`; 0 leaves one
out. Not part of `make faults`: it is run by hand, and its result stands in docs/by-hand.md. Exit code 1 where something
is wrong.
"""

import argparse
import asyncio
import sys
import tempfile
import time
from collections import Counter
from collections.abc import Sequence
from contextlib import suppress
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import httpx
from sqlalchemy import func, select

from store import rows
from store.database import Database
from tests.faults.mail import read_log
from tests.faults.system import Kind, System

KILLS = ((0.2, "worker"), (0.45, "api"), (0.7, "temporal"))
"""What is killed when so much of the operation is done: both workers, both APIs, Temporal."""
BATCH = 500
FORMER_SHARE = 20
"""One of so many has entered before, and is refused."""
ALIVE_SECONDS = 120.0
STARTS_A_SECOND = 8
"""The mails of the mass stop are due when so many could have been started, on a busy machine too."""
STOP_SECONDS_BEFORE = 2.0
"""The stop comes so long before the instances' mails are due."""
AFTER_SECONDS = 8.0
"""For so long after they were due it is watched that nothing is sent."""


class Wrong(Exception):
    """Something is not as it should be."""


class Run:
    """One run on a system."""

    def __init__(self, system: System) -> None:
        self._system = system
        self._http = httpx.AsyncClient(timeout=60)

    async def ask(self, method: str, path: str, body: Any = None) -> Any:
        """Ask whichever API answers, until one does. What is asked must be safe to ask twice."""
        deadline, number = time.monotonic() + ALIVE_SECONDS, 0
        while True:
            url = self._system.api_urls[number % 2]
            number += 1
            with suppress(httpx.HTTPError):
                answer = await self._http.request(method, f"{url}{path}", json=body)
                must(answer.status_code < 400 or answer.status_code >= 500, answer.text)
                if answer.is_success:
                    return answer.json()
            if time.monotonic() > deadline:
                raise Wrong(f"{method} {path} is not answered")
            await asyncio.sleep(0.2)

    async def kill(self, kind: str) -> None:
        """Kill all parts of a kind at once, and start them again."""
        names = [name for name in self._system.parts if name.startswith(kind)]
        say(f"kill {', '.join(names)}")
        await asyncio.gather(*(self._system.parts[name].kill() for name in names))
        await asyncio.gather(*(self._system.parts[name].start() for name in names))

    async def people(self, count: int) -> list[str]:
        """So many contacts."""
        names = [f"h{number:06}" for number in range(count)]
        for first in range(0, count, BATCH):
            events = [
                {
                    "type": "hello",
                    "id": f"hello-{name}",
                    "contact": {"id": name, "email": f"{name}@example.com"},
                }
                for name in names[first : first + BATCH]
            ]
            await self.ask("POST", "/v1/events/batch", {"events": events})
        return names

    async def process(self, key: str, recurrence: str, steps: Sequence[dict[str, Any]]) -> None:
        """An active process that nothing starts by itself."""
        document = {"name": key, "recurrence": recurrence, "triggers": [], "steps": list(steps)}
        await self.ask("PUT", f"/v1/processes/{key}", document)
        await self.ask("POST", f"/v1/processes/{key}/activate")

    async def done(self, operation: str, kills: Sequence[tuple[float, str]] = ()) -> Any:
        """The operation's row at its end; on the way, what is to be killed is, and the progress only grows."""
        left, before = list(kills), 0
        while True:
            row = await self.ask("GET", f"/v1/operations/{operation}")
            if row["done"] < before:
                raise Wrong(f"the progress of {operation} went back from {before} to {row['done']}")
            before = row["done"]
            if row["state"] != "running":
                return row
            if left and row["total"] and row["done"] >= left[0][0] * row["total"]:
                say(f"{row['done']} of {row['total']}: {row['counts']}, {row['rate']} a second")
                await self.kill(left.pop(0)[1])
            await asyncio.sleep(0.3)

    async def close(self) -> None:
        """End it."""
        await self._http.aclose()


async def group_start(run: Run, system: System, names: Sequence[str]) -> None:
    """Everyone in a segment, of whom some have entered before."""
    await run.process("group", "once", [{"id": "rest", "type": "wait", "for": "30 days"}])
    await run.ask("PUT", "/v1/segments/all", {"name": "all", "rule": {"always": True}})
    count, former = len(names), len(names) // FORMER_SHARE
    asked = {"contacts": list(names[:former]), "id": "former"}
    await run.ask("POST", "/v1/processes/group/start-many", asked)
    await run.done("former")
    began = time.monotonic()
    await run.ask("POST", "/v1/processes/group/start-many", {"segment": "all", "id": "everyone"})
    row = await run.done("everyone", KILLS)
    seconds = time.monotonic() - began
    expected = {"started": count - former, "refused": former}
    must({k: v for k, v in row["counts"].items() if v} == expected, f"the counts are {row['counts']}")
    must(row["state"] == "done" and row["total"] == count, f"it is {row['state']}, of {row['total']}")
    database = Database.connect(system.database_url)
    i, r = rows.instances.c, rows.operation_results.c
    async with database.read() as connection:
        each = (
            select(i.contact_id, func.count().label("n"))
            .where(i.process_key == "group")
            .group_by(i.contact_id)
        )
        instances = Counter(one.n for one in await connection.execute(each))
        found = (
            await connection.execute(
                select(r.subject, r.status, r.reason).where(r.operation_id == "everyone")
            )
        ).all()
    await database.close()
    must(instances == {1: count}, f"instances of a contact: {dict(instances)}")
    must(len({one.subject for one in found}) == count, f"{len(found)} results")
    reasons = Counter((one.status, one.reason) for one in found)
    once = ("refused", "once: this contact has entered before")
    must(reasons == {("started", None): count - former, once: former}, f"the results are {reasons}")
    await all_begun(system, count)
    say(
        f"{count} contacts in {seconds:.0f} s, {count / seconds:.0f} a second with {len(KILLS)} kills: "
        "each once, each right"
    )


async def all_begun(system: System, count: int) -> None:
    """Every instance has its one workflow, and it waits."""
    database, client = Database.connect(system.database_url), await system.client()
    i = rows.instances.c
    waiting = select(func.count()).where(i.process_key == "group", i.state == "waiting")
    deadline = time.monotonic() + ALIVE_SECONDS
    while True:
        async with database.read() as connection:
            ours = (await connection.execute(waiting)).scalar_one()
        query = "WorkflowType = 'ProcessInstance' AND OnwardProcess = 'group'"
        theirs = (await client.count_workflows(query)).count
        if (ours, theirs) == (count, count):
            break
        must(time.monotonic() < deadline, f"{ours} of {count} wait, Temporal has {theirs} workflows")
        await asyncio.sleep(1)
    await database.close()


async def mass_stop(run: Run, system: System, names: Sequence[str]) -> None:
    """Waiting instances whose mails come due right after the stop; the workers are killed with the acknowledgement."""
    await run.ask("PUT", "/v1/templates/late", {"name": "late", "subject": "Too late", "html": "<p>late</p>"})
    due = datetime.now(UTC).replace(microsecond=0) + timedelta(seconds=20 + len(names) / STARTS_A_SECOND)
    wait = {
        "id": "rest",
        "type": "wait",
        "until": due.strftime("%Y-%m-%dT%H:%M:%S"),
        "zone": "UTC",
        "next": "mail",
    }
    await run.process("doomed", "once", [wait, {"id": "mail", "type": "send_email", "template": "late"}])
    await run.ask("POST", "/v1/processes/doomed/start-many", {"contacts": list(names), "id": "doomed"})
    await run.done("doomed")
    early = (due - datetime.now(UTC)).total_seconds() - STOP_SECONDS_BEFORE
    must(early > 0, f"the start took {-early:.0f} s too long for the stop to come before the mails")
    await asyncio.sleep(early)
    before, began = len(read_log(system.mail_log)), time.monotonic()
    answer = await run.ask(
        "POST", "/v1/processes/doomed/stop", {"all": True, "reason": "a wrong price", "id": "stopped"}
    )
    acknowledged = time.monotonic() - began
    must(answer["total"] == len(names), f"{answer['total']} are stopping")
    await run.kill("worker")
    row = await run.done("stopped", ((0.5, "temporal"),))
    seconds = time.monotonic() - began
    must(row["counts"]["stopped"] == len(names), f"the counts are {row['counts']}")
    await asyncio.sleep(max(0.0, (due - datetime.now(UTC)).total_seconds() + AFTER_SECONDS))
    sent = len(read_log(system.mail_log)) - before
    must(sent == 0, f"{sent} mails were sent after the stop was acknowledged")
    database = Database.connect(system.database_url)
    i = rows.instances.c
    async with database.read() as connection:
        each = select(i.state, i.outcome, i.reason, func.count().label("n")).where(i.process_key == "doomed")
        found = (await connection.execute(each.group_by(i.state, i.outcome, i.reason))).all()
    await database.close()
    must(
        [tuple(one) for one in found] == [("ended", "stopped", "a wrong price", len(names))],
        f"they are {found}",
    )
    say(
        f"{len(names)} stopped: acknowledged after {acknowledged:.2f} s, "
        f"all closed after {seconds:.0f} s with 2 kills, nothing sent"
    )


def must(holds: bool, else_: str) -> None:
    """Raise Wrong unless it holds."""
    if not holds:
        raise Wrong(else_)


def say(text: str) -> None:
    """Print it with the time."""
    sys.stdout.write(f"[{datetime.now(UTC):%H:%M:%S}] {text}\n")
    sys.stdout.flush()


async def main(database: Kind, contacts: int, waiting: int) -> int:
    """Both, on a fresh system."""
    with tempfile.TemporaryDirectory(prefix="onward-by-hand-", ignore_cleanup_errors=True) as folder:
        async with System(Path(folder), database) as system:
            run = Run(system)
            try:
                names = await run.people(max(contacts, waiting))
                say(f"{len(names)} contacts are there")
                if contacts:
                    await group_start(run, system, names[:contacts])
                if waiting:
                    await mass_stop(run, system, names[:waiting])
            except Wrong as wrong:
                say(f"WRONG: {wrong}")
                return 1
            finally:
                await run.close()
    return 0


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--database", choices=["sqlite", "postgresql"], default="sqlite")
    parser.add_argument("--contacts", type=int, default=20_000)
    parser.add_argument("--waiting", type=int, default=5_000)
    arguments = parser.parse_args()
    sys.exit(asyncio.run(main(arguments.database, arguments.contacts, arguments.waiting)))
