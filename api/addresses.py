"""From the address of a request to the route that it names, and to what the path's parameters stand for.

Routes are found by the path as it was sent, segment by segment, before percent-encoding is decoded: `%2F` is part of a
segment, never a separator. A segment may be in the form of `processes.references`.
"""

import difflib
from collections.abc import Callable, Coroutine
from typing import Any, ClassVar
from urllib.parse import unquote, unquote_to_bytes

from fastapi import Request, Response
from fastapi.dependencies.utils import get_flat_params
from fastapi.params import ParamTypes
from fastapi.routing import APIRoute

from api.access import Needs, demand_of
from api.decompression import Receive
from api.edge import App, Scope, Send
from api.errors import Invalid
from processes.problems import Problem
from processes.references import read_segment

PLACE = "path"
"""The pointer of a problem with the path."""


class Addresses:
    """ASGI middleware: sets the path that routes are matched against, with `/` and `%` kept encoded inside a segment.

    A path that isn't UTF-8 and a NUL character anywhere in the address or a header are refused, since no database can
    hold them.
    """

    def __init__(self, app: App) -> None:
        self._app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Pass the request on."""
        if scope["type"] == "http":
            try:
                scope["path"] = _routing_path(scope)
                _check_no_nul(scope)
            except Invalid as refusal:
                await refusal.response()(scope, receive, send)
                return
        await self._app(scope, receive, send)


class AddressedRoute(APIRoute):
    """A route of an app with `Addresses`: its path parameters are decoded when it is chosen, and a query parameter that
    it doesn't know is refused, so that a misspelt filter never answers with everything.
    """

    takes_any_query: ClassVar[bool] = False

    def get_route_handler(self) -> Callable[[Request], Coroutine[Any, Any, Response]]:
        """FastAPI's handler, after a look at the query. Whoever may not call the route hears that first."""
        handler = super().get_route_handler()
        if self.takes_any_query:
            return handler
        demand = demand_of(self)
        known = frozenset(
            field.alias
            for field in get_flat_params(self.dependant)
            if getattr(field.field_info, "in_", None) == ParamTypes.query
        )

        async def checked(request: Request) -> Response:
            if request.query_params.keys() - known:
                if isinstance(demand, Needs):
                    await demand(request)
                raise Invalid([_unknown(name, known) for name in request.query_params if name not in known])
            return await handler(request)

        return checked

    async def handle(self, scope: Any, receive: Any, send: Any) -> None:
        """FastAPI's handler, with the parameters decoded."""
        scope["path_params"] = {
            name: read_segment(unquote(value)) if isinstance(value, str) else value
            for name, value in scope["path_params"].items()
        }
        await super().handle(scope, receive, send)


def _unknown(name: str, known: frozenset[str]) -> Problem:
    near = difflib.get_close_matches(name.lower(), known, n=1)
    if near:
        hint = f"did you mean ?{near[0]}"
    else:
        hint = (
            f"there are {', '.join(f'?{one}' for one in sorted(known))}" if known else "there are none here"
        )
    return Problem(pointer=f"?{name}", message=f"unknown query parameter: {hint}")


def _routing_path(scope: Scope) -> str:
    raw: bytes = scope.get("raw_path") or scope["path"].replace("%", "%25").encode()
    return "/".join(map(_segment, raw.split(b"/")))


def _segment(raw: bytes) -> str:
    try:
        decoded = unquote_to_bytes(raw).decode()
    except UnicodeDecodeError:
        raise Invalid([Problem(pointer=PLACE, message="is not UTF-8")]) from None
    if "\x00" in decoded:
        raise Invalid([Problem(pointer=PLACE, message="holds a NUL character")])
    return decoded.replace("%", "%25").replace("/", "%2F")


def _check_no_nul(scope: Scope) -> None:
    found = [
        Problem(pointer=f"?{_name(pair)}", message="holds a NUL character")
        for pair in scope.get("query_string", b"").split(b"&")
        if b"%00" in pair or b"\x00" in pair
    ]
    found += [
        Problem(pointer=f"header {name.decode('latin-1')}", message="holds a NUL character")
        for name, value in scope["headers"]
        if b"\x00" in value
    ]
    if found:
        raise Invalid(found)


def _name(pair: bytes) -> str:
    return unquote(pair.partition(b"=")[0].decode("latin-1").replace("+", " ")).replace(
        "\x00", "\N{REPLACEMENT CHARACTER}"
    )
