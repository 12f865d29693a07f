"""Editing a live process (O9): what an edit changes and what becomes of who is inside; cancelling it."""

from datetime import datetime

from fastapi import APIRouter
from pydantic import BaseModel, Field

from api.access import ActorDep, needs
from api.bodies import JsonRoute
from api.deps import PartsDep
from api.documentation import problems
from api.routes.processes import KeyPath, ProcessAnswer, process_answer
from processes.differences import STAY, FieldChange, Inside, StepChange

router = APIRouter(prefix="/v1/processes", tags=["processes"], route_class=JsonRoute)


class MomentRow(BaseModel):
    """So many contacts wait until one moment, and will wait until another."""

    before: datetime
    after: datetime | None = Field(description="Null: they go on at once.")
    count: int


class MomentsRow(BaseModel):
    """When contacts go on who wait at a step that the edit changes, if the process is resumed now."""

    examined: int = Field(description="Of many contacts, those that are due first are looked at.")
    earlier: int
    later: int
    unchanged: int
    at_once: int
    changes: list[MomentRow] = Field(description="The most frequent ones.")


class StandingRow(BaseModel):
    """So many instances of a version that stand at a step in a state, and what will become of them."""

    version: int
    step: str | None = Field(description="Null: not begun yet.")
    state: str
    count: int
    to: str | None = Field(description="Where they will be; null: they end.")
    becomes: str = Field(examples=["waits longer: the time that it has waited counts"])
    moments: MomentsRow | None = Field(
        default=None,
        description="Of those who wait at a changed wait, and move: until when, before and after.",
    )


class Changes(BaseModel):
    """What publishing the draft would do."""

    version: int = Field(description="The published version, with which the draft is compared.")
    steps: list[StepChange]
    process: list[FieldChange]
    inside: list[StandingRow]


@router.post(
    "/{key}/changes",
    dependencies=[needs("processes:edit", process="key")],
    summary="Preview an edit",
    responses=problems(404, 409, 422),
)
async def preview_edit(key: KeyPath, parts: PartsDep, body: Inside = STAY) -> Changes:
    """Nothing is changed by it. The body is what would be sent with the publishing; test runs do not count."""
    found = await parts.lifecycle.preview_edit(key, body)
    return Changes(
        version=found.version,
        steps=found.difference.steps,
        process=found.difference.process,
        inside=[StandingRow.model_validate(row, from_attributes=True) for row in found.standing],
    )


@router.delete(
    "/{key}/draft",
    dependencies=[needs("processes:edit", process="key")],
    summary="Cancel an edit",
    responses=problems(404, 409),
)
async def drop_draft(key: KeyPath, parts: PartsDep, actor: ActorDep) -> ProcessAnswer:
    """The draft is dropped; the process is what its published version says. It stays paused until it is resumed."""
    return process_answer(await parts.lifecycle.drop_draft(key, actor))
