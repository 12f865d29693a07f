"""Instances: lists, what happened and what comes next (O6), stop and release (O3).

Ids hold slashes (`order/22222/evt-1`), so the routes with an action stand before the one that takes every path.
"""

from datetime import UTC, datetime
from typing import Annotated, Literal

from fastapi import APIRouter, Query, Response

from api.access import ActorDep, CallerDep, needs
from api.bodies import JsonRoute
from api.deps import CursorQuery, LimitQuery, PartsDep, ServicesDep, WaitQuery
from api.documentation import problems
from api.models import InstanceDetail, InstanceRow, MessageRow, Page, StopAnswer, VisitRow
from api.routes.contacts import StopReason
from api.rows import cancelled_steps, instance_row, instance_values
from intake.refusals import Missing
from intake.why.visits import visit_in_words
from processes.values import Key, StepId
from store import contacts, reading

router = APIRouter(prefix="/v1/instances", tags=["instances"], route_class=JsonRoute)


@router.get(
    "", dependencies=[needs("contacts:read", process="process")], summary="Instances", responses=problems(404)
)
async def list_instances(
    services: ServicesDep,
    caller: CallerDep,
    process: Annotated[Key | None, Query()] = None,
    contact: Annotated[str | None, Query(max_length=320, description="Any reference of a contact.")] = None,
    state: Annotated[
        Literal["pending", "running", "waiting", "holding", "stopping", "ended"] | None, Query()
    ] = None,
    open: Annotated[
        bool | None, Query(description="True: only running instances; false: only ended ones.")
    ] = None,
    step: Annotated[StepId | None, Query(description="Now at this step.")] = None,
    outcome: Annotated[str | None, Query(max_length=100)] = None,
    limit: LimitQuery = 50,
    cursor: CursorQuery = None,
) -> Page[InstanceRow]:
    """The newest first."""
    async with services.database.read() as connection:
        contact_id = None
        if contact is not None:
            contact_id = await contacts.resolve(connection, contact)
            if contact_id is None:
                raise Missing("contact", contact)
        wanted = reading.InstanceFilter(
            process=process,
            contact_id=contact_id,
            state=state,
            open=open,
            step=step,
            outcome=outcome,
            processes=caller.processes,
        )
        found = await reading.instances(connection, wanted, limit=limit, cursor=cursor)
        known = await reading.definitions_of(connection, services.catalog, found.items)
    return Page(items=[instance_row(row, known) for row in found.items], next_cursor=found.next_cursor)


@router.post(
    "/{instance_id:path}/stop",
    dependencies=[needs("processes:start", instance="instance_id")],
    summary="Stop an instance",
    responses={
        202: {"model": StopAnswer, "description": "Stopped; a message was leaving already"},
        **problems(404, 409, 415),
    },
)
async def stop(
    instance_id: str,
    parts: PartsDep,
    response: Response,
    actor: ActorDep,
    body: StopReason | None = None,
    wait: WaitQuery = 10,
) -> StopAnswer:
    """No further effect passes; a message that had left already is named where it is not closed within `wait`."""
    reason = (body.reason if body is not None else None) or "stopped by API"
    done = await parts.stops.stop_instance(instance_id, reason, wait=wait, actor=actor)
    if done.in_flight:
        response.status_code = 202
    return StopAnswer(stopped=True, instances=done.instances, in_flight=done.in_flight)


@router.post(
    "/{instance_id:path}/release",
    dependencies=[needs("processes:start", instance="instance_id")],
    status_code=202,
    summary="Release a held instance",
    responses=problems(404, 409),
)
async def release(instance_id: str, parts: PartsDep, actor: ActorDep) -> dict[str, bool]:
    """It tries its step again."""
    await parts.stops.release(instance_id, actor)
    return {"released": True}


@router.get(
    "/{instance_id:path}",
    dependencies=[needs("contacts:read", instance="instance_id")],
    summary="An instance",
    responses=problems(404),
)
async def get_instance(instance_id: str, services: ServicesDep) -> InstanceDetail:
    """What happened, in order, and what comes next."""
    now = datetime.now(UTC)
    async with services.database.read() as connection:
        row = await reading.instance(connection, instance_id)
        if row is None:
            raise Missing("instance", instance_id)
        definition = await services.catalog.definition(connection, row.process_key, row.version)
        visits = await reading.visits(connection, instance_id, definition)
        messages = await reading.messages(connection, instance_id)
    return InstanceDetail(
        **instance_values(row, {(row.process_key, row.version): definition}),
        workflow_id=row.id,
        run_id=row.run_id,
        cancelled=cancelled_steps(row),
        visits=[
            VisitRow(**visit._mapping, says=visit_in_words(visit, row, definition, now)) for visit in visits
        ],
        messages=[
            MessageRow(**{name: getattr(message, name) for name in MessageRow.model_fields})
            for message in messages
        ],
    )
