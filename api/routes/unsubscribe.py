"""Where unsubscribe links lead: one click by the mail client (RFC 8058, POST), or a page with a button (GET).

A GET changes nothing: scanners of mail follow links.
"""

from datetime import UTC, datetime
from typing import Any

from fastapi import APIRouter, Response
from sqlalchemy.ext.asyncio import AsyncConnection

from api.deps import ServicesDep
from api.documentation import problems
from channels.links import Unsubscribe
from intake.changes import UNSUBSCRIBED, Origin
from intake.effects import Effects
from intake.events import new_event_id
from intake.service import retried
from runtime import Services
from store import contacts

router = APIRouter(tags=["unsubscribe"])

_PAGE = """<!doctype html>
<html lang="en"><head><meta charset="utf-8"><meta name="viewport" content="width=device-width">
<meta name="robots" content="noindex"><title>Unsubscribe</title>
<style>body{{font:18px/1.5 system-ui,sans-serif;max-width:32rem;margin:15vh auto;padding:0 1rem}}
button{{font:inherit;padding:.5rem 1.5rem}}</style></head><body>{body}</body></html>"""
_ASK = '<h1>Unsubscribe?</h1><form method="post"><button>Unsubscribe</button></form>'
_DONE = "<h1>You are unsubscribed</h1><p>We will not write to you about this any more.</p>"
_HEADERS = {"Cache-Control": "no-store", "Referrer-Policy": "no-referrer"}
_HTML: dict[int | str, dict[str, Any]] = {200: {"content": {"text/html": {}}, "description": "A small page"}}


@router.get(
    "/t/unsubscribe/{token}",
    summary="Ask before unsubscribing",
    response_class=Response,
    responses={**_HTML, **problems(404)},
)
async def ask(token: str, services: ServicesDep) -> Response:
    """A page with a button; nothing changes yet."""
    services.links.read_unsubscribe(token)
    return _page(_ASK)


@router.post(
    "/t/unsubscribe/{token}",
    summary="Unsubscribe with one click",
    response_class=Response,
    responses={**_HTML, **problems(404)},
)
async def unsubscribe(token: str, services: ServicesDep) -> Response:
    """From the link's list, or from all marketing mail where it names none. Again: nothing more happens."""
    link = services.links.read_unsubscribe(token)

    async def work(connection: AsyncConnection) -> Effects:
        return await _apply(services, connection, link)

    await services.dispatcher.send(await retried(services.database, work))
    return _page(_DONE)


async def _apply(services: Services, connection: AsyncConnection, link: Unsubscribe) -> Effects:
    now = datetime.now(UTC)
    source = f"unsubscribe link of message {link.message_id}"
    found = await contacts.survivor(connection, link.contact_id)
    if found is None:
        return Effects()
    known = (await services.catalog.view(connection)).lists
    if link.list_key is not None and link.list_key in known:
        origin = Origin(source=source, id=f"unsubscribe/{new_event_id()}")
        _, effects = await services.changes.set_subscription(
            connection, found.id, link.list_key, UNSUBSCRIBED, now, origin
        )
        return effects
    if found.email_state == "ok":
        await contacts.set_email_state(connection, found.id, UNSUBSCRIBED, source, now)
    return Effects()


def _page(body: str) -> Response:
    return Response(_PAGE.format(body=body), media_type="text/html; charset=utf-8", headers=_HEADERS)
