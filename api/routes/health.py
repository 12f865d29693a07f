"""Whether this process lives, whether it can work, and its metrics."""

from datetime import timedelta
from typing import Literal

import structlog
from fastapi import APIRouter, Response
from pydantic import BaseModel
from temporalio.api.operatorservice.v1 import ListSearchAttributesRequest
from temporalio.service import RPCError

from api.access import anyone, needs
from api.addresses import AddressedRoute
from api.deps import PartsDep, ServicesDep
from api.documentation import problems
from api.errors import Unavailable
from api.metrics import CONTENT_TYPE
from intake.dispatch import SEARCH_ATTRIBUTES
from processes.problems import Problem
from runtime import Services
from store.database import DatabaseUnavailable
from store.migrate import is_behind

log = structlog.get_logger(__name__)
router = APIRouter(tags=["health"], route_class=AddressedRoute)

TEMPORAL_TIMEOUT = timedelta(seconds=2)


class Alive(BaseModel):
    """It answers."""

    status: Literal["ok"] = "ok"


@router.get(
    "/health/live",
    dependencies=[anyone("whoever keeps it running asks")],
    summary="Whether the process lives",
    responses=problems(),
)
async def live() -> Alive:
    """Asks nobody."""
    return Alive()


@router.get(
    "/health/ready",
    dependencies=[anyone("whoever keeps it running asks")],
    summary="Whether everything that it needs is there",
    responses=problems(503),
)
async def ready(services: ServicesDep) -> Alive:
    """503 says what is missing. Events are taken without Temporal too: they are kept and started later."""
    missing = [*await _database(services), *await _temporal(services)]
    if missing:
        detail = "; ".join(f"{p.pointer}: {p.message}" for p in missing)
        raise Unavailable(detail, errors=missing, headers={"Retry-After": "5"})
    return Alive()


@router.get(
    "/metrics",
    dependencies=[needs("reports:read")],
    summary="Prometheus metrics",
    response_class=Response,
    responses={200: {"content": {"text/plain": {}}, "description": "The text format"}, **problems()},
)
async def metrics(parts: PartsDep) -> Response:
    """The backlog is asked at each scrape."""
    return Response(await parts.metrics.scrape(parts.services.database), media_type=CONTENT_TYPE)


async def _database(services: Services) -> list[Problem]:
    try:
        behind = await is_behind(services.database)
    except DatabaseUnavailable as error:
        log.warning("database_unavailable", error=str(error))
        return [Problem(pointer="database", message="does not answer")]
    except Exception:
        log.exception("database_not_ready")
        return [Problem(pointer="database", message="answers with an error")]
    if behind:
        return [Problem(pointer="database", message="answers, and has not our tables: run the migrations")]
    return []


async def _temporal(services: Services) -> list[Problem]:
    client = services.client
    try:
        known = await client.operator_service.list_search_attributes(
            ListSearchAttributesRequest(namespace=client.namespace), timeout=TEMPORAL_TIMEOUT
        )
    except (RPCError, RuntimeError) as error:
        log.warning("temporal_unavailable", error=str(error))
        return [Problem(pointer="temporal", message="does not answer")]
    registered = {*known.custom_attributes, *known.system_attributes}
    return [
        Problem(pointer="temporal", message=f"the search attribute {key.name} is not registered")
        for key in SEARCH_ATTRIBUTES
        if key.name not in registered
    ]
