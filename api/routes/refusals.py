"""Messages that the other side refused or sent back, with whose fault it was."""

from typing import Annotated, Any, Literal

from fastapi import APIRouter, Query
from pydantic import Field

from api.access import CallerDep, needs
from api.bodies import JsonRoute
from api.deps import CursorQuery, LimitQuery, ServicesDep
from api.documentation import problems
from api.models import MessageRow, Page
from processes.refusals import Cause, Fault, causes_of
from processes.values import Key
from store import refusals

router = APIRouter(prefix="/v1/refusals", tags=["instances"], route_class=JsonRoute)

Channel = Literal["email", "sms", "messenger", "push", "letter", "webhook", "audience"]


class RefusalRow(MessageRow):
    """A message that was refused, and the instance that sent it."""

    process: str = Field(description="The process's key.")
    instance: str = Field(description="The instance's id.")


@router.get(
    "",
    dependencies=[needs("contacts:read", process="process")],
    summary="Refused messages",
    responses=problems(),
)
async def list_refusals(
    services: ServicesDep,
    caller: CallerDep,
    cause: Annotated[Cause | None, Query(description="Why it was refused.")] = None,
    fault: Annotated[
        Fault | None,
        Query(description="Whose fault it was: `sender` is ours. With `cause`, both must hold."),
    ] = None,
    channel: Annotated[Channel | None, Query(description="Sent by this channel.")] = None,
    process: Annotated[Key | None, Query(description="Sent by this process.")] = None,
    limit: LimitQuery = 50,
    cursor: CursorQuery = None,
) -> Page[RefusalRow]:
    """The one refused last first: refused while we sent, put off, or sent back later. A message that was put off and
    has gone since is not among them.
    """
    wanted = refusals.RefusalFilter(
        causes=_causes(cause, fault), channel=channel, process=process, processes=caller.processes
    )
    async with services.database.read() as connection:
        found = await refusals.refusals(connection, wanted, limit=limit, cursor=cursor)
    return Page(items=[_row(row) for row in found.items], next_cursor=found.next_cursor)


def _causes(cause: Cause | None, fault: Fault | None) -> tuple[Cause, ...] | None:
    if fault is None:
        return None if cause is None else (cause,)
    return tuple(one for one in causes_of(fault) if cause in (None, one))


def _row(row: Any) -> RefusalRow:
    own = {name: getattr(row, name) for name in MessageRow.model_fields}
    return RefusalRow(**own, process=row.process_key, instance=row.instance_id)
