"""The OpenAPI document: problem responses on every operation, in the form in which they are really sent."""

from collections.abc import Sequence
from typing import Any

from fastapi import FastAPI
from fastapi.openapi.utils import get_openapi
from pydantic import BaseModel

from api.errors import MEDIA_TYPE, ProblemDocument

_REF = {"$ref": "#/components/schemas/ProblemDocument"}
_TITLES = {
    400: "The request cannot be read",
    401: "The secret or the signature is missing or wrong",
    404: "What the address names is not there",
    409: "The present state does not allow this",
    413: "The body is too large",
    415: "The content type is not supported",
    422: "What was sent is not valid; `errors` names each place",
    503: "The database or another part is not there; nothing was stored, send it again",
}


def problems(*statuses: int) -> dict[int | str, dict[str, Any]]:
    """The problem responses of a route, for its `responses`."""
    return {status: _problem(status) for status in statuses}


def install(app: FastAPI, description: str, models: Sequence[type[BaseModel]]) -> None:
    """Complete the document that FastAPI makes. `models` are those of bodies that routes read by hand."""

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


def _problem(status: int) -> dict[str, Any]:
    return {"description": _TITLES[status], "content": {MEDIA_TYPE: {"schema": _REF}}}
