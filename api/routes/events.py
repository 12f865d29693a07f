"""Events in, one or many, and their history (V1, V4, V5). The two hot routes read and write JSON by hand."""

from datetime import UTC, datetime
from typing import Annotated, Any, Literal

import orjson
from fastapi import APIRouter, Query, Request, Response
from pydantic import AwareDatetime, BaseModel, Field

from api.access import Caller, CallerDep, authenticate, needs, pay
from api.bodies import JsonRoute, read_json
from api.deps import CursorQuery, LimitQuery, Parts, ServicesDep
from api.documentation import problems
from api.errors import Conflict, Invalid
from api.incoming import Places, moved, no_identity, read_event_with_places, relocated
from api.models import ContactBrief, Page
from api.rows import contact_brief
from intake.events import Decision, EventResult, IncomingEvent
from intake.identity import NotAttached
from intake.named_types import keys_of, name_of
from intake.refusals import Missing
from processes.problems import DocumentInvalid, Problem
from processes.values import Json
from store import contacts, event_history
from store.catalog import CatalogView

router = APIRouter(prefix="/v1/events", tags=["events"], route_class=JsonRoute)

MAX_BATCH = 1000


class SeedParam(BaseModel):
    """A param. `ContactId`, `EmailAddress`, `Phone` and `Token` are what the contact is found by."""

    name: str
    value: Json


class SeedEvent(BaseModel):
    """An event in Reteno's body."""

    eventTypeKey: str = Field(description="The event type.")  # noqa: N815 (the sender's name)
    keyValue: str | None = Field(default=None, description="The event's key, such as an order number.")  # noqa: N815
    params: list[SeedParam] = Field(default_factory=list, max_length=200)


class EventContact(BaseModel):
    """Who it is about, found by ContactId (`id` or `external_id`), e-mail, phone, token, in that order.

    The rest is used where the event makes the contact.
    """

    id: str | None = None
    external_id: str | None = None
    email: str | None = None
    phone: str | None = None
    token: str | None = None
    time_zone: str | None = None
    language: str | None = None
    fields: dict[str, Json] = Field(default_factory=dict)


class PlainEvent(BaseModel):
    """An event in the plain body."""

    type: str
    key: str | None = None
    id: str | None = Field(
        default=None, description="Yours; the same id twice changes nothing the second time."
    )
    occurred_at: AwareDatetime | None = None
    contact: EventContact | None = None
    params: dict[str, Json] = Field(default_factory=dict)


class EventBatch(BaseModel):
    """Up to 1,000 events in either body."""

    events: list[PlainEvent | SeedEvent] = Field(min_length=1, max_length=MAX_BATCH)


class EventWarning(BaseModel):
    """Something that the sender may not have meant. The event was taken all the same."""

    code: Literal["no_identity"] = Field(
        description="`no_identity`: the event says of nobody that it is theirs."
    )
    message: str
    names: list[str] = Field(description="The names that count, in their order.")


class EventAnswer(BaseModel):
    """What an event did, process by process."""

    id: str
    type: str
    status: str = Field(description="accepted or duplicate")
    contact: str | None = Field(default=None, description="Our id of the contact.")
    contact_status: str = Field(description="found, created, not_found or none")
    not_attached: list[NotAttached] = Field(
        default_factory=list,
        description="Identities that the contact did not get; left out where there are none.",
    )
    warnings: list[EventWarning] = Field(default_factory=list, description="Left out where there are none.")
    decisions: list[Decision]


class BatchResult(BaseModel):
    """What one event of a batch did, or what is wrong with it."""

    id: str | None = None
    type: str | None = None
    status: str = Field(description="accepted, duplicate or refused")
    contact: str | None = None
    contact_status: str | None = None
    not_attached: list[NotAttached] = Field(default_factory=list)
    warnings: list[EventWarning] = Field(default_factory=list)
    decisions: list[Decision] = Field(default_factory=list)
    problems: list[Problem] = Field(default_factory=list)


class BatchAnswer(BaseModel):
    """Each event's own result, in the batch's order."""

    accepted: int
    duplicates: int
    refused: int
    results: list[BatchResult]


class EventRow(BaseModel):
    """An event as it was kept."""

    id: str
    type: str
    type_name: str = Field(description="The name of its type, now.")
    key: str | None = None
    contact: ContactBrief | None = None
    occurred_at: datetime
    received_at: datetime
    source: str
    depth: int = Field(
        description="How many processes led to it, one after another; 0: it came from outside."
    )
    decisions: list[Decision]


class EventDetail(EventRow):
    """An event with its params."""

    params: dict[str, Json]


SEED_EXAMPLE = {
    "eventTypeKey": "order_created",
    "keyValue": "77",
    "params": [
        {"name": "ContactId", "value": "22222"},
        {"name": "EmailAddress", "value": "anna@example.com"},
        {"name": "total", "value": 1299},
    ],
}
PLAIN_EXAMPLE = {
    "type": "order_created",
    "id": "order-77-created",
    "key": "77",
    "occurred_at": "2026-01-15T09:00:00+01:00",
    "contact": {"id": "22222", "email": "anna@example.com", "time_zone": "Europe/Prague", "language": "cs"},
    "params": {"total": 1299, "items": [{"name": "Tea", "price": 1299}]},
}
_IDEMPOTENCY = {
    "name": "Idempotency-Key",
    "in": "header",
    "required": False,
    "description": "The event's id where the body has none.",
    "schema": {"type": "string", "maxLength": 255},
}


def _documented(model: dict[str, Any], examples: dict[str, Any]) -> dict[str, Any]:
    content = {"schema": model, "examples": {name: {"value": value} for name, value in examples.items()}}
    return {
        "parameters": [_IDEMPOTENCY],
        "requestBody": {"required": True, "content": {"application/json": content}},
    }


_ONE = {"oneOf": [{"$ref": "#/components/schemas/SeedEvent"}, {"$ref": "#/components/schemas/PlainEvent"}]}


@router.post(
    "",
    dependencies=[needs("events:write")],
    summary="Send an event",
    description="Stores the event and says what it did, process by process. 202 where a start is still on its way "
    "to Temporal: it is kept and sent again until it arrives.",
    responses={
        200: {"model": EventAnswer, "description": "What it did; `duplicate` where its id was there before"},
        202: {"model": EventAnswer, "description": "Stored, and a start is pending"},
        **problems(400, 409, 413, 415, 422),
    },
    openapi_extra=_documented(_ONE, {"seed": SEED_EXAMPLE, "plain": PLAIN_EXAMPLE}),
)
async def send_event(request: Request) -> Response:
    """One event."""
    parts: Parts = request.app.state.parts
    body = read_json(request, await request.body())
    event, places = read_event_with_places(
        body,
        datetime.now(UTC),
        fallback_id=request.headers.get("idempotency-key"),
        addresses=parts.services.settings.address_rules,
    )
    (result,) = await parts.services.intake.take([event])
    parts.metrics.count([result])
    if result.status == "refused":
        raise _refusal(result, places)
    pending = any(decision.decision == "pending" for decision in result.decisions)
    return _json(
        _answer(result, await authenticate(request), body, places),
        202 if pending and result.status == "accepted" else 200,
    )


@router.post(
    "/batch",
    dependencies=[needs("events:write")],
    summary="Send up to 1,000 events",
    description="Each event has its own result, in the same order; one that is wrong does not touch the others. "
    "With an Idempotency-Key, events without an id get the key, a slash and their index.",
    responses={200: {"model": BatchAnswer}, **problems(400, 413, 415, 422)},
    openapi_extra=_documented(
        {"$ref": "#/components/schemas/EventBatch"}, {"mixed": {"events": [SEED_EXAMPLE, PLAIN_EXAMPLE]}}
    ),
)
async def send_batch(request: Request) -> Response:
    """Many events."""
    parts: Parts = request.app.state.parts
    wanted = _batch(read_json(request, await request.body()))
    caller = await authenticate(request)
    pay(parts.services, caller, len(wanted) - 1)
    now, key = datetime.now(UTC), request.headers.get("idempotency-key")
    answers: list[dict[str, Any]] = [{} for _ in wanted]
    good: list[tuple[int, IncomingEvent, Places]] = []
    addresses = parts.services.settings.address_rules
    for index, body in enumerate(wanted):
        try:
            fallback = None if key is None else f"{key}/{index}"
            read = read_event_with_places(
                body, now, fallback_id=fallback, under=f"/events/{index}", addresses=addresses
            )
            good.append((index, *read))
        except DocumentInvalid as invalid:
            answers[index] = {"status": "refused", "problems": _problems(invalid.problems)}
    results = await parts.services.intake.take([event for _, event, _ in good]) if good else []
    parts.metrics.count(results)
    for (index, _, places), result in zip(good, results, strict=True):
        if result.status == "refused":
            found = relocated(result.problems, places)
            here = [p.model_copy(update={"pointer": f"/events/{index}{p.pointer}"}) for p in found]
            answers[index] = {
                "id": result.id,
                "type": result.type,
                "status": "refused",
                "problems": _problems(here),
            }
        else:
            answers[index] = _answer(result, caller, wanted[index], places, f"/events/{index}")
    status = [answer["status"] for answer in answers]
    return _json(
        {
            "accepted": status.count("accepted"),
            "duplicates": status.count("duplicate"),
            "refused": status.count("refused"),
            "results": answers,
        },
        200,
    )


@router.get(
    "",
    dependencies=[needs("contacts:read")],
    summary="Event history",
    responses=problems(404, 422),
)
async def list_events(
    services: ServicesDep,
    caller: CallerDep,
    type: Annotated[
        str | None,
        Query(
            min_length=1,
            max_length=200,
            description="The event type, by its key or by its name in either case: `order_completed` or "
            "`Order completed`. Types that share a name are all meant.",
        ),
    ] = None,
    contact: Annotated[str | None, Query(max_length=320, description="Any reference of a contact.")] = None,
    key: Annotated[str | None, Query(max_length=255, description="The beginning of the key.")] = None,
    since: Annotated[AwareDatetime | None, Query(description="Received at or after.")] = None,
    until: Annotated[AwareDatetime | None, Query(description="Received before.")] = None,
    limit: LimitQuery = 50,
    cursor: CursorQuery = None,
) -> Page[EventRow]:
    """The newest first (V4)."""
    async with services.database.read() as connection:
        contact_id = None
        if contact is not None:
            contact_id = await contacts.resolve(connection, contact)
            if contact_id is None:
                raise Missing("contact", contact)
        view = await services.catalog.view(connection)
        types = None if type is None else keys_of(view, type)
        wanted = event_history.EventFilter(
            types=types, contact_id=contact_id, key=key, since=since, until=until
        )
        found = await event_history.events(connection, wanted, limit=limit, cursor=cursor)
    return Page(
        items=[EventRow(**_row(row, caller, view)) for row in found.items], next_cursor=found.next_cursor
    )


@router.get(
    "/{event_id:path}",
    dependencies=[needs("contacts:read")],
    summary="An event",
    response_model_exclude_none=True,
    responses=problems(404),
)
async def get_event(event_id: str, services: ServicesDep, caller: CallerDep) -> EventDetail:
    """Its params, its contact, when it came and what it did."""
    async with services.database.read() as connection:
        row = await event_history.event(connection, event_id)
        view = await services.catalog.view(connection)
    if row is None:
        raise Missing("event", event_id)
    return EventDetail(**_row(row, caller, view), params=row.params)


def _row(row: Any, caller: Caller, view: CatalogView) -> dict[str, Any]:
    return {
        "id": row.id,
        "type": row.type,
        "type_name": name_of(view, row.type),
        "key": row.key,
        "contact": None if row.contact_id is None else contact_brief(row, row.contact_id),
        "occurred_at": row.occurred_at,
        "received_at": row.received_at,
        "source": row.source,
        "depth": row.depth,
        "decisions": [one for one in row.outcome if _may_see(caller, one["process"])],
    }


def _batch(body: Any) -> list[Any]:
    if not isinstance(body, dict):
        raise Invalid([Problem(pointer="", message="a batch is an object with events")])
    found = [Problem(pointer=f"/{name}", message="unknown field") for name in body if name != "events"]
    events = body.get("events")
    if not isinstance(events, list):
        message = "this field is required" if "events" not in body else "must be a list"
        found.append(Problem(pointer="/events", message=message))
    elif not events:
        found.append(Problem(pointer="/events", message="is empty: send at least one event"))
    elif len(events) > MAX_BATCH:
        found.append(Problem(pointer="/events", message=f"at most {MAX_BATCH} events, not {len(events)}"))
    if found or not isinstance(events, list):
        raise Invalid(found)
    return events


def _refusal(result: EventResult, places: Places) -> Invalid | Conflict:
    found = relocated(result.problems, places)
    if any(problem.pointer == "/contact" for problem in result.problems):
        return Conflict(found[0].message, name="identity-conflict", errors=found)
    return Invalid(found)


def _may_see(caller: Caller, process: str) -> bool:
    return caller.processes is None or process in caller.processes


def _answer(
    result: EventResult, caller: Caller, body: Any, places: Places, under: str = ""
) -> dict[str, Any]:
    answer: dict[str, Any] = {"id": result.id, "type": result.type, "status": result.status}
    if result.contact is not None:
        answer["contact"] = result.contact
    answer["contact_status"] = result.contact_status
    if result.not_attached:
        answer["not_attached"] = [
            one.model_copy(update={"pointer": under + moved(one.pointer, places)}).model_dump(
                exclude_none=True
            )
            for one in result.not_attached
        ]
    if result.contact_status == "none" and result.status == "accepted":
        answer["warnings"] = [EventWarning(code="no_identity", **no_identity(body)).model_dump()]
    answer["decisions"] = [
        _decision(decision) for decision in result.decisions if _may_see(caller, decision.process)
    ]
    return answer


def _decision(decision: Decision) -> dict[str, Any]:
    found: dict[str, Any] = {"process": decision.process, "decision": decision.decision}
    if decision.reason is not None:
        found["reason"] = decision.reason
    if decision.instance is not None:
        found["instance"] = decision.instance
    return found


def _problems(found: list[Problem]) -> list[dict[str, str]]:
    return [{"pointer": problem.pointer, "message": problem.message} for problem in found]


def _json(value: dict[str, Any], status: int) -> Response:
    return Response(orjson.dumps(value), status_code=status, media_type="application/json")
