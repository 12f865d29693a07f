"""Keys of the API: made, listed, rotated, revoked; and the audit log (O12)."""

from datetime import datetime
from typing import Annotated, Any

from fastapi import APIRouter, Path, Query
from pydantic import AwareDatetime, BaseModel, Field

from api.access import ActorDep, needs
from api.addresses import AddressedRoute
from api.bodies import JsonRoute
from api.deps import CursorQuery, LimitQuery, ServicesDep
from api.documentation import problems
from api.models import Body, JsonObject, Page
from intake.keys import KeyWanted, MadeKey
from intake.refusals import Missing
from processes.durations import Duration
from store import api_keys, audit

router = APIRouter(prefix="/v1/keys", tags=["keys"], route_class=JsonRoute, dependencies=[needs("admin")])
audit_router = APIRouter(
    prefix="/v1/audit", tags=["keys"], dependencies=[needs("admin")], route_class=AddressedRoute
)

KeyId = Annotated[str, Path(max_length=64, description="The key's public part.")]


class KeyRow(BaseModel):
    """A key. Its secret is nowhere."""

    id: str
    name: str
    scopes: list[str]
    processes: list[str] | None = Field(default=None, description="It may name only these; null: all.")
    lists: list[str] | None = None
    rate: int | None = Field(default=None, description="Requests a minute; null: as the settings say.")
    created_at: datetime
    created_by: str
    expires_at: datetime | None = None
    revoked_at: datetime | None = None
    last_used_at: datetime | None = Field(default=None, description="To a minute.")


class NewKey(KeyRow):
    """A key that was made just now."""

    token: str = Field(description="`onw_<id>_<secret>`: shown here, and never again.")


class RotateWanted(Body):
    """How long the old key goes on working beside the new one."""

    keep: Duration | None = Field(default=None, description="Null: it ends at once.", examples=["1 day"])


class RevokeWanted(Body):
    """Why, for who looks later."""

    reason: str | None = Field(default=None, max_length=500)


class AuditRow(BaseModel):
    """A change by somebody. What is the same before and after is left out of both."""

    id: int
    at: datetime
    actor: str = Field(description="`key/<id>`, or `local` where no key is needed.")
    action: str
    subject: str = Field(description="`<kind>/<id>`")
    before: JsonObject | None = None
    after: JsonObject | None = None
    reason: str | None = None
    erased_at: datetime | None = Field(
        default=None, description="When `before`, `after` and `reason` were emptied, to erase a person."
    )


@router.post("", status_code=201, summary="Make a key", responses=problems(415))
async def make_key(body: KeyWanted, services: ServicesDep, actor: ActorDep) -> NewKey:
    """The answer has the token: it is shown once."""
    return _made(await services.keys.make(body, actor))


@router.get("", summary="Keys", responses=problems())
async def list_keys(
    services: ServicesDep, limit: LimitQuery = 50, cursor: CursorQuery = None
) -> Page[KeyRow]:
    """The newest first; those that ended among them."""
    async with services.database.read() as connection:
        found = await api_keys.listed(connection, limit=limit, cursor=cursor)
    return Page(items=[KeyRow(**_row(row)) for row in found.items], next_cursor=found.next_cursor)


@router.get("/{id}", summary="A key", responses=problems(404))
async def get_key(id: KeyId, services: ServicesDep) -> KeyRow:
    """What it may do, and when it was last used."""
    async with services.database.read() as connection:
        row = await api_keys.find(connection, id)
    if row is None:
        raise Missing("key", id)
    return KeyRow(**_row(row))


@router.post("/{id}/rotate", status_code=201, summary="Rotate a key", responses=problems(404, 409, 415))
async def rotate_key(
    id: KeyId, services: ServicesDep, actor: ActorDep, body: RotateWanted | None = None
) -> NewKey:
    """A successor of the same name, scopes and limits; the old one works for `keep` from now on."""
    return _made(await services.keys.rotate(id, None if body is None else body.keep, actor))


@router.post("/{id}/revoke", summary="Revoke a key", responses=problems(404, 409, 415))
async def revoke_key(
    id: KeyId, services: ServicesDep, actor: ActorDep, body: RevokeWanted | None = None
) -> KeyRow:
    """It lets nobody in any more, on every API process within two seconds."""
    return KeyRow(**_row(await services.keys.revoke(id, actor, None if body is None else body.reason)))


@audit_router.get("", summary="The audit log", responses=problems())
async def list_audit(
    services: ServicesDep,
    subject: Annotated[
        str | None,
        Query(max_length=500, description="`process/welcome`; `process/`, with the slash: all of a kind."),
    ] = None,
    actor: Annotated[str | None, Query(max_length=100, description="`key/<id>` or `local`.")] = None,
    since: Annotated[AwareDatetime | None, Query(description="At or after.")] = None,
    limit: LimitQuery = 50,
    cursor: CursorQuery = None,
) -> Page[AuditRow]:
    """The newest first."""
    wanted = audit.AuditFilter(subject=subject, actor=actor, since=since)
    async with services.database.read() as connection:
        found = await audit.entries(connection, wanted, limit=limit, cursor=cursor)
    return Page(items=[AuditRow(**row._mapping) for row in found.items], next_cursor=found.next_cursor)


def _row(row: Any) -> dict[str, Any]:
    return {name: getattr(row, name) for name in KeyRow.model_fields}


def _made(made: MadeKey) -> NewKey:
    return NewKey(**_row(made.row), token=made.token)
