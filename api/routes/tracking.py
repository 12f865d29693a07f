"""Where the links and the picture of a message lead: a redirect to the address that was signed, and one pixel.

Whatever is asked, the answer comes: a machine gets the same as a person, and what cannot be recorded is in the log. A
token that is not ours gets a page that says so; nothing of it is kept or logged.
"""

from urllib.parse import quote

from fastapi import APIRouter, Response
from fastapi import Request as HttpRequest

from api import pages
from api.access import anyone
from api.deps import ServicesDep
from channels.links import Sent
from channels.machines import machine
from intake.tracking import Link, Request

router = APIRouter(include_in_schema=False, route_class=pages.PageRoute)

_METHODS = ["GET", "HEAD"]
_PIXEL = (
    b"GIF89a\x01\x00\x01\x00\x80\x00\x00\x00\x00\x00\xff\xff\xff!\xf9\x04\x01\x00\x00\x00\x00,\x00\x00\x00\x00"
    b"\x01\x00\x01\x00\x00\x02\x02D\x01\x00;"
)
_HEADERS = {
    "Cache-Control": "no-store",
    "Referrer-Policy": "no-referrer",
    "X-Robots-Tag": "noindex",
    "X-Content-Type-Options": "nosniff",
}
_AS_IT_IS = "!#$%&'()*+,/:;=?@[]^`{|}~"
"""What may stand in an address as it is. The rest (blanks, letters beyond ASCII) is percent-encoded, as browsers do."""


@router.api_route(
    "/t/o/{token}.gif",
    dependencies=[anyone("contacts have the link from a message, which is signed")],
    methods=_METHODS,
)
async def opened(token: str, request: HttpRequest, services: ServicesDep) -> Response:
    """A picture of one pixel, transparent."""
    sent = services.links.read_open(token)
    await services.tracking.opened(_asked(request, sent))
    return Response(_PIXEL, headers=_HEADERS, media_type="image/gif")


@router.api_route(
    "/t/c/{token}",
    dependencies=[anyone("contacts have the link from a message, which is signed")],
    methods=_METHODS,
)
async def clicked(token: str, request: HttpRequest, services: ServicesDep) -> Response:
    """On to the address that was in the message, and to no other; a page of thanks where there was none."""
    click = services.links.read_click(token)
    await services.tracking.clicked(_asked(request, click.sent), Link(click.url, click.tags))
    if not click.url:
        return pages.thanks(pages.language_of(request))
    return Response(status_code=302, headers={**_HEADERS, "Location": quote(click.url, safe=_AS_IT_IS)})


def _asked(request: HttpRequest, sent: Sent) -> Request:
    return Request(
        message=sent.message_id,
        contact=sent.contact_id,
        template=sent.template,
        machine=machine(request.method, request.headers),
    )
