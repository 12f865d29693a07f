"""The OpenAPI document: problem responses on every operation, in the form in which they are really sent, and what
linters and generators of clients need (docs/http.md).
"""

from collections.abc import Sequence
from typing import Any

from fastapi import APIRouter, FastAPI
from fastapi.openapi.utils import get_openapi
from fastapi.routing import APIRoute
from pydantic import BaseModel

from api.access import Needs, demand_of
from api.errors import MEDIA_TYPE, ProblemDocument

_REF = {"$ref": "#/components/schemas/ProblemDocument"}
SCHEME, WRITE_KEY, SECRET = "key", "segmentWriteKey", "bouncesSecret"
_OTHERWISE = {"segment": (WRITE_KEY, SCHEME), "bounces": (SECRET,)}
"""How those are known who need no key of the API, by the tag of the operation."""
_ANY_JSON = frozenset({"Json", "Json-Input", "Json-Output"})
_ANY_JSON_REFS = frozenset(f"#/components/schemas/{name}" for name in _ANY_JSON)
TAGS = {
    "events": "What happened, one event or many, and what each of them did.",
    "event types": "The kinds of events, with the params that each may carry.",
    "contacts": "People: who they are, their tags, notes, lists, consents and endpoints.",
    "imports": "Contacts from a CSV file, and what became of each row.",
    "segment": "The HTTP tracking API of Segment's clients.",
    "lists": "What contacts subscribe to.",
    "segments": "Sets of contacts, by a rule or by hand.",
    "templates": "What is sent.",
    "processes": "Definitions: drafts, versions, their life cycle, previews and test runs.",
    "operations": "Starts, stops and releases of many at once.",
    "instances": "One run of a process for one contact.",
    "where": "Who stands where, who is due, and why somebody is in or not.",
    "keys": "Keys of this API, and the audit log.",
    "suppressions": "Addresses that get nothing.",
    "bounces": "Messages that came back, as reported by mail servers and providers.",
    "health": "Whether the server works, for monitoring.",
}
_TITLES = {
    400: "The request cannot be read",
    401: "The key, the secret or the signature is missing or wrong",
    403: "The key may not do this",
    404: "What the address names is not there",
    409: "The present state does not allow this",
    413: "The body is too large",
    415: "The content type is not supported",
    422: "What was sent is not valid; `errors` names each place",
    429: "The key asks more often than it may; `Retry-After` says when it may again",
    503: "The database or another part is not there; nothing was stored, send it again",
}


def problems(*statuses: int) -> dict[int | str, dict[str, Any]]:
    """The problem responses of a route, for its `responses`."""
    return {status: _problem(status) for status in statuses}


def install(
    app: FastAPI, description: str, models: Sequence[type[BaseModel]], routers: Sequence[APIRouter]
) -> None:
    """Complete the document that FastAPI makes. `models` are those of bodies that routes read by hand; `routers`
    say who may call what.
    """

    def openapi() -> dict[str, Any]:
        if app.openapi_schema is None:
            document = get_openapi(
                title=app.title,
                version=app.version,
                description=description,
                routes=app.routes,
                tags=[{"name": name, "description": text} for name, text in TAGS.items()],
                servers=[{"url": "/", "description": "This server"}],
                contact={"name": "The operators of this server"},
                license_info={"name": "Proprietary", "identifier": "LicenseRef-Proprietary"},
            )
            _complete(document, models)
            _say_who_may(document, routers)
            document = _with_any_json(document)
            app.openapi_schema = document
        return app.openapi_schema

    app.openapi = openapi  # type: ignore[method-assign]


def _complete(document: dict[str, Any], models: Sequence[type[BaseModel]]) -> None:
    schemas = document.setdefault("components", {}).setdefault("schemas", {})
    schemas.pop("HTTPValidationError", None)
    schemas.pop("ValidationError", None)
    described: list[type[BaseModel]] = [ProblemDocument, *models]
    for model in described:
        schema = model.model_json_schema(ref_template="#/components/schemas/{model}")
        schemas.update(schema.pop("$defs", {}))
        schemas[model.__name__] = schema
    for operations in document["paths"].values():
        for operation in operations.values():
            responses = operation["responses"]
            responses["422"] = _problem(422)
            responses.setdefault("503", _problem(503))
            responses["default"] = {
                "description": "Any other problem",
                "content": {MEDIA_TYPE: {"schema": _REF}},
            }


def _say_who_may(document: dict[str, Any], routers: Sequence[APIRouter]) -> None:
    """Each operation's way in, and the scope that a key needs for it (`x-scope`)."""
    document["components"]["securitySchemes"] = {
        SCHEME: {"type": "http", "scheme": "bearer", "description": "A key: `onw_<id>_<secret>`."},
        WRITE_KEY: {
            "type": "http",
            "scheme": "basic",
            "description": "A write key of Segment's clients as the user name, without a password.",
        },
        SECRET: {"type": "http", "scheme": "bearer", "description": "`ONWARD_BOUNCES_SECRET`."},
    }
    for route in (route for router in routers for route in router.routes if isinstance(route, APIRoute)):
        demand = demand_of(route)
        operations = document["paths"].get(route.path_format, {})
        for method in route.methods or ():
            operation = operations.get(method.lower())
            if operation is None:
                continue
            if not isinstance(demand, Needs):
                operation["security"] = [{scheme: []} for scheme in _OTHERWISE.get(operation["tags"][0], ())]
                continue
            operation["security"] = [{SCHEME: []}]
            operation["x-scope"] = demand.scope
            text = operation.get("description", "").rstrip()
            operation["description"] = f"{text}\n\nScope: `{demand.scope}`".lstrip()
            for status in (401, 403, 429):
                operation["responses"].setdefault(str(status), _problem(status))


def operation_id(route: APIRoute) -> str:
    """`contacts_get_contact`: the tag and the function's name."""
    tag = str(route.tags[0]) if route.tags else "onward"
    return f"{tag}_{route.name}".replace(" ", "_")


def _with_any_json(value: Any) -> Any:
    """The same with any JSON as a schema without demands: generators cannot read one that refers to itself."""
    if isinstance(value, list):
        return [_with_any_json(one) for one in value]
    if not isinstance(value, dict):
        return value
    found = {name: _with_any_json(inner) for name, inner in value.items() if name not in _ANY_JSON}
    if found.get("$ref") in _ANY_JSON_REFS:
        del found["$ref"]
    ways = found.get("anyOf")
    if isinstance(ways, list) and {} in ways:  # anything, or null: anything
        del found["anyOf"]
    return found


def _problem(status: int) -> dict[str, Any]:
    return {"description": _TITLES[status], "content": {MEDIA_TYPE: {"schema": _REF}}}
