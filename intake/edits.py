"""Editing a live process (O9): what an edit changes, what becomes of who is inside, and telling them once it counts.

An instance moves to a new version when it next does something, in the transaction of its step (`activities/stage.py`).
Only who waits at a step that the edit touches has to be woken for that.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any

from sqlalchemy import ColumnElement, func, or_, select
from sqlalchemy.ext.asyncio import AsyncConnection

from intake.effects import enqueue, lease
from processes.definition import ProcessDefinition
from processes.differences import Difference, Inside, becomes, difference, stands
from processes.instructions import SIGNAL_EDITED
from store import rows
from store.catalog import CatalogCache, parse_stored
from store.reading import OPEN_STATES, standing

TOLD_AT_ONCE = 200
TOLD_A_SECOND = 200
"""More who wait are told at this pace, by the sweeper, so that they do not keep others from their turn."""

_i, _v = rows.instances.c, rows.process_versions.c


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
) -> EditPreview:
    """What an edit changes, and how many contacts are at each step. Test runs do not count."""
    before, version = current
    inside_now = []
    for row in await _standing(connection, draft.key, _i.test_cap.is_(None)):
        definition = await catalog.definition(connection, draft.key, row.version)
        step = row.step if row.step in definition.by_id else None
        to, words = becomes(inside, definition, step, draft)
        inside_now.append(Standing(row.version, step, row.state, row.number, to, words))
    return EditPreview(version, difference(before, draft), inside, inside_now)


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
    return standing(*OPEN_STATES, processes=[key])
