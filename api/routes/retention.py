"""How long runs are kept (O6): what is due to be deleted, and deleting it now."""

from datetime import UTC, datetime
from typing import Annotated

from fastapi import APIRouter, Query
from pydantic import BaseModel, Field

from api.access import ActorDep, needs
from api.bodies import JsonRoute
from api.deps import ServicesDep
from api.documentation import problems
from intake.retention import Retention

router = APIRouter(
    prefix="/v1/retention", tags=["where"], route_class=JsonRoute, dependencies=[needs("admin")]
)


class RetentionStanding(BaseModel):
    """What is due to be deleted now."""

    days: float | None = Field(description="How long a run is kept after its end; null: for ever.")
    before: datetime | None = Field(description="Runs that ended before this are due.")
    instances: int = Field(description="How many are.")


class RetentionDone(BaseModel):
    """What was deleted. `more` says that there is more to be deleted: ask again."""

    instances: int
    visits: int
    more: bool


@router.get("", summary="What retention would delete", responses=problems())
async def get_retention(
    services: ServicesDep,
    days: Annotated[
        float | None, Query(ge=1, le=36_500, description="As if runs were kept so long.", allow_inf_nan=False)
    ] = None,
) -> RetentionStanding:
    """Nothing is deleted."""
    retention = Retention(services.database, services.settings.retention_days)
    return RetentionStanding(**vars(await retention.standing(datetime.now(UTC), days)))


@router.post("", summary="Delete what retention is for", responses=problems(409))
async def delete_now(services: ServicesDep, actor: ActorDep) -> RetentionDone:
    """The workers do so by themselves, every hour."""
    retention = Retention(services.database, services.settings.retention_days)
    gone, more = await retention.delete(datetime.now(UTC), actor)
    return RetentionDone(instances=gone.instances, visits=gone.visits, more=more)
