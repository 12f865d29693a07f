"""Errors as people meet them: RFC 9457 `application/problem+json`, one tree, one handler.

    ApiError
    ├── BadRequest         400  the body cannot be read
    ├── Unauthorized       401  the sender is not known
    ├── Forbidden          403  the sender may not do this
    ├── NotFound           404
    ├── Conflict           409  the state of the thing does not allow it
    ├── TooLarge           413
    ├── WrongContentType   415
    ├── Invalid            422  the body or a query parameter is wrong; `errors` says where
    ├── TooMany            429  the sender asks more often than it may
    └── Unavailable        503  try again later; nothing was stored

What is thrown below the API (`intake.refusals`, `DocumentInvalid`, `DatabaseUnavailable`, …) is brought into this
tree by `as_api_error`.
"""

import asyncio
from collections.abc import Mapping, Sequence
from http import HTTPStatus
from typing import Any, ClassVar, cast

import orjson
import structlog
from fastapi import FastAPI, Request, Response
from fastapi.exceptions import RequestValidationError
from pydantic import BaseModel, ConfigDict, Field, ValidationError
from sqlalchemy.exc import TimeoutError as PoolTimeout
from starlette.exceptions import HTTPException
from starlette.requests import ClientDisconnect

from channels.errors import TemplateFailed, TemplateStopped
from intake.refusals import Clash, Missing
from processes.problems import DocumentInvalid, Problem, message_of, problems_of
from processes.yaml_lines import lines
from store.database import DatabaseUnavailable
from store.reading import BadCursor
from store.rules import RuleError

log = structlog.get_logger(__name__)

MEDIA_TYPE = "application/problem+json"
TYPE_PREFIX = "urn:onward:problem:"
YAML_TEXT = "yaml_text"
"""In a request's state: its body, if that is YAML."""


class ProblemDocument(BaseModel):
    """What went wrong (RFC 9457). Programs go by `type`; some types add members of their own."""

    model_config = ConfigDict(
        extra="allow",
        json_schema_extra={
            "examples": [
                {
                    "type": "urn:onward:problem:invalid",
                    "title": "What was sent is not valid",
                    "status": 422,
                    "detail": "1 problem: /params/1/value is not an e-mail address",
                    "errors": [{"pointer": "/params/1/value", "message": "is not an e-mail address"}],
                }
            ]
        },
    )

    type: str = Field(description="`urn:onward:problem:<name>`; the name is stable.")
    title: str
    status: int
    detail: str
    errors: list[Problem] = Field(
        default_factory=list,
        description="Each wrong place: a JSON pointer into the body as it was sent, or `?name` of a query parameter.",
    )


class ApiError(Exception):
    """An answer that is a problem document."""

    status: ClassVar[int] = 500
    name: ClassVar[str] = "internal"
    title: ClassVar[str] = "Something went wrong here"

    def __init__(
        self,
        detail: str,
        *,
        errors: Sequence[Problem] = (),
        facts: Mapping[str, Any] | None = None,
        headers: Mapping[str, str] | None = None,
    ) -> None:
        super().__init__(detail)
        self.detail = detail
        self.errors = list(errors)
        self.facts = dict(facts or {})
        self.headers = dict(headers or {})

    def document(self) -> dict[str, Any]:
        """The problem document."""
        return {
            **self.facts,
            "type": TYPE_PREFIX + self.name,
            "title": self.title,
            "status": self.status,
            "detail": self.detail,
            "errors": [error.model_dump() for error in self.errors],
        }

    def response(self) -> Response:
        """The document as an answer."""
        return Response(
            orjson.dumps(self.document(), option=orjson.OPT_NON_STR_KEYS),
            status_code=self.status,
            headers=self.headers,
            media_type=MEDIA_TYPE,
        )


class BadRequest(ApiError):
    """The body cannot be read."""

    status, name, title = 400, "unreadable", "The request cannot be read"


class Unauthorized(ApiError):
    """The sender is not known."""

    status, name, title = 401, "unauthorized", "Who sends this is not known"


class Forbidden(ApiError):
    """The sender may not do this."""

    status, name, title = 403, "forbidden", "This is not allowed"


class NotFound(ApiError):
    """There is no such thing."""

    status, name, title = 404, "not-found", "Not found"


class Conflict(ApiError):
    """The state of the thing does not allow it."""

    status, name, title = 409, "conflict", "The present state does not allow this"

    def __init__(self, detail: str, *, name: str = "conflict", **more: Any) -> None:
        super().__init__(detail, **more)
        self._name = name

    def document(self) -> dict[str, Any]:
        """With its own name."""
        return super().document() | {"type": TYPE_PREFIX + self._name}


class TooLarge(ApiError):
    """The body is larger than allowed."""

    status, name, title = 413, "too-large", "The body is too large"


class WrongContentType(ApiError):
    """The body is of a type that this address does not take."""

    status, name, title = 415, "content-type", "The content type is not supported"


class Invalid(ApiError):
    """Readable, and wrong."""

    status, name, title = 422, "invalid", "What was sent is not valid"

    def __init__(self, errors: Sequence[Problem], **more: Any) -> None:
        first = f"{errors[0].pointer or 'the body'}: {errors[0].message}" if errors else ""
        count = f"{len(errors)} problem{'s' * (len(errors) != 1)}"
        super().__init__(f"{count}: {first}", errors=errors, **more)


class TooMany(ApiError):
    """The sender asks more often than it may."""

    status, name, title = 429, "too-many-requests", "Too many requests"


class Unavailable(ApiError):
    """A part that this needs is not there now."""

    status, name, title = 503, "unavailable", "Not available now"


class _Plain(ApiError):
    """An error of the framework's own: unknown address, method not allowed."""

    def __init__(self, error: HTTPException) -> None:
        phrase = HTTPStatus(error.status_code).phrase
        super().__init__(str(error.detail), headers=error.headers)
        self._status, self._phrase = error.status_code, phrase

    def document(self) -> dict[str, Any]:
        """By the framework's status."""
        name = self._phrase.lower().replace(" ", "-")
        return super().document() | {
            "type": TYPE_PREFIX + name,
            "title": self._phrase,
            "status": self._status,
        }

    def response(self) -> Response:
        """With the framework's status and headers."""
        response = super().response()
        response.status_code = self._status
        return response


def as_api_error(error: Exception) -> ApiError:
    """What an exception means to the caller; ApiError itself, without internals, for one that nobody foresaw."""
    match error:
        case ApiError():
            return error
        case DocumentInvalid():
            return Invalid(error.problems)
        case RequestValidationError():
            return Invalid(_request_problems(error))
        case Missing():
            return NotFound(str(error), facts=error.facts)
        case Clash():
            return Conflict(str(error), name=error.name, facts=error.facts)
        case BadCursor():
            return Invalid([Problem(pointer="?cursor", message=str(error))])
        case RuleError():
            return Invalid([Problem(pointer="/rule", message=str(error))])
        case TemplateFailed():
            return Invalid([Problem(pointer="", message=f"the template does not render: {error}")])
        case TemplateStopped():
            return Invalid([Problem(pointer="", message=str(error))])
        case DatabaseUnavailable() | PoolTimeout():
            log.warning("database_unavailable", error=str(error))
            return Unavailable(
                "the database does not answer; nothing was stored, send it again",
                headers={"Retry-After": "5"},
            )
        case ClientDisconnect():
            return BadRequest("the request did not arrive whole")  # which nobody hears: the sender has gone
        case HTTPException():
            return _Plain(error)
    return ApiError("an error that nobody foresaw; it is in the log")


_HANDLED: tuple[type[Exception], ...] = (
    ApiError,
    DocumentInvalid,
    RequestValidationError,
    Missing,
    Clash,
    BadCursor,
    RuleError,
    TemplateFailed,
    TemplateStopped,
    DatabaseUnavailable,
    PoolTimeout,
    ClientDisconnect,
    HTTPException,
    Exception,
)


def install(app: FastAPI) -> None:
    """Let every exception be answered by the one handler."""

    async def answer(request: Request, error: Exception) -> Response:
        told = as_api_error(error)
        told.errors = await in_lines(request, told.errors)
        return told.response()

    for kind in _HANDLED:
        app.add_exception_handler(kind, answer)


async def in_lines(request: Request, found: Sequence[Problem]) -> list[Problem]:
    """The problems, each with its line if the body was YAML."""
    text: bytes | None = getattr(request.state, YAML_TEXT, None)
    if text is None or not found:
        return list(found)
    at = await asyncio.to_thread(lines, text, [problem.pointer for problem in found])
    return [problem.model_copy(update={"line": at.get(problem.pointer)}) for problem in found]


class _Located:
    """FastAPI's errors of a body, without the word "body" in front of each place."""

    def __init__(self, found: list[dict[str, Any]]) -> None:
        self._found = found

    def errors(self, **_: Any) -> list[dict[str, Any]]:
        return self._found


def _request_problems(error: RequestValidationError) -> list[Problem]:
    found: list[Problem] = []
    for one in error.errors():
        where, *place = one["loc"]
        if where == "body":
            located = cast(ValidationError, _Located([{**one, "loc": tuple(place)}]))
            found += problems_of(located, error.body)
        else:
            sign = {"query": "?", "header": "header ", "path": "path "}.get(where, "")
            found.append(Problem(pointer=f"{sign}{'/'.join(map(str, place))}", message=message_of(one)))
    return found
