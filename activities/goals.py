"""The goals of an instance in its rows: those acted on, and those whose event came and that are still to be acted on.

A goal is a visit of no step. `intake/goals.py` writes it with the event; what is decided here is nothing.
"""

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any

from sqlalchemy import select
from sqlalchemy.ext.asyncio import AsyncConnection

from processes.goals import GOAL, goal_step
from store import rows

_i, _v = rows.instances.c, rows.visits.c


@dataclass(frozen=True)
class GoalsSoFar:
    """The names of goals acted on, and of those that have come since, each with its event's id."""

    reached: frozenset[str] = frozenset()
    came: dict[str, str] = field(default_factory=dict)


async def read_goals(connection: AsyncConnection, instance: str, *, lock: bool = True) -> GoalsSoFar:
    """Read them, with the instance's row locked unless nothing is to be decided: a goal whose event comes at this
    moment is seen here, or finds the instance at its new place.
    """
    if lock:
        await connection.execute(select(_i.id).where(_i.id == instance).with_for_update())
    found = (
        await connection.execute(
            select(_v.step, _v.result).where(_v.instance_id == instance, _v.kind == GOAL)
        )
    ).all()
    named = {row.step.removeprefix(goal_step("")): row.result for row in found}
    return GoalsSoFar(
        reached=frozenset(name for name, result in named.items() if "to" in result),
        came={name: result["event"] for name, result in named.items() if "to" not in result},
    )


async def write_goals(connection: AsyncConnection, reached: Sequence[dict[str, Any]]) -> None:
    """Write the visits of goals acted on, over what was written when their events came."""
    if not reached:
        return
    statement = rows.upsert(connection, rows.visits)
    await connection.execute(
        statement.on_conflict_do_update(
            index_elements=["instance_id", "step", "visit"],
            set_={"at": statement.excluded.at, "result": statement.excluded.result},
        ),
        list(reached),
    )
