"""What an edit changes: the difference of two states of a process, step by step; what becomes of who is inside (O9).

Pure. Where the contacts are is the caller's part.
"""

from collections.abc import Iterator, Mapping, Sequence
from datetime import UTC, datetime
from typing import Any, Literal

from pydantic import BaseModel, ConfigDict, Field

from processes.clock import add
from processes.definition import ProcessDefinition
from processes.durations import Duration
from processes.problems import Problem
from processes.steps import StepBase
from processes.values import Json, StepId

STEP_REMOVED = "step_removed"
"""The outcome of an instance that stood at a step that is no more, where nothing else is said."""

_A_MONDAY = datetime(2026, 1, 5, tzinfo=UTC)
"""Durations of months and of days are compared from here on."""
_APART = {"key", "steps"}


class FieldChange(BaseModel):
    """A field of a step, or of the process: null is «not given»."""

    field: str
    before: Json = None
    after: Json = None


class StepChange(BaseModel):
    """What becomes of a step. `wait` is set where it waits for a longer or shorter time than before; `replaced` is one
    of another kind now: it is no more to who stands there.
    """

    step: StepId
    change: Literal["added", "removed", "replaced", "changed"]
    kind: str
    wait: Literal["longer", "shorter"] | None = None
    fields: list[FieldChange] = []


class Difference(BaseModel):
    """Everything that differs: steps in the order of the new definition, removed ones last."""

    steps: list[StepChange] = []
    process: list[FieldChange] = []

    @property
    def touched(self) -> frozenset[str]:
        """The steps at which who waits must look again."""
        return frozenset(change.step for change in self.steps if change.change != "added")


class Inside(BaseModel):
    """What is to become of who is inside when a version is published."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    inside: Literal["stay", "move"] = Field(
        default="stay",
        description="Finish on the version that each began with, or go on by the new one from the step where each is.",
    )
    removed: dict[StepId, StepId | None] = Field(
        default_factory=dict,
        description="Where who stands at a removed step goes on; null, or a step that is not named: "
        f"the instance ends as `{STEP_REMOVED}`.",
    )


STAY = Inside()
"""Who is inside finishes on the version that each began with."""


def difference(before: ProcessDefinition, after: ProcessDefinition) -> Difference:
    """What makes `after` of `before`."""
    steps = [
        change
        for step in after.steps
        if (change := _step_change(before.by_id.get(step.id), step)) is not None
    ]
    steps += [
        StepChange(step=step.id, change="removed", kind=step.kind)
        for step in before.steps
        if step.id not in after.by_id
    ]
    return Difference(steps=steps, process=list(_fields(before.document(), after.document(), _APART)))


def wrong_choices(
    inside: Inside, befores: Sequence[ProcessDefinition], after: ProcessDefinition
) -> Iterator[Problem]:
    """What is wrong with a choice for who is inside, by the versions on which they are: it names a step that is not
    removed, or that is nowhere.
    """
    if inside.removed and inside.inside == "stay":
        yield Problem(pointer="/removed", message="who stays on the old version needs no other step")
    for step, to in inside.removed.items():
        if not any(step in before.by_id and not stands(before, step, after) for before in befores):
            yield Problem(pointer=f"/removed/{step}", message=f"the edit removes no step «{step}»")
        if to is not None and to not in after.by_id:
            yield Problem(pointer=f"/removed/{step}", message=f"there is no step «{to}» in the new version")


def stands(before: ProcessDefinition, step: str, after: ProcessDefinition) -> bool:
    """Whether a step is still there: one of another kind is another step."""
    return step in after.by_id and after.by_id[step].kind == before.by_id[step].kind


def landing(
    before: ProcessDefinition, step: str, hops: Sequence[tuple[Mapping[str, str | None], ProcessDefinition]]
) -> str | None:
    """Where an instance that stands at `step` goes on after edits, the oldest first: each with the choice for removed
    steps and the definition that it makes. None: it ends.
    """
    here = step
    for removed, after in hops:
        if not stands(before, here, after):
            to = removed.get(here)
            if to is None:
                return None
            here = to
        before = after
    return here


def becomes(
    inside: Inside, before: ProcessDefinition, step: str | None, after: ProcessDefinition
) -> tuple[str | None, str]:
    """Where an instance that stands at `step` (None: before the first) will be after an edit, and what becomes of it in
    words. No step: it ends.
    """
    if inside.inside == "stay":
        return step, "finishes on its version"
    if step is None:
        return after.entry, "begins by the new version"
    to = landing(before, step, [(inside.removed, after)])
    if to is None:
        return None, f"ends as {STEP_REMOVED}"
    if to != step or not stands(before, step, after):
        return to, f"goes on at «{to}»"
    change = _step_change(before.by_id[step], after.by_id[step])
    if change is None:
        return step, "stays where it is, and goes on by the new version"
    if change.wait is not None:
        return step, f"waits {change.wait}: the time that it has waited counts"
    return step, "stays where it is; the step is changed"


def _step_change(before: StepBase | None, after: StepBase) -> StepChange | None:
    if before is None:
        return StepChange(step=after.id, change="added", kind=after.kind)
    if before.kind != after.kind:
        return StepChange(step=after.id, change="replaced", kind=after.kind)
    fields = list(_fields(before.configuration(), after.configuration(), set()))
    if not fields:
        return None
    return StepChange(
        step=after.id, change="changed", kind=after.kind, wait=_wait_change(before, after), fields=fields
    )


def _fields(before: Mapping[str, Any], after: Mapping[str, Any], apart: set[str]) -> Iterator[FieldChange]:
    for name in dict.fromkeys((*before, *after)):
        if name not in apart and before.get(name) != after.get(name):
            yield FieldChange(field=name, before=before.get(name), after=after.get(name))


def _wait_change(before: StepBase, after: StepBase) -> Literal["longer", "shorter"] | None:
    was, is_now = _length(before), _length(after)
    if was is None or is_now is None or was == is_now:
        return None
    return "longer" if is_now > was else "shorter"


def _length(step: StepBase) -> datetime | None:
    """Until when a step waits that lasts so long, or at most so long, and begins on a fixed day."""
    duration = getattr(step, "duration", None) or getattr(step, "within", None)
    return add(_A_MONDAY, duration, "UTC") if isinstance(duration, Duration) else None
