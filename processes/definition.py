"""The definition language: a process as a document, its shape and its graph.

`parse` reads a document; what is wrong with it is reported all at once, each with its place. Whether what it
refers to exists is `processes/validation.py`'s question.
"""

from collections.abc import Callable, Collection, Iterable, Iterator, Mapping
from functools import cached_property
from typing import Any

from pydantic import BaseModel, ConfigDict, Field, TypeAdapter, ValidationError, field_validator

from processes.clock import ZoneName
from processes.durations import IN_WORDS
from processes.goals import END, Goal
from processes.problems import DocumentInvalid, Problem, problems_of, with_steps
from processes.recurrence import Recurrence
from processes.rules import Rule
from processes.steps import Step, StepBase
from processes.steps.base import MOST_VISITS
from processes.suggestions import did_you_mean
from processes.triggers import Trigger
from processes.values import Json, Key, StepId, Tag
from processes.windows import Cap, DeliveryWindow

_STEP: TypeAdapter[StepBase] = TypeAdapter(Step)

MAX_STEPS = 500
MAX_TRIGGERS = 50
MAX_GOALS = 20
MAX_VISITS = 10_000
"""So often an instance may come to a step of a loop where nothing else is said."""


class ProcessDefinition(BaseModel):
    """One state of a process: what starts and stops it, how often a contact may enter, and its steps."""

    model_config = ConfigDict(extra="forbid", ignored_types=(cached_property,), populate_by_name=True)

    key: Key
    name: str = Field(min_length=1, max_length=200)
    description: str | None = Field(default=None, max_length=2000)
    tags: list[Tag] = Field(default_factory=list, max_length=50)
    list_key: Key | None = Field(
        default=None,
        alias="list",
        description="The list it runs for; fixed once the process is made (Ecomail).",
    )
    purpose: str = Field(
        default="marketing",
        pattern="^(marketing|transactional)$",
        description="Marketing is sent only to who did not object; transactional (an order's confirmation) always.",
    )
    time_zone: ZoneName = Field(default="UTC", description="For contacts that have none of their own.")
    window: DeliveryWindow | None = Field(
        default=None, description="When its messages may go; a step's own window comes first."
    )
    caps: list[Cap] | None = Field(
        default=None,
        max_length=20,
        description="How many messages a contact may get, whoever sends them; an empty list: any number. The "
        "settings' where it is not given, but for a transactional process none.",
    )
    instance_key: str | None = Field(
        default=None,
        pattern=r"^(event\.key|params\.[A-Za-z_][A-Za-z0-9_]{0,63})$",
        description="What recurrence, stops and waits count by beside the contact (P7).",
    )
    triggers: list[Trigger] = Field(default_factory=list, max_length=MAX_TRIGGERS)
    recurrence: Recurrence
    first: StepId | None = Field(
        default=None, description="The step to begin with; the first in `steps` if not given."
    )
    steps: list[Step] = Field(min_length=1, max_length=MAX_STEPS)
    goals: list[Goal] = Field(default_factory=list, max_length=MAX_GOALS)
    max_visits: int = Field(
        default=MAX_VISITS,
        ge=1,
        le=MOST_VISITS,
        description="How often an instance may come to a step of a loop that does not say so itself.",
    )

    @field_validator("tags")
    @classmethod
    def _tags_once(cls, tags: Any) -> Any:
        if len(set(tags)) != len(tags):
            raise ValueError("a tag stands twice")
        return tags

    @cached_property
    def by_id(self) -> Mapping[str, StepBase]:
        """Each step by its id."""
        steps: Mapping[str, StepBase] = {step.id: step for step in self.steps}
        return steps

    @cached_property
    def entry(self) -> str:
        """The id of the step that an instance begins with."""
        first: str = self.first or self.steps[0].id
        return first

    @cached_property
    def looping(self) -> frozenset[str]:
        """The steps to which an instance can come twice, whose visits must be counted: those on a loop, and those
        that follow a goal, which may lead back to where the instance has been.
        """
        return frozenset(step.id for step in self.steps if self._returns(step, self._ways_on))

    @cached_property
    def goal_steps(self) -> frozenset[str]:
        """The steps to which goals lead."""
        return frozenset(goal.then for goal in self.goals if goal.then != END)

    def unwaiting_loop(self) -> str | None:
        """A step on a loop that can turn without any time passing, or None. Goals make none: each is met once."""
        return next((step.id for step in self.steps if self._returns(step, _instant_ways_out)), None)

    def reachable(self) -> frozenset[str]:
        """The steps that an instance can come to."""
        return self._from([self.entry, *self.goal_steps])

    def ahead_of(self, step_id: str) -> frozenset[str]:
        """The steps that an instance standing at `step_id` can still come to; `step_id` itself only through a loop."""
        here = self.by_id.get(step_id)
        first = [to for _, to in here.ways_out() if to is not None] if here is not None else []
        return self._from([*first, *self.goal_steps])

    def key_of(self, event_key: str | None, params: Mapping[str, Json]) -> str | None:
        """The instance key that an event gives: empty where the process has none, None where the event lacks it."""
        if self.instance_key is None:
            return ""
        value = (
            event_key if self.instance_key == "event.key" else params.get(self.instance_key.split(".", 1)[1])
        )
        if isinstance(value, bool) or not isinstance(value, (str, int)) or value == "":
            return None
        return str(value)

    def rules(self) -> Iterator[tuple[str, Rule]]:
        """Every rule with its place."""
        for index, trigger in enumerate(self.triggers):
            for place, rule in trigger.rules():
                yield f"/triggers/{index}/{place}", rule
        for index, step in enumerate(self.steps):
            for place, rule in step.rules():
                yield f"/steps/{index}/{place}", rule
        for index, goal in enumerate(self.goals):
            if goal.filter is not None:
                yield f"/goals/{index}/filter", goal.filter
            if goal.when is not None:
                yield f"/goals/{index}/when", goal.when

    def document(self, *, in_words: bool = False) -> dict[str, Any]:
        """The definition as JSON, as it was written: what was not set is left out. Lengths of time are in ISO 8601, or
        in words, for people to read and edit.
        """
        context = IN_WORDS if in_words else None
        return self.model_dump(mode="json", exclude_unset=True, by_alias=True, context=context)

    def _from(self, starts: Iterable[str]) -> frozenset[str]:
        seen: set[str] = set()
        todo = list(starts)
        while todo:
            here = todo.pop()
            if here in seen or here not in self.by_id:
                continue
            seen.add(here)
            todo += [to for _, to in self.by_id[here].ways_out() if to is not None]
        return frozenset(seen)

    def _ways_on(self, step: StepBase) -> Iterator[str | None]:
        yield from (to for _, to in step.ways_out())
        yield from self.goal_steps

    def _returns(self, start: StepBase, exits: Callable[[StepBase], Iterable[str | None]]) -> bool:
        seen: set[str] = set()
        todo = [start]
        while todo:
            for to in exits(todo.pop()):
                if to == start.id:
                    return True
                if to is not None and to not in seen and to in self.by_id:
                    seen.add(to)
                    todo.append(self.by_id[to])
        return False


def _instant_ways_out(step: StepBase) -> Iterator[str | None]:
    return step.instant_ways_out()


def parse(document: Any) -> ProcessDefinition:
    """Read a definition. Raises DocumentInvalid with every problem of its shape and of its graph."""
    if not isinstance(document, dict):
        raise DocumentInvalid(
            [Problem(pointer="", message="a process is an object with key, name, steps, …")]
        )
    try:
        definition = ProcessDefinition.model_validate(document)
    except ValidationError as error:
        found = [*problems_of(error, document, model=ProcessDefinition), *_dangling(document)]
        raise DocumentInvalid(with_steps(found, document)) from None
    problems = list(_graph_problems(definition))
    if problems:
        raise DocumentInvalid(with_steps(problems, document))
    return definition


def _dangling(document: dict[str, Any]) -> Iterator[Problem]:
    """Exits to steps that are not there, of those steps of a misshapen document that are well shaped themselves."""
    steps = document.get("steps")
    if not isinstance(steps, list):
        return
    ids = {str(step["id"]) for step in steps if isinstance(step, dict) and isinstance(step.get("id"), str)}
    for index, raw in enumerate(steps[:MAX_STEPS]):
        try:
            step = _STEP.validate_python(raw)
        except ValidationError:
            continue
        yield from _unknown_exits(index, step, ids)


def _unknown_exits(index: int, step: StepBase, ids: Collection[str]) -> Iterator[Problem]:
    for place, to in step.ways_out():
        if to is not None and to not in ids:
            yield Problem(
                pointer=f"/steps/{index}/{place}", message=f"there is no step «{to}»{did_you_mean(to, ids)}"
            )


def _graph_problems(definition: ProcessDefinition) -> Iterator[Problem]:
    seen: dict[str, int] = {}
    for index, step in enumerate(definition.steps):
        if step.id in seen:
            yield Problem(pointer=f"/steps/{index}/id", message=f"step «{step.id}» stands twice")
        seen.setdefault(step.id, index)
        if step.id in {"continue", "end"} and step.kind != "end":
            yield Problem(
                pointer=f"/steps/{index}/id", message=f"«{step.id}» is a reserved word, not a step's id"
            )
        yield from _unknown_exits(index, step, definition.by_id)
    yield from _goal_problems(definition)
    if definition.first is not None and definition.first not in definition.by_id:
        yield Problem(
            pointer="/first",
            message=f"there is no step «{definition.first}»{did_you_mean(definition.first, definition.by_id)}",
        )
        return
    reachable = definition.reachable()
    for index, step in enumerate(definition.steps):
        if step.id not in reachable:
            yield Problem(
                pointer=f"/steps/{index}", message=f"step «{step.id}» cannot be reached from the first step"
            )
    stuck = definition.unwaiting_loop()
    if stuck is not None:
        yield Problem(
            pointer=f"/steps/{seen[stuck]}",
            message=f"step «{stuck}» is on a loop without a wait: put a wait into the loop "
            "(one that passes at once where its moment is past or missing does not count)",
        )


def _goal_problems(definition: ProcessDefinition) -> Iterator[Problem]:
    names: set[str] = set()
    for index, goal in enumerate(definition.goals):
        if goal.name in names:
            yield Problem(pointer=f"/goals/{index}/name", message=f"goal «{goal.name}» stands twice")
        names.add(goal.name)
        if goal.then != END and goal.then not in definition.by_id:
            yield Problem(
                pointer=f"/goals/{index}/then",
                message=f"there is no step «{goal.then}»{did_you_mean(goal.then, definition.by_id)}",
            )
