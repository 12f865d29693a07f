"""Instances that a change of their process passed by, and stops that nobody has heard: what the sweeper looks for every
few seconds. Nothing is written here.
"""

from collections.abc import Sequence
from datetime import datetime
from typing import Any

from sqlalchemy import select
from sqlalchemy.ext.asyncio import AsyncConnection

from processes.instructions import SIGNAL_RELEASE
from processes.operating import RELEASE
from store import rows
from store.operations import RUNNING
from store.reading import GOING_ON, standing

_i, _o, _p, _op = rows.instances.c, rows.outbox.c, rows.processes.c, rows.operations.c


async def held(connection: AsyncConnection, before: datetime, limit: int) -> list[str]:
    """Instances that hold because of a pause since `before` (aware), though their process is active, and that no
    operation releases.
    """
    active = select(_p.key).where(_p.status == "active")
    releasing = select(_op.process_key).where(_op.kind == RELEASE, _op.state == RUNNING)
    found = await connection.execute(
        select(_i.id)
        .where(
            standing("holding", processes=active.where(_p.key.not_in(releasing))),
            _i.reason.like("paused:%"),
            _i.id.not_in(select(_o.instance_id).where(_o.kind == SIGNAL_RELEASE)),
            _i.updated_at < before,
        )
        .limit(limit)
    )
    return list(found.scalars())


async def archived(connection: AsyncConnection, limit: int) -> list[str]:
    """Instances that go on, though their process is archived."""
    over = select(_p.key).where(_p.status == "archived")
    going_on = standing(*GOING_ON, processes=over)
    return list((await connection.execute(select(_i.id).where(going_on).limit(limit))).scalars())


async def stopping(
    connection: AsyncConnection, before: datetime, limit: int, *, cancel: str
) -> Sequence[Any]:
    """Instances that are stopping since `before` (aware): `id`, `reason`, and as `told` whether a cancellation (a row
    of the kind `cancel`) is on its way.
    """
    on_its_way = select(_o.instance_id).where(_o.kind == cancel)
    found = await connection.execute(
        select(_i.id, _i.reason, _i.id.in_(on_its_way).label("told"))
        .where(standing("stopping"), _i.updated_at < before)
        .limit(limit)
    )
    return found.all()
