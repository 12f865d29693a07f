"""A start that a person or a program asks for by name (O1): the process's recurrence decides, and says why not."""

from collections.abc import Mapping
from datetime import UTC, datetime

from sqlalchemy.ext.asyncio import AsyncConnection

from intake import audit
from intake.audit import LOCAL
from intake.changes import Changes, Origin
from intake.dispatch import Dispatcher
from intake.effects import Effects, stop_open
from intake.events import Decision, check_json, new_event_id, pending
from intake.new_instances import is_unfinished
from intake.refusals import Missing, StartRefused
from intake.service import Intake, retried
from processes.problems import Problem
from processes.values import Json
from store import contacts
from store.catalog import CatalogCache
from store.database import Database

RESTARTED = "restarted"
"""The reason of the stop that a restart begins with."""
RESERVED = frozenset({"process"})
"""Params that a request itself writes; a caller cannot pass them."""


def param_problems(params: Mapping[str, Json]) -> list[Problem]:
    """What is wrong with the params of a start."""
    found: list[Problem] = []
    check_json(
        params, "/params", lambda place, message: found.append(Problem(pointer=place, message=message))
    )
    return found + [
        Problem(pointer=f"/params/{name}", message="is a name that Onward uses itself")
        for name in params
        if name in RESERVED
    ]


class Starts:
    """Starts processes by name."""

    def __init__(
        self,
        database: Database,
        catalog: CatalogCache,
        changes: Changes,
        dispatcher: Dispatcher,
        intake: Intake,
    ) -> None:
        self._database = database
        self._catalog = catalog
        self._changes = changes
        self._dispatcher = dispatcher
        self._intake = intake

    async def start(
        self,
        process: str,
        contact: str,
        *,
        key: str | None,
        params: Mapping[str, Json],
        force: bool,
        source: str,
        actor: str = LOCAL,
        restart: bool = False,
    ) -> Decision:
        """Start `process` for the contact with this reference; the decision is `started` or `pending`.

        `restart` stops the contact's open instances of the process first (with `key`, those of that key), in the same
        transaction: if the start is refused, nothing is stopped. Raises Missing if there is no such process or contact,
        StartRefused with the reason.
        """
        if restart:
            decision, effects = await self._restart(process, contact, key, params, force, source, actor)
            started = await self._dispatcher.send(effects)
            return decision if decision.instance in started else pending(decision)
        decision, effects = await self._ask(process, contact, key, params, force, source, actor)
        blocker = decision.instance
        unfinished = decision.decision == "skipped" and is_unfinished(decision)
        # Someone may have terminated the workflow behind our back.
        if unfinished and blocker is not None and await self._intake.is_over(blocker):
            decision, effects = await self._ask(process, contact, key, params, force, source, actor)
        if decision.decision != "started":
            raise _refused(process, decision)
        started = await self._dispatcher.send(effects)
        return decision if decision.instance in started else pending(decision)

    async def _ask(
        self,
        process: str,
        contact: str,
        key: str | None,
        params: Mapping[str, Json],
        force: bool,
        source: str,
        actor: str,
    ) -> tuple[Decision, Effects]:
        origin = Origin(source=source, id=new_event_id())

        async def work(connection: AsyncConnection) -> tuple[Decision, Effects]:
            contact_id = await self._found(connection, process, contact)
            now = datetime.now(UTC)
            decision, effects = await self._changes.request_process(
                connection, contact_id, process, now, origin, key=key, params=params, force=force
            )
            if decision.decision == "started":
                started = {"contact": contact_id, "force": force}
                subject = f"instance/{decision.instance}"
                await audit.record(connection, actor, "instance.start", subject, now, after=started)
            return decision, effects

        return await retried(self._database, work)

    async def _restart(
        self,
        process: str,
        contact: str,
        key: str | None,
        params: Mapping[str, Json],
        force: bool,
        source: str,
        actor: str,
    ) -> tuple[Decision, Effects]:
        origin = Origin(source=source, id=new_event_id())

        async def work(connection: AsyncConnection) -> tuple[Decision, Effects]:
            contact_id = await self._found(connection, process, contact)
            now = datetime.now(UTC)
            await contacts.lock(connection, [contact_id])
            stopped, outbox = await stop_open(connection, contact_id, process, key, RESTARTED, now)
            for instance in stopped:
                subject = f"instance/{instance}"
                await audit.record(connection, actor, "instance.stop", subject, now, reason=RESTARTED)
            decision, effects = await self._changes.request_process(
                connection, contact_id, process, now, origin, key=key, params=params, force=force
            )
            if decision.decision != "started":
                raise _refused(process, decision)  # rolls the stop back
            effects.add(Effects(outbox=outbox))
            decision.stopped = stopped
            after = {"contact": contact_id, "force": force, "stopped": stopped}
            subject = f"instance/{decision.instance}"
            await audit.record(connection, actor, "instance.start", subject, now, after=after)
            return decision, effects

        return await retried(self._database, work)

    async def _found(self, connection: AsyncConnection, process: str, contact: str) -> str:
        view = await self._catalog.view(connection)
        contact_id = await contacts.resolve(connection, contact)
        if contact_id is None:
            raise Missing("contact", contact)
        if process not in view.processes:
            raise Missing("published process", process)
        return contact_id


def _refused(process: str, decision: Decision) -> StartRefused:
    return StartRefused(
        f"process «{process}» did not start: {decision.reason}",
        reason=decision.reason,
        instance=decision.instance,
    )
