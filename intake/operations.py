"""Operations on many that a person asks for (O2, O3): taken in, stopped, resumed, and handed to Temporal.

What was asked for is written first, so that neither a crash nor an outage of Temporal loses it: a worker's keeper
starts the workflow of every operation that runs. How one is carried out is in `intake/operating.py`.
"""

import asyncio
import secrets
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import Any

import structlog
from sqlalchemy import select
from sqlalchemy.ext.asyncio import AsyncConnection
from temporalio.client import Client
from temporalio.common import (
    SearchAttributePair,
    TypedSearchAttributes,
    WorkflowIDConflictPolicy,
    WorkflowIDReusePolicy,
)
from temporalio.service import RPCError

from intake.audit import record
from intake.dispatch import PROCESS
from intake.operating import NAMED_TWICE, Operating
from intake.operation_progress import PACE, counted
from intake.refusals import Clash, Missing, WrongStatus
from intake.service import retried
from processes.operating import OPERATION_WORKFLOW, RELEASE, START, STOP, OperationRequest
from processes.problems import DocumentInvalid, Problem
from processes.values import Json
from store import operations, rows
from store.catalog import CatalogCache
from store.database import Database, DatabaseUnavailable
from store.operations import DONE, HALTED, REFUSED, RUNNING, Outcome

log = structlog.get_logger(__name__)

ACTIVE = "active"
MOST_CONTACTS = 100_000
"""Whom one request may name; more are a segment."""
MOST_CHOSEN = 5_000
"""Whom one request may choose for a stop."""
LEAVING_SHOWN = 100
FIRST_LOOK = 0.02
LONGEST_LOOK = 0.25


@dataclass(frozen=True)
class StopAnswer:
    """The operation of a stop, the number of instances that it means, and the messages that had left before it and
    are not closed yet.
    """

    operation: str
    stopping: int
    in_flight: list[str]


class Operations:
    """Takes operations in."""

    def __init__(
        self,
        database: Database,
        catalog: CatalogCache,
        client: Client,
        operating: Operating,
        *,
        task_queue: str,
        timeout: float,
    ) -> None:
        """`timeout` is in seconds for each call of Temporal."""
        self._database = database
        self._catalog = catalog
        self._client = client
        self._operating = operating
        self._task_queue = task_queue
        self._timeout = timedelta(seconds=timeout)

    async def start(
        self,
        process: str,
        *,
        segment: str | None = None,
        contacts: Sequence[str] | None = None,
        key: str | None = None,
        params: Mapping[str, Json] | None = None,
        force: bool = False,
        actor: str,
        reason: str | None = None,
        operation: str | None = None,
    ) -> str:
        """Start a process for a segment, or for the contacts with these references; returns the operation's id.

        `operation` is an id of the caller's own: the same again makes no second one. Raises Missing, WrongStatus where
        the process is not active, Clash where the id is that of something else, DocumentInvalid.
        """
        subjects = list(dict.fromkeys(contacts)) if contacts else None
        if (segment is None) == (subjects is None):
            raise DocumentInvalid([Problem(pointer="", message="give either segment or contacts")])
        whom: dict[str, Any] = {"segment": segment} if subjects is None else {"contacts": len(subjects)}
        more: dict[str, Any] = {"key": key, "params": dict(params or {}), "force": force}
        asked = whom | {name: value for name, value in more.items() if value}

        async def work(connection: AsyncConnection) -> str:
            now = datetime.now(UTC)
            view = await self._catalog.view(connection)
            if process not in view.processes:
                raise Missing("published process", process)
            if segment is not None and segment not in view.segments:
                raise DocumentInvalid(
                    [Problem(pointer="/segment", message=f"there is no segment «{segment}»")]
                )
            status = view.processes[process].status
            if status != ACTIVE:
                raise WrongStatus(
                    f"process «{process}» is {status}: it lets nobody in before it is activated",
                    status=status,
                    allowed=["activate"],
                )
            made, new = await self._make(connection, START, process, asked, actor, None, operation, now)
            if not new and subjects is not None:
                await _check_same(connection, made, subjects)
            if new:
                if subjects is not None:
                    refused = await _name_subjects(connection, made, subjects, now)
                    total = await operations.count(connection, made)
                    await operations.change(connection, made, now, total=total, counts=counted({}, refused))
                after = asked | {"operation": made}
                await record(
                    connection,
                    actor,
                    "process.start-many",
                    f"process/{process}",
                    now,
                    after=after,
                    reason=reason,
                )
            return made

        made = await retried(self._database, work)
        await self.launch(made)
        return made

    async def stop_process(
        self,
        process: str,
        reason: str,
        *,
        contacts: Sequence[str] | None = None,
        instances: Sequence[str] | None = None,
        actor: str,
        operation: str | None = None,
        wait: float = 0,
    ) -> StopAnswer:
        """Stop a process's instances, or those of chosen contacts (by reference), or chosen ones. When this returns,
        nothing more of theirs is sent by anybody; what had left before is named, after `wait` seconds at most.

        Raises Missing, for the process or a contact.
        """

        async def work(connection: AsyncConnection) -> str:
            now = datetime.now(UTC)
            p = rows.processes.c
            if (await connection.execute(select(p.key).where(p.key == process))).first() is None:
                raise Missing("process", process)
            asked: dict[str, Any] = {}
            if contacts is not None:
                known = await operations.resolve_all(connection, contacts)
                unknown = next((reference for reference in contacts if reference not in known), None)
                if unknown is not None:
                    raise Missing("contact", unknown, "nothing was stopped, for nobody of those named")
                asked["contacts"] = sorted(set(known.values()))
            if instances is not None:
                asked["instances"] = sorted(set(instances))
            made, new = await self._make(connection, STOP, process, asked, actor, reason, operation, now)
            if new:
                # The results say which instances: their ids hold ContactIds, and an entry cannot be changed.
                told = asked if instances is None else {**asked, "instances": len(asked["instances"])}
                after = told | {"operation": made}
                await record(
                    connection, actor, "process.stop", f"process/{process}", now, after=after, reason=reason
                )
            return made

        made = await retried(self._database, work)
        await self._operating.gather(made, lambda: True)
        await self.launch(made)
        async with self._database.read() as connection:
            found = await operations.find(connection, made)
        stopping = found.total if found is not None and found.total is not None else 0
        return StopAnswer(made, stopping, await self._leaving(made, wait))

    async def release(
        self, process: str, *, held: str | None, actor: str, reason: str | None, operation: str | None = None
    ) -> str:
        """Release a process's held instances, those held for one reason (by its code) or all; returns the operation's
        id. Raises Missing, and WrongStatus where the process is not active: they would be held again at once.
        """

        async def work(connection: AsyncConnection) -> str:
            now = datetime.now(UTC)
            p = rows.processes.c
            status = (await connection.execute(select(p.status).where(p.key == process))).scalar()
            if status is None:
                raise Missing("process", process)
            if status != ACTIVE:
                raise WrongStatus(
                    f"process «{process}» is {status}: released instances would be held again; activate it first",
                    status=status,
                    allowed=["activate"],
                )
            asked = {operations.HELD: held}
            made, new = await self._make(connection, RELEASE, process, asked, actor, reason, operation, now)
            if new:
                after = asked | {"operation": made}
                await record(
                    connection,
                    actor,
                    "process.release",
                    f"process/{process}",
                    now,
                    after=after,
                    reason=reason,
                )
            return made

        made = await retried(self._database, work)
        await self._operating.gather(made, lambda: True)
        await self.launch(made)
        return made

    async def release_everywhere(
        self, *, held: str | None, actor: str, reason: str | None, operation: str | None = None
    ) -> list[str]:
        """The same for every active process that holds somebody; an operation for each. `operation` begins the ids."""
        async with self._database.read() as connection:
            processes = await operations.processes_with_held(connection, held)
        return [
            await self.release(
                process,
                held=held,
                actor=actor,
                reason=reason,
                operation=f"{operation}.{process}"[:128] if operation is not None else None,
            )
            for process in processes
        ]

    async def release_held(self, connection: AsyncConnection, process: str, actor: str, now: datetime) -> str:
        """An operation that releases what a pause held, in the transaction that ends the pause; `launch` it after the
        commit.
        """
        made, _ = await self._make(connection, RELEASE, process, {}, actor, None, None, now)
        return made

    async def end_releases(self, connection: AsyncConnection, process: str, now: datetime) -> None:
        """End those of earlier pauses: whom they have left is held by the last one, and released with it."""
        for old in await operations.unfinished(connection, process, RELEASE):
            await operations.change(connection, old, now, state=DONE, ended_at=now)

    async def stop(self, operation: str, actor: str) -> None:
        """Stop an operation: when this returns, it does nothing more. Again: nothing. Raises Missing and Clash."""

        async def work(connection: AsyncConnection) -> None:
            now = datetime.now(UTC)
            found = await self._locked(connection, operation)
            if found.kind == STOP:
                raise Clash(
                    "a stop is not taken back: its instances are stopping, and nothing is sent for them"
                )
            if found.kind == RELEASE:
                raise Clash("a release ends with the next pause of its process: pause that")
            if found.state == DONE:
                raise Clash("the operation is done: there is nothing left to stop")
            if found.state == RUNNING:
                await operations.change(connection, operation, now, state=HALTED, reason=None)
                await record(connection, actor, "operation.stop", f"operation/{operation}", now)

        await retried(self._database, work)

    async def resume(self, operation: str, actor: str) -> None:
        """Go on with a stopped operation: those who were done are not done again. Raises Missing and Clash."""

        async def work(connection: AsyncConnection) -> None:
            now = datetime.now(UTC)
            found = await self._locked(connection, operation)
            if found.state != HALTED:
                raise Clash(f"the operation is {found.state}: only a stopped one can be resumed")
            p = rows.processes.c
            status = (await connection.execute(select(p.status).where(p.key == found.process_key))).scalar()
            if status != ACTIVE:
                raise WrongStatus(
                    f"process «{found.process_key}» is {status}: activate it first",
                    status=status,
                    allowed=["activate"],
                )
            await operations.change(
                connection, operation, now, state=RUNNING, reason=None, params=_asked(found)
            )
            await record(connection, actor, "operation.resume", f"operation/{operation}", now)

        await retried(self._database, work)
        await self.launch(operation)

    async def launch(self, operation: str) -> None:
        """Start the workflow of an operation that runs; where it runs already, nothing. Raises nothing: the keeper
        of a worker tries again.
        """
        try:
            async with self._database.read() as connection:
                found = await operations.find(connection, operation)
        except DatabaseUnavailable as error:
            log.warning("operation_not_launched", operation=operation, error=str(error))
            return
        if found is not None and found.state == RUNNING:
            await self._launch(found)

    async def keep(self, seconds: float) -> None:
        """See to it that every operation that runs has its workflow, every so many seconds, until cancelled."""
        while True:
            try:
                async with self._database.read() as connection:
                    found = await operations.running(connection)
                for row in found:
                    await self._launch(row)
            except DatabaseUnavailable as error:
                log.warning("operations_not_kept", error=str(error))
            except Exception:
                log.exception("operations_not_kept")
            await asyncio.sleep(seconds)

    async def _launch(self, found: Any) -> None:
        try:
            async with asyncio.timeout(self._timeout.total_seconds()):
                await self._client.start_workflow(
                    OPERATION_WORKFLOW,
                    OperationRequest(operation=found.id),
                    id=found.id,
                    task_queue=self._task_queue,
                    id_reuse_policy=WorkflowIDReusePolicy.ALLOW_DUPLICATE,
                    id_conflict_policy=WorkflowIDConflictPolicy.USE_EXISTING,
                    search_attributes=TypedSearchAttributes(
                        [SearchAttributePair(PROCESS, found.process_key)]
                    ),
                    static_summary=_summary(found),
                    rpc_timeout=self._timeout,
                )
        except (RPCError, RuntimeError, TimeoutError) as error:
            log.warning(
                "operation_not_launched", operation=found.id, error=str(error) or type(error).__name__
            )

    async def _make(
        self,
        connection: AsyncConnection,
        kind: str,
        process: str,
        params: Mapping[str, Any],
        actor: str,
        reason: str | None,
        wanted: str | None,
        now: datetime,
    ) -> tuple[str, bool]:
        """The operation's id, and whether it is new. Raises Clash where the wanted id is that of something else: who
        asks would take it for done.
        """
        operation = wanted or f"{kind}-{process[:40]}-{secrets.token_hex(5)}"
        values = {
            "id": operation,
            "kind": kind,
            "process_key": process,
            "params": dict(params),
            "actor": actor,
            "reason": reason,
        }
        if await operations.create(connection, values, now):
            return operation, True
        found = await operations.find(connection, operation)
        if found is None or (found.kind, found.process_key, _asked(found)) != (kind, process, params):
            raise _is_others(operation)
        return operation, False

    async def _locked(self, connection: AsyncConnection, operation: str) -> Any:
        found = await operations.find(connection, operation, lock=True)
        if found is None:
            raise Missing("operation", operation)
        return found

    async def _leaving(self, operation: str, wait: float) -> list[str]:
        loop = asyncio.get_running_loop()
        deadline, look = loop.time() + wait, FIRST_LOOK
        while True:
            async with self._database.read() as connection:
                found = await operations.leaving(connection, operation, LEAVING_SHOWN)
            left = deadline - loop.time()
            if not found or left <= 0:
                return found
            await asyncio.sleep(min(look, left))
            look = min(look * 2, LONGEST_LOOK)


def _asked(found: Any) -> dict[str, Any]:
    """What was asked for, without how fast it goes."""
    return {name: value for name, value in found.params.items() if name != PACE}


async def _name_subjects(
    connection: AsyncConnection, operation: str, references: Sequence[str], now: datetime
) -> list[Outcome]:
    """Write whom an operation is for by our ids: bounds between them go into Temporal's history, and an address must
    not. Who is not found, or is named a second time, is refused under the reference given; returns those.
    """
    known = await operations.resolve_all(connection, references)
    found: dict[str, None] = {}
    refused: list[Outcome] = []
    own_ids_first = sorted(references, key=lambda one: known.get(one) != one)
    for reference in own_ids_first:
        contact_id = known.get(reference)
        if contact_id is None:
            refused.append(Outcome(reference, REFUSED, f"there is no such contact: «{reference}»"))
        elif contact_id in found and reference in found:
            continue
        elif contact_id in found:
            refused.append(Outcome(reference, REFUSED, NAMED_TWICE))
        else:
            found[contact_id] = None
    await operations.add_subjects(connection, operation, [*found, *(one.subject for one in refused)], now)
    if refused:
        await operations.write(connection, operation, refused, now)
    return refused


async def _check_same(connection: AsyncConnection, operation: str, references: Sequence[str]) -> None:
    """Raises Clash if an operation is for others than these."""
    there = await operations.subjects(connection, operation)
    known = await operations.resolve_all(connection, references)
    if len(there) != len(references) or any(
        one not in there and known.get(one) not in there for one in references
    ):
        raise _is_others(operation)


def _is_others(operation: str) -> Clash:
    return Clash(f"the id «{operation}» is that of another operation: give each its own")


def _summary(found: Any) -> str:
    """What the Temporal Web UI shows of an operation."""
    whom = found.params.get("segment")
    words = {START: "Start", STOP: "Stop", RELEASE: "Release what a pause held"}[found.kind]
    return f"{words} · process {found.process_key}" + (f" · segment {whom}" if whom else "")
