"""The life of a process: draft, active, paused, archived; editing and publishing (P1, P2, O9).

Each method is one transaction under the lock of the process's row. An instance that begins to hold takes that lock
too, so a resume finds every instance that the pause held. Texts and templates are checked by functions that the
caller brings: this module knows no channel.
"""

import asyncio
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime
from typing import Any

import structlog
from sqlalchemy import select
from sqlalchemy.ext.asyncio import AsyncConnection

from intake import edits
from intake.audit import LOCAL
from intake.dispatch import Dispatcher
from intake.edits import EditPreview
from intake.effects import Effects, enqueue
from intake.operations import Operations
from intake.process_rows import (
    ACTIVE,
    ALLOWED,
    ARCHIVED,
    PAUSED,
    check_list,
    newest,
    record,
    record_status,
    wrong_status,
)
from intake.refusals import InstancesOpen, Missing, WrongStatus
from intake.service import retried
from processes.definition import ProcessDefinition, parse
from processes.differences import STAY, Inside, wrong_choices
from processes.instructions import SIGNAL_RELEASE
from processes.problems import DocumentInvalid, Problem
from processes.recurrence import Once, OncePer, WhenFinished
from processes.steps import Step
from processes.validation import Surroundings, problems, templates_of, warnings
from store import definitions, rows
from store.catalog import CatalogCache, CatalogView, TemplateView
from store.database import Database, DatabaseUnavailable

log = structlog.get_logger(__name__)

CLOCK = "clock"
"""Who resumes a process whose pause was to last until an instant: the audit log's word."""
BECAUSE_ARCHIVED = "the process was archived"

RELEASED_AT_ONCE = 200
"""More than these are released by an operation, at its pace."""


@dataclass(frozen=True)
class ProcessState:
    """A process after a change. `problems` are what keeps its draft from being published, `warnings` what may not be
    as it was meant.
    """

    key: str
    name: str
    status: str
    version: int | None
    problems: list[Problem]
    created: bool = False
    released: int = 0
    stopped: int = 0
    warnings: list[Problem] = field(default_factory=list)


@dataclass(frozen=True)
class Applied:
    """What `apply` did in its transaction, and what is to follow its commit. `changed` is false where the process was
    active with this very definition already.
    """

    state: ProcessState
    effects: Effects = field(default_factory=Effects)
    operation: str | None = None
    changed: bool = True


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
        check_step: Callable[[Step], Iterable[tuple[str, str]]] = lambda _: (),
        channels: Mapping[str, str | None] | None = None,
    ) -> None:
        """`check_template` and `check_text` say why a template or a Liquid text does not render, or None; `check_step`
        what in a step its channel can never take, by field.
        """
        self._database = database
        self._catalog = catalog
        self._dispatcher = dispatcher
        self._operations = operations
        self._check_template = check_template
        self._check_text = check_text
        self._check_step = check_step
        self._channels = channels or {}

    async def validate(self, document: Any) -> tuple[list[Problem], list[Problem]]:
        """Everything that keeps a document from being published, and what it is warned of."""
        try:
            definition = parse(document)
        except DocumentInvalid as invalid:
            return invalid.problems, []
        async with self._database.read() as connection:
            around = await self._around(connection, definition)
        return await asyncio.to_thread(problems, definition, around), warnings(definition, around)

    async def validate_stored(self, key: str) -> tuple[list[Problem], list[Problem]]:
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
            await self._write_draft(connection, row, definition, actor, now)
            return await self._drafted(connection, row, definition, created=created)

        return await retried(self._database, work)

    async def _write_draft(
        self, connection: AsyncConnection, row: Any, definition: ProcessDefinition, actor: str, now: datetime
    ) -> None:
        check_list(definition, row)
        values: dict[str, Any] = {"draft": definition.document()}
        if row.version is None:
            values |= {"name": definition.name, "list_key": definition.list_key}
        await definitions.set_process(connection, row.key, now, **values)
        await record(connection, actor, "edit", row.key, now, await newest(connection, row), values["draft"])

    async def _drafted(
        self, connection: AsyncConnection, row: Any, definition: ProcessDefinition, *, created: bool
    ) -> ProcessState:
        around = await self._around(connection, definition)
        return ProcessState(
            row.key,
            definition.name,
            row.status,
            row.version,
            await asyncio.to_thread(problems, definition, around),
            created=created,
            warnings=warnings(definition, around),
        )

    async def apply(
        self,
        connection: AsyncConnection,
        row: Any,
        definition: ProcessDefinition,
        *,
        activate: bool,
        actor: str,
        now: datetime,
        created: bool = False,
    ) -> Applied:
        """Make the definition the draft of a process whose row is locked, or, with `activate`, its next version, and
        let contacts in. A process that is active stays so throughout: nobody is held, and who is inside finishes on
        the version that they began with.

        Part of the caller's transaction, which must not be committed if this raises: DocumentInvalid, WrongStatus.
        """
        if not activate:
            if row.status == ACTIVE:
                raise WrongStatus(
                    f"process «{row.key}» is active, and nothing was changed: apply it with `activate` "
                    "(`--activate`) to publish the change; it stays active throughout",
                    status=row.status,
                    allowed=list(ALLOWED[row.status]),
                )
            if "edit" not in ALLOWED[row.status]:
                raise wrong_status(row, "edit")
            await self._write_draft(connection, row, definition, actor, now)
            return Applied(await self._drafted(connection, row, definition, created=created))
        if row.status == ARCHIVED:
            raise wrong_status(row, "activate")
        published = (
            None if row.version is None else await definitions.version(connection, row.key, row.version)
        )
        if published is not None and parse(published.definition).document() == definition.document():
            state, changed = ProcessState(row.key, row.name, ACTIVE, row.version, []), False
            if row.status != ACTIVE and row.draft is not None:
                await definitions.set_process(connection, row.key, now, draft=None)
                await record(connection, actor, "drop_draft", row.key, now, row.draft, published.definition)
        else:
            await self._write_draft(connection, row, definition, actor, now)
            drafted = await definitions.lock_process(connection, row.key)
            state, changed = await self._publish(connection, drafted, now, actor=actor), True
        if row.status == ACTIVE:
            return Applied(replace(state, status=ACTIVE), changed=changed)
        resumed, effects, operation = await self._resume(
            connection, row, state.name, state.version, actor, now
        )
        return Applied(replace(resumed, warnings=state.warnings), effects, operation)

    async def applied(self, done: Applied) -> ProcessState:
        """Carry out what `apply` left to do, after the commit."""
        state = await self._sent((done.state, done.effects, done.operation))
        if done.changed and state.status == ACTIVE:
            await retried(self._database, lambda connection: self._settle_again(connection, state.key))
        return state

    async def _settle_again(self, connection: AsyncConnection, key: str) -> None:
        """Count the starts, too, that were under way while a new recurrence was published."""
        row = await definitions.lock_process(connection, key)
        if row is not None and row.version is not None:
            stored = await self._catalog.definition(connection, key, row.version)
            await self._settle_recurrence(connection, stored)

    async def publish(self, key: str, inside: Inside = STAY, *, actor: str = LOCAL) -> ProcessState:
        """Make the draft the next version; `inside` says what becomes of who is in the process. The status stays.

        Raises Missing, WrongStatus, DocumentInvalid.
        """

        async def work(connection: AsyncConnection) -> ProcessState:
            row = await self._locked(connection, key, "publish")
            if row.draft is None:
                raise WrongStatus(
                    f"process «{key}» has no draft to publish: version {row.version} is its newest state",
                    status=row.status,
                    allowed=[action for action in ALLOWED[row.status] if action != "publish"],
                )
            return await self._publish(connection, row, datetime.now(UTC), inside, actor=actor)

        return await retried(self._database, work)

    async def preview_edit(self, key: str, inside: Inside) -> EditPreview:
        """What publishing the draft would change, and what would become of who is inside. Nothing is written.

        Raises Missing, WrongStatus where there is no draft, or no version to compare it with, and DocumentInvalid for
        a choice that cannot be.
        """
        async with self._database.read() as connection:
            row = (
                await connection.execute(select(rows.processes).where(rows.processes.c.key == key))
            ).one_or_none()
            if row is None:
                raise Missing("process", key)
            if row.draft is None or row.version is None:
                lacks = "draft" if row.draft is None else "published version"
                raise WrongStatus(
                    f"process «{key}» has no {lacks}: there is no edit to look at",
                    status=row.status,
                    allowed=list(ALLOWED[row.status]),
                )
            draft = parse(row.draft)
            await self._check_inside(connection, inside, draft)
            current = await self._catalog.definition(connection, key, row.version)
            return await edits.preview(
                connection, self._catalog, (current, row.version), draft, inside, datetime.now(UTC)
            )

    async def drop_draft(self, key: str, actor: str = LOCAL) -> ProcessState:
        """Cancel an edit: the published version is what there was. Raises Missing, WrongStatus."""

        async def work(connection: AsyncConnection) -> ProcessState:
            row = await self._locked(connection, key, "edit")
            if row.draft is None or row.version is None:
                raise WrongStatus(
                    f"process «{key}» has no edit to cancel",
                    status=row.status,
                    allowed=list(ALLOWED[row.status]),
                )
            now = datetime.now(UTC)
            await definitions.set_process(connection, key, now, draft=None)
            published = (await self._catalog.definition(connection, key, row.version)).document()
            await record(connection, actor, "drop_draft", key, now, row.draft, published)
            return ProcessState(key, row.name, row.status, row.version, [])

        return await retried(self._database, work)

    async def activate(self, key: str, actor: str = LOCAL) -> ProcessState:
        """Let contacts in, with the draft published first where there is one; release what the pause held: of many,
        by an operation.
        """

        async def work(connection: AsyncConnection) -> tuple[ProcessState, Effects, str | None]:
            now = datetime.now(UTC)
            row = await self._locked(connection, key, "activate")
            name, version, warned = row.name, row.version, []
            if row.draft is not None:
                published = await self._publish(connection, row, now, actor=actor)
                name, version, warned = published.name, published.version, published.warnings
            state, effects, operation = await self._resume(connection, row, name, version, actor, now)
            return replace(state, warnings=warned), effects, operation

        return await self._sent(await retried(self._database, work))

    async def resume_due(self, now: datetime) -> list[str]:
        """Let those processes go on whose pause was to last until an instant that is past (UTC); returns their keys.
        A draft stays a draft: only a person publishes. One for which that fails keeps no other from it, and is tried
        again at the next call. Raises DatabaseUnavailable.
        """
        p = rows.processes.c
        async with self._database.read() as connection:
            due = list(
                (
                    await connection.execute(
                        select(p.key).where(p.status == PAUSED, p.paused_until <= now).order_by(p.key)
                    )
                ).scalars()
            )
        return [key for key in due if await self._resume_one(key, now)]

    async def _resume_one(self, key: str, now: datetime) -> bool:
        try:
            return await self._resume_if_due(key, now)
        except DatabaseUnavailable:
            raise
        except Exception:
            log.exception("process_not_resumed", process=key)
            return False

    async def _resume_if_due(self, key: str, now: datetime) -> bool:
        async def work(connection: AsyncConnection) -> tuple[ProcessState, Effects, str | None] | None:
            row = await definitions.lock_process(connection, key)
            if row is None or row.status != PAUSED or row.paused_until is None or row.paused_until > now:
                return None  # somebody was quicker
            return await self._resume(connection, row, row.name, row.version, CLOCK, now)

        resumed = await retried(self._database, work)
        if resumed is None:
            return False
        await self._sent(resumed)
        return True

    async def _resume(
        self, connection: AsyncConnection, row: Any, name: str, version: int | None, actor: str, now: datetime
    ) -> tuple[ProcessState, Effects, str | None]:
        await definitions.set_process(connection, row.key, now, status=ACTIVE, paused_until=None)
        await record_status(connection, actor, "activate", row, now, ACTIVE)
        told = await edits.tell(connection, self._catalog, row.key, now)
        await self._operations.end_releases(connection, row.key, now)
        number = await definitions.held_by_pause(connection, row.key)
        state = ProcessState(row.key, name, ACTIVE, version, [], released=number)
        if number > RELEASED_AT_ONCE:
            operation = await self._operations.release_held(connection, row.key, actor, now)
            return state, Effects(outbox=told), operation
        held = await definitions.first_held_by_pause(connection, row.key, RELEASED_AT_ONCE)
        outbox = await enqueue(connection, SIGNAL_RELEASE, held, {}, now) if held else []
        return state, Effects(outbox=told + outbox), None

    async def _sent(self, resumed: tuple[ProcessState, Effects, str | None]) -> ProcessState:
        state, effects, operation = resumed
        await self._dispatcher.send(effects)
        if operation is not None:
            await self._operations.launch(operation)
        return state

    async def pause(self, key: str, actor: str = LOCAL, until: datetime | None = None) -> ProcessState:
        """Admit nobody; instances hold at their next step, timers go on. At `until` (UTC) it goes on by itself.

        Raises Missing, WrongStatus, DocumentInvalid where `until` is past.
        """

        async def work(connection: AsyncConnection) -> ProcessState:
            row = await self._locked(connection, key, "pause")
            now = datetime.now(UTC)
            if until is not None and until <= now:
                raise DocumentInvalid([Problem(pointer="/until", message=f"{until.isoformat()} is past")])
            await definitions.set_process(connection, key, now, status=PAUSED, paused_until=until)
            await record_status(connection, actor, "pause", row, now, PAUSED, until)
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
                raise wrong_status(row, "archive")
            if left and not stop_open:
                raise InstancesOpen(
                    f"{left} instances of «{key}» are open: wait until they end, or stop them with the archiving",
                    open=left,
                )
            now = datetime.now(UTC)
            await definitions.set_process(connection, key, now, status=ARCHIVED, paused_until=None)
            await record_status(connection, actor, "archive", row, now, ARCHIVED)
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
            raise wrong_status(row, action)
        return row

    async def _publish(
        self, connection: AsyncConnection, row: Any, now: datetime, inside: Inside = STAY, *, actor: str
    ) -> ProcessState:
        definition = parse(row.draft)
        check_list(definition, row)
        await self._check_inside(connection, inside, definition)
        around = await self._around(connection, definition)
        found = await asyncio.to_thread(problems, definition, around)
        if found:
            raise DocumentInvalid(found)
        number = (row.version or 0) + 1
        moving = {"removed": inside.removed} if inside.inside == "move" else None
        await definitions.add_version(connection, row.key, number, definition.document(), now, moving)
        await definitions.set_process(
            connection,
            row.key,
            now,
            version=number,
            draft=None,
            name=definition.name,
            list_key=definition.list_key,
        )
        after = {"version": number, "inside": inside.model_dump(mode="json")}
        await record(connection, actor, "publish", row.key, now, {"version": row.version}, after)
        await self._settle_recurrence(connection, definition)
        warned = warnings(definition, around)
        return ProcessState(row.key, definition.name, row.status, number, [], warnings=warned)

    async def _check_inside(
        self, connection: AsyncConnection, inside: Inside, definition: ProcessDefinition
    ) -> None:
        befores = await edits.versions_inside(connection, self._catalog, definition.key)
        wrong = list(wrong_choices(inside, befores, definition))
        if wrong:
            raise DocumentInvalid(wrong)

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

    async def _around(self, connection: AsyncConnection, definition: ProcessDefinition) -> Surroundings:
        view = await self._catalog.view(connection)
        keys = await connection.execute(select(rows.processes.c.key))
        used = templates_of(definition)
        # In a thread: templates are checked in another process, for which this one waits.
        checked = await asyncio.to_thread(
            lambda: {
                key: self._check_template(view.templates[key], view) for key in used & view.templates.keys()
            }
        )
        return Surroundings(
            templates={key: checked.get(key) for key in view.templates},
            lists=view.lists,
            segments=frozenset(view.segments),
            ruled_segments=frozenset(key for key, rule in view.segments.items() if rule is not None),
            processes=frozenset(keys.scalars()),
            channels=self._channels,
            event_types=frozenset(view.event_types),
            check_text=self._check_text,
            check_step=self._check_step,
        )
