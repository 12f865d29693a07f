"""Suppressed addresses: they get nothing, whoever has them and whatever starts (S11, A3)."""

from datetime import datetime
from typing import Annotated, Any

from fastapi import APIRouter, Path, Query
from pydantic import BaseModel, Field
from sqlalchemy import select

from api.access import ActorDep, needs
from api.bodies import JsonRoute
from api.deps import SOURCE, CursorQuery, LimitQuery, ServicesDep
from api.documentation import problems
from api.models import Body, Changed, Page
from intake import suppressions
from intake.refusals import Missing
from intake.suppressions import Channel, normal_address
from store import reading, rows
from store.suppressions import LONGEST_REASON, address_hash

router = APIRouter(prefix="/v1/suppressions", tags=["suppressions"], route_class=JsonRoute)

ChannelPath = Annotated[Channel, Path()]
AddressPath = Annotated[
    str, Path(max_length=320, description="An e-mail address, or a phone number as +420…")
]

_s = rows.suppressions.c


class SuppressionPut(Body):
    """Why an address is to get nothing."""

    reason: str = Field(
        default="suppressed by hand",
        min_length=1,
        max_length=LONGEST_REASON,
        description="For people. Addresses in it are left out.",
    )


class SuppressionRow(BaseModel):
    """A suppressed address, which is not kept: only its hash is."""

    channel: str
    address_hash: str = Field(
        description="SHA-256 of the channel, a line end, and the address in lower case."
    )
    reason: str
    source: str
    at: datetime


@router.get("", dependencies=[needs("contacts:read")], summary="Suppressed addresses", responses=problems())
async def list_suppressions(
    services: ServicesDep,
    channel: Annotated[Channel | None, Query()] = None,
    limit: LimitQuery = 50,
    cursor: CursorQuery = None,
) -> Page[SuppressionRow]:
    """The newest first, by their hashes. Ask for an address to find it."""
    statement = select(rows.suppressions)
    if channel is not None:
        statement = statement.where(_s.channel == channel)
    async with services.database.read() as connection:
        found = await reading.page(
            connection,
            statement,
            [_s.at, _s.channel, _s.address],
            limit=limit,
            cursor=cursor,
            newest_first=True,
        )
    return Page(items=[_row(row) for row in found.items], next_cursor=found.next_cursor)


@router.get(
    "/{channel}/{address}",
    dependencies=[needs("contacts:read")],
    summary="Whether an address is suppressed",
    responses=problems(404),
)
async def get_suppression(
    channel: ChannelPath, address: AddressPath, services: ServicesDep
) -> SuppressionRow:
    """And why. 404: it is not."""
    hashed = address_hash(channel, normal_address(channel, address))
    statement = select(rows.suppressions).where(_s.channel == channel, _s.address == hashed)
    async with services.database.read() as connection:
        row = (await connection.execute(statement)).one_or_none()
    if row is None:
        raise Missing("suppression", address)
    return _row(row)


@router.put(
    "/{channel}/{address}",
    dependencies=[needs("contacts:write")],
    summary="Suppress an address",
    responses=problems(415),
)
async def put_suppression(
    channel: ChannelPath,
    address: AddressPath,
    services: ServicesDep,
    actor: ActorDep,
    body: SuppressionPut | None = None,
) -> Changed:
    """It gets nothing from now on. One that is suppressed already keeps its first reason."""
    reason = (body or SuppressionPut()).reason
    return Changed(
        changed=await suppressions.suppress(services.database, channel, address, reason, SOURCE, actor)
    )


@router.delete(
    "/{channel}/{address}",
    dependencies=[needs("contacts:write")],
    summary="Release an address",
    responses=problems(),
)
async def delete_suppression(
    channel: ChannelPath, address: AddressPath, services: ServicesDep, actor: ActorDep
) -> Changed:
    """It gets messages again, and its contact's bounce or complaint is forgotten. Lists keep what they say of it."""
    return Changed(changed=await suppressions.release(services.database, channel, address, actor))


def _row(row: Any) -> SuppressionRow:
    return SuppressionRow(
        channel=row.channel, address_hash=row.address, reason=row.reason, source=row.source, at=row.at
    )
