"""Processes in the oracle's own words, and the documents that tell them to Onward.

A flow is a straight line of steps; an `Ask` ends it and goes on in one of two flows. That is all that the oracle has to
know of a process to say what each contact must be sent.
"""

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any, Literal

Recurrence = Literal["each_time", "once", "when_finished", "once_per"]


@dataclass(frozen=True)
class Send:
    """Sends the template `<process>-<id>`."""

    id: str


@dataclass(frozen=True)
class Sleep:
    """Waits for so many seconds."""

    id: str
    seconds: float


@dataclass(frozen=True)
class Tag:
    """Adds a tag."""

    id: str
    tag: str


@dataclass(frozen=True)
class StartOther:
    """Starts another process for the same contact."""

    id: str
    process: str


@dataclass(frozen=True)
class Ask:
    """Waits for an event; `patience` in seconds. A patient one never gives up within a run."""

    id: str
    event: str
    patience: float
    came: "Flow"
    silent: "Flow" = ()

    @property
    def patient(self) -> bool:
        """Whether only an event can end it."""
        return self.patience >= 3600


Step = Send | Sleep | Tag | StartOther | Ask
Flow = tuple[Step, ...]


@dataclass(frozen=True)
class ProcessModel:
    """A process. `versions[0]` is version 1; `period` is in seconds, for `once_per`."""

    key: str
    recurrence: Recurrence
    versions: tuple[Flow, ...]
    starts: str | None = None
    stops: tuple[str, ...] = ()
    keyed: bool = False
    period: float = 0

    def ask(self, version: int) -> Ask | None:
        """The question that a version asks, if any."""
        return next((step for step in self.versions[version - 1] if isinstance(step, Ask)), None)

    @property
    def blocks(self) -> bool:
        """Whether every instance stays open until an event answers it."""
        asks = [self.ask(number + 1) for number in range(len(self.versions))]
        return all(ask is not None and ask.patient for ask in asks)

    def paths(self, version: int) -> list[Flow]:
        """Every way through a version: one, or one for each answer."""
        flow = self.versions[version - 1]
        if not flow or not isinstance(flow[-1], Ask):
            return [flow]
        ask = flow[-1]
        ways = [flow + ask.came]
        return ways if ask.patient else [*ways, flow + ask.silent]


@dataclass(frozen=True)
class World:
    """Processes that run side by side."""

    processes: tuple[ProcessModel, ...]

    def __getitem__(self, key: str) -> ProcessModel:
        return self.by_key[key]

    @property
    def by_key(self) -> dict[str, ProcessModel]:
        """The processes by their keys."""
        return {process.key: process for process in self.processes}

    def templates(self) -> Iterator[tuple[str, str]]:
        """Every template's key and subject. A subject says process, step, contact and event: no two are alike."""
        for process in self.processes:
            for key in sorted(_templates(process)):
                event = "{{ event.id }}" if process.starts else "-"
                yield key, f"{key}/{{{{ contact.id }}}}/{event}"


def subject(process: ProcessModel, step: Send, contact: str, event: str | None) -> str:
    """What the message of a step must be called."""
    return f"{process.key}-{step.id}/{contact}/{event if process.starts else '-'}"


def document(process: ProcessModel, version: int) -> dict[str, Any]:
    """The definition of a version, as Onward reads it."""
    triggers: list[dict[str, Any]] = []
    if process.starts is not None:
        triggers.append({"type": "event", "event": process.starts})
    triggers += [{"type": "event", "event": event, "does": "stop"} for event in process.stops]
    recurrence: Any = process.recurrence
    if process.recurrence == "once_per":
        recurrence = {"mode": "once_per", "period": f"{process.period:g}s"}
    steps: list[dict[str, Any]] = []
    _write(process, process.versions[version - 1], steps)
    return {
        "key": process.key,
        "name": f"{process.key.title()} of the fault world",
        "purpose": "transactional",
        "recurrence": recurrence,
        "triggers": triggers,
        **({"instance_key": "event.key"} if process.keyed else {}),
        "steps": steps,
    }


def _write(process: ProcessModel, flow: Flow, steps: list[dict[str, Any]]) -> None:
    for position, step in enumerate(flow):
        following = {"next": flow[position + 1].id} if position + 1 < len(flow) else {}
        match step:
            case Send(id):
                steps.append({"id": id, "type": "send_email", "template": f"{process.key}-{id}", **following})
            case Sleep(id, seconds):
                steps.append({"id": id, "type": "wait", "for": f"{seconds:g}s", **following})
            case Tag(id, tag):
                steps.append({"id": id, "type": "add_tag", "tag": tag, **following})
            case StartOther(id, other):
                steps.append({"id": id, "type": "start_process", "process": other, **following})
            case Ask(id, event, patience, came, silent):
                ways = {"next": came, "on_timeout": silent}
                steps.append(
                    {
                        "id": id,
                        "type": "wait_for_event",
                        "event": event,
                        "within": f"{patience:g}s",
                        **{name: way[0].id for name, way in ways.items() if way},
                    }
                )
                for way in ways.values():
                    _write(process, way, steps)


def _templates(process: ProcessModel) -> set[str]:
    found: set[str] = set()
    for number in range(len(process.versions)):
        for path in process.paths(number + 1):
            found |= {f"{process.key}-{step.id}" for step in path if isinstance(step, Send)}
    return found
