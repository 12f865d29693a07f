"""Segment's HTTP tracking API (V6): what its clients send, understood as `docs/segment.md` says.

A sender's write key is a key of the API that may send events, or one of `ONWARD_SEGMENT_WRITE_KEYS`. A message that is
wrong is a 400 that names the field; in a batch each has its own outcome, and the batch as a whole is taken.
"""

import hmac
import zlib
from datetime import UTC, datetime
from typing import Any, ClassVar, Literal

import orjson
import structlog
from fastapi import APIRouter, Request, Response
from pydantic import BaseModel, Field

from api.access import Caller, Scope, anyone, basic_credentials, holder, must, pay
from api.addresses import AddressedRoute
from api.bodies import check_storable, parse_json
from api.decompression import ENCODINGS
from api.deps import Parts
from api.documentation import problems
from api.errors import BadRequest, Invalid, Unauthorized
from intake.keys import PREFIX
from intake.segment_spec.messages import Kind, Message, Outcome
from intake.segment_spec.reading import Envelope, read_message, read_moment
from processes.problems import DocumentInvalid, Problem
from processes.values import Json
from runtime import Services

log = structlog.get_logger(__name__)

router = APIRouter(prefix="/v1", tags=["segment"], route_class=AddressedRoute)

MOST_MESSAGE = 32 * 1024
MOST_BATCH = 500 * 1024
"""Bytes, as Segment's own API takes them."""
_BY_WRITE_KEY = anyone("Segment's clients send a write key, some of them in the body")
_GZIP = b"\x1f\x8b"
SCOPE: Scope = "events:write"
_CHALLENGE = 'Basic realm="Segment write key"'


class SegmentMessage(BaseModel):
    """A message of Segment's spec. What it means here is in docs/segment.md; fields that are not named are ignored."""

    userId: str | None = Field(default=None, description="ContactId.")  # noqa: N815 (Segment's names)
    anonymousId: str | None = Field(default=None, description="Token.")  # noqa: N815
    messageId: str | None = Field(default=None, description="The same one twice changes nothing twice.")  # noqa: N815
    timestamp: str | None = None
    event: str | None = Field(default=None, description="Of a track.")
    properties: dict[str, Json] = Field(default_factory=dict, description="Of a track, a page, a screen.")
    traits: dict[str, Json] = Field(default_factory=dict, description="Of an identify, a group.")
    previousId: str | None = Field(default=None, description="Of an alias.")  # noqa: N815
    groupId: str | None = Field(default=None, description="Of a group.")  # noqa: N815
    context: dict[str, Json] = Field(default_factory=dict)
    writeKey: str | None = Field(default=None, description="Where no basic authentication is sent.")  # noqa: N815


class BatchMessage(SegmentMessage):
    """A message of a batch."""

    type: str = Field(description="identify, track, page, screen, group or alias")


class SegmentBatch(BaseModel):
    """Messages in their order."""

    batch: list[BatchMessage]
    sentAt: str | None = None  # noqa: N815
    context: dict[str, Json] = Field(default_factory=dict, description="For all of them.")
    writeKey: str | None = None  # noqa: N815


class RefusedMessage(BaseModel):
    """A message of a batch that was not taken, and why."""

    index: int
    messageId: str | None = None  # noqa: N815
    errors: list[Problem]


class LeftOutTrait(BaseModel):
    """A trait that a message was taken without."""

    pointer: str = Field(description="Into the message; of a batch, into the batch.")
    reason: Literal["invalid", "belongs_to_another"] = Field(
        description="`belongs_to_another`: the phone stays with its owner, see docs/identities.md."
    )
    message: str


class SegmentAnswer(BaseModel):
    """What Segment answers; and of a batch, the messages that were not taken. What is empty is left out."""

    success: bool
    left_out: list[LeftOutTrait] | None = None
    refused: list[RefusedMessage] | None = None


class BadMessage(Invalid):
    """A message that is wrong: 400, as Segment answers."""

    status: ClassVar[int] = 400


def _documented(model: str) -> dict[str, Any]:
    reference = {"$ref": f"#/components/schemas/{model}"}
    return {"requestBody": {"required": True, "content": {"application/json": {"schema": reference}}}}


def _single(kind: Kind) -> None:
    async def take(request: Request) -> Response:
        parts: Parts = request.app.state.parts
        received_at = datetime.now(UTC)
        body, _ = await _body(request, parts, MOST_MESSAGE)
        addresses = parts.services.settings.address_rules
        try:
            message = read_message(check_storable(body), kind, Envelope(received_at, addresses=addresses))
        except (DocumentInvalid, Invalid) as invalid:
            found = invalid.problems if isinstance(invalid, DocumentInvalid) else invalid.errors
            raise BadMessage(found) from None
        (outcome,) = await parts.segment_spec.take([message])
        parts.metrics.events.labels(outcome.status).inc()
        if outcome.status == "refused":
            raise BadMessage(outcome.problems)
        return _answer(_success(_left_out(outcome)))

    take.__doc__ = f"One {kind} message."
    router.post(
        f"/{kind}",
        name=f"segment_{kind}",
        dependencies=[_BY_WRITE_KEY],
        summary=f"Segment: {kind}",
        responses={200: {"model": SegmentAnswer}, **problems(400, 401, 403, 413, 415, 429)},
        openapi_extra=_documented("SegmentMessage"),
    )(take)


for _kind in ("identify", "track", "page", "screen", "group", "alias"):
    _single(_kind)


@router.post(
    "/import",
    dependencies=[_BY_WRITE_KEY],
    summary="Segment: batch, by the name of older clients",
    responses={200: {"model": SegmentAnswer}, **problems(400, 401, 403, 413, 415, 429)},
    openapi_extra=_documented("SegmentBatch"),
    name="segment_import",
)
@router.post(
    "/batch",
    dependencies=[_BY_WRITE_KEY],
    summary="Segment: batch",
    responses={200: {"model": SegmentAnswer}, **problems(400, 401, 403, 413, 415, 429)},
    openapi_extra=_documented("SegmentBatch"),
    name="segment_batch",
)
async def take_batch(request: Request) -> Response:
    """Each message has its own outcome; those that were not taken are named in the answer, which is a success."""
    parts: Parts = request.app.state.parts
    received_at = datetime.now(UTC)
    body, sender = await _body(request, parts, MOST_BATCH)
    batch = body.get("batch")
    if not isinstance(batch, list):
        raise BadMessage([Problem(pointer="/batch", message="must be a list of messages")])
    pay(parts.services, sender, len(batch) - 1)
    try:
        addresses = parts.services.settings.address_rules
        envelope = Envelope(received_at, read_moment(body.get("sentAt")), body.get("context"), addresses)
    except ValueError as error:
        raise BadMessage([Problem(pointer="/sentAt", message=str(error))]) from None
    good: dict[int, Message] = {}
    refused: dict[int, list[Problem]] = {}
    for index, one in enumerate(batch):
        try:
            good[index] = _read(one, envelope)
        except (DocumentInvalid, Invalid) as invalid:
            refused[index] = invalid.problems if isinstance(invalid, DocumentInvalid) else invalid.errors
    outcomes: list[Outcome] = await parts.segment_spec.take(list(good.values())) if good else []
    for index, outcome in zip(good, outcomes, strict=True):
        if outcome.status == "refused":
            refused[index] = list(outcome.problems)
        parts.metrics.events.labels(outcome.status).inc()
    parts.metrics.events.labels("refused").inc(len(batch) - len(good))
    left_out = [
        one
        for index, outcome in zip(good, outcomes, strict=True)
        for one in _left_out(outcome, f"/batch/{index}")
    ]
    if not refused:
        return _answer(_success(left_out))
    rows = [_refusal(index, batch[index], refused[index]) for index in sorted(refused)]
    log.warning("segment_messages_refused", refused=rows[:20], of=len(batch))
    return _answer({**_success(left_out), "refused": rows})


def _success(left_out: list[dict[str, str]]) -> dict[str, Any]:
    return {"success": True, "left_out": left_out} if left_out else {"success": True}


def _left_out(outcome: Outcome, under: str = "") -> list[dict[str, str]]:
    return [
        {"pointer": f"{under}{one.pointer}", "reason": one.reason, "message": one.message}
        for one in outcome.left_out
    ]


def _read(one: Any, envelope: Envelope) -> Message:
    message = check_storable(one)
    if len(orjson.dumps(message)) > MOST_MESSAGE:
        raise DocumentInvalid([Problem(pointer="", message=f"larger than {MOST_MESSAGE // 1024} kB")])
    return read_message(message, message.get("type") if isinstance(message, dict) else None, envelope)


def _refusal(index: int, message: Any, found: list[Problem]) -> dict[str, Any]:
    id_of = message.get("messageId") if isinstance(message, dict) else None
    return {
        "index": index,
        "messageId": id_of if isinstance(id_of, str) else None,
        "errors": [
            {"pointer": f"/batch/{index}{problem.pointer}", "message": problem.message} for problem in found
        ],
    }


async def _body(request: Request, parts: Parts, most: int) -> tuple[dict[str, Any], Caller]:
    """The body, and its sender, who has a write key. Raises Unauthorized, Forbidden, BadRequest, BadMessage."""
    given = _given(request)
    sender = None if given is None else await _sender(parts.services, given)
    data = bytearray()
    async for piece in request.stream():
        data += piece
        if len(data) > most:
            raise BadRequest(f"larger than {most // 1024} kB", facts={"limit": most})
    body = parse_json(_unpacked(bytes(data), most))
    if not isinstance(body, dict):
        raise BadMessage([Problem(pointer="", message="must be an object")])
    if sender is None:
        sender = await _sender(parts.services, str(body.get("writeKey") or ""))
    return body, sender


def _unpacked(data: bytes, most: int) -> bytes:
    """The body, unpacked where it is gzip: some clients compress and forget to say so, or say it in the content type.

    What is declared as the content encoding was unpacked before. Raises BadRequest.
    """
    if not data.startswith(_GZIP):
        return data
    engine = zlib.decompressobj(ENCODINGS[b"gzip"])
    try:
        plain = engine.decompress(data, most + 1)
    except zlib.error as error:
        raise BadRequest(f"the body is not gzip: {error}") from None
    if len(plain) > most:
        raise BadRequest(f"larger than {most // 1024} kB", facts={"limit": most})
    if not engine.eof:
        raise BadRequest("the gzip body ends in the middle")
    return plain


async def _sender(services: Services, given: str) -> Caller:
    """Who has this write key: one of the settings', or a key of the API. Raises Unauthorized, Forbidden, TooMany."""
    if _is_known(given, services.settings.segment_write_keys):
        return Caller("segment", frozenset({SCOPE}))
    sender = await holder(services, given, _CHALLENGE)
    if sender is None:
        raise Unauthorized(
            "the write key is missing or not one of ours", headers={"WWW-Authenticate": _CHALLENGE}
        )
    must(sender, SCOPE)
    return sender


def _given(request: Request) -> str | None:
    """The user name of basic authentication, or a bearer that is a key of ours; None where neither was sent."""
    header = request.headers.get("authorization", "")
    scheme, _, given = header.partition(" ")
    if scheme.lower() == "bearer" and given.startswith(PREFIX):
        return given.strip()
    return basic_credentials(header)[0] if scheme.lower() == "basic" else None


def _is_known(given: str, keys: Any) -> bool:
    """Compared with every key, in a time that does not tell how much of one is right."""
    found = False
    for key in keys:
        found |= hmac.compare_digest(given.encode(errors="replace"), key.get_secret_value().encode())
    return found


def _answer(value: dict[str, Any]) -> Response:
    return Response(orjson.dumps(value), media_type="application/json")
