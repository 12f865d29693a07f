"""Lists that contacts subscribe to (C3)."""

from datetime import UTC, datetime
from typing import Annotated, Literal

from fastapi import APIRouter, Path
from pydantic import BaseModel
from sqlalchemy import select

from api.access import ActorDep, CallerDep, needs
from api.bodies import JsonRoute
from api.deps import ServicesDep
from api.documentation import problems
from api.models import Body, Name
from intake import audit
from intake.refusals import Missing
from processes.values import Key
from store import definitions, reading, rows

router = APIRouter(prefix="/v1/lists", tags=["lists"], route_class=JsonRoute)

KeyPath = Annotated[Key, Path()]


class ListPut(Body):
    """A list as it is written."""

    name: Name


class ListRow(BaseModel):
    """A list."""

    key: str
    name: str
    created_at: datetime


class ListDetail(ListRow):
    """A list with the number of contacts in each status."""

    counts: dict[str, int]


@router.get("", dependencies=[needs("reports:read")], summary="Lists", responses=problems())
async def list_lists(services: ServicesDep, caller: CallerDep) -> dict[Literal["items"], list[ListRow]]:
    """All, by key."""
    statement = select(rows.lists).order_by(rows.lists.c.key)
    if caller.lists is not None:
        statement = statement.where(rows.lists.c.key.in_(caller.lists))
    async with services.database.read() as connection:
        found = await connection.execute(statement)
    return {"items": [ListRow(**row._mapping) for row in found]}


@router.get(
    "/{key}", dependencies=[needs("reports:read", list="key")], summary="A list", responses=problems(404)
)
async def get_list(key: KeyPath, services: ServicesDep) -> ListDetail:
    """With the number of contacts in each status."""
    async with services.database.read() as connection:
        row = (await connection.execute(select(rows.lists).where(rows.lists.c.key == key))).one_or_none()
        if row is None:
            raise Missing("list", key)
        return ListDetail(**row._mapping, counts=await reading.list_counts(connection, key))


@router.put(
    "/{key}",
    dependencies=[needs("processes:edit", list="key")],
    summary="Make or rename a list",
    responses=problems(415),
)
async def put_list(key: KeyPath, body: ListPut, services: ServicesDep, actor: ActorDep) -> ListDetail:
    """Nobody is subscribed by this."""
    now, values = datetime.now(UTC), {"key": key, "name": body.name}
    async with services.database.write() as connection:
        if await audit.record_put(connection, actor, "list", rows.lists, values, now):
            await definitions.put_list(connection, key, body.name, now)
    return await get_list(key, services)
