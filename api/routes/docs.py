"""The OpenAPI document as pages, `/docs` (Swagger UI) and `/redoc`. All that they load comes from this server, and the
content security policy keeps it so: the scripts are those that the package fastapi-offline ships.
"""

from functools import cache
from importlib.resources import files

from fastapi import APIRouter, Response

from api.access import anyone
from api.addresses import AddressedRoute
from api.errors import NotFound

router = APIRouter(include_in_schema=False, route_class=AddressedRoute)

_OPEN = anyone("the document is the same for everybody, and holds no data")
_KEPT = "public, max-age=86400"
_HEADERS = {
    "Content-Security-Policy": (
        "default-src 'none'; script-src 'self'; style-src 'self' 'unsafe-inline'; img-src 'self' data:; "
        "connect-src 'self'; font-src 'self'; worker-src blob:; base-uri 'none'; form-action 'none'; "
        "frame-ancestors 'none'"
    ),
    "X-Content-Type-Options": "nosniff",
    "Referrer-Policy": "no-referrer",
}
_SHIPPED = {
    "swagger-ui-bundle.js": "text/javascript",
    "swagger-ui.css": "text/css",
    "redoc.standalone.js": "text/javascript",
    "favicon.png": "image/png",
}
_START = """window.addEventListener("load", () => {
  window.ui = SwaggerUIBundle({
    url: "openapi.json", dom_id: "#swagger-ui", deepLinking: true, validatorUrl: null,
    presets: [SwaggerUIBundle.presets.apis, SwaggerUIBundle.SwaggerUIStandalonePreset],
  });
});
"""
_PAGE = """<!doctype html>
<html lang="en">
<head>
<meta charset="utf-8">
<meta name="viewport" content="width=device-width, initial-scale=1">
<title>Onward: {title}</title>
<link rel="icon" href="docs/favicon.png">
{head}
</head>
<body>
{body}
</body>
</html>
"""


@router.get("/docs", dependencies=[_OPEN])
async def swagger_ui() -> Response:
    """Every operation, to be tried out."""
    head = '<link rel="stylesheet" href="docs/swagger-ui.css">'
    scripts = '<script src="docs/swagger-ui-bundle.js"></script>\n<script src="docs/start.js"></script>'
    return _page("the HTTP API", head, f'<div id="swagger-ui"></div>\n{scripts}')


@router.get("/redoc", dependencies=[_OPEN])
async def redoc() -> Response:
    """Every operation, to be read."""
    head = "<style>body { margin: 0 }</style>"
    body = '<redoc spec-url="openapi.json"></redoc>\n<script src="docs/redoc.standalone.js"></script>'
    return _page("the HTTP API", head, body)


@router.get("/docs/{asset}", dependencies=[_OPEN])
async def asset(asset: str) -> Response:
    """What the pages load."""
    headers = {"Cache-Control": _KEPT, **_HEADERS}
    if asset == "start.js":
        return Response(_START, media_type="text/javascript", headers=headers)
    if asset not in _SHIPPED:
        raise NotFound("there is no such file")
    return Response(_shipped(asset), media_type=_SHIPPED[asset], headers=headers)


@cache
def _shipped(asset: str) -> bytes:
    return files("fastapi_offline").joinpath("static", asset).read_bytes()


def _page(title: str, head: str, body: str) -> Response:
    content = _PAGE.format(title=title, head=head, body=body)
    return Response(content, media_type="text/html; charset=utf-8", headers=_HEADERS)
