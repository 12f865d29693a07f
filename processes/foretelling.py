"""What a step's effect makes of a contact's facts, and what would be recorded of it: the pure part of the activities.

A step whose effect is out in the world (a message, a webhook) changes no fact of the contact, and is not told of here.
A kind of step without an entry changes none either; `tests/processes/test_foretelling.py` knows them all.
"""

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, replace
from datetime import datetime
from typing import Any

from processes.builtin_events import NOTE_ADDED
from processes.clock import check_zone
from processes.facts import SUBSCRIBED, UNSUBSCRIBED, Change, Facts
from processes.steps import EffectStep, StepBase
from processes.steps.add_note import AddNote
from processes.steps.add_tag import AddTag
from processes.steps.add_to_segment import AddToSegment
from processes.steps.block import Block
from processes.steps.edit_contact import OWN_COLUMNS, EditContact
from processes.steps.get_order import GetOrder
from processes.steps.move import Move
from processes.steps.remove_from_segment import RemoveFromSegment
from processes.steps.remove_tag import RemoveTag
from processes.steps.start_process import StartProcess
from processes.steps.stop_process import StopProcess
from processes.steps.subscribe import Subscribe
from processes.steps.unsubscribe import Unsubscribe
from processes.values import Json

_ADDRESSES: Mapping[str, tuple[str, str]] = {
    "email": ("email", "e-mail address"),
    "sms": ("phone", "phone number"),
}


@dataclass(frozen=True, slots=True)
class Before:
    """What an effect finds: the facts, the step's texts rendered (by their place), the event that started the instance,
    and the latest event of the type that the step reads.

    `ruled` says of each segment whether it has a rule. `now` is UTC.
    """

    facts: Facts
    now: datetime
    texts: Mapping[str, str]
    event: Mapping[str, Json]
    event_type: str
    event_key: str | None
    latest: tuple[Mapping[str, Json], str | None] | None
    ruled: Mapping[str, bool]


@dataclass(frozen=True, slots=True)
class After:
    """What an effect leaves. `result` is what the visit would keep, `aside` what is put aside for messages."""

    facts: Facts
    result: dict[str, Any]
    changes: list[Change] = field(default_factory=list)
    aside: Mapping[str, Json] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class Held:
    """The step cannot be done before a person mends something: the instance would hold here."""

    reason: str


def effect(step: EffectStep, before: Before) -> After | Held:
    """What the step does with these facts."""
    known = _EFFECTS.get(type(step))
    return After(before.facts, {}) if known is None else known(step, before)


def event_read_by(step: StepBase) -> str | None:
    """The type of the event whose latest one the step reads; None where it reads none, or the instance's own."""
    return step.event if isinstance(step, GetOrder) else None


def _add_tag(step: AddTag, before: Before) -> After:
    facts, changes = before.facts.with_tag(step.tag)
    return After(facts, {"tag": step.tag, "added": bool(changes)}, changes)


def _remove_tag(step: RemoveTag, before: Before) -> After:
    facts, changes = before.facts.without_tag(step.tag)
    return After(facts, {"tag": step.tag, "removed": bool(changes)}, changes)


def _add_note(step: AddNote, before: Before) -> After:
    text = before.texts["text"]
    return After(before.facts, {"note": text[:200]}, [Change(NOTE_ADDED, {"text": text})])


def _subscribe(step: Subscribe, before: Before) -> After:
    status = before.facts.lists.get(step.list)
    refusal = step.refusal(status)
    if refusal is not None:
        return After(before.facts, {"list": step.list, "before": status, "skipped": refusal})
    facts, changes = before.facts.with_status(step.list, SUBSCRIBED)
    return After(facts, {"list": step.list, "before": status, "after": SUBSCRIBED}, changes)


def _unsubscribe(step: Unsubscribe, before: Before) -> After:
    status = before.facts.lists.get(step.list)
    refusal = step.refusal(status)
    if refusal is not None:
        return After(before.facts, {"list": step.list, "before": status, "skipped": refusal})
    facts, changes = before.facts.with_status(step.list, UNSUBSCRIBED)
    return After(facts, {"list": step.list, "before": status, "after": UNSUBSCRIBED}, changes)


def _move(step: Move, before: Before) -> After:
    lists = before.facts.lists
    moved = {"from": step.from_list, "to": step.to_list}
    refusal = step.refusal(lists.get(step.from_list), lists.get(step.to_list))
    if refusal is not None:
        return After(before.facts, {**moved, "skipped": refusal})
    left, first = before.facts.with_status(step.from_list, UNSUBSCRIBED)
    facts, second = left.with_status(step.to_list, SUBSCRIBED)
    return After(facts, {**moved, "moved": True}, first + second)


def _add_to_segment(step: AddToSegment, before: Before) -> After | Held:
    obstacle = _not_by_hand(step.segment, before.ruled)
    if obstacle is not None:
        return obstacle
    facts, changes = before.facts.in_segment(step.segment)
    return After(facts, {"segment": step.segment, "added": bool(changes)}, changes)


def _remove_from_segment(step: RemoveFromSegment, before: Before) -> After | Held:
    obstacle = _not_by_hand(step.segment, before.ruled)
    if obstacle is not None:
        return obstacle
    facts, changes = before.facts.out_of_segment(step.segment)
    return After(facts, {"segment": step.segment, "removed": bool(changes)}, changes)


def _not_by_hand(segment: str, ruled: Mapping[str, bool]) -> Held | None:
    if segment not in ruled:
        return Held(f"there is no segment «{segment}»")
    if ruled[segment]:
        return Held(f"segment «{segment}» has a rule: its members cannot be changed by a step")
    return None


def _edit_contact(step: EditContact, before: Before) -> After | Held:
    values: dict[str, Json] = {
        name: before.texts[f"set/{name}"] if isinstance(value, str) else value
        for name, value in step.set.items()
    } | dict.fromkeys(step.unset)
    zone = values.get("time_zone")
    if zone is not None:
        try:
            check_zone(str(zone))
        except ValueError as error:
            return Held(str(error))
    own = {name: value for name, value in values.items() if name not in OWN_COLUMNS}
    columns: dict[str, Any] = {name: values[name] for name in OWN_COLUMNS if name in values}
    facts, changes = before.facts.edited(own, columns)
    return After(facts, {"set": values}, changes)


def _block(step: Block, before: Before) -> After:
    column, words = _ADDRESSES[step.channel]
    facts = before.facts
    if getattr(facts, column) is None:
        return After(facts, {"channel": step.channel, "skipped": f"the contact has no {words}"})
    blocked = step.channel not in facts.suppressed
    if blocked:
        facts = replace(facts, suppressed={**facts.suppressed, step.channel: step.reason})
    changes: list[Change] = []
    if step.delete_address:
        facts, changes = facts.edited({}, {column: None})
        facts = replace(
            facts, suppressed={name: why for name, why in facts.suppressed.items() if name != step.channel}
        )
    return After(
        facts, {"channel": step.channel, "blocked": blocked, "deleted": step.delete_address}, changes
    )


def _get_order(step: GetOrder, before: Before) -> After | Held:
    params, key = before.event, before.event_key
    if step.event is not None and step.event != before.event_type:
        params, key = before.latest or ({}, None)
    found, why = step.find(params, key)
    if why is not None:
        return Held(why)
    if found is None:
        return After(before.facts, {"missing": True})
    return After(before.facts, found.result(), aside={step.store_as: found.data()})


def _start_process(step: StartProcess, before: Before) -> After:
    return After(before.facts, {"process": step.process, "decision": "its recurrence decides then"})


def _stop_process(step: StopProcess, before: Before) -> After:
    return After(before.facts, {"process": step.process, "stops": "whatever is open then"})


_EFFECTS: Mapping[type[StepBase], Callable[[Any, Before], After | Held]] = {
    AddNote: _add_note,
    AddTag: _add_tag,
    AddToSegment: _add_to_segment,
    Block: _block,
    EditContact: _edit_contact,
    GetOrder: _get_order,
    Move: _move,
    RemoveFromSegment: _remove_from_segment,
    RemoveTag: _remove_tag,
    StartProcess: _start_process,
    StopProcess: _stop_process,
    Subscribe: _subscribe,
    Unsubscribe: _unsubscribe,
}
FORETOLD = frozenset(model.kind for model in _EFFECTS)
"""The kinds whose effect is known beforehand."""
