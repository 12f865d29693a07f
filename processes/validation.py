"""Whether what a definition refers to exists and works: templates, lists, segments, other processes, its texts.

Pure: the caller brings what exists. The shape and the graph are `processes/definition.py`'s part.
"""

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field

from processes.definition import ProcessDefinition
from processes.problems import Problem
from processes.rules import references
from processes.triggers import EventTrigger, ListSubscribedTrigger, ListUnsubscribedTrigger


@dataclass(frozen=True)
class Surroundings:
    """What exists around a process. `templates` gives the reason why a template does not render, or None."""

    templates: Mapping[str, str | None] = field(default_factory=dict)
    lists: frozenset[str] = frozenset()
    segments: frozenset[str] = frozenset()
    processes: frozenset[str] = frozenset()
    check_text: Callable[[str], str | None] = lambda _: None


def problems(definition: ProcessDefinition, around: Surroundings) -> list[Problem]:
    """Everything that is wrong with a definition of the right shape; empty where it can be published."""
    return [*_references(definition, around), *_rules(definition, around), *_texts(definition, around)]


def _references(definition: ProcessDefinition, around: Surroundings) -> Iterator[Problem]:
    if definition.list_key is not None and definition.list_key not in around.lists:
        yield _missing("/list", "list", definition.list_key)
    for index, trigger in enumerate(definition.triggers):
        if (
            isinstance(trigger, (ListSubscribedTrigger, ListUnsubscribedTrigger))
            and trigger.list not in around.lists
        ):
            yield _missing(f"/triggers/{index}/list", "list", trigger.list)
        if isinstance(trigger, EventTrigger) and trigger.does == "stop":
            twin = (t for t in definition.triggers if isinstance(t, EventTrigger) and t.does == "start")
            if any(t.event == trigger.event and t.filter == trigger.filter for t in twin):
                yield Problem(
                    pointer=f"/triggers/{index}",
                    message=f"event «{trigger.event}» both starts and stops the process",
                )
    for index, step in enumerate(definition.steps):
        needs = step.needs()
        for place, template in needs.templates:
            if template not in around.templates:
                yield _missing(f"/steps/{index}/{place}", "template", template)
            elif (why := around.templates[template]) is not None:
                yield Problem(
                    pointer=f"/steps/{index}/{place}", message=f"template «{template}» does not render: {why}"
                )
        for place, key in needs.lists:
            if key not in around.lists:
                yield _missing(f"/steps/{index}/{place}", "list", key)
        for place, key in needs.processes:
            if key not in around.processes and key != definition.key:
                yield _missing(f"/steps/{index}/{place}", "process", key)


def _rules(definition: ProcessDefinition, around: Surroundings) -> Iterator[Problem]:
    for place, rule in definition.rules():
        refers = references(rule)
        for segment in sorted(refers.segments - around.segments):
            yield _missing(place, "segment", segment)
        for key in sorted(refers.lists - around.lists):
            yield _missing(place, "list", key)


def _texts(definition: ProcessDefinition, around: Surroundings) -> Iterator[Problem]:
    for index, step in enumerate(definition.steps):
        for place, text in step.texts():
            why = around.check_text(text)
            if why is not None:
                yield Problem(pointer=f"/steps/{index}/{place}", message=f"the text does not render: {why}")


def _missing(pointer: str, what: str, key: str) -> Problem:
    return Problem(pointer=pointer, message=f"there is no {what} «{key}»")
