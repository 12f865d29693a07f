"""Going on after Temporal lost an instance's workflow: where it stands is worked out from its rows.

`onward doctor --fix` clears the claim of the run that is no more and starts a workflow that says `resume`. Nothing is
decided again and nothing sent again: a visit that is recorded is not repeated, and a message that was claimed is closed
as the ledger's rules say. Whether the old workflow is really gone is not judged here.
"""

from sqlalchemy import func, literal, select, update
from sqlalchemy.ext.asyncio import AsyncConnection

from activities.goals import read_goals
from processes import planner
from processes.instructions import DECIDE, Begin, End, Hold, Instruction, Perform
from processes.planning import Situation
from store import rows
from store.catalog import CatalogCache
from store.instances import STOPPING

_i, _c, _w = rows.instances.c, rows.contacts.c, rows.waits.c


async def resume(
    connection: AsyncConnection, catalog: CatalogCache, instance: str, begin: Begin
) -> Instruction | None:
    """Claim the instance for this run and say what it does next; None where it has not come to a step yet.

    An instance that another run has claimed is refused; one that is stopping holds for that. `begin` that runs again
    gives the same.
    """
    row = (
        await connection.execute(
            select(
                _i.process_key,
                _i.version,
                _i.contact_id,
                _i.state,
                _i.outcome,
                _i.step,
                _i.visit,
                _i.due_at,
                _i.loops,
                _i.run_id,
                _i.open,
            )
            .where(_i.id == instance)
            .with_for_update()
        )
    ).one_or_none()
    if row is None:
        return End(do="end", outcome="refused", reason="bad input: resume: there is no such instance")
    if not row.open:
        return End(do="end", outcome=row.outcome or "stopped")
    if row.state == STOPPING:
        return Hold(do="hold", reason=STOPPING)
    if row.step is None:
        return None
    if row.run_id not in {None, begin.run}:
        return End(do="end", outcome="refused", reason="this instance has begun in another run")
    await connection.execute(
        update(rows.instances)
        .where(_i.id == instance)
        .values(
            run_id=begin.run,
            started_at=func.coalesce(_i.started_at, literal(begin.now, _i.started_at.type)),
            lease_until=None,
        )
    )
    if await _event_came(connection, instance, row.step, row.visit):
        return Perform(do="perform", step=row.step, visit=row.visit, activity=DECIDE)
    definition = await catalog.definition(connection, row.process_key, row.version)
    if definition.by_id[row.step].waits and (await read_goals(connection, instance)).came:
        return Perform(do="perform", step=row.step, visit=row.visit, activity=DECIDE)
    zone = (
        await connection.execute(select(_c.time_zone).where(_c.id == row.contact_id))
    ).scalar() or definition.time_zone
    situation = Situation(now=begin.now, zone=zone)
    return planner.resume(definition, row.step, row.visit, row.due_at, situation, row.loops or {})


async def _event_came(connection: AsyncConnection, instance: str, step: str, visit: int) -> bool:
    """Whether what the instance waits for came while its workflow was gone: `decide` then finds it in the row."""
    came = await connection.execute(
        select(_w.event_id).where(_w.instance_id == instance, _w.step == step, _w.visit == visit)
    )
    return came.scalar() is not None
