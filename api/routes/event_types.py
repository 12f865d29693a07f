"""Event types, and which processes each starts and stops (V2, V3)."""

from datetime import UTC, datetime
from typing import Annotated, Any, Literal

from fastapi import APIRouter, Path
from pydantic import BaseModel, Field
from sqlalchemy import select

from api.access import ActorDep, needs
from api.bodies import JsonRoute
from api.deps import ServicesDep
from api.documentation import problems
from api.models import Body, JsonObject, Name
from intake import audit
from intake.event_types import schema_problems
from intake.refusals import Missing
from processes.builtin_events import BUILTIN, SENT_BY_OTHERS
from processes.problems import DocumentInvalid, Problem
from processes.values import EventTypeKey
from store import definitions, rows
from store.catalog import CatalogView

router = APIRouter(prefix="/v1/event-types", tags=["event types"], route_class=JsonRoute)

Category = Literal[
    "Click",
    "Subscribe/Unsubscribe",
    "Import",
    "RFM",
    "Subscription",
    "View",
    "Order",
    "Contact",
    "Automation",
    "Other",
]


class EventTypePut(Body):
    """An event type as it is written."""

    name: Name | None = Field(default=None, description="The key where it is not given.")
    category: Category = "Other"
    params_schema: JsonObject | None = Field(
        default=None, description="JSON Schema 2020-12 for params; an event that does not meet it gets a 422."
    )
    creates_contacts: bool = Field(
        default=True, description="Whether an event of an unknown contact makes it."
    )


class EventTypeRow(BaseModel):
    """An event type with its processes."""

    key: str
    name: str
    category: str
    params_schema: JsonObject | None = None
    creates_contacts: bool
    registered_by: str = Field(description="hand, event or onward")
    created_at: datetime | None = None
    starts: list[str] = Field(description="The processes that it starts.")
    stops: list[str] = Field(description="The processes that it stops.")


TypeKey = Annotated[EventTypeKey, Path()]


@router.get("", dependencies=[needs("reports:read")], summary="Event types", responses=problems())
async def list_event_types(services: ServicesDep) -> dict[Literal["items"], list[EventTypeRow]]:
    """All, by key; those that Onward itself sends among them."""
    async with services.database.read() as connection:
        view = await services.catalog.view(connection)
        found = (await connection.execute(select(rows.event_types))).all()
    known = {row.key: _row(row._mapping, view) for row in found}
    for key in BUILTIN:
        known.setdefault(key, _builtin(key, view))
    return {"items": [known[key] for key in sorted(known)]}


@router.get("/{key}", dependencies=[needs("reports:read")], summary="An event type", responses=problems(404))
async def get_event_type(key: TypeKey, services: ServicesDep) -> EventTypeRow:
    """With the processes that it starts and stops."""
    async with services.database.read() as connection:
        view = await services.catalog.view(connection)
        row = (
            await connection.execute(select(rows.event_types).where(rows.event_types.c.key == key))
        ).one_or_none()
    if row is not None:
        return _row(row._mapping, view)
    if key in BUILTIN:
        return _builtin(key, view)
    raise Missing("event type", key)


@router.put(
    "/{key}",
    dependencies=[needs("processes:edit")],
    summary="Make or change an event type",
    responses=problems(415),
)
async def put_event_type(
    key: TypeKey, body: EventTypePut, services: ServicesDep, actor: ActorDep
) -> EventTypeRow:
    """Its params are checked with the next event."""
    if body.params_schema is not None:
        found = schema_problems(body.params_schema)
        if found:
            raise DocumentInvalid(
                [Problem(pointer=f"/params_schema{p.pointer}", message=p.message) for p in found]
            )
    values = {"key": key, **body.model_dump(), "name": body.name or key}
    now = datetime.now(UTC)
    async with services.database.write() as connection:
        if await audit.record_put(connection, actor, "event_type", rows.event_types, values, now):
            await definitions.put_event_type(connection, values, now)
    return await get_event_type(key, services)


def _row(values: Any, view: CatalogView) -> EventTypeRow:
    return EventTypeRow(
        **values, starts=_linked(view, values["key"], "start"), stops=_linked(view, values["key"], "stop")
    )


def _builtin(key: str, view: CatalogView) -> EventTypeRow:
    name, category = BUILTIN[key]
    values = {
        "key": key,
        "name": name,
        "category": category,
        "creates_contacts": key in SENT_BY_OTHERS,
        "registered_by": "onward",
    }
    return _row(values, view)


def _linked(view: CatalogView, key: str, does: str) -> list[str]:
    return sorted({one.process.key for one in view.listeners.get(key, ()) if one.trigger.does == does})
