"""Where everyone is (O6): a process's contacts by step and state, and what is due next."""

from collections import Counter, defaultdict
from collections.abc import Sequence
from datetime import UTC, datetime
from typing import Annotated

from fastapi import APIRouter, Path, Query
from pydantic import BaseModel, Field
from sqlalchemy import select

from api.access import CallerDep, needs
from api.bodies import JsonRoute
from api.deps import CursorQuery, LimitQuery, ServicesDep
from api.documentation import problems
from api.models import InstanceRow, Page
from api.rows import instance_row
from intake.refusals import Missing
from processes.definition import ProcessDefinition
from processes.values import Key
from store import reading, rows, where
from store.where import Count

router = APIRouter(prefix="/v1", tags=["where"], route_class=JsonRoute)


class StepPlace(BaseModel):
    """How many contacts are at a step. `step` is null for those who have not come to one."""

    step: str | None
    kind: str | None = Field(default=None, description="Null where the published version has no such step.")
    name: str | None = None
    pending: int = 0
    running: int = 0
    waiting: int = 0
    overdue: int = Field(default=0, description="Of those who wait: whose time is over for a minute or more.")
    holding: int = 0
    stopping: int = 0
    ended: dict[str, int] = Field(default={}, description="By outcome: those who were stopped here, say.")


class TestRuns(BaseModel):
    """Test runs, which nothing else counts."""

    open: int
    ended: int


class Whereabouts(BaseModel):
    """Where the contacts of a process are, counted at one moment."""

    process: str
    name: str
    status: str
    version: int | None
    at: datetime
    open: int
    ended: dict[str, int] = Field(description="All who have ended, by outcome.")
    steps: list[StepPlace] = Field(description="In the definition's order; those of earlier versions last.")
    test_runs: TestRuns


@router.get(
    "/processes/{key}/where",
    dependencies=[needs("reports:read", process="key")],
    summary="Where a process's contacts are",
    responses=problems(404),
)
async def where_is_everyone(key: Annotated[Key, Path()], services: ServicesDep) -> Whereabouts:
    """Exact, from Onward's own rows: also when Temporal has forgotten the runs."""
    now = datetime.now(UTC)
    p = rows.processes.c
    async with services.database.read() as connection:
        row = (
            await connection.execute(select(p.name, p.status, p.version).where(p.key == key))
        ).one_or_none()
        if row is None:
            raise Missing("process", key)
        definition = None
        if row.version is not None:
            definition = await services.catalog.definition(connection, key, row.version)
        counted = await where.counts(connection, key)
        overdue = await where.overdue_by_step(connection, key, now)
    real = [one for one in counted if not one.test]
    tests = Counter(one.state == "ended" for one in counted if one.test for _ in range(one.number))
    ended: Counter[str] = Counter()
    for one in real:
        if one.state == "ended":
            ended[one.outcome or ""] += one.number
    return Whereabouts(
        process=key,
        name=row.name,
        status=row.status,
        version=row.version,
        at=now,
        open=sum(one.number for one in real if one.state != "ended"),
        ended=dict(ended),
        steps=_places(real, overdue, definition),
        test_runs=TestRuns(open=tests[False], ended=tests[True]),
    )


@router.get(
    "/due",
    dependencies=[needs("contacts:read", process="process")],
    summary="What is due next",
    responses=problems(404),
)
async def list_due(
    services: ServicesDep,
    caller: CallerDep,
    process: Annotated[Key | None, Query(description="Of this process; else of all.")] = None,
    overdue: Annotated[bool, Query(description="Only whose time is over for a minute or more.")] = False,
    limit: LimitQuery = 50,
    cursor: CursorQuery = None,
) -> Page[InstanceRow]:
    """Instances whose wait ends, the soonest first; `next` says with what they go on, and when."""
    p = rows.processes.c
    before = datetime.now(UTC) - where.OVERDUE if overdue else None
    async with services.database.read() as connection:
        there = list((await connection.execute(select(p.key).order_by(p.key))).scalars())
        if process is not None and process not in there:
            raise Missing("process", process)
        wanted = [process] if process is not None else there
        if process is None and caller.processes is not None:
            wanted = [key for key in there if key in caller.processes]
        found = await where.due(connection, wanted, before=before, limit=limit, cursor=cursor)
        known = await reading.definitions_of(connection, services.catalog, found.items)
    return Page(items=[instance_row(row, known) for row in found.items], next_cursor=found.next_cursor)


def _places(
    counted: Sequence[Count], overdue: dict[str, int], definition: ProcessDefinition | None
) -> list[StepPlace]:
    """A row for each step of the definition, and for whatever else somebody stands at."""
    numbers: defaultdict[str | None, Counter[str]] = defaultdict(Counter)
    ended: defaultdict[str | None, Counter[str]] = defaultdict(Counter)
    for one in counted:
        if one.state != "ended":
            numbers[one.step][one.state] += one.number
        elif one.step is not None:
            ended[one.step][one.outcome or ""] += one.number
    own = [step.id for step in definition.steps] if definition is not None else []
    others = sorted(step for step in {*numbers, *ended} if step is not None and step not in own)
    listed: list[str | None] = [*([None] if None in numbers else []), *own, *others]
    known = {} if definition is None else definition.by_id
    return [
        StepPlace(
            step=step,
            kind=known[step].kind if step is not None and step in known else None,
            name=known[step].name if step is not None and step in known else None,
            overdue=overdue.get(step or "", 0),
            ended=dict(ended[step]),
            **numbers[step],
        )
        for step in listed
    ]
