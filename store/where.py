"""Where the contacts of processes are: exact counts of instances from their own rows, and what is due next.

Counts are read from an index alone, whose columns they are; no counter is kept that could be wrong. Test runs
(`test_cap`) are counted apart. Nothing is written here.
"""

from collections import Counter
from collections.abc import Collection, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any, Final

from sqlalchemy import ColumnElement, func, select
from sqlalchemy.ext.asyncio import AsyncConnection

from store import rows
from store.reading import INSTANCE, Rows, first_of_each, further, page

OVERDUE: Final = timedelta(minutes=1)
"""What is due for longer is overdue: a wait that ends with thousands of others takes some seconds."""

_i = rows.instances.c
_IS_DUE: tuple[ColumnElement[bool], ...] = (_i.due_at.is_not(None), _i.open)
"""An instance that waits, as the index of what is due has it: a condition on the state would turn SQLite to another."""


@dataclass(frozen=True)
class Count:
    """How many instances of a process stand in one place. An `ended` one stands where it was, if it did not run to
    its end; `test` counts test runs.
    """

    state: str
    step: str | None
    outcome: str | None
    test: bool
    number: int


async def counts(connection: AsyncConnection, process: str) -> list[Count]:
    """Every instance of a process, ended ones too, by where it stands."""
    columns = (_i.state, _i.step, _i.outcome, _i.test_cap)  # as the index has them: they come in groups
    found = await connection.execute(
        select(*columns, func.count().label("number")).where(_i.process_key == process).group_by(*columns)
    )
    numbers: Counter[tuple[str, str | None, str | None, bool]] = Counter()
    for row in found:
        numbers[row.state, row.step, row.outcome, row.test_cap is not None] += row.number
    return [Count(*place, number) for place, number in numbers.items()]


@dataclass(frozen=True)
class CountOfContact:
    """How many instances a contact has; test runs apart."""

    open: int
    ended: int
    test_runs: int


async def of_contact(
    connection: AsyncConnection, contact_id: str, processes: Collection[str] | None
) -> CountOfContact:
    """All instances of a contact; of these processes only, if they are given."""
    test = _i.test_cap.is_not(None)
    asked = select(_i.open, test.label("test"), func.count().label("number")).where(
        _i.contact_id == contact_id
    )
    if processes is not None:
        asked = asked.where(rows.without_index(_i.process_key).in_(processes))
    numbers: Counter[str] = Counter()
    for row in await connection.execute(asked.group_by(_i.open, test)):
        numbers["test" if row.test else "open" if row.open else "ended"] += row.number
    return CountOfContact(numbers["open"], numbers["ended"], numbers["test"])


async def overdue_by_step(connection: AsyncConnection, process: str, now: datetime) -> dict[str, int]:
    """How many wait at each step although it is due for a while at `now` (aware). Test runs are not counted."""
    found = await connection.execute(
        select(_i.step, func.count().label("number"))
        .where(_i.process_key == process, *_IS_DUE, _i.due_at < now - OVERDUE, _i.test_cap.is_(None))
        .group_by(_i.step)
    )
    return {row.step: row.number for row in found}


async def due(
    connection: AsyncConnection,
    processes: Sequence[str],
    *,
    before: datetime | None,
    limit: int,
    cursor: str | None,
) -> Rows:
    """Waiting instances of some processes by when their wait ends, the soonest first; with `before` (aware) only
    those that are due by then. Raises BadCursor.
    """
    by: list[ColumnElement[Any]] = [_i.due_at, _i.id]
    where = list(_IS_DUE)
    if before is not None:
        where.append(_i.due_at < before)
    if cursor is not None:
        where.append(further(by, cursor))
    if not processes:
        return Rows([], None)
    return await page(
        connection,
        INSTANCE.where(_i.id.in_(first_of_each(processes, where, by, limit + 1))),
        by,
        limit=limit,
        cursor=None,
    )
