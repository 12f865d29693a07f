"""The OpenAPI document: problem responses on every operation, in the form in which they are really sent."""

from collections.abc import Sequence
from typing import Any

from fastapi import APIRouter, FastAPI
from fastapi.openapi.utils import get_openapi
from fastapi.routing import APIRoute
from pydantic import BaseModel

from api.access import Needs, demand_of
from api.errors import MEDIA_TYPE, ProblemDocument

_REF = {"$ref": "#/components/schemas/ProblemDocument"}
SCHEME = "key"
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
                tags=app.openapi_tags,
            )
            _complete(document, models)
            _say_who_may(document, routers)
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
            if "422" in responses:
                responses["422"] = _problem(422)
            responses.setdefault("503", _problem(503))
            responses["default"] = {
                "description": "Any other problem",
                "content": {MEDIA_TYPE: {"schema": _REF}},
            }


def _say_who_may(document: dict[str, Any], routers: Sequence[APIRouter]) -> None:
    """Each operation's scope, as OpenAPI 3.1 has it: a security requirement with the scope as its role."""
    document["components"]["securitySchemes"] = {
        SCHEME: {"type": "http", "scheme": "bearer", "description": "A key: `onw_<id>_<secret>`."}
    }
    for route in (route for router in routers for route in router.routes if isinstance(route, APIRoute)):
        demand = demand_of(route)
        operations = document["paths"].get(route.path_format, {})
        if not isinstance(demand, Needs):
            continue
        for method in route.methods or ():
            operation = operations.get(method.lower())
            if operation is not None:
                operation["security"] = [{SCHEME: [demand.scope]}]
                for status in (401, 403, 429):
                    operation["responses"].setdefault(str(status), _problem(status))


def _problem(status: int) -> dict[str, Any]:
    return {"description": _TITLES[status], "content": {MEDIA_TYPE: {"schema": _REF}}}
