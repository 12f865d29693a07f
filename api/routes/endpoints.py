"""Where a contact is reached on channels without a column, and what it allows on each channel (S2, C2)."""

from datetime import UTC, datetime
from typing import Annotated, Literal

from fastapi import APIRouter, Path, Query, Response
from pydantic import BaseModel, Field, StringConstraints
from sqlalchemy.ext.asyncio import AsyncConnection

from api.access import ActorDep, needs
from api.bodies import JsonRoute
from api.deps import SOURCE, ContactDep, ServicesDep
from api.documentation import problems
from api.models import Body
from intake import audit
from intake.endpoints import EndpointChannel, check_endpoint
from intake.refusals import Missing
from intake.service import retried
from processes.values import Json
from store import contacts, endpoints
from store.consents import ConsentChannel, consents_of, set_consent

router = APIRouter(prefix="/v1/contacts", tags=["contacts"], route_class=JsonRoute)

Address = Annotated[str, StringConstraints(strip_whitespace=True, min_length=1, max_length=1000)]


class EndpointPut(Body):
    """An endpoint as it is written."""

    channel: EndpointChannel
    address: Address = Field(description="The URL of a push subscription, or a page-scoped id of Messenger.")
    details: dict[str, Json] | None = Field(
        default=None, description='For push `{"keys": {"p256dh": …, "auth": …}}`, as the browser gives them.'
    )


class EndpointRow(BaseModel):
    """An endpoint. Its details are not given out."""

    channel: str
    address: str
    state: str = Field(description="ok, or gone: the other side says that nobody is there any more")
    reason: str | None = None
    added_at: datetime


class ConsentPut(Body):
    """What the contact says."""

    granted: bool


class Consent(BaseModel):
    """What a contact said of marketing on a channel, when, and by what."""

    granted: bool
    at: datetime
    source: str


@router.get(
    "/{ref}/endpoints",
    dependencies=[needs("contacts:read")],
    summary="A contact's endpoints",
    responses=problems(404),
)
async def list_endpoints(
    contact_id: ContactDep, services: ServicesDep
) -> dict[Literal["items"], list[EndpointRow]]:
    """The newest first, with those that are gone."""
    async with services.database.read() as connection:
        return {"items": await _rows(connection, contact_id)}


@router.put(
    "/{ref}/endpoints",
    dependencies=[needs("contacts:write")],
    summary="Reach a contact at an endpoint",
    responses=problems(404, 415),
)
async def put_endpoint(
    contact_id: ContactDep, body: EndpointPut, services: ServicesDep, actor: ActorDep
) -> EndpointRow:
    """Put again, it is `ok` again. An endpoint is one contact's: the one before is not reached there any more."""
    check_endpoint(body.channel, body.address, body.details)

    async def work(connection: AsyncConnection) -> EndpointRow:
        if not await contacts.lock(connection, [contact_id]):
            raise Missing("contact", contact_id)
        now = datetime.now(UTC)
        await endpoints.put(connection, contact_id, body.channel, body.address, body.details, now)
        after = {"channel": body.channel}
        await audit.record(
            connection, actor, "contact.put_endpoint", f"contact/{contact_id}", now, after=after
        )
        found = await _rows(connection, contact_id)
        return next(row for row in found if (row.channel, row.address) == (body.channel, body.address))

    return await retried(services.database, work)


@router.delete(
    "/{ref}/endpoints",
    dependencies=[needs("contacts:write")],
    status_code=204,
    summary="Remove an endpoint",
    responses=problems(404),
)
async def delete_endpoint(
    contact_id: ContactDep,
    channel: Annotated[EndpointChannel, Query()],
    address: Annotated[str, Query(max_length=1000)],
    services: ServicesDep,
    actor: ActorDep,
) -> Response:
    """The contact is not reached there any more: call it when a person logs out."""

    async def work(connection: AsyncConnection) -> bool:
        removed = await endpoints.remove(connection, contact_id, channel, address)
        if removed:
            subject, was = f"contact/{contact_id}", {"channel": channel}
            await audit.record(
                connection, actor, "contact.remove_endpoint", subject, datetime.now(UTC), before=was
            )
        return removed

    if not await retried(services.database, work):
        raise Missing("endpoint", address)
    return Response(status_code=204)


@router.get(
    "/{ref}/consents",
    dependencies=[needs("contacts:read")],
    summary="What a contact allows",
    responses=problems(404),
)
async def list_consents(contact_id: ContactDep, services: ServicesDep) -> dict[str, Consent]:
    """By channel. Who said nothing has refused nothing."""
    async with services.database.read() as connection:
        said = await consents_of(connection, contact_id)
    return {name: Consent.model_validate(one) for name, one in said.items()}


@router.put(
    "/{ref}/consents/{channel}",
    dependencies=[needs("contacts:write")],
    summary="What a contact allows on a channel",
    responses=problems(404, 415),
)
async def put_consent(
    contact_id: ContactDep,
    channel: Annotated[ConsentChannel, Path()],
    body: ConsentPut,
    services: ServicesDep,
    actor: ActorDep,
) -> dict[str, Consent]:
    """Marketing is not sent to who refused it; transactional messages are. E-mail has its lists for this."""

    async def work(connection: AsyncConnection) -> dict[str, Consent]:
        await contacts.lock(connection, [contact_id])
        now, before = datetime.now(UTC), await consents_of(connection, contact_id)
        said = await set_consent(
            connection, contact_id, channel, granted=body.granted, now=now, source=SOURCE
        )
        if said is None:
            raise Missing("contact", contact_id)
        await audit.record(
            connection,
            actor,
            "contact.consent",
            f"contact/{contact_id}",
            now,
            before=before,
            after=said,
        )
        return {name: Consent.model_validate(one) for name, one in said.items()}

    return await retried(services.database, work)


async def _rows(connection: AsyncConnection, contact_id: str) -> list[EndpointRow]:
    found = await endpoints.of_contact(connection, contact_id)
    return [EndpointRow.model_validate(row, from_attributes=True) for row in found]
