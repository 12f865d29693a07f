"""Operations on many: a process started for a segment or for chosen contacts, a process's instances stopped (O2, O3);
how far each one is, and what became of everyone in it.
"""

from collections.abc import Iterator
from datetime import UTC, datetime
from typing import Annotated, Any, Literal

from fastapi import APIRouter, Path, Query, Request, Response
from fastapi.responses import StreamingResponse
from pydantic import BaseModel, ConfigDict, Field, StringConstraints

from api.access import ActorDep, Needs, needs
from api.bodies import JsonRoute
from api.deps import ContactDep, CursorQuery, LimitQuery, Parts, PartsDep, ServicesDep, WaitQuery
from api.documentation import problems
from api.downloads import csv_download
from api.errors import Invalid
from api.models import Body, Page, StopAnswer
from api.routes.contacts import StopReason
from api.routes.processes import KeyPath
from intake.operation_progress import REASONS, done_of, plain, rate_of, seconds_left
from intake.operations import MOST_CHOSEN, MOST_CONTACTS
from intake.refusals import Missing
from intake.starts import param_problems
from processes.problems import DocumentInvalid, Problem
from processes.values import Json, Key
from store import operations

router = APIRouter(prefix="/v1", tags=["operations"], route_class=JsonRoute)

RESULT_COLUMNS = ("subject", "status", "reason", "instance", "contact", "external_id", "email", "at")

Reference = Annotated[str, StringConstraints(min_length=1, max_length=320)]
OwnId = Annotated[str, StringConstraints(pattern=r"^[A-Za-z0-9][A-Za-z0-9._-]{0,63}$")]
Reason = Annotated[str, StringConstraints(strip_whitespace=True, min_length=1, max_length=500)]
OperationId = Annotated[str, Path(alias="operation", max_length=128)]
ResultStatus = Literal[
    "waiting", "started", "refused", "failed", "stopping", "stopped", "released", "skipped"
]

_ID = "An id of your own: sent again, it makes no second operation."
# A client that resolves dot segments sends `/contacts/../processes/welcome/stop` here: everyone is never the default.
_WHICH = 'say which instances to stop: give "contacts" or "instances", or "all": true for every one'
_EVERYTHING = 'this stops everything that runs for the contact: confirm it with "all": true'


class StartMany(Body):
    """Whom to start it for: a segment, or contacts by their references."""

    segment: Key | None = Field(default=None, description="All who are in it now.")
    contacts: list[Reference] | None = Field(
        default=None,
        min_length=1,
        max_length=MOST_CONTACTS,
        description="Our ids, ContactIds, e-mail addresses, phone numbers or tokens.",
    )
    key: Annotated[str, StringConstraints(min_length=1, max_length=255)] | None = None
    params: dict[str, Json] = Field(default_factory=dict, max_length=200)
    force: bool = Field(
        default=False,
        description="Start although the recurrence says no. Needs the scope `processes:activate` too.",
    )
    reason: Reason | None = Field(default=None, description="For the audit log.")
    id: OwnId | None = Field(default=None, description=_ID)

    model_config = ConfigDict(json_schema_extra={"examples": [{"segment": "vip"}]})


class StopMany(Body):
    """Which of a process's instances to stop: those of some contacts, some instances, or all."""

    all: bool = Field(default=False, description="Every open instance of the process.")
    reason: Reason | None = Field(
        default=None, description="Kept with each instance, in the audit log and in Temporal."
    )
    contacts: list[Reference] | None = Field(
        default=None, min_length=1, max_length=MOST_CHOSEN, description="Those of these contacts."
    )
    instances: list[Annotated[str, StringConstraints(min_length=1, max_length=500)]] | None = Field(
        default=None, min_length=1, max_length=MOST_CHOSEN, description="These."
    )
    id: OwnId | None = Field(default=None, description=_ID)


class ReleaseMany(Body):
    """Which held instances to release."""

    held: Annotated[str, StringConstraints(pattern=r"^[a-z][a-z_]{0,39}$")] | None = Field(
        default=None,
        description="The code of what they are held for, such as `failed`; all that are held if not given.",
        examples=["failed"],
    )
    reason: Reason | None = Field(default=None, description="For the audit log.")
    id: OwnId | None = Field(default=None, description=_ID)


class StopContact(StopReason):
    """A stop of everything that runs for a contact."""

    all: bool = Field(default=False, description="Must be true: the stop reaches every process.")


class OperationRow(BaseModel):
    """An operation on many and how far it is."""

    id: str = Field(description="The id of its Temporal workflow too.")
    kind: str = Field(description="start, stop or release")
    process: str
    state: str = Field(description="running, stopped (it can be resumed) or done")
    segment: str | None = None
    force: bool = False
    total: int | None = Field(default=None, description="How many it is for; null while they are gathered.")
    done: int
    counts: dict[str, int] = Field(description="How many have each status.")
    reasons: dict[str, int] = Field(description="Why some were refused, by what the reasons begin with.")
    rate: float | None = Field(default=None, description="How many a second, of late, while it runs.")
    seconds_left: int | None = Field(default=None, description="At this rate.")
    actor: str
    reason: str | None = Field(
        default=None, description="Why a stop was asked for; why the operation stopped."
    )
    created_at: datetime
    updated_at: datetime
    ended_at: datetime | None = None


class StopAccepted(OperationRow):
    """A stop that was asked for: nothing more is sent. Messages in `in_flight` had left before it."""

    in_flight: list[str]


class Releases(BaseModel):
    """The releases that were begun, one for each process that held somebody."""

    items: list[OperationRow]


class ResultRow(BaseModel):
    """What became of one."""

    subject: str = Field(
        description="The contact (our id, or the reference that was given), or the instance."
    )
    status: str
    reason: str | None = None
    instance: str | None = None
    contact: str | None = Field(default=None, description="Our id.")
    external_id: str | None = None
    email: str | None = None
    at: datetime


@router.post(
    "/processes/{key}/start-many",
    status_code=202,
    summary="Start a process for many",
    responses=problems(404, 409, 413, 415),
    dependencies=[needs("processes:start", process="key")],
)
async def start_many(
    key: KeyPath, body: StartMany, parts: PartsDep, actor: ActorDep, request: Request
) -> OperationRow:
    """For a segment or for chosen contacts. The recurrence applies to each; each has a result that says why."""
    if body.force:
        await Needs("processes:activate")(request)
    found = param_problems(body.params)
    if found:
        raise DocumentInvalid(found)
    operation = await parts.services.operations.start(
        key,
        segment=body.segment,
        contacts=body.contacts,
        key=body.key,
        params=body.params,
        force=body.force,
        actor=actor,
        reason=body.reason,
        operation=body.id,
    )
    return await _operation(parts, operation)


@router.post(
    "/processes/{key}/stop",
    status_code=202,
    summary="Stop a process's instances",
    responses=problems(404, 409, 413, 415),
    dependencies=[needs("processes:start", process="key")],
)
async def stop_process(
    key: KeyPath, parts: PartsDep, actor: ActorDep, body: StopMany | None = None, wait: WaitQuery = 10
) -> StopAccepted:
    """Name `contacts`, `instances`, or say `"all": true`. When this answers, nothing more of theirs is sent; their
    workflows are told at a bounded rate. The process itself goes on, and lets others in.
    """
    asked = body or StopMany()
    if asked.all is (asked.contacts is not None or asked.instances is not None):
        raise Invalid([Problem(pointer="/all", message=_WHICH)])
    done = await parts.services.operations.stop_process(
        key,
        asked.reason or "stopped by API",
        contacts=asked.contacts,
        instances=asked.instances,
        actor=actor,
        operation=asked.id,
        wait=wait,
    )
    row = await _operation(parts, done.operation)
    return StopAccepted(**row.model_dump(), in_flight=done.in_flight)


@router.post(
    "/processes/{key}/release",
    status_code=202,
    summary="Release a process's held instances",
    responses=problems(404, 409, 415),
    dependencies=[needs("processes:start", process="key")],
)
async def release_process(
    key: KeyPath, parts: PartsDep, actor: ActorDep, body: ReleaseMany | None = None
) -> OperationRow:
    """Each tries its step again. The answer says how many there are; the operation counts how many were released."""
    asked = body or ReleaseMany()
    made = await parts.services.operations.release(
        key, held=asked.held, actor=actor, reason=asked.reason, operation=asked.id
    )
    return await _operation(parts, made)


@router.post(
    "/releases",
    status_code=202,
    summary="Release held instances everywhere",
    responses=problems(409, 415),
    dependencies=[needs("processes:start", every_process=True)],
)
async def release_everywhere(parts: PartsDep, actor: ActorDep, body: ReleaseMany | None = None) -> Releases:
    """In every active process: after a provider's outage, say, with `{"held": "failed"}`."""
    asked = body or ReleaseMany()
    made = await parts.services.operations.release_everywhere(
        held=asked.held, actor=actor, reason=asked.reason, operation=asked.id
    )
    return Releases(items=[await _operation(parts, one) for one in made])


@router.post(
    "/contacts/{ref}/stop",
    summary="Stop all of a contact's instances",
    responses={
        202: {"model": StopAnswer, "description": "Stopped; a message was leaving already"},
        **problems(404, 415),
    },
    dependencies=[needs("processes:start", every_process=True)],
)
async def stop_contact(
    contact_id: ContactDep,
    parts: PartsDep,
    actor: ActorDep,
    response: Response,
    body: StopContact | None = None,
    wait: WaitQuery = 10,
) -> StopAnswer:
    """In every process, which the body confirms by `"all": true`. A message that had left already is named if it is not
    closed within `wait`.
    """
    if body is None or not body.all:
        raise Invalid([Problem(pointer="/all", message=_EVERYTHING)])
    reason = body.reason or "stopped by API"
    done = await parts.stops.stop_contact(contact_id, reason, actor=actor, wait=wait)
    if done.in_flight:
        response.status_code = 202
    return StopAnswer(stopped=bool(done.instances), instances=done.instances, in_flight=done.in_flight)


@router.get(
    "/operations",
    summary="Operations",
    responses=problems(),
    dependencies=[needs("reports:read", process="process", every_process=True)],
)
async def list_operations(
    services: ServicesDep,
    process: Annotated[Key | None, Query()] = None,
    kind: Annotated[Literal["start", "stop", "release"] | None, Query()] = None,
    state: Annotated[Literal["running", "stopped", "done"] | None, Query()] = None,
    limit: LimitQuery = 50,
    cursor: CursorQuery = None,
) -> Page[OperationRow]:
    """The newest first."""
    wanted = operations.OperationFilter(process=process, kind=kind, state=state)
    async with services.database.read() as connection:
        found = await operations.listed(connection, wanted, limit=limit, cursor=cursor)
    now = datetime.now(UTC)
    return Page(items=[_row(row, now) for row in found.items], next_cursor=found.next_cursor)


@router.get(
    "/operations/{operation}",
    summary="An operation",
    responses=problems(404),
    dependencies=[needs("reports:read", operation="operation")],
)
async def get_operation(operation: OperationId, parts: PartsDep) -> OperationRow:
    """How far it is."""
    return await _operation(parts, operation)


@router.post(
    "/operations/{operation}/stop",
    summary="Stop an operation",
    responses=problems(404, 409),
    dependencies=[needs("processes:start", operation="operation")],
)
async def stop_operation(operation: OperationId, parts: PartsDep, actor: ActorDep) -> OperationRow:
    """When this answers, it does nothing more; what it did stays, and it can be resumed. A stop is not taken back."""
    await parts.services.operations.stop(operation, actor)
    return await _operation(parts, operation)


@router.post(
    "/operations/{operation}/resume",
    summary="Resume a stopped operation",
    responses=problems(404, 409),
    dependencies=[needs("processes:start", operation="operation")],
)
async def resume_operation(operation: OperationId, parts: PartsDep, actor: ActorDep) -> OperationRow:
    """It goes on with those with whom nothing was done."""
    await parts.services.operations.resume(operation, actor)
    return await _operation(parts, operation)


@router.get(
    "/operations/{operation}/results",
    summary="What became of each",
    responses=problems(404),
    dependencies=[needs("contacts:read", operation="operation")],
)
async def list_results(
    operation: OperationId,
    parts: PartsDep,
    status: ResultStatus | None = None,
    limit: LimitQuery = 50,
    cursor: CursorQuery = None,
) -> Page[ResultRow]:
    """By the subject."""
    await _operation(parts, operation)
    async with parts.services.database.read() as connection:
        found = await operations.results(connection, operation, status, limit=limit, cursor=cursor)
    return Page(items=[_result(row) for row in found.items], next_cursor=found.next_cursor)


@router.get(
    "/operations/{operation}/results.csv",
    summary="What became of each, as CSV",
    response_class=StreamingResponse,
    responses={200: {"content": {"text/csv": {}}}, **problems(404)},
    dependencies=[needs("contacts:read", operation="operation")],
)
async def results_csv(
    operation: OperationId, parts: PartsDep, status: ResultStatus | None = None
) -> StreamingResponse:
    """Of any number."""
    await _operation(parts, operation)
    answer = csv_download(
        parts.services.database,
        RESULT_COLUMNS,
        lambda connection, limit, cursor: operations.results(
            connection, operation, status, limit=limit, cursor=cursor
        ),
        _result_line,
    )
    answer.headers["Content-Disposition"] = f'attachment; filename="{operation}.csv"'
    return answer


def _result_line(row: Any) -> Iterator[list[str]]:
    line = _result(row).model_dump(mode="json")
    yield [str(line[name] or "") for name in RESULT_COLUMNS]


async def _operation(parts: Parts, operation: str) -> OperationRow:
    async with parts.services.database.read() as connection:
        found = await operations.find(connection, operation)
    if found is None:
        raise Missing("operation", operation)
    return _row(found, datetime.now(UTC))


def _row(row: Any, now: datetime) -> OperationRow:
    return OperationRow(
        id=row.id,
        kind=row.kind,
        process=row.process_key,
        state=row.state,
        segment=row.params.get("segment"),
        force=bool(row.params.get("force")),
        total=row.total,
        done=done_of(row.counts),
        counts=plain(row.counts),
        reasons=row.counts.get(REASONS, {}),
        rate=rate_of(row, now),
        seconds_left=seconds_left(row, now),
        actor=row.actor,
        reason=row.reason,
        created_at=row.created_at,
        updated_at=row.updated_at,
        ended_at=row.ended_at,
    )


def _result(row: Any) -> ResultRow:
    return ResultRow(
        subject=row.subject,
        status=row.status,
        reason=row.reason,
        instance=row.instance_id,
        contact=row.contact_id,
        external_id=row.external_id,
        email=row.email,
        at=row.at,
    )
