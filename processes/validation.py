"""Whether what a definition refers to exists and works: templates, lists, segments, other processes, its texts.

Pure: the caller brings what exists. The shape and the graph are `processes/definition.py`'s part.
"""

from collections.abc import Callable, Collection, Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any

from processes.builtin_events import BUILTIN
from processes.definition import ProcessDefinition
from processes.problems import Problem, with_steps
from processes.rules import references
from processes.steps import Needs, Step
from processes.suggestions import did_you_mean
from processes.triggers import Trigger
from processes.triggers.event import EventTrigger
from processes.triggers.schedules import DUE_PARAMS, ScheduledTrigger


@dataclass(frozen=True)
class Surroundings:
    """What exists around a process. `templates` gives the reason why a template does not render, or None;
    `ruled_segments` are those of the segments that have a rule. `channels` gives the setting that a channel lacks, or
    None. `event_types` are those that were made by hand or have come at least once.
    """

    templates: Mapping[str, str | None] = field(default_factory=dict)
    lists: frozenset[str] = frozenset()
    segments: frozenset[str] = frozenset()
    ruled_segments: frozenset[str] = frozenset()
    processes: frozenset[str] = frozenset()
    channels: Mapping[str, str | None] = field(default_factory=dict)
    event_types: frozenset[str] = frozenset()
    check_text: Callable[[str], str | None] = lambda _: None
    check_step: Callable[[Step], Iterable[tuple[str, str]]] = lambda _: ()
    """What in a step its channel can never take, whoever the contact is: the field and why."""


def problems(definition: ProcessDefinition, around: Surroundings) -> list[Problem]:
    """Everything that is wrong with a definition of the right shape; empty where it can be published."""
    found = [
        *_references(definition, around),
        *_rules(definition, around),
        *_texts(definition, around),
        *_values(definition, around),
        *_keys(definition),
    ]
    return with_steps(found, definition.document())


def warnings(definition: ProcessDefinition, around: Surroundings) -> list[Problem]:
    """What is allowed, and may still not be what was meant: an event that nobody has sent or made so far."""
    known = around.event_types | BUILTIN.keys()
    found = [
        Problem(pointer=place, message=_never_came(event_type, known))
        for place, event_type in _event_types(definition)
        if event_type not in known
    ]
    return with_steps(found, definition.document())


def templates_of(definition: ProcessDefinition) -> frozenset[str]:
    """The keys of the templates that a definition names, in its steps and its triggers."""
    needed = [step.needs() for step in definition.steps]
    needed += [trigger.needs() for trigger in definition.triggers]
    return frozenset(template for needs in needed for _, template in needs.templates)


def _event_types(definition: ProcessDefinition) -> Iterator[tuple[str, str]]:
    """Every event type that is waited for or asked about, with its place."""
    for index, trigger in enumerate(definition.triggers):
        if isinstance(trigger, EventTrigger):
            yield f"/triggers/{index}/event", trigger.event
    for index, step in enumerate(definition.steps):
        event_type = step.model_dump(include={"event"}).get("event")
        if event_type is not None:
            yield f"/steps/{index}/event", event_type
    for index, goal in enumerate(definition.goals):
        if goal.event is not None:
            yield f"/goals/{index}/event", goal.event
    for place, rule in definition.rules():
        for event_type in sorted(references(rule).event_types):
            yield place, event_type


def _never_came(event_type: str, known: Collection[str]) -> str:
    return (
        f"no event «{event_type}» has ever come, and nobody made such a type{did_you_mean(event_type, known)}"
    )


def _references(definition: ProcessDefinition, around: Surroundings) -> Iterator[Problem]:
    if definition.list_key is not None and definition.list_key not in around.lists:
        yield _missing("/list", "list", definition.list_key, around.lists)
    starts = [_occasion(trigger) for trigger in definition.triggers if trigger.does == "start"]
    for index, trigger in enumerate(definition.triggers):
        yield from _needed(f"/triggers/{index}", trigger.needs(), definition, around)
        if trigger.does == "stop" and _occasion(trigger) in starts:
            event_type, _ = trigger.listens_to()
            yield Problem(
                pointer=f"/triggers/{index}",
                message=f"event «{event_type}» both starts and stops the process",
            )
    for index, step in enumerate(definition.steps):
        yield from _needed(f"/steps/{index}", step.needs(), definition, around)


def _occasion(trigger: Trigger) -> dict[str, Any]:
    """What a trigger is about, whether it starts or stops."""
    return trigger.model_dump(exclude={"does", "max_age"}, exclude_unset=True)


def _needed(
    where: str, needs: Needs, definition: ProcessDefinition, around: Surroundings
) -> Iterator[Problem]:
    for place, template in needs.templates:
        if template not in around.templates:
            yield _missing(f"{where}/{place}", "template", template, around.templates)
        elif (why := around.templates[template]) is not None:
            yield Problem(pointer=f"{where}/{place}", message=f"template «{template}» does not render: {why}")
    for place, key in needs.lists:
        if key not in around.lists:
            yield _missing(f"{where}/{place}", "list", key, around.lists)
    for place, key in needs.processes:
        if key not in around.processes and key != definition.key:
            yield _missing(f"{where}/{place}", "process", key, around.processes)
    for place, key in (*needs.segments, *needs.segments_by_hand):
        if key not in around.segments:
            yield _missing(f"{where}/{place}", "segment", key, around.segments)
    for place, key in needs.segments_by_hand:
        if key in around.ruled_segments:
            yield Problem(
                pointer=f"{where}/{place}",
                message=f"segment «{key}» has a rule: its members cannot be changed by hand",
            )
    for place, channel in needs.channels:
        if (setting := around.channels.get(channel)) is not None:
            yield Problem(
                pointer=f"{where}/{place}",
                message=f"the channel «{channel}» is not configured: set {setting}",
            )


def _keys(definition: ProcessDefinition) -> Iterator[Problem]:
    """An instance key that the event of a trigger never has keeps everyone out."""
    if definition.instance_key in {None, *(f"params.{name}" for name in DUE_PARAMS)}:
        return
    for index, trigger in enumerate(definition.triggers):
        if isinstance(trigger, ScheduledTrigger):
            yield Problem(
                pointer=f"/triggers/{index}",
                message=f"it would start nobody: what time starts has no {definition.instance_key}",
            )


def _rules(definition: ProcessDefinition, around: Surroundings) -> Iterator[Problem]:
    for place, rule in definition.rules():
        refers = references(rule)
        for segment in sorted(refers.segments - around.segments):
            yield _missing(place, "segment", segment, around.segments)
        for key in sorted(refers.lists - around.lists):
            yield _missing(place, "list", key, around.lists)


def _texts(definition: ProcessDefinition, around: Surroundings) -> Iterator[Problem]:
    for index, step in enumerate(definition.steps):
        for place, text in step.texts():
            why = around.check_text(text)
            if why is not None:
                yield Problem(pointer=f"/steps/{index}/{place}", message=f"the text does not render: {why}")


def _values(definition: ProcessDefinition, around: Surroundings) -> Iterator[Problem]:
    for index, step in enumerate(definition.steps):
        for place, why in around.check_step(step):
            yield Problem(pointer=f"/steps/{index}/{place}", message=why)


def _missing(pointer: str, what: str, key: str, known: Collection[str]) -> Problem:
    return Problem(pointer=pointer, message=f"there is no {what} «{key}»{did_you_mean(key, known)}")
