"""One step of one instance: skip it, skip its wait, move the instance, send a message again (O5).

These routes stand before the one that takes every path under `/v1/instances/`.
"""

from collections.abc import Callable
from typing import Annotated, Any, Literal, TypeVar

from fastapi import APIRouter, Query
from pydantic import BaseModel, Field, StringConstraints, ValidationError

from api.access import ActorDep, needs
from api.bodies import JsonRoute
from api.deps import PartsDep
from api.documentation import problems
from api.errors import Unavailable
from api.models import Body
from intake.events import new_event_id
from intake.one_step import NotAnswered
from intake.refusals import StepRefused
from processes.instructions import CANCEL_STEP, MOVE, RESEND, RESTORE_STEP, SKIP, SKIP_WAIT
from processes.values import Json, StepId

router = APIRouter(prefix="/v1/instances", tags=["instances"], route_class=JsonRoute)

F = TypeVar("F", bound=Callable[..., Any])
A = TypeVar("A", bound=BaseModel)

UpdateId = Annotated[str, StringConstraints(min_length=1, max_length=100, pattern=r"^[A-Za-z0-9._:-]+$")]
WaitQuery = Annotated[float, Query(ge=1, le=60, description="Seconds to wait for the answer.")]


class StepWish(Body):
    """Why, and where the instance is thought to stand: refused where it has gone on."""

    id: UpdateId | None = Field(default=None, description="The same id again does nothing twice.")
    reason: Annotated[str, StringConstraints(min_length=1, max_length=500)] | None = None
    step: StepId | None = Field(default=None, description="Only if it stands at this step.")
    visit: int | None = Field(
        default=None, ge=1, le=2**31 - 1, description="Only if it is there for this time."
    )


class MoveStepWish(StepWish):
    """Where to."""

    to: StepId


class ResendStepWish(Body):
    """Which step's message."""

    id: UpdateId | None = Field(default=None, description="The same id again sends nothing twice.")
    reason: Annotated[str, StringConstraints(min_length=1, max_length=500)] | None = None
    step: StepId


class StepDone(BaseModel):
    """What the instance does next."""

    id: str = Field(description="The update's id.")
    next: dict[str, Json] = Field(
        description="The instruction: `do` is perform, wait or end; `step`, `visit`."
    )


class MessageResent(BaseModel):
    """What became of the message that was sent again, as the ledger has it."""

    id: str = Field(description="The update's id.")
    message: str
    state: Literal[
        "sent",
        "refused",
        "skipped",
        "unknown",
        "withdrawn",
        "soft_bounced",
        "sending_refused",
        "bounced",
        "complained",
    ]
    detail: str | None = None


def _operation(name: str, summary: str) -> Callable[[F], F]:
    """The route of what a person does with an instance: the scope, and the refusals, are the same for each."""
    return router.post(
        f"/{{instance_id:path}}/{name}",
        dependencies=[needs("processes:start", instance="instance_id")],
        summary=summary,
        responses=problems(404, 409, 415, 503),
    )


async def _ask(
    answer: type[A], parts: PartsDep, instance: str, kind: str, body: Body, actor: str, wait: float
) -> A:
    said = body.model_dump(exclude_none=True)
    given = said.pop("id", None)
    update = given or new_event_id()
    try:
        done = await parts.one_step.ask(
            instance,
            kind,
            {**said, "actor": actor},
            update=update,
            wait=wait,
            perhaps_again=given is not None,
        )
    except NotAnswered as error:
        raise Unavailable(
            f"{error}; it may still be done: ask again with the id {update}",
            facts={"id": update},
            headers={"Retry-After": "5"},
        ) from error
    try:
        return answer(id=update, **done)
    except ValidationError:
        raise StepRefused(
            f"instance «{instance}»: the id {update} is that of something else that was done"
        ) from None


class StepAheadWish(Body):
    """Which step ahead."""

    id: UpdateId | None = Field(default=None, description="The same id again changes nothing twice.")
    reason: Annotated[str, StringConstraints(min_length=1, max_length=500)] | None = None
    step: StepId = Field(description="A step that the instance has not come to yet.")


class StepsAhead(BaseModel):
    """What is cancelled ahead now."""

    id: str = Field(description="The update's id.")
    cancelled: list[str] = Field(
        description="The steps that will be skipped when the instance comes to them."
    )


@_operation("skip", "Skip the step where an instance stands")
async def skip(
    instance_id: str, parts: PartsDep, actor: ActorDep, body: StepWish | None = None, wait: WaitQuery = 20
) -> StepDone:
    """It is left undone, and the instance goes on with what follows. A wait is over as by its time limit."""
    return await _ask(StepDone, parts, instance_id, SKIP, body or StepWish(), actor, wait)


@_operation("skip-wait", "End an instance's wait now")
async def skip_wait(
    instance_id: str, parts: PartsDep, actor: ActorDep, body: StepWish | None = None, wait: WaitQuery = 20
) -> StepDone:
    """As if its time were over. What a delivery window or a cap holds is sent."""
    return await _ask(StepDone, parts, instance_id, SKIP_WAIT, body or StepWish(), actor, wait)


@_operation("move", "Move an instance to another step")
async def move(
    instance_id: str, body: MoveStepWish, parts: PartsDep, actor: ActorDep, wait: WaitQuery = 20
) -> StepDone:
    """It leaves the step where it stands undone. What it comes to again is a visit of its own, and is sent again."""
    return await _ask(StepDone, parts, instance_id, MOVE, body, actor, wait)


@_operation("resend", "Send a step's message again")
async def resend(
    instance_id: str, body: ResendStepWish, parts: PartsDep, actor: ActorDep, wait: WaitQuery = 20
) -> MessageResent:
    """With an id of its own; the instance stays where it is."""
    return await _ask(MessageResent, parts, instance_id, RESEND, body, actor, wait)


@_operation("cancel-step", "Cancel a step ahead")
async def cancel_step(
    instance_id: str, body: StepAheadWish, parts: PartsDep, actor: ActorDep, wait: WaitQuery = 20
) -> StepsAhead:
    """The step is skipped, once, when the instance comes to it. The instance goes on as it is until then."""
    return await _ask(StepsAhead, parts, instance_id, CANCEL_STEP, body, actor, wait)


@_operation("restore-step", "Restore a step that was cancelled ahead")
async def restore_step(
    instance_id: str, body: StepAheadWish, parts: PartsDep, actor: ActorDep, wait: WaitQuery = 20
) -> StepsAhead:
    """The step happens again as the process says. Restoring a step that is not cancelled changes nothing."""
    return await _ask(StepsAhead, parts, instance_id, RESTORE_STEP, body, actor, wait)
