"""The life of a process: draft, active, paused, archived; editing and publishing (P1, P2, O9).

Each method is one transaction under the lock of the process's row. An instance that begins to hold takes that lock
too, so a resume finds every instance that the pause held. Texts and templates are checked by functions that the
caller brings: this module knows no channel.
"""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any

from sqlalchemy import select
from sqlalchemy.ext.asyncio import AsyncConnection

from intake import audit
from intake.audit import LOCAL
from intake.dispatch import Dispatcher
from intake.effects import Effects, enqueue
from intake.operations import Operations
from intake.refusals import InstancesOpen, Missing, WrongStatus
from intake.service import retried
from processes.definition import ProcessDefinition, parse
from processes.instructions import SIGNAL_RELEASE
from processes.problems import DocumentInvalid, Problem
from processes.recurrence import Once, OncePer, WhenFinished
from processes.validation import Surroundings, problems
from store import definitions, rows
from store.catalog import CatalogCache, CatalogView, TemplateView
from store.database import Database

DRAFT, ACTIVE, PAUSED, ARCHIVED = "draft", "active", "paused", "archived"

ALLOWED: Mapping[str, tuple[str, ...]] = {
    DRAFT: ("edit", "publish", "activate", "archive"),
    ACTIVE: ("pause", "archive"),
    PAUSED: ("edit", "publish", "activate", "archive"),
    ARCHIVED: (),
}
"""What may be done with a process, by its status."""
BECAUSE_ARCHIVED = "the process was archived"

RELEASED_AT_ONCE = 200
"""More than these are released by an operation, at its pace."""


@dataclass(frozen=True)
class ProcessState:
    """A process after a change. `problems` are what keeps its draft from being published."""

    key: str
    name: str
    status: str
    version: int | None
    problems: list[Problem]
    created: bool = False
    released: int = 0
    stopped: int = 0


class ProcessLifecycle:
    """Edits, publishes, activates, pauses and archives processes."""

    def __init__(
        self,
        database: Database,
        catalog: CatalogCache,
        dispatcher: Dispatcher,
        operations: Operations,
        *,
        check_template: Callable[[TemplateView, CatalogView], str | None],
        check_text: Callable[[str], str | None],
        channels: Mapping[str, str | None] | None = None,
    ) -> None:
        """`check_template` and `check_text` say why a template or a Liquid text does not render, or None."""
        self._database = database
        self._catalog = catalog
        self._dispatcher = dispatcher
        self._operations = operations
        self._check_template = check_template
        self._check_text = check_text
        self._channels = channels or {}

    async def validate(self, document: Any) -> list[Problem]:
        """Everything that keeps a document from being published; empty where nothing does."""
        try:
            definition = parse(document)
        except DocumentInvalid as invalid:
            return invalid.problems
        async with self._database.read() as connection:
            return await self._problems(connection, definition)

    async def validate_stored(self, key: str) -> list[Problem]:
        """The same for a process's draft, else for its published version. Raises Missing."""
        async with self._database.read() as connection:
            row = (
                await connection.execute(select(rows.processes).where(rows.processes.c.key == key))
            ).one_or_none()
            if row is None:
                raise Missing("process", key)
            document = row.draft
            if document is None:
                document = (await definitions.version(connection, key, row.version)).definition  # type: ignore[union-attr]
        return await self.validate(document)

    async def put(self, key: str, document: Any, actor: str = LOCAL) -> ProcessState:
        """Make or replace the draft. What it refers to may be missing until it is published.

        Raises DocumentInvalid for its shape and graph, WrongStatus where the process is active or archived.
        """
        if isinstance(document, dict):
            document = {"key": key, **document}
        definition = parse(document)
        if definition.key != key:
            raise DocumentInvalid([Problem(pointer="/key", message=f"the address says «{key}»")])

        async def work(connection: AsyncConnection) -> ProcessState:
            now = datetime.now(UTC)
            created = await definitions.make_process(connection, key, definition.name, now)
            row = await self._locked(connection, key, "edit")
            _check_list(definition, row)
            values: dict[str, Any] = {"draft": definition.document()}
            if row.version is None:
                values |= {"name": definition.name, "list_key": definition.list_key}
            await definitions.set_process(connection, key, now, **values)
            was = await _newest(connection, row)
            await _record(connection, actor, "edit", key, now, was, values["draft"])
            found = await self._problems(connection, definition)
            return ProcessState(key, definition.name, row.status, row.version, found, created=created)

        return await retried(self._database, work)

    async def publish(self, key: str, actor: str = LOCAL) -> ProcessState:
        """Make the draft the next version. The status stays. Raises Missing, WrongStatus, DocumentInvalid."""

        async def work(connection: AsyncConnection) -> ProcessState:
            row = await self._locked(connection, key, "publish")
            if row.draft is None:
                raise WrongStatus(
                    f"process «{key}» has no draft to publish: version {row.version} is its newest state",
                    status=row.status,
                    allowed=[action for action in ALLOWED[row.status] if action != "publish"],
                )
            return await self._publish(connection, row, datetime.now(UTC), actor)

        return await retried(self._database, work)

    async def activate(self, key: str, actor: str = LOCAL) -> ProcessState:
        """Let contacts in, with the draft published first where there is one; release what the pause held: of many,
        by an operation.
        """

        async def work(connection: AsyncConnection) -> tuple[ProcessState, Effects, str | None]:
            now = datetime.now(UTC)
            row = await self._locked(connection, key, "activate")
            name, version = row.name, row.version
            if row.draft is not None:
                published = await self._publish(connection, row, now, actor)
                name, version = published.name, published.version
            await definitions.set_process(connection, key, now, status=ACTIVE)
            await _record_status(connection, actor, "activate", row, now, ACTIVE)
            number = await definitions.held_by_pause(connection, key)
            state = ProcessState(key, name, ACTIVE, version, [], released=number)
            if number > RELEASED_AT_ONCE:
                return state, Effects(), await self._operations.release_held(connection, key, actor, now)
            held = await definitions.first_held_by_pause(connection, key, RELEASED_AT_ONCE)
            outbox = await enqueue(connection, SIGNAL_RELEASE, held, {}, now) if held else []
            return state, Effects(outbox=outbox), None

        state, effects, operation = await retried(self._database, work)
        await self._dispatcher.send(effects)
        if operation is not None:
            await self._operations.launch(operation)
        return state

    async def pause(self, key: str, actor: str = LOCAL) -> ProcessState:
        """Admit nobody; instances hold at their next step, timers go on."""

        async def work(connection: AsyncConnection) -> ProcessState:
            row = await self._locked(connection, key, "pause")
            now = datetime.now(UTC)
            await definitions.set_process(connection, key, now, status=PAUSED)
            await _record_status(connection, actor, "pause", row, now, PAUSED)
            return ProcessState(key, row.name, PAUSED, row.version, [])

        return await retried(self._database, work)

    async def archive(self, key: str, actor: str = LOCAL, *, stop_open: bool = False) -> ProcessState:
        """Put the process away for good. Raises InstancesOpen where contacts are in it, unless they are to be stopped:
        then nothing more of theirs is sent when this returns, and an operation tells them.

        Archiving an archived process with `stop_open` goes on with a stop that was interrupted.
        """

        async def work(connection: AsyncConnection) -> ProcessState:
            row = await definitions.lock_process(connection, key)
            if row is None:
                raise Missing("process", key)
            left = await definitions.open_instances(connection, key)
            if row.status == ARCHIVED and not (stop_open and left):
                raise _wrong_status(row, "archive")
            if left and not stop_open:
                raise InstancesOpen(
                    f"{left} instances of «{key}» are open: wait until they end, or stop them with the archiving",
                    open=left,
                )
            now = datetime.now(UTC)
            await definitions.set_process(connection, key, now, status=ARCHIVED)
            await _record_status(connection, actor, "archive", row, now, ARCHIVED)
            return ProcessState(key, row.name, ARCHIVED, row.version, [])

        state = await retried(self._database, work)
        stopped = 0
        if stop_open:
            stopped = (await self._operations.stop_process(key, BECAUSE_ARCHIVED, actor=actor)).stopping
        return ProcessState(state.key, state.name, state.status, state.version, [], stopped=stopped)

    async def _locked(self, connection: AsyncConnection, key: str, action: str) -> Any:
        row = await definitions.lock_process(connection, key)
        if row is None:
            raise Missing("process", key)
        if action not in ALLOWED[row.status]:
            raise _wrong_status(row, action)
        return row

    async def _publish(
        self, connection: AsyncConnection, row: Any, now: datetime, actor: str
    ) -> ProcessState:
        definition = parse(row.draft)
        _check_list(definition, row)
        found = await self._problems(connection, definition)
        if found:
            raise DocumentInvalid(found)
        number = (row.version or 0) + 1
        await definitions.add_version(connection, row.key, number, definition.document(), now)
        await definitions.set_process(
            connection,
            row.key,
            now,
            version=number,
            draft=None,
            name=definition.name,
            list_key=definition.list_key,
        )
        await _record(
            connection, actor, "publish", row.key, now, {"version": row.version}, {"version": number}
        )
        await self._settle_recurrence(connection, definition)
        return ProcessState(row.key, definition.name, row.status, number, [])

    async def _settle_recurrence(self, connection: AsyncConnection, definition: ProcessDefinition) -> None:
        """Let the starts that there were count for the recurrence that is new."""
        recurrence = definition.recurrence
        if isinstance(recurrence, WhenFinished):
            await definitions.mark_exclusive(connection, definition.key)
        if not isinstance(recurrence, (Once, OncePer)):
            return
        entries: list[dict[str, Any]] = []
        for start in await definitions.last_starts(connection, definition.key):
            period, next_at = "once", None
            if isinstance(recurrence, OncePer):
                period = str(recurrence.period)
                next_at = recurrence.next_at(start.last_at, start.time_zone or definition.time_zone)
            entries.append(
                {
                    "process_key": definition.key,
                    "contact_id": start.contact_id,
                    "key": start.key,
                    "last_at": start.last_at,
                    "period": period,
                    "next_at": next_at,
                }
            )
        await definitions.keep_later_entries(connection, entries)

    async def _problems(self, connection: AsyncConnection, definition: ProcessDefinition) -> list[Problem]:
        view = await self._catalog.view(connection)
        keys = await connection.execute(select(rows.processes.c.key))
        used = {template for step in definition.steps for _, template in step.needs().templates}
        return problems(
            definition,
            Surroundings(
                templates={
                    key: self._check_template(template, view)
                    for key, template in view.templates.items()
                    if key in used
                },
                lists=view.lists,
                segments=frozenset(view.segments),
                ruled_segments=frozenset(key for key, rule in view.segments.items() if rule is not None),
                processes=frozenset(keys.scalars()),
                channels=self._channels,
                check_text=self._check_text,
            ),
        )


async def _record(
    connection: AsyncConnection,
    actor: str,
    action: str,
    key: str,
    now: datetime,
    before: Mapping[str, Any],
    after: Mapping[str, Any],
) -> None:
    await audit.record(
        connection, actor, f"process.{action}", f"process/{key}", now, before=before, after=after
    )


async def _record_status(
    connection: AsyncConnection, actor: str, action: str, row: Any, now: datetime, status: str
) -> None:
    await _record(connection, actor, action, row.key, now, {"status": row.status}, {"status": status})


async def _newest(connection: AsyncConnection, row: Any) -> Mapping[str, Any]:
    """The definition as it is before an edit: the draft, else what is published, else nothing."""
    if row.draft is not None or row.version is None:
        return row.draft or {}
    published = await definitions.version(connection, row.key, row.version)
    return {} if published is None else published.definition


def _check_list(definition: ProcessDefinition, row: Any) -> None:
    if row.version is not None and definition.list_key != row.list_key:
        fixed = f"«{row.list_key}»" if row.list_key is not None else "none"
        raise DocumentInvalid(
            [
                Problem(
                    pointer="/list",
                    message=f"the list is fixed once the process was published: it is {fixed}",
                )
            ]
        )


def _wrong_status(row: Any, action: str) -> WrongStatus:
    allowed = list(ALLOWED[row.status])
    hint = f"allowed now: {', '.join(allowed)}" if allowed else "nothing can be done with it"
    return WrongStatus(
        f"cannot {action} process «{row.key}» while it is {row.status}; {hint}",
        status=row.status,
        allowed=allowed,
    )
