"""Editing a live process (O9): what an edit changes, what becomes of who is inside, and telling them once it counts.

An instance moves to a new version when it next does something, in the transaction of its step (`activities/stage.py`).
Only who waits at a step that the edit touches has to be woken for that.
"""

from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any

from sqlalchemy import ColumnElement, and_, func, or_, select
from sqlalchemy.ext.asyncio import AsyncConnection

from intake.effects import enqueue, lease
from processes import planner
from processes.definition import ProcessDefinition
from processes.differences import Difference, Inside, becomes, difference, stands
from processes.instructions import SIGNAL_EDITED
from processes.planning import Situation
from store import rows
from store.catalog import CatalogCache, parse_stored
from store.reading import OPEN_STATES, standing

TOLD_AT_ONCE = 200
TOLD_A_SECOND = 200
"""More who wait are told at this pace, by the sweeper, so that they do not keep others from their turn."""

EXAMINED = 2000
"""Of the contacts at a changed wait, so many are looked at in a preview, those that are due first."""
MOST_MOMENTS = 20

_i, _v, _c, _e, _w = (
    rows.instances.c,
    rows.process_versions.c,
    rows.contacts.c,
    rows.events.c,
    rows.visits.c,
)


@dataclass(frozen=True)
class Standing:
    """How many instances of a version stand at a step (None: before the first) in a state, and what becomes of them.

    `to` is where they will be; None where they end.
    """

    version: int
    step: str | None
    state: str
    count: int
    to: str | None
    becomes: str
    moments: "Moments | None" = None


@dataclass(frozen=True)
class MomentChange:
    """So many contacts wait until `before` (UTC), and will until `after`; None: they go on at once."""

    before: datetime
    after: datetime | None
    count: int


@dataclass(frozen=True)
class Moments:
    """When contacts go on who wait at a step that is changed. Of many, those that are due first were `examined`;
    `changes` are the most frequent, in the order of `before`.
    """

    examined: int
    earlier: int
    later: int
    unchanged: int
    at_once: int
    changes: list[MomentChange]


@dataclass(frozen=True)
class EditPreview:
    """What publishing a draft would do. `version` is the current one, with which it is compared."""

    version: int
    difference: Difference
    inside: Inside
    standing: list[Standing]


async def preview(
    connection: AsyncConnection,
    catalog: CatalogCache,
    current: tuple[ProcessDefinition, int],
    draft: ProcessDefinition,
    inside: Inside,
    now: datetime,
) -> EditPreview:
    """What an edit changes, how many contacts are at each step, and, if it is resumed `now` (UTC), until when those
    wait whose wait is changed. Test runs do not count.
    """
    before, version = current
    inside_now = []
    for row in await _standing(connection, draft.key, _i.test_cap.is_(None)):
        definition = await catalog.definition(connection, draft.key, row.version)
        step = row.step if row.step in definition.by_id else None
        to, words = becomes(inside, definition, step, draft)
        moments = None
        if inside.inside == "move" and row.state == "waiting" and step is not None and to == step:
            moments = await _moments(connection, definition, row.version, step, draft, now)
        inside_now.append(Standing(row.version, step, row.state, row.number, to, words, moments))
    return EditPreview(version, difference(before, draft), inside, inside_now)


async def _moments(
    connection: AsyncConnection,
    before: ProcessDefinition,
    version: int,
    step: str,
    draft: ProcessDefinition,
    now: datetime,
) -> Moments | None:
    """None if the step is the same, or is none that waits."""
    if _is_same(before, step, draft) or not draft.by_id[step].waits:
        return None
    found = await connection.execute(
        select(_i.visit, _i.due_at, _w.at, _w.result, _c.time_zone, _c.fields, _c.created_at, _e.params)
        .select_from(rows.instances)
        .join(rows.visits, (_w.instance_id == _i.id) & (_w.step == _i.step) & (_w.visit == _i.visit))
        .join(rows.contacts, _c.id == _i.contact_id)
        .outerjoin(rows.events, _e.id == _i.event_id)
        .where(
            standing("waiting", processes=[before.key]),
            _i.version == version,
            _i.step == step,
            _i.test_cap.is_(None),
        )
        .order_by(_i.due_at, _i.id)
        .limit(EXAMINED)
    )
    changes: Counter[tuple[datetime, datetime | None]] = Counter()
    for row in found:
        until = (row.result or {}).get("until")
        was = datetime.fromisoformat(until) if until is not None else row.due_at
        situation = Situation(
            now=now,
            zone=row.time_zone or draft.time_zone,
            fields={**row.fields, "created_at": row.created_at.isoformat()},
            event=row.params or {},
        )
        after = planner.moment_after_edit(before.by_id[step], was, draft.by_id[step], row.at, situation)
        changes[was, after] += 1
    return _counted(changes)


def _counted(changes: Counter[tuple[datetime, datetime | None]]) -> Moments:
    def number(meant: Callable[[datetime, datetime], bool]) -> int:
        return sum(n for (was, after), n in changes.items() if after is not None and meant(was, after))

    shown = sorted(changes.most_common(MOST_MOMENTS), key=lambda one: one[0][0])
    return Moments(
        examined=changes.total(),
        earlier=number(lambda was, after: after < was),
        later=number(lambda was, after: after > was),
        unchanged=number(lambda was, after: after == was),
        at_once=sum(n for (_, after), n in changes.items() if after is None),
        changes=[MomentChange(was, after, n) for (was, after), n in shown],
    )


async def versions_inside(
    connection: AsyncConnection, catalog: CatalogCache, key: str
) -> list[ProcessDefinition]:
    """The definitions by which open instances of a process run."""
    found = await connection.execute(select(_i.version).where(_inside(key)).distinct().order_by(_i.version))
    return [await catalog.definition(connection, key, number) for number in found.scalars()]


async def tell(
    connection: AsyncConnection,
    catalog: CatalogCache,
    key: str,
    now: datetime,
) -> list[int]:
    """Wake those who wait at steps that edits have touched, and those on their way to one; of many, one after another.

    Returns the outbox rows to be sent at once.
    """
    # Not from the catalog: what this transaction has published is not there before the commit.
    move = (
        await connection.execute(
            select(_v.version, _v.definition)
            .where(_v.process_key == key, _v.inside.is_not(None))
            .order_by(_v.version.desc())
            .limit(1)
        )
    ).first()
    if move is None:
        return []
    newest = parse_stored(key, move.version, move.definition)
    touched = await _touched(connection, catalog, newest, move.version)
    at = [(_i.version == version) & _i.step.in_(steps) for version, steps in touched.items() if steps]
    on_the_way = (_i.state == "running") & (_i.version < move.version)
    found = await connection.execute(
        select(_i.id)
        .where(
            standing("running", "waiting", processes=[key]),
            _of_a_version(),
            or_(on_the_way, *((_i.state == "waiting") & one for one in at)),
        )
        .order_by(_i.id)
    )
    instances = list(found.scalars())
    first = await enqueue(connection, SIGNAL_EDITED, instances[:TOLD_AT_ONCE], {}, now) if instances else []
    for start in range(TOLD_AT_ONCE, len(instances), TOLD_A_SECOND):
        later = lease() + timedelta(seconds=start // TOLD_A_SECOND)
        some = instances[start : start + TOLD_A_SECOND]
        await enqueue(connection, SIGNAL_EDITED, some, {}, now, until=later)
    return first


async def _touched(
    connection: AsyncConnection, catalog: CatalogCache, newest: ProcessDefinition, number: int
) -> Mapping[int, list[str]]:
    """By version, the steps with waiting instances that are another or no more in the newest definition."""
    found: dict[int, list[str]] = {}
    for row in await _standing(connection, newest.key):
        if row.state != "waiting" or row.version >= number:
            continue
        before = await catalog.definition(connection, newest.key, row.version)
        if not _is_same(before, row.step, newest):
            found.setdefault(row.version, []).append(row.step)
    return found


def _is_same(before: ProcessDefinition, step: str, after: ProcessDefinition) -> bool:
    return stands(before, step, after) and before.by_id[step] == after.by_id[step]


async def _standing(connection: AsyncConnection, key: str, *where: ColumnElement[bool]) -> Sequence[Any]:
    return (
        await connection.execute(
            select(_i.version, _i.step, _i.state, func.count().label("number"))
            .where(_inside(key), *where)
            .group_by(_i.version, _i.step, _i.state)
            .order_by(_i.version, _i.step, _i.state)
        )
    ).all()


def _inside(key: str) -> ColumnElement[bool]:
    """Those of a version: a test run of a draft goes on with that draft, and no edit is about it."""
    return and_(standing(*OPEN_STATES, processes=[key]), _of_a_version())


def _of_a_version() -> ColumnElement[bool]:
    return _i.version > 0
