"""How it goes, at one glance: what `onward top` shows."""

from datetime import UTC, datetime, timedelta
from typing import Annotated

from fastapi import APIRouter
from pydantic import BaseModel, Field, PlainSerializer

from api.access import needs
from api.bodies import JsonRoute
from api.deps import ServicesDep
from api.documentation import problems
from store.overview import overview

router = APIRouter(prefix="/v1/overview", tags=["where"], route_class=JsonRoute)

Seconds = Annotated[timedelta, PlainSerializer(timedelta.total_seconds, return_type=float)]


class HeldFor(BaseModel):
    """So many instances hold for the same reason."""

    reason: str
    count: int


class OverviewAnswer(BaseModel):
    """At one moment; «lately» is the minute before it. Test runs are not among the instances."""

    at: datetime
    events: int = Field(description="Came lately.")
    instances: dict[str, int] = Field(description="Open, by state.")
    ended: int = Field(description="Ended lately.")
    overdue: int = Field(description="Wait although they have been due for a minute.")
    lag: Seconds | None = Field(description="Seconds for which the first of those has been due.")
    outbox: int = Field(description="Signals and cancellations that Temporal does not have yet.")
    outbox_age: Seconds | None = Field(description="Seconds that the oldest of them is old.")
    messages: dict[str, dict[str, int]] = Field(description="Closed lately: by channel, then by state.")
    held: list[HeldFor] = Field(description="For what instances hold, pauses apart; the most frequent first.")
    sending_refused: dict[str, int] = Field(
        description="Refused because of us, not of the recipient: `held` instances that wait for a person, `came_back` "
        "messages of the last hour."
    )
    processes: dict[str, int] = Field(description="By status.")
    operations: int = Field(description="Under way.")


@router.get("", dependencies=[needs("reports:read")], summary="How it goes", responses=problems())
async def get_overview(services: ServicesDep) -> OverviewAnswer:
    """Counted now, from the rows."""
    async with services.database.read() as connection:
        found = await overview(connection, datetime.now(UTC))
    held = [HeldFor(reason=reason, count=count) for reason, count in found.held]
    return OverviewAnswer(**{**vars(found), "held": held})
