"""Processes: drafts, versions, and their status (P1, P2); starts by name (O1). The rules are in `intake`."""

from dataclasses import replace
from datetime import datetime
from typing import Annotated, Any, Literal

from fastapi import APIRouter, Path, Query, Request, Response
from pydantic import AwareDatetime, BaseModel, Field, StringConstraints
from sqlalchemy import select

from api.access import ActorDep, CallerDep, Needs, allow_document, needs
from api.bodies import JsonRoute, read_document
from api.deps import SOURCE, PartsDep, ServicesDep
from api.documentation import problems
from api.errors import in_lines
from api.models import Body, JsonObject, Validity
from intake.events import Decision
from intake.process_rows import ALLOWED
from intake.processes import ProcessState
from intake.refusals import Missing
from intake.starts import param_problems
from processes.differences import STAY, Inside
from processes.problems import DocumentInvalid, Problem
from processes.values import Json, Key
from store import definitions, reading, rows

router = APIRouter(prefix="/v1/processes", tags=["processes"], route_class=JsonRoute)

KeyPath = Annotated[Key, Path()]

EXAMPLE = {
    "key": "welcome",
    "name": "Welcome series",
    "recurrence": "once",
    "triggers": [{"type": "event", "event": "registered"}],
    "steps": [
        {"id": "hello", "type": "send_email", "template": "welcome", "next": "pause"},
        {"id": "pause", "type": "wait", "for": "3 days", "next": "tag"},
        {"id": "tag", "type": "add_tag", "tag": "welcomed"},
    ],
}
_DOCUMENT: dict[str, Any] = {
    "requestBody": {
        "required": True,
        "content": {
            "application/json": {
                "schema": {"$ref": "#/components/schemas/ProcessDocument"},
                "example": EXAMPLE,
            },
            "application/yaml": {"schema": {"$ref": "#/components/schemas/ProcessDocument"}},
        },
    }
}


class ProcessDocument(BaseModel):
    """A definition: key, name, recurrence, triggers, steps. The whole language is in the docs."""

    key: str | None = Field(default=None, description="The address's where it is not given.")
    name: str
    recurrence: str | JsonObject
    triggers: list[JsonObject] = []
    steps: list[JsonObject]

    model_config = {"extra": "allow"}


class ProcessRow(BaseModel):
    """A process of a list."""

    key: str
    name: str
    status: str = Field(description="draft, active, paused or archived")
    paused_until: datetime | None = Field(default=None, description="Then a pause ends by itself.")
    version: int | None = Field(default=None, description="The published version; null before the first.")
    has_draft: bool
    list: str | None = None
    created_at: datetime
    updated_at: datetime


class ProcessDetail(ProcessRow):
    """A process with its definition, its draft, its launch conditions and how many are in it."""

    draft: JsonObject | None = None
    definition: JsonObject | None = None
    launch_conditions: JsonObject = Field(
        description="Triggers, recurrence and list of the published version (V3)."
    )
    counts: dict[str, int] = Field(description="Instances by state.")
    allowed: list[str] = Field(description="What may be done with it now.")


class ProcessVersionRow(BaseModel):
    """An immutable published state."""

    process: str
    version: int
    definition: JsonObject
    published_at: datetime


class ProcessAnswer(BaseModel):
    """A process after a change."""

    key: str
    name: str
    status: str
    version: int | None = None
    problems: list[Problem] = Field(description="What keeps the draft from being published.")
    warnings: list[Problem] = Field(
        default_factory=list, description="What is allowed, and may still not be what was meant."
    )
    released: int = Field(default=0, description="Held instances that were released.")
    stopped: int = Field(default=0, description="Instances that were stopped.")


class PauseWanted(Body):
    """How long the pause is to last."""

    until: AwareDatetime | None = Field(
        default=None,
        description="Then it goes on by itself, within seconds; a draft that is not published yet stays one.",
        examples=["2026-11-24T09:00:00+01:00"],
    )


class StartWanted(Body):
    """Whom to start it for."""

    contact: Annotated[str, StringConstraints(min_length=1, max_length=320)] = Field(
        description="Our id, ContactId, e-mail address, phone number or token."
    )
    key: Annotated[str, StringConstraints(min_length=1, max_length=255)] | None = None
    params: dict[str, Json] = Field(default_factory=dict, max_length=200)
    force: bool = Field(
        default=False,
        description="Start although the recurrence says no. Needs the scope `processes:activate` too.",
    )
    restart: bool = Field(
        default=False,
        description="Stop the contact's open instances of the process first (with `key`, those of that key). If the "
        "recurrence refuses the start, as `once` does without `force`, nothing is stopped.",
    )


@router.get("", dependencies=[needs("reports:read")], summary="Processes", responses=problems())
async def list_processes(
    services: ServicesDep,
    caller: CallerDep,
    status: Annotated[Literal["draft", "active", "paused", "archived"] | None, Query()] = None,
) -> dict[Literal["items"], list[ProcessRow]]:
    """All, by key."""
    p = rows.processes
    statement = select(p).order_by(p.c.key)
    if status is not None:
        statement = statement.where(p.c.status == status)
    if caller.processes is not None:
        statement = statement.where(p.c.key.in_(caller.processes))
    async with services.database.read() as connection:
        found = (await connection.execute(statement)).all()
    return {"items": [ProcessRow(**_row(row)) for row in found]}


@router.post(
    "/validate",
    dependencies=[needs("processes:edit")],
    summary="Check a definition",
    responses=problems(400, 413, 415),
    openapi_extra=_DOCUMENT,
)
async def validate(request: Request, parts: PartsDep) -> Validity:
    """Everything that is wrong at once, each with its place. Nothing is stored."""
    found, warned = await parts.lifecycle.validate(await read_document(request))
    return Validity(
        valid=not found, problems=await in_lines(request, found), warnings=await in_lines(request, warned)
    )


@router.get(
    "/{key}",
    dependencies=[needs("reports:read", process="key")],
    summary="A process",
    responses=problems(404),
)
async def get_process(key: KeyPath, services: ServicesDep) -> ProcessDetail:
    """Its status, its definition, its launch conditions and how many are in it."""
    async with services.database.read() as connection:
        row = (
            await connection.execute(select(rows.processes).where(rows.processes.c.key == key))
        ).one_or_none()
        if row is None:
            raise Missing("process", key)
        published = None if row.version is None else await definitions.version(connection, key, row.version)
        counts = await reading.state_counts(connection, key)
    document = None if published is None else published.definition
    return ProcessDetail(
        **_row(row),
        draft=row.draft,
        definition=document,
        launch_conditions=_launch(document),
        counts=counts,
        allowed=list(ALLOWED[row.status]),
    )


@router.put(
    "/{key}",
    dependencies=[needs("processes:edit", process="key")],
    summary="Make or replace a process's draft",
    responses={
        201: {"model": ProcessAnswer, "description": "A new process"},
        **problems(400, 409, 413, 415, 422),
    },
    openapi_extra=_DOCUMENT,
)
async def put_process(
    key: KeyPath, request: Request, parts: PartsDep, response: Response, caller: CallerDep
) -> ProcessAnswer:
    """JSON, or YAML as `application/yaml`. Only a draft or a paused process can be edited."""
    document = await read_document(request)
    allow_document(caller, key, document)
    state = await parts.lifecycle.put(key, document, caller.actor)
    if state.created:
        response.status_code = 201
    state = replace(
        state,
        problems=await in_lines(request, state.problems),
        warnings=await in_lines(request, state.warnings),
    )
    return process_answer(state)


@router.get(
    "/{key}/versions/{version}",
    dependencies=[needs("reports:read", process="key")],
    summary="A version of a process",
    responses=problems(404),
)
async def get_version(
    key: KeyPath, version: Annotated[int, Path(ge=1, le=2**31 - 1)], services: ServicesDep
) -> ProcessVersionRow:
    """As it was published."""
    async with services.database.read() as connection:
        row = await definitions.version(connection, key, version)
    if row is None:
        raise Missing("version", f"{key} {version}")
    return ProcessVersionRow(
        process=key, version=version, definition=row.definition, published_at=row.published_at
    )


@router.post(
    "/{key}/validate",
    dependencies=[needs("processes:edit", process="key")],
    summary="Check a process's draft, or a document for it",
    responses=problems(400, 404, 413, 415),
    openapi_extra={"requestBody": {**_DOCUMENT["requestBody"], "required": False}},
)
async def validate_process(key: KeyPath, request: Request, parts: PartsDep) -> Validity:
    """Without a body: the draft, else the published version."""
    if await request.body():
        document = await read_document(request)
        found, warned = await parts.lifecycle.validate(
            {"key": key, **document} if isinstance(document, dict) else document
        )
    else:
        found, warned = await parts.lifecycle.validate_stored(key)
    return Validity(
        valid=not found, problems=await in_lines(request, found), warnings=await in_lines(request, warned)
    )


@router.post(
    "/{key}/publish",
    dependencies=[needs("processes:edit", process="key")],
    summary="Publish a process's draft",
    responses=problems(404, 409, 422),
)
async def publish(key: KeyPath, parts: PartsDep, actor: ActorDep, body: Inside = STAY) -> ProcessAnswer:
    """Makes the next version. The status stays as it is. Who is inside finishes on the old version, or moves."""
    return process_answer(await parts.lifecycle.publish(key, body, actor=actor))


@router.post(
    "/{key}/activate",
    dependencies=[needs("processes:activate", process="key")],
    summary="Activate or resume a process",
    responses=problems(404, 409, 422),
)
async def activate(key: KeyPath, parts: PartsDep, actor: ActorDep) -> ProcessAnswer:
    """Publishes the draft first where there is one; instances that the pause held go on."""
    return process_answer(await parts.lifecycle.activate(key, actor))


@router.post(
    "/{key}/pause",
    dependencies=[needs("processes:activate", process="key")],
    summary="Pause a process",
    responses=problems(404, 409),
)
async def pause(
    key: KeyPath, parts: PartsDep, actor: ActorDep, body: PauseWanted | None = None
) -> ProcessAnswer:
    """It admits nobody; its instances hold at their next step, timers go on."""
    until = body.until if body is not None else None
    return process_answer(await parts.lifecycle.pause(key, actor, until))


@router.post(
    "/{key}/archive",
    dependencies=[needs("processes:activate", process="key")],
    summary="Archive a process",
    responses=problems(404, 409),
)
async def archive(
    key: KeyPath,
    parts: PartsDep,
    actor: ActorDep,
    stop_instances: Annotated[bool, Query(description="Stop those that are in it.")] = False,
) -> ProcessAnswer:
    """409 with their number while contacts are in it, unless they are to be stopped."""
    return process_answer(await parts.lifecycle.archive(key, actor, stop_open=stop_instances))


@router.post(
    "/{key}/instances",
    dependencies=[needs("processes:start", process="key")],
    status_code=201,
    summary="Start a process for a contact",
    response_model_exclude_none=True,
    responses={
        202: {"model": Decision, "description": "Admitted; the start is pending"},
        **problems(404, 409, 415),
    },
)
async def start(
    key: KeyPath,
    body: StartWanted,
    parts: PartsDep,
    request: Request,
    response: Response,
    actor: ActorDep,
) -> Decision:
    """The recurrence applies, and 409 says why where it refuses."""
    if body.force:
        await Needs("processes:activate")(request)
    found = param_problems(body.params)
    if found:
        raise DocumentInvalid(found)
    decision = await parts.starts.start(
        key,
        body.contact,
        key=body.key,
        params=body.params,
        force=body.force,
        source=SOURCE,
        actor=actor,
        restart=body.restart,
    )
    if decision.decision == "pending":
        response.status_code = 202
    return decision


def process_answer(state: ProcessState) -> ProcessAnswer:
    return ProcessAnswer(
        key=state.key,
        name=state.name,
        status=state.status,
        version=state.version,
        problems=state.problems,
        warnings=state.warnings,
        released=state.released,
        stopped=state.stopped,
    )


def _row(row: Any) -> dict[str, Any]:
    return {
        "key": row.key,
        "name": row.name,
        "status": row.status,
        "paused_until": row.paused_until,
        "version": row.version,
        "has_draft": row.draft is not None,
        "list": row.list_key,
        "created_at": row.created_at,
        "updated_at": row.updated_at,
    }


def _launch(document: dict[str, Any] | None) -> dict[str, Any]:
    if document is None:
        return {}
    named = ("triggers", "recurrence", "instance_key", "list")
    return {name: document[name] for name in named if document.get(name) is not None}
