"""What is wrong with a step, as who publishes its process is told."""

from collections.abc import Mapping
from typing import Any

from processes.definition import parse
from processes.problems import DocumentInvalid, Problem
from processes.validation import Surroundings, problems


def problems_of_step(
    step: Mapping[str, Any], channels: Mapping[str, str | None] | None = None
) -> list[Problem]:
    """The problems of a process that has this step only. `channels`: the setting that each lacks. A text with an open
    `{{` at its end does not render.
    """
    document = {"key": "p", "name": "P", "recurrence": "once", "steps": [dict(step)]}
    try:
        definition = parse(document)
    except DocumentInvalid as invalid:
        return invalid.problems
    around = Surroundings(
        channels=channels or {}, check_text=lambda text: "no" if text.endswith("{{") else None
    )
    return problems(definition, around)
