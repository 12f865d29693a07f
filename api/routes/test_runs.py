"""Test runs: a process for one address, with its waits cut short (O7). The rules are in `intake/test_runs.py`."""

from datetime import UTC, datetime
from typing import Annotated

from fastapi import APIRouter, Path, Response
from pydantic import BaseModel, Field, StringConstraints

from api.access import ActorDep, needs
from api.bodies import JsonRoute
from api.deps import PartsDep
from api.documentation import problems
from api.models import Body
from intake.starts import param_problems
from processes.clock import add
from processes.durations import Duration
from processes.problems import DocumentInvalid
from processes.values import Json, Key

router = APIRouter(prefix="/v1/processes", tags=["processes"], route_class=JsonRoute)


class TestRunWanted(Body):
    """Whom to test it with, and how long its waits may last."""

    email: Annotated[str, StringConstraints(min_length=3, max_length=320)] = Field(
        description="Its contact is made where there is none; its messages are sent."
    )
    cap: Duration | None = Field(
        default=None, description="No wait lasts longer. 5 minutes; with skip_time, waits are not cut."
    )
    skip_time: bool = Field(default=False, description="The run's clock jumps over its waits.")
    draft: bool | None = Field(
        default=None,
        description="True: the draft, as it is now; false: the published version. If not given, the published version "
        "where there is one, else the draft.",
    )
    key: Annotated[str, StringConstraints(min_length=1, max_length=255)] | None = None
    params: dict[str, Json] = Field(
        default_factory=dict, max_length=200, description="What the steps see as the event's."
    )


class TestRunAnswer(BaseModel):
    """The test run, and the instances of the process that were stopped for it."""

    instance: str
    version: int | None = Field(description="The published version that it runs; null: the draft.")
    draft: bool = Field(description="Whether it runs the draft, as it was when it began.")
    contact: str = Field(description="Our id.")
    stopped: list[str]
    started: bool = Field(
        description="False: Temporal has not confirmed it yet; it starts as soon as it can."
    )


@router.post(
    "/{key}/test-run",
    dependencies=[needs("processes:start", process="key")],
    status_code=201,
    summary="Test a process with an address",
    responses={
        202: {"model": TestRunAnswer, "description": "Admitted; the start is pending"},
        **problems(404, 409, 415),
    },
)
async def test_run(
    key: Annotated[Key, Path()], body: TestRunWanted, parts: PartsDep, actor: ActorDep, response: Response
) -> TestRunAnswer:
    """The published version or the draft, whatever the process's status but archived. It counts nowhere and starts
    nothing else. A draft has to be fit for publishing: a 422 has what is wrong with it.
    """
    found = param_problems(body.params)
    if found:
        raise DocumentInvalid(found)
    now = datetime.now(UTC)
    made = await parts.test_runs.start(
        key,
        body.email,
        cap=None if body.cap is None else add(now, body.cap, "UTC") - now,
        skip_time=body.skip_time,
        key=body.key,
        params=body.params,
        actor=actor,
        draft=body.draft,
    )
    if not made.confirmed:
        response.status_code = 202
    return TestRunAnswer(
        instance=made.instance,
        version=made.version,
        draft=made.version is None,
        contact=made.contact,
        stopped=made.stopped,
        started=made.confirmed,
    )
