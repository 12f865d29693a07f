"""What a step does in a preview: its effect on the facts, its message, and what its changes tell. Pure.

It asks for what it cannot know (a template rendered, when messages went, which rules hold), as the walk does whose
part it is (`processes/preview.py`).
"""

from collections.abc import Callable, Generator, Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import datetime
from typing import Any, Final

from processes.builtin_events import by_machine
from processes.definition import ProcessDefinition
from processes.facts import Change, Letter, Told
from processes.foretelling import After, Before, Held, effect, event_read_by
from processes.obstacles import Obstacle, caps_on, closed_window, full_cap
from processes.rules import Rule
from processes.steps import EffectStep
from processes.timeline import Asked, CannotRender, Compose, Judge, Latest, Message, Render, Unsent, Went
from processes.values import Json
from processes.verdicts import Verdict
from processes.ways import Path
from processes.windows import Cap

_WEBHOOK: Final = "webhook"


@dataclass(frozen=True, slots=True)
class Surroundings:
    """What a walk must know beside the contact. `event` has started the instance, `ruled` says of each segment whether
    it has a rule, `hears` whether anybody listens to a built-in event, `caps` are those of the settings.
    """

    event: Told
    ruled: Mapping[str, bool]
    hears: Callable[[str, Mapping[str, Json]], bool]
    caps: Sequence[Cap] = ()


@dataclass(frozen=True, slots=True)
class Gone(After):
    """What a message leaves, sent or not."""

    message: Message | Unsent | None = None


@dataclass(frozen=True, slots=True)
class Later:
    """The step may not act before `until` (UTC), because of `by`."""

    by: str
    until: datetime


Done = After | Gone | Later | Held | CannotRender


class Acting:
    """Does the steps of one process for one contact that was let in at `began` (UTC)."""

    def __init__(self, definition: ProcessDefinition, around: Surroundings, began: datetime) -> None:
        self._definition = definition
        self._around = around
        self._began = began
        self._went: dict[str, Sequence[datetime]] = {}
        self.key = definition.key_of(around.event.key, around.event.params) or ""

    def zone(self, path: Path) -> str:
        """The contact's, else the process's."""
        zone: str = path.facts.time_zone or self._definition.time_zone
        return zone

    def judge(self, path: Path, rules: tuple[Rule, ...], event: Mapping[str, Json] | None = None) -> Judge:
        """The question which rules hold here, with the params of the event that started it, or of another."""
        params = self._around.event.params if event is None else event
        return Judge(rules, path.facts, params, path.now, later=path.now > self._began or path.earliest)

    def act(self, path: Path, step: EffectStep) -> Generator[Asked, Any, Done]:
        """Do a step."""
        channel = next((name for _, name in step.needs().channels), None)
        if channel is None and step.kind == _WEBHOOK:
            channel = _WEBHOOK
        if channel is None:
            return (yield from self._change(path, step))
        return (yield from self._send(path, step, channel))

    def _change(self, path: Path, step: EffectStep) -> Generator[Asked, Any, After | Held | CannotRender]:
        texts: Mapping[str, str] | CannotRender = {}
        if any(True for _ in step.texts()):
            texts = yield Render(step, self._context(path))
        if isinstance(texts, CannotRender):
            return texts
        event = self._around.event
        read = event_read_by(step)
        latest = None
        if read is not None and read != event.type:
            latest = yield Latest(read, path.facts)
        return effect(
            step,
            Before(
                path.facts, path.now, texts, event.params, event.type, event.key, latest, self._around.ruled
            ),
        )

    def _send(
        self, path: Path, step: EffectStep, channel: str
    ) -> Generator[Asked, Any, Gone | Later | CannotRender]:
        composed = yield Compose(step, channel, path.facts, self._context(path))
        if isinstance(composed, CannotRender):
            return composed
        if isinstance(composed, Message):
            kept_back = yield from self._kept_back(path, step, composed)
            if kept_back is not None and kept_back.until is not None:
                return Later(kept_back.words, kept_back.until)
            if kept_back is not None:
                composed = Unsent(channel, kept_back.words, composed.recipient)
        state = "sent" if isinstance(composed, Message) else "skipped"
        detail = {"detail": composed.reason} if isinstance(composed, Unsent) else {}
        letter = Letter(self._definition.key, step.id, channel, state, path.now)
        facts = replace(path.facts, letters=(*path.facts.letters, letter))
        return Gone(facts, {"state": state, **detail}, [], {}, composed)

    def _kept_back(
        self, path: Path, step: EffectStep, message: Message
    ) -> Generator[Asked, Any, Obstacle | None]:
        zone, channel = self.zone(path), message.channel
        closed = closed_window(step, self._definition, path.now, zone)
        if closed is not None:
            return closed
        caps = caps_on(channel, self._definition, self._around.caps)
        if caps:
            if channel not in self._went:
                self._went[channel] = yield Went(path.facts.id, channel, max(cap.messages for cap in caps))
            on_the_way = [
                one.at for one in path.facts.letters if (one.channel, one.state) == (channel, "sent")
            ]
            went = sorted([*self._went[channel], *on_the_way], reverse=True)
            full = full_cap(caps, channel, went, path.now, zone)
            if full is not None:
                return full
        reason = path.facts.suppressed.get(channel)
        return None if reason is None else Obstacle(f"suppressed: {reason}")

    def _context(self, path: Path) -> dict[str, Json]:
        facts, event = path.facts, self._around.event
        contact: dict[str, Json] = {
            **facts.fields,
            "id": facts.external_id or facts.id or None,
            "email": facts.email,
            "phone": facts.phone,
            "language": facts.language,
            "time_zone": self.zone(path),
        }
        started: dict[str, Json] = {
            "id": event.id,
            "type": event.type,
            "key": event.key,
            "params": dict(event.params),
        }
        process: dict[str, Json] = {"key": self._definition.key, "name": self._definition.name}
        return {**path.aside, "contact": contact, "event": started, "process": process}

    def tell(
        self, path: Path, step: EffectStep, event_id: str, change: Change
    ) -> Generator[Asked, Any, None]:
        """What the step changed is an event: it may stop the instance itself, or meet one of its goals."""
        told = Told(event_id, change.type, change.params, path.now)
        if not self._around.hears(told.type, told.params):
            return
        for trigger in self._definition.triggers:
            if trigger.does != "stop" or trigger.listens_to()[0] != told.type:
                continue
            key = self._definition.key_of(None, told.params)
            if trigger.matches(told.params) and (not key or key == self.key):
                rules = () if trigger.filter is None else (trigger.filter,)
                if (yield from self._hold(path, rules, told)):
                    path.stopped_by = f"step {step.id} did what stops the process: {told.type}"
        if path.stopped_by is None:
            yield from self.meet(path, told)
        path.facts = replace(path.facts, told=(*path.facts.told, told))

    def meet(self, path: Path, told: Told) -> Generator[Asked, Any, None]:
        """Note the goals that an event meets."""
        if by_machine(told.type, told.params):
            return
        key = self._definition.key_of(told.key, told.params)
        if self._definition.instance_key is not None and key != self.key:
            return
        for goal in self._definition.goals:
            if goal.event != told.type or goal.name in path.reached or goal.name in path.came:
                continue
            rules = () if goal.filter is None else (goal.filter,)
            if (yield from self._hold(path, rules, told)):
                path.came = {**path.came, goal.name: told.id}

    def _hold(self, path: Path, rules: tuple[Rule, ...], told: Told) -> Generator[Asked, Any, bool]:
        if not rules:
            return True
        verdicts: Sequence[Verdict] = yield self.judge(path, rules, told.params)
        return all(one.holds for one in verdicts)
