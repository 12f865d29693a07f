"""Bundles: processes with the lists, segments and templates that they need, all of them applied or none.

One transaction makes and checks everything, of several bundles too: what stands in one may refer to what another
brings. Whatever is wrong leaves everything as it was; an active process goes on without a pause. Whether templates
render is the caller's part, before this.
"""

from collections.abc import AsyncIterator, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import Any, Literal

from sqlalchemy.ext.asyncio import AsyncConnection

from intake import audit
from intake.audit import LOCAL
from intake.processes import Applied, ProcessLifecycle, ProcessState
from intake.service import retried
from processes.definition import ProcessDefinition
from processes.problems import DocumentInvalid, Problem, pointer
from processes.rules import InSegment, Rule, dump_rule, references
from store import definitions, rows
from store.catalog import CatalogCache, CatalogView
from store.database import Database
from store.rules import RuleError, count_members

Kind = Literal["list", "segment", "template", "process"]


@dataclass(frozen=True)
class Segment:
    """A segment as it is to be: without a rule its members are put in by hand."""

    name: str
    rule: Rule | None = None


@dataclass(frozen=True)
class Bundle:
    """What is to be there, by key: names of lists, segments, a template's columns, and one process."""

    lists: Mapping[str, str] = field(default_factory=dict)
    segments: Mapping[str, Segment] = field(default_factory=dict)
    templates: Mapping[str, Mapping[str, Any]] = field(default_factory=dict)
    process: ProcessDefinition | None = None


@dataclass(frozen=True)
class Done:
    """What became of one thing of a bundle (its place in the call). `state` is a process's."""

    bundle: int
    kind: Kind
    key: str
    changed: bool
    state: ProcessState | None = None


class _NothingKept(Exception):
    """Everything was tried; the transaction is to be rolled back."""

    def __init__(self, done: list[Done]) -> None:
        super().__init__("a dry run keeps nothing")
        self.done = done


class Bundles:
    """Applies bundles."""

    def __init__(self, database: Database, catalog: CatalogCache, lifecycle: ProcessLifecycle) -> None:
        self._database = database
        self._catalog = catalog
        self._lifecycle = lifecycle

    async def apply(
        self,
        bundles: Sequence[Bundle],
        *,
        activate: bool = False,
        dry_run: bool = False,
        actor: str = LOCAL,
    ) -> list[Done]:
        """Make and change everything; with `activate` let contacts into the processes. What was done, in its order.

        With `dry_run` everything is tried, and nothing kept. Raises DocumentInvalid, its pointers beginning with the
        place of the bundle (`/0/process/steps/2/template`), and WrongStatus: nothing was changed then.
        """

        async def work(connection: AsyncConnection) -> list[tuple[Done, Applied | None]]:
            done = await self._apply(connection, bundles, activate, actor)
            if dry_run:
                raise _NothingKept([one for one, _ in done])
            return done

        try:
            found = await retried(self._database, work)
        except _NothingKept as tried:
            return tried.done
        for _, applied in found:
            if applied is not None:
                await self._lifecycle.applied(applied)
        return [done for done, _ in found]

    async def _apply(
        self, connection: AsyncConnection, bundles: Sequence[Bundle], activate: bool, actor: str
    ) -> list[tuple[Done, Applied | None]]:
        now = datetime.now(UTC)
        locked = await self._lock(connection, bundles, now)
        done: list[tuple[Done, Applied | None]] = []
        for number, bundle in enumerate(bundles):
            async for kind, key, changed in self._put(connection, bundle, actor, now):
                done.append((Done(number, kind, key, changed), None))
        problems = await self._rule_problems(connection, bundles)
        for number, bundle in enumerate(bundles):
            if bundle.process is None:
                continue
            made, row = locked[bundle.process.key]
            try:
                applied = await self._lifecycle.apply(
                    connection, row, bundle.process, activate=activate, actor=actor, now=now, created=made
                )
            except DocumentInvalid as invalid:
                problems += _under(invalid.problems, number, "process")
                continue
            done.append((Done(number, "process", row.key, applied.changed, applied.state), applied))
        if problems:
            raise DocumentInvalid(problems)
        return sorted(done, key=lambda one: one[0].bundle)

    async def _lock(
        self, connection: AsyncConnection, bundles: Sequence[Bundle], now: datetime
    ) -> Mapping[str, tuple[bool, Any]]:
        """The rows of the processes, and whether each was made now; all are there before any refers to another."""
        wanted = {bundle.process.key: bundle.process.name for bundle in bundles if bundle.process is not None}
        locked = {}
        for key in sorted(wanted):  # in one order, so that two calls at once don't wait for each other
            made = await definitions.make_process(connection, key, wanted[key], now)
            locked[key] = made, await definitions.lock_process(connection, key)
        return locked

    async def _put(
        self, connection: AsyncConnection, bundle: Bundle, actor: str, now: datetime
    ) -> AsyncIterator[tuple[Kind, str, bool]]:
        for key, name in bundle.lists.items():
            changed = await audit.record_put(
                connection, actor, "list", rows.lists, {"key": key, "name": name}, now
            )
            if changed:
                await definitions.put_list(connection, key, name, now)
            yield "list", key, changed
        for key, segment in bundle.segments.items():
            rule = None if segment.rule is None else dump_rule(segment.rule)
            values = {"key": key, "name": segment.name, "rule": rule}
            changed = await audit.record_put(connection, actor, "segment", rows.segments, values, now)
            if changed:
                await definitions.put_segment(connection, key, segment.name, rule, now)
            yield "segment", key, changed
        for key, template in bundle.templates.items():
            columns = {"key": key, **template}
            changed = await audit.record_put(connection, actor, "template", rows.templates, columns, now)
            if changed:
                await definitions.put_template(connection, columns, now)
            yield "template", key, changed

    async def _rule_problems(self, connection: AsyncConnection, bundles: Sequence[Bundle]) -> list[Problem]:
        view = await self._catalog.view(connection)
        return [
            problem
            for number, bundle in enumerate(bundles)
            for key, segment in bundle.segments.items()
            if segment.rule is not None
            for problem in _under(
                await rule_problems(connection, key, segment.rule, view), number, "segments", key
            )
        ]


async def rule_problems(
    connection: AsyncConnection, key: str, rule: Rule, view: CatalogView
) -> list[Problem]:
    """What is wrong with a segment's rule beyond its shape: what it names is not there, or leads back to it."""
    refers = references(rule)
    found = [
        Problem(pointer="/rule", message=f"there is no {what} «{name}»")
        for what, names, known in (
            ("segment", refers.segments - {key}, view.segments.keys()),
            ("list", refers.lists, view.lists),
        )
        for name in sorted(names - set(known))
    ]
    if not found:
        try:
            # The whole of it, with every segment that it leads to, must compile.
            segments = {**view.segments, key: rule}
            await count_members(connection, InSegment(segment=key), now=datetime.now(UTC), segments=segments)
        except RuleError as error:
            found.append(Problem(pointer="/rule", message=str(error)))
    return found


def _under(problems: Sequence[Problem], *place: Any) -> Iterator[Problem]:
    for problem in problems:
        yield problem.model_copy(update={"pointer": pointer(place) + problem.pointer})
