"""Reads what became of a run: the database's rows, every workflow's status, and the mail server's log."""

import asyncio
from collections import defaultdict
from collections.abc import Awaitable, Callable, Coroutine, Iterable
from dataclasses import dataclass
from functools import wraps
from pathlib import Path
from typing import Any, ParamSpec, TypeVar

from sqlalchemy import func, select
from temporalio.client import Client
from temporalio.service import RPCError

from store import rows
from store.database import Database, DatabaseUnavailable
from tests.faults.mail import read_log
from tests.oracle.outcome import ContactOutcome, LedgerRow, MailTaken, VisitMade
from tests.support.asking_why import unclear_in
from tests.support.outcomes import instance_found, ledger_row, said, visit_made, workflow_status
from tests.support.waiting import eventually

WORKFLOW_TYPE = "ProcessInstance"
DESCRIBES_AT_ONCE = 16
PATIENCE_SECONDS = 120.0


@dataclass
class Everything:
    """What became of all contacts, and what is left over."""

    contacts: dict[str, ContactOutcome]
    leftovers: list[str]


T = TypeVar("T")
P = ParamSpec("P")


def _patient(reading: Callable[P, Awaitable[T]]) -> Callable[P, Coroutine[Any, Any, T]]:
    """Read again where a part does not answer in time: so many systems on one machine starve each other."""

    @wraps(reading)
    async def patient(*args: P.args, **kwargs: P.kwargs) -> T:
        async def once() -> tuple[T] | None:
            try:
                return (await reading(*args, **kwargs),)
            except (DatabaseUnavailable, RPCError):
                return None

        try:
            found = await eventually(once, PATIENCE_SECONDS, every=1)
        except AssertionError:
            return await reading(*args, **kwargs)  # says what is wrong
        assert found is not None
        return found[0]

    return patient


@_patient
async def read(database_url: str, client: Client, mail_log: Path, contacts: Iterable[str]) -> Everything:
    """Read it all. What belongs to no contact of the run is a leftover, and so is what still waits to be sent."""
    outcomes = {contact: ContactOutcome(contact) for contact in contacts}
    leftovers: list[str] = []
    database = Database.connect(database_url)
    try:
        async with database.read() as connection:
            people = {
                row.id: row.external_id
                for row in await connection.execute(select(rows.contacts.c.id, rows.contacts.c.external_id))
            }
            for row in await connection.execute(select(rows.events)):
                contact = people.get(row.contact_id or "")
                if contact in outcomes and row.source == "api":
                    outcomes[contact].events[row.id] = said(row.outcome or [])
            visits: dict[str, list[VisitMade]] = defaultdict(list)
            for row in await connection.execute(select(rows.visits).where(rows.visits.c.step != "")):
                visits[row.instance_id].append(visit_made(row))
            messages: dict[str, list[LedgerRow]] = defaultdict(list)
            for row in await connection.execute(select(rows.messages)):
                messages[row.instance_id].append(ledger_row(row))
            instances = list(
                await connection.execute(select(rows.instances).order_by(rows.instances.c.created_at))
            )
            for row in await connection.execute(select(rows.contact_tags)):
                contact = people.get(row.contact_id)
                if contact in outcomes:
                    outcomes[contact].tags.add(row.tag)
            for name, table in (("outbox", rows.outbox), ("waits", rows.waits)):
                left = (await connection.execute(select(func.count()).select_from(table))).scalar_one()
                if left:
                    leftovers.append(f"{left} rows are left in {name}")
    finally:
        await database.close()
    statuses = await _statuses(client, [row.id for row in instances])
    for row in instances:
        contact = people.get(row.contact_id)
        if contact not in outcomes:
            leftovers.append(f"instance {row.id} is of nobody")
            continue
        outcomes[contact].instances[row.id] = instance_found(
            row, contact, statuses[row.id], visits.pop(row.id, []), messages.pop(row.id, [])
        )
    leftovers += [f"the ledger has messages of {name}, which does not exist" for name in messages]
    leftovers += await _workflows_without_rows(client, {row.id for row in instances})
    leftovers += _mails(mail_log, outcomes)
    return Everything(outcomes, leftovers)


@_patient
async def ask_why(database_url: str, contacts: Iterable[ContactOutcome], processes: list[str]) -> list[str]:
    """What is unclear in the answers to «why», for these contacts and each process."""
    database = Database.connect(database_url)
    try:
        return [
            f"{outcome.contact}: {text}"
            for outcome in contacts
            if outcome.instances or outcome.events
            for text in await unclear_in(database, outcome, processes)
        ]
    finally:
        await database.close()


def _mails(log: Path, outcomes: dict[str, ContactOutcome]) -> list[str]:
    leftovers = []
    for line in read_log(log):
        if line.subject is None:
            continue
        contact = line.subject.split("/")[1] if line.subject.count("/") == 2 else ""
        if contact not in outcomes:
            leftovers.append(f"a mail «{line.subject}» to {line.to} is of nobody")
            continue
        if not (line.to or "").endswith(f"{contact}@example.com"):
            leftovers.append(f"the mail «{line.subject}» went to {line.to}")
        outcomes[contact].mails.append(
            MailTaken(
                at=line.at,
                what=line.what,
                message_id=line.message_id or "",
                to=line.to or "",
                subject=line.subject,
                kept=line.what == "accepted" or bool(line.kept),
            )
        )
    return leftovers


async def _statuses(client: Client, ids: list[str]) -> dict[str, str | None]:
    slots = asyncio.Semaphore(DESCRIBES_AT_ONCE)

    async def status(name: str) -> str | None:
        async with slots:
            return await _patient(workflow_status)(client, name)

    return dict(zip(ids, await asyncio.gather(*(status(name) for name in ids)), strict=True))


async def _workflows_without_rows(client: Client, ids: set[str]) -> list[str]:
    return [
        f"workflow {execution.id} ({execution.status}) has no row"
        async for execution in client.list_workflows(f"WorkflowType = '{WORKFLOW_TYPE}'")
        if execution.id not in ids
    ]


@_patient
async def retrying(database_url: str) -> bool:
    """Whether a message of an open instance waits for its next try."""
    database = Database.connect(database_url)
    try:
        async with database.read() as connection:
            m = rows.messages.c
            first = await connection.execute(select(m.id).where(m.state == "retrying").limit(1))
            return first.first() is not None
    finally:
        await database.close()


@_patient
async def unfinished(database_url: str) -> str | None:
    """What still moves: open instances and the outbox; None once all is quiet."""
    database = Database.connect(database_url)
    try:
        async with database.read() as connection:
            i = rows.instances.c
            states = await connection.execute(select(i.state, func.count()).where(i.open).group_by(i.state))
            found = {row[0]: int(row[1]) for row in states}
            outbox = (await connection.execute(select(func.count()).select_from(rows.outbox))).scalar_one()
    finally:
        await database.close()
    if outbox:
        found["in the outbox"] = outbox
    return ", ".join(f"{number} {state}" for state, number in found.items()) or None
