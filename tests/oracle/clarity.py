"""Whether an answer to «why» is one: each decision has a reason in words, and nothing that happened is left out."""

import re
from collections.abc import Iterable, Iterator
from dataclasses import dataclass

from tests.oracle.outcome import ContactOutcome

_SHRUG = re.compile(r"\bunknown\b|\bunexplained\b|\?|\bNone\b|[{}]")
"""What no reason of Onward's says. `None` and braces are values that nobody put into words."""


@dataclass(frozen=True)
class Told:
    """A line of the answer."""

    what: str
    code: str
    says: str
    instance: str | None
    event: str | None
    step: str | None = None


def unclear(outcome: ContactOutcome, process: str, lines: Iterable[Told]) -> Iterator[str]:
    """What is wrong with the answer for a contact and a process, as sentences."""
    told = list(lines)
    for line in told:
        if not line.code or not line.says or line.code == "unexplained":
            yield f"why {process}: no reason is given: {line}"
        elif line.what != "message" and _SHRUG.search(line.says):  # what the other side said is its own
            yield f"why {process}: it says «{line.says}»"
    events = {line.event for line in told if line.what == "event"}
    for event, decisions in outcome.events.items():
        if any(said.process == process for said in decisions) and event not in events:
            yield f"why {process}: it does not say what event {event} did"
    for found in outcome.instances.values():
        if found.process != process:
            continue
        mine = [line for line in told if line.instance == found.id]
        if not found.open and not any(line.what == "end" for line in mine):
            yield f"why {process}: it does not say how {found.id} ended"
        for row in found.messages:
            if not any(line.what == "message" and line.step == row.step for line in mine):
                yield f"why {process}: it does not say what became of the message of {found.id} at {row.step}"
        for visit in found.visits:
            if not any(line.step == visit.step for line in mine):
                yield f"why {process}: it does not say what {found.id} did at {visit.step}"
