"""The preference page: which lists a contact is on, and whether marketing mail may come. A GET changes nothing."""

from datetime import UTC, datetime

from fastapi import APIRouter, Request, Response
from sqlalchemy.ext.asyncio import AsyncConnection

from api import pages
from api.access import anyone
from api.deps import ServicesDep
from api.forms import read_form
from channels import links
from intake import preferences
from intake.changes import Origin
from intake.effects import Effects
from intake.events import new_event_id
from intake.service import retried
from runtime import Services

router = APIRouter(include_in_schema=False, route_class=pages.PageRoute)

MARKETING = ":marketing"
"""In the form, the box that is no list: no list's key has a colon."""


@router.get("/t/p/{token}", dependencies=[anyone("contacts have the link from a message, which is signed")])
async def show(token: str, request: Request, services: ServicesDep) -> Response:
    """The boxes as they are."""
    return await _page(request, services, services.links.read_preferences(token), saved=False)


@router.post("/t/p/{token}", dependencies=[anyone("contacts have the link from a message, which is signed")])
async def save(token: str, request: Request, services: ServicesDep) -> Response:
    """Change what was shown and differs. Again: nothing more happens."""
    link = services.links.read_preferences(token)
    await _save(services, link, await request.body())
    return await _page(request, services, link, saved=True)


async def _page(request: Request, services: Services, link: links.Preferences, *, saved: bool) -> Response:
    async with services.database.read() as connection:
        found = await preferences.read(connection, link.contact_id)
        about = await preferences.concerned(
            connection, services.catalog, link.contact_id, link.message_id, services.settings.mail_from
        )
    if found is None or about is None:
        return pages.link_does_not_work(pages.language_of(request))
    return pages.preferences(
        pages.language_of(request, found.language),
        about,
        [(choice.key, choice.name, choice.subscribed) for choice in found.lists],
        found.marketing,
        saved=saved,
    )


async def _save(services: Services, link: links.Preferences, body: bytes) -> None:
    form = read_form(body)
    shown, ticked = form.get("shown", []), set(form.get("list", []))
    lists = {key: key in ticked for key in shown if key != MARKETING}
    marketing = "marketing" in form if MARKETING in shown else None
    source = f"preference page, from message {link.message_id}"
    origin = Origin(source=source, id=f"preferences/{new_event_id()}")
    now = datetime.now(UTC)

    async def work(connection: AsyncConnection) -> Effects:
        return await preferences.choose(
            connection,
            services.changes,
            link.contact_id,
            lists=lists,
            marketing=marketing,
            now=now,
            origin=origin,
        )

    await services.dispatcher.send(await retried(services.database, work))
