"""Imports of contacts from CSV: made, sent in parts or in one, watched, and reported row by row (C5)."""

from collections.abc import Iterator
from dataclasses import asdict
from datetime import datetime
from typing import Annotated, Any, Literal

from fastapi import APIRouter, Path, Query, Request, Response
from fastapi.responses import StreamingResponse
from pydantic import BaseModel, ConfigDict, Field, ValidationError
from starlette.requests import ClientDisconnect

from api.access import ActorDep, Caller, CallerDep, needs
from api.addresses import AddressedRoute
from api.bodies import JsonRoute, content_type
from api.deps import CursorQuery, LimitQuery, Parts, PartsDep, ServicesDep
from api.documentation import problems
from api.downloads import csv_download
from api.errors import BadRequest, Forbidden, Invalid, WrongContentType
from api.models import Page
from intake.csv_records import ENCODINGS, BadCsv
from intake.import_chunk import ImportOptions, Summary
from intake.refusals import Missing
from processes.problems import DocumentInvalid, Problem, problems_of
from store import imports

router = APIRouter(prefix="/v1/imports", tags=["imports"], route_class=JsonRoute)
streamed = APIRouter(prefix="/v1/imports", tags=["imports"], route_class=AddressedRoute)
"""Routes that read their body piece by piece."""

REPORT_COLUMNS = ("row", "status", "contact", "column", "message")

RowStatus = Literal["created", "updated", "kept", "refused"]
ImportId = Annotated[str, Path(alias="import", max_length=64)]
EXAMPLE: dict[str, Any] = {
    "name": "contacts.csv",
    "columns": {"Mail": "email", "Birthday": "birthday:date", "Remark": None},
    "list": "news",
    "tags": ["fair-2026"],
}


class NewImport(ImportOptions):
    """What an import is to do."""

    model_config = ConfigDict(json_schema_extra={"examples": [EXAMPLE]})


class ImportRow(BaseModel):
    """An import and how far it is."""

    id: str
    state: str = Field(description="open, done or stopped")
    options: ImportOptions
    rows: int = Field(description="Taken until now.")
    created: int
    updated: int
    kept: int = Field(description="There already, and the import does not change those.")
    refused: int
    last_line: int = Field(description="The last row that was taken: go on with the next. 0: none was.")
    created_at: datetime
    updated_at: datetime
    ended_at: datetime | None = None


class Taken(BaseModel):
    """What became of the rows of one request."""

    import_id: str = Field(serialization_alias="import")
    received: int
    created: int
    updated: int
    kept: int
    refused: int
    repeated: int = Field(description="Taken by an earlier request: nothing was done.")
    last_line: int


class RowReport(BaseModel):
    """What became of a row. A row that is not refused may have problems too: a list that it did not get into."""

    row: int = Field(description="The row's number in the file, as a spreadsheet shows it.")
    status: str = Field(description="created, updated, kept or refused")
    contact: str | None = Field(default=None, description="Our id.")
    problems: list[Problem] = Field(description="Pointers are columns, by the name in the header.")


_CSV_BODY = {
    "requestBody": {
        "required": True,
        "content": {
            "text/csv": {"schema": {"type": "string"}, "example": "email,city\nanna@example.com,Brno\n"},
            "application/octet-stream": {"schema": {"type": "string", "format": "binary"}},
        },
    }
}


@router.post(
    "",
    dependencies=[needs("contacts:write")],
    status_code=201,
    summary="Begin an import",
    responses=problems(415),
)
async def create_import(body: NewImport, parts: PartsDep, caller: CallerDep) -> ImportRow:
    """Then send its rows, in one request or in many, and finish it."""
    _may_import(caller)
    import_id = await parts.imports.create(body, caller.actor)
    return await _import(parts, import_id)


@router.get("", dependencies=[needs("contacts:read")], summary="Imports")
async def list_imports(
    services: ServicesDep, limit: LimitQuery = 50, cursor: CursorQuery = None
) -> Page[ImportRow]:
    """The newest first."""
    async with services.database.read() as connection:
        found = await imports.listed(connection, limit=limit, cursor=cursor)
        items = [_answer(row, await imports.progress(connection, row.id)) for row in found.items]
    return Page(items=items, next_cursor=found.next_cursor)


@streamed.post(
    "/csv",
    dependencies=[needs("contacts:write", list="list")],
    summary="Import a whole CSV",
    description="Begins an import, takes every row and finishes it, in one request of any size. Where the request "
    "breaks off, the rows that came are in, and the import is open: `GET /v1/imports` shows it.",
    response_model=Taken,
    responses=problems(400, 413, 415, 422),
    openapi_extra=_CSV_BODY,
)
async def import_csv(
    request: Request,
    caller: CallerDep,
    list_key: Annotated[str | None, Query(alias="list", description="Subscribe them to this list.")] = None,
    tag: Annotated[list[str] | None, Query(description="Add these tags.")] = None,
    mapping: Annotated[
        list[str] | None,
        Query(
            alias="map",
            description="`column=meaning`, as often as needed; nothing after `=` leaves the column out.",
        ),
    ] = None,
    rest: Annotated[
        Literal["keep", "drop"],
        Query(description="Columns that are not known: keep them as fields, or drop them."),
    ] = "keep",
    country: Annotated[
        str | None, Query(description="Country (ISO 3166) of phone numbers without an international prefix.")
    ] = None,
    delimiter: str | None = None,
    trigger: bool = False,
    update: bool = True,
    on_conflict: Literal["replace", "keep"] = "replace",
    name: Annotated[str | None, Query(max_length=200)] = None,
) -> Response:
    """One request."""
    _may_import(caller)
    parts: Parts = request.app.state.parts
    encoding = _encoding(request)
    given = {
        "name": name,
        "list": list_key,
        "tags": tag or [],
        "columns": _mapping(mapping or []),
        "rest": rest,
        "country": country,
        "delimiter": delimiter,
        "trigger": trigger,
        "update": update,
        "on_conflict": on_conflict,
    }
    try:
        import_id = await parts.imports.create(ImportOptions.model_validate(given), caller.actor)
    except ValidationError as error:
        raise Invalid(_of_query(problems_of(error, given))) from None
    except DocumentInvalid as invalid:
        raise Invalid(_of_query(invalid.problems)) from None
    try:
        answer = await _take(parts, import_id, request, encoding, 1)
    except DocumentInvalid:
        await parts.imports.stop(import_id, caller.actor)
        raise
    await parts.imports.finish(import_id, caller.actor)
    return answer


@router.get("/{import}", dependencies=[needs("contacts:read")], summary="An import", responses=problems(404))
async def get_import(import_id: ImportId, parts: PartsDep) -> ImportRow:
    """How far it is."""
    return await _import(parts, import_id)


@streamed.post(
    "/{import}/rows",
    dependencies=[needs("contacts:write")],
    summary="Send rows of an import",
    description="CSV of any size. Row 1 is the header; `from` says which row comes first where a part of the file is "
    "sent. A row that was taken before is not taken again, so a part that broke off is sent once more.",
    response_model=Taken,
    responses=problems(400, 404, 409, 413, 415, 422),
    openapi_extra=_CSV_BODY,
)
async def send_rows(
    request: Request,
    import_id: ImportId,
    caller: CallerDep,
    first: Annotated[
        int, Query(alias="from", ge=1, le=2**31 - 1, description="The number of the first row that comes.")
    ] = 1,
) -> Response:
    """As many as come."""
    _may_import(caller)
    parts: Parts = request.app.state.parts
    return await _take(parts, import_id, request, _encoding(request), first)


@router.post(
    "/{import}/finish",
    dependencies=[needs("contacts:write")],
    summary="Finish an import",
    responses=problems(404, 409),
)
async def finish_import(import_id: ImportId, parts: PartsDep, actor: ActorDep) -> ImportRow:
    """It takes no more rows."""
    await parts.imports.finish(import_id, actor)
    return await _import(parts, import_id)


@router.post(
    "/{import}/stop",
    dependencies=[needs("contacts:write")],
    summary="Stop an import",
    responses=problems(404, 409),
)
async def stop_import(import_id: ImportId, parts: PartsDep, actor: ActorDep) -> ImportRow:
    """It takes no more rows; what it took stays."""
    await parts.imports.stop(import_id, actor)
    return await _import(parts, import_id)


@router.get(
    "/{import}/rows",
    dependencies=[needs("contacts:read")],
    summary="What became of the rows",
    responses=problems(404),
)
async def list_rows(
    import_id: ImportId,
    parts: PartsDep,
    status: RowStatus | None = None,
    limit: LimitQuery = 50,
    cursor: CursorQuery = None,
) -> Page[RowReport]:
    """In the file's order."""
    await _import(parts, import_id)
    async with parts.services.database.read() as connection:
        found = await imports.rows_of(connection, import_id, status, limit=limit, cursor=cursor)
    return Page(items=[_report(row) for row in found.items], next_cursor=found.next_cursor)


@router.get(
    "/{import}/report.csv",
    dependencies=[needs("contacts:read")],
    summary="What became of the rows, as CSV",
    response_class=StreamingResponse,
    responses={200: {"content": {"text/csv": {}}}, **problems(404)},
)
async def report_csv(
    import_id: ImportId, parts: PartsDep, status: RowStatus | None = None
) -> StreamingResponse:
    """A line for each problem of a row, and one for a row without."""
    await _import(parts, import_id)
    return csv_download(
        parts.services.database,
        REPORT_COLUMNS,
        lambda connection, limit, cursor: imports.rows_of(
            connection, import_id, status, limit=limit, cursor=cursor
        ),
        _report_lines,
    )


def _may_import(caller: Caller) -> None:
    if caller.lists is not None:
        raise Forbidden("a file may name any list: a key that is limited to some lists cannot import")


def _report_lines(row: Any) -> Iterator[list[str]]:
    for problem in row.problems or [{"pointer": "", "message": ""}]:
        where = _column(problem["pointer"])
        yield [str(row.line), row.status, row.contact_id or "", where, problem["message"]]


def _column(pointer: str) -> str:
    return pointer.removeprefix("/").replace("~1", "/").replace("~0", "~")


async def _take(parts: Parts, import_id: str, request: Request, encoding: str, first: int) -> Response:
    try:
        summary = await parts.imports.take(import_id, request.stream(), encoding=encoding, first=first)
    except BadCsv as error:
        raise BadRequest(
            f"the body is not CSV: {error}; the rows before it are in",
            facts={"import": import_id, "row": error.line},
        ) from None
    except ClientDisconnect:
        raise BadRequest("the body broke off; the rows that came whole are in") from None
    return _taken(import_id, summary)


def _taken(import_id: str, summary: Summary) -> Response:
    answer = Taken(import_id=import_id, **asdict(summary))
    return Response(answer.model_dump_json(by_alias=True), media_type="application/json")


def _encoding(request: Request) -> str:
    """The encoding of a CSV. Raises WrongContentType."""
    kind = content_type(request)
    if kind not in {"text/csv", "application/csv", "application/octet-stream", ""}:
        raise WrongContentType(f"send text/csv, not {kind}")
    _, _, charset = request.headers.get("content-type", "").lower().partition("charset=")
    name = charset.partition(";")[0].strip().strip('"') or "utf-8"
    if name not in ENCODINGS:
        raise WrongContentType(f"the charset {name[:40]} is not known: {', '.join(ENCODINGS)}")
    return name


def _of_query(found: list[Problem]) -> list[Problem]:
    return [p.model_copy(update={"pointer": "?" + p.pointer.removeprefix("/")}) for p in found]


def _mapping(given: list[str]) -> dict[str, str | None]:
    mapping: dict[str, str | None] = {}
    for one in given:
        column, equals, meaning = one.rpartition("=")
        if not equals or not column:
            raise Invalid([Problem(pointer="?map", message=f"«{one[:100]}» is not column=meaning")])
        mapping[column] = meaning or None
    return mapping


async def _import(parts: Parts, import_id: str) -> ImportRow:
    async with parts.services.database.read() as connection:
        found = await imports.find(connection, import_id)
        if found is None:
            raise Missing("import", import_id)
        return _answer(found, await imports.progress(connection, import_id))


def _answer(row: Any, progress: imports.Progress) -> ImportRow:
    return ImportRow(
        id=row.id,
        state=row.state,
        options=ImportOptions.model_validate(row.options),
        rows=progress.rows,
        created=row.created,
        updated=row.updated,
        kept=progress.rows - row.created - row.updated - row.refused,
        refused=row.refused,
        last_line=progress.last_line,
        created_at=row.created_at,
        updated_at=row.updated_at,
        ended_at=row.ended_at,
    )


def _report(row: Any) -> RowReport:
    return RowReport(
        row=row.line,
        status=row.status,
        contact=row.contact_id,
        problems=[Problem(**problem) for problem in row.problems or []],
    )
