"""Where unsubscribe links lead: one click by the mail client (RFC 8058, POST), or a page with a button (GET).

A GET changes nothing: scanners of mail follow links.
"""

from datetime import UTC, datetime

from fastapi import APIRouter, Request, Response
from sqlalchemy.ext.asyncio import AsyncConnection

from api import pages
from api.access import anyone
from api.deps import ServicesDep
from api.forms import read_form
from channels.links import Unsubscribe
from intake import preferences
from intake.changes import Origin
from intake.effects import Effects
from intake.events import new_event_id
from intake.service import retried
from runtime import Services

router = APIRouter(include_in_schema=False, route_class=pages.PageRoute)


@router.get(
    "/t/unsubscribe/{token}", dependencies=[anyone("contacts have the link from a message, which is signed")]
)
async def ask(token: str, request: Request, services: ServicesDep) -> Response:
    """A page with a button that says from what, and whom it is about; nothing changes yet."""
    about = await _concerned(services, services.links.read_unsubscribe(token))
    return pages.ask_to_unsubscribe(pages.language_of(request), about)


@router.post(
    "/t/unsubscribe/{token}", dependencies=[anyone("contacts have the link from a message, which is signed")]
)
async def unsubscribe(token: str, request: Request, services: ServicesDep) -> Response:
    """From the link's list, or from all marketing mail where it names none. Again: nothing more happens."""
    link = services.links.read_unsubscribe(token)
    read_form(await request.body())
    source = f"unsubscribe link of message {link.message_id}"
    origin = Origin(source=source, id=f"unsubscribe/{new_event_id()}")
    now = datetime.now(UTC)

    async def work(connection: AsyncConnection) -> Effects:
        return await preferences.unsubscribe(
            connection, services.changes, link.contact_id, link.list_key, now, origin
        )

    await services.dispatcher.send(await retried(services.database, work))
    return pages.unsubscribed(pages.language_of(request), await _concerned(services, link))


async def _concerned(services: Services, link: Unsubscribe) -> preferences.Concerned | None:
    async with services.database.read() as connection:
        return await preferences.concerned(
            connection,
            services.catalog,
            link.contact_id,
            link.message_id,
            services.settings.mail_from,
            list_key=link.list_key,
        )
