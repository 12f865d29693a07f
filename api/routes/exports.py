"""Contacts out as CSV (C5), and all that is kept of one person as JSON."""

from collections.abc import AsyncIterator
from datetime import UTC, datetime
from typing import Annotated

from fastapi import APIRouter, Query
from fastapi.responses import StreamingResponse

from api.access import ActorDep, needs
from api.addresses import AddressedRoute
from api.deps import ContactDep, ServicesDep
from api.documentation import problems
from intake.export import export_contacts
from intake.personal_export import export_person
from processes.values import Key
from store.reading import ContactFilter

router = APIRouter(prefix="/v1", tags=["contacts"], route_class=AddressedRoute)
"""Not under `/v1/contacts/`: whatever stands there is a contact's own name."""

BYTE_ORDER_MARK = "\ufeff"


@router.get(
    "/contacts.csv",
    dependencies=[needs("contacts:read", list="list")],
    summary="Contacts as CSV",
    response_class=StreamingResponse,
    responses={200: {"content": {"text/csv": {}}}, **problems(404)},
)
async def export(
    services: ServicesDep,
    segment: Annotated[Key | None, Query(description="In this segment now.")] = None,
    tag: Annotated[str | None, Query(max_length=100, description="With this tag.")] = None,
    list_key: Annotated[Key | None, Query(alias="list", description="Subscribed to this list.")] = None,
    excel: Annotated[bool, Query(description="Begin with a byte order mark: Excel wants one.")] = False,
) -> StreamingResponse:
    """The newest first, of any number. An import of it gives the same contacts back."""
    wanted = ContactFilter(segment=segment, tag=tag, list_key=list_key)
    pieces = await export_contacts(services.database, services.catalog, wanted, datetime.now(UTC))
    return StreamingResponse(
        _marked(pieces) if excel else pieces,
        media_type="text/csv; charset=utf-8",
        headers={"Content-Disposition": 'attachment; filename="contacts.csv"'},
    )


@router.get(
    "/contacts/{ref}/export",
    dependencies=[needs("contacts:read", every_process=True)],
    summary="Everything about one person",
    response_class=StreamingResponse,
    responses={200: {"content": {"application/json": {"schema": {"type": "object"}}}}, **problems(404)},
)
async def export_one(contact_id: ContactDep, services: ServicesDep, actor: ActorDep) -> StreamingResponse:
    """All that is kept of the contact and of those merged into it, a list for each kind of record: for a person who
    asks what you know of them. The audit log keeps that it was asked for. `docs/privacy.md` says what each list holds.
    """
    pieces = await export_person(services.database, contact_id, actor)
    return StreamingResponse(
        pieces,
        media_type="application/json",
        headers={"Content-Disposition": 'attachment; filename="contact.json"'},
    )


async def _marked(pieces: AsyncIterator[str]) -> AsyncIterator[str]:
    yield BYTE_ORDER_MARK
    async for piece in pieces:
        yield piece
