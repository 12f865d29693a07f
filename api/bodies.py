"""Reading bodies: JSON and YAML into plain values that both databases can keep, or a problem that says where."""

import asyncio
import json
import math
import re
from collections.abc import Callable, Coroutine
from typing import Any

import orjson
from fastapi import Request, Response

from api.access import Needs, demand_of
from api.addresses import AddressedRoute
from api.errors import YAML_TEXT, BadRequest, Invalid, TooLarge, WrongContentType
from processes.problems import Problem, pointer
from processes.yaml_text import YamlTooDeep, YamlUnreadable, read_yaml_text

MAX_NESTING = 64
MAX_YAML = 512 * 1024
MAX_TEXT = 1_000_000
"""Characters of one text: a template's body is the longest."""

YAML_TYPES = frozenset({"application/yaml", "application/x-yaml", "text/yaml", "text/x-yaml"})

_LONG_NUMBER = re.compile(rb"[0-9]{19}")


class JsonRoute(AddressedRoute):
    """A route whose JSON body is read here: strict JSON, errors with their position. Whoever may not call it is told so
    before anything of the body is read.
    """

    def get_route_handler(self) -> Callable[[Request], Coroutine[Any, Any, Response]]:
        """FastAPI's handler, with the body read before it."""
        handler = super().get_route_handler()
        if self.body_field is None:
            return handler
        demand = demand_of(self)

        async def read_first(request: Request) -> Response:
            if isinstance(demand, Needs):
                await demand(request)
            body = await request.body()
            if body:
                request._json = check_storable(read_json(request, body))
            return await handler(request)

        return read_first


def content_type(request: Request) -> str:
    """The media type of the body, without parameters; empty where the sender names none."""
    return request.headers.get("content-type", "").partition(";")[0].strip().lower()


def read_json(request: Request, body: bytes) -> Any:
    """The body as JSON. Raises WrongContentType and BadRequest, with the position."""
    kind = content_type(request)
    if kind not in {"", "application/json"} and not (
        kind.startswith("application/") and kind.endswith("+json")
    ):
        raise WrongContentType(f"send application/json, not {kind}")
    return parse_json(body)


def parse_json(body: bytes) -> Any:
    """JSON, whatever its sender calls it. Raises BadRequest, with the position, and Invalid."""
    try:
        value = orjson.loads(body)
        if _LONG_NUMBER.search(body):
            # orjson reads an integer beyond 64 bits as a float; json keeps it whole, so that it can be refused.
            value = json.loads(body)
    except RecursionError:
        raise Invalid([Problem(pointer="", message="nested too deep")]) from None
    except orjson.JSONDecodeError as error:
        if "depth" in error.msg:
            raise Invalid([Problem(pointer="", message="nested too deep")]) from None
        raise BadRequest(
            f"the body is not JSON: {error.msg} at line {error.lineno}, column {error.colno}",
            facts={"line": error.lineno, "column": error.colno},
        ) from None
    except ValueError as error:
        raise BadRequest(f"the body is not JSON: {error}") from None
    return value


async def read_document(request: Request) -> Any:
    """A definition, as JSON or YAML by its content type. Raises BadRequest, WrongContentType, TooLarge, Invalid."""
    body = await request.body()
    if content_type(request) in YAML_TYPES:
        # Half a megabyte takes seconds: beside the loop, so that nobody else waits for it.
        document = await asyncio.to_thread(_read_yaml, body)
        setattr(request.state, YAML_TEXT, body)
        return check_storable(document)
    if not body:
        raise BadRequest("the body is empty: send a process definition")
    return check_storable(read_json(request, body))


def _read_yaml(body: bytes) -> Any:
    if len(body) > MAX_YAML:
        raise TooLarge(f"a YAML document has at most {MAX_YAML // 1024} kB; send JSON where it must be more")
    try:
        return read_yaml_text(body)
    except YamlTooDeep as error:
        raise Invalid([Problem(pointer="", message=str(error))]) from None
    except YamlUnreadable as error:
        facts = {} if error.line is None else {"line": error.line, "column": error.column}
        raise BadRequest(f"the body is not YAML that we read: {error}", facts=facts) from None


def check_storable(value: Any) -> Any:
    """The value itself. Raises Invalid with every place that neither database can keep, or that is too deep."""
    found: list[Problem] = []
    todo: list[tuple[Any, tuple[Any, ...]]] = [(value, ())]
    while todo:
        here, place = todo.pop()
        message = _why_not(here)
        if message is None and len(place) > MAX_NESTING:
            message = f"nested deeper than {MAX_NESTING} levels"
        if message is not None:
            found.append(Problem(pointer=pointer(place), message=message))
        elif isinstance(here, dict):
            for name, inner in here.items():
                bad_name = _why_not(name) if isinstance(name, str) else "a key must be a text"
                if bad_name is not None:
                    found.append(Problem(pointer=pointer(place), message=f"a key {bad_name}"))
                else:
                    todo.append((inner, (*place, name)))
        elif isinstance(here, list):
            todo += [(inner, (*place, index)) for index, inner in enumerate(here)]
    if found:
        raise Invalid(sorted(found, key=lambda p: p.pointer))
    return value


def _why_not(value: Any) -> str | None:
    if isinstance(value, str):
        if "\x00" in value:
            return "holds a NUL character"
        if len(value) > MAX_TEXT:
            return f"longer than {MAX_TEXT} characters"
        try:
            value.encode()
        except UnicodeEncodeError:
            return "holds half a surrogate pair"
    elif isinstance(value, float) and not math.isfinite(value):
        return "is not a finite number"
    elif isinstance(value, int) and not -(2**63) <= value < 2**63:
        return "is an integer of more than 64 bits"
    return None
