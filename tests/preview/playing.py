"""Plays stories on the engine, and holds what happened against what the preview said before."""

import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from typing import Any

from sqlalchemy import insert
from temporalio.service import RPCError, RPCStatusCode
from temporalio.testing import TimeSkipper

from api.lifecycle import process_previews
from intake.previews import Preview, PreviewWanted
from processes.rule_words import words
from processes.rules import AllOf, AnyOf, Not
from processes.timeline import Message, Moment, Timeline
from processes.verdicts import Verdict
from store import contacts, rows
from store.rule_parts import LONGEST
from tests.preview.stories import BODY, COMES, HAND, LISTS, RULED, RULED_SEGMENT, SUBJECT, Story
from tests.support.engine import Engine
from tests.support.people import make_segment
from tests.support.smtp_server import RecordingSmtpServer
from tests.support.waiting import eventually

DRIFT = timedelta(minutes=4)
"""What a worker's round trips may add up to in a story. A story whose preview is another one so much later is left
out: what happens hangs on the second there.
"""
SIDE = {
    "key": "side", "name": "Beside", "recurrence": "each_time", "triggers": [{"type": "api"}],
    "steps": [{"id": "rest", "type": "wait", "for": "1h"}],
}  # fmt: skip


TIME = re.compile(r"\d{1,2} [A-Z][a-z]{2}( \d{4})? \d\d:\d\d")
LINK = re.compile(r"https?://[^\s/]+/t/[^\s)]+|#preview")
Place = tuple[str, int]


@dataclass
class Visited:
    """A visit: of the engine's rows, or of a preview's way. `why` are the conditions that decided, rule by rule, with
    their answers (None: what is still to come decides).
    """

    at: datetime
    kind: str
    result: dict[str, Any]
    why: list[dict[str, bool | None]] = field(default_factory=list)


@dataclass
class Waited:
    """A wait as it is announced: until when at most, and in which words (with the zone's name)."""

    until: datetime
    said: str


@dataclass
class Told:
    """What happened in a story, or would: the visits by step and number, the waits, the messages (from whom, to whom,
    the subject and the text), and the outcome.
    """

    visits: dict[Place, Visited] = field(default_factory=dict)
    waits: dict[Place, Waited] = field(default_factory=dict)
    messages: dict[Place, tuple[str | None, ...]] = field(default_factory=dict)
    outcome: str | None = None
    ended: datetime | None = None
    is_cut: bool = False
    """Whether a preview shows no more of this way: it says nothing of what comes then."""


async def set_the_scene(engine: Engine) -> None:
    """What all stories have around them."""
    await engine.template("mail", SUBJECT, BODY)
    for key in LISTS:
        await engine.make_list(key)
    await make_segment(engine, HAND, None)
    await make_segment(engine, RULED, RULED_SEGMENT)
    await engine.publish(SIDE)


async def cast(engine: Engine, story: Story) -> str:
    """Publish the process and make the contact; returns its ContactId."""
    await engine.publish(story.document)
    reference = f"{engine.contact}-{story.number}"
    now = datetime.now(UTC)
    identities = {"external_id": reference, "email": f"{reference}@example.com"}
    row = contacts.new_row(now, identities, story.contact) | {"email_state": story.email_state}
    own = {"contact_id": row["id"]}
    written: list[tuple[Any, list[dict[str, Any]]]] = [
        (rows.contacts, [row]),
        (rows.contact_tags, [own | {"tag": tag, "added_at": now, "source": "test"} for tag in story.tags]),
        (
            rows.subscriptions,
            [own | {"list_key": key, "status": status, "since": now} for key, status in story.lists.items()],
        ),
        (
            rows.segment_members,
            [own | {"segment_key": HAND, "added_at": now, "source": "test"}] if story.in_segment else [],
        ),
        (rows.events, [own | _seen(reference, hours, now) for hours in sorted(set(story.seen))]),
    ]
    async with engine.services.database.write() as connection:
        for table, values in written:
            if values:
                await connection.execute(insert(table), values)
    return reference


def _seen(reference: str, hours: int, now: datetime) -> dict[str, Any]:
    at = now - timedelta(hours=hours)
    return {
        "id": f"{reference}-{hours}", "type": "seen", "params": {}, "occurred_at": at, "received_at": at,
        "source": "test", "outcome": [], "depth": 0,
    }  # fmt: skip


async def foretold(engine: Engine, story: Story, reference: str, at: datetime) -> Preview:
    """The preview of a story."""
    wanted = PreviewWanted(
        process=story.key,
        contact=reference,
        at=at,
        event_type=f"go{story.number}",
        event_key=story.event_key,
        params=story.params,
    )
    return await process_previews(engine.services).preview(wanted)


async def play(engine: Engine, story: Story, reference: str) -> str:
    """Start it; returns the instance."""
    more: dict[str, Any] = {"contact": reference, "params": story.params, "key": story.event_key}
    if not story.answered:
        async with engine.skipping():
            result = await engine.event(f"go{story.number}", **more)
    else:
        result = await engine.event(f"go{story.number}", **more)
    instance = next(d.instance for d in result.decisions if d.decision == "started")
    assert instance is not None
    if story.answered:
        await eventually(lambda: _waits_or_is_over(engine, instance), timeout=120)
        await engine.event(COMES, contact=reference, key=story.event_key)
        client = engine.services.client
        try:
            await TimeSkipper(client).fast_forward(client.get_workflow_handle(instance))
        except RPCError as error:
            if error.status != RPCStatusCode.NOT_FOUND:  # it has ended, with nothing more to wait for
                raise
    return instance


async def _waits_or_is_over(engine: Engine, instance: str) -> bool:
    """A goal that is met at the start leads past what is waited for."""
    row = await engine.instance(instance)
    return row.state == "waiting" or not row.open


async def happened(engine: Engine, smtp: RecordingSmtpServer, instance: str) -> Told:
    """What the rows say once it has ended, and what came in the mail."""
    row = await engine.ended(instance, None, timeout=300)
    v, m = rows.visits.c, rows.messages.c
    visits = await engine.rows(rows.visits, v.instance_id == instance)
    sent = await engine.rows(rows.messages, m.instance_id == instance, m.state == "sent")
    mails = {mail.message_id.strip("<>").partition("@")[0]: mail for mail in smtp.messages}
    told = Told(outcome=row.outcome, ended=row.ended_at)
    for one in visits:
        if one.step:
            result = dict(one.result or {})
            told.visits[one.step, one.visit] = Visited(one.at, one.kind, result, result.pop("rules", []))
        following = one.next or {}
        if following.get("do") == "wait":
            said = following["summary"].removesuffix(f" · step {following['step']}")
            until = datetime.fromisoformat(following["until"])
            told.waits[following["step"], following.get("visit", 1)] = Waited(until, said)
    for one in sent:
        mail = mails[one.id]
        sender = str(mail.message["From"])
        told.messages[one.step, one.visit] = (sender, mail.rcpt_to, mail.subject, _read(mail.text()))
    return told


def _read(text: str) -> str:
    """A text without its line breaks, and with links of ours as a preview has them."""
    return " ".join(LINK.sub("#preview", text).split())


def all_ways(
    timeline: Timeline, before: Sequence[Moment] = ()
) -> Iterator[tuple[list[Moment], Any, list[str]]]:
    """Every way from the beginning to its end: its moments, its ending, and what decided."""
    moments = [*before, *timeline.moments]
    if not timeline.ways:
        yield moments, timeline.ending, []
    for way in timeline.ways:
        for found, ending, when in all_ways(way.timeline, moments):
            yield found, ending, [way.when, *when]


def as_told(moments: Sequence[Moment], ending: Any) -> Told:
    """A way of the preview in the words of what happened."""
    told = Told(outcome=ending.outcome, ended=ending.at, is_cut=ending.how == "cut")
    for moment in moments:
        place = (moment.step, moment.visit)
        first = told.visits.get(place)
        at = moment.at if first is None else first.at
        why = [dict(_conditions(one)) for one in moment.why]
        told.visits[place] = Visited(at, moment.kind, moment.result, why)
        if moment.until is not None and moment.kind.startswith("wait"):
            told.waits[place] = Waited(moment.until, moment.does)
        if isinstance(moment.message, Message):
            message = moment.message
            text = _read(message.text or "")
            told.messages[place] = (message.sender, message.recipient, message.subject, text)
    return told


def _conditions(verdict: Verdict) -> Iterator[tuple[str, bool | None]]:
    if isinstance(verdict.rule, AllOf | AnyOf | Not):
        for part in verdict.parts:
            yield from _conditions(part)
    else:
        said = words(verdict.rule)
        cut = said if len(said) <= LONGEST else f"{said[: LONGEST - 1]}…"
        yield cut, None if verdict.is_open else verdict.holds


def differences(real: Told, said: Told) -> list[str]:
    """Where a way of the preview is not what happened."""
    found = [f"{place} was foretold and did not happen" for place in said.visits.keys() - real.visits.keys()]
    for place in real.visits.keys() & said.visits.keys():
        found += [f"{place}: {one}" for one in _different(real.visits[place], said.visits[place])]
    for place in real.waits.keys() & said.waits.keys():
        found += [f"{place}: {one}" for one in _waited_otherwise(real, said, place)]
    for place in real.messages.keys() & said.messages.keys():
        if real.messages[place] != said.messages[place]:
            found.append(f"{place}: message {real.messages[place]}, not {said.messages[place]}")
    if said.is_cut:
        return sorted(found)
    found += [f"{place} happened and was not foretold" for place in real.visits.keys() - said.visits.keys()]
    if real.outcome != said.outcome:
        found.append(f"it ended as {real.outcome}, not as {said.outcome}")
    if real.ended and said.ended and abs(real.ended - said.ended) > DRIFT:
        found.append(f"it ended at {real.ended}, not at {said.ended}")
    for name in ("waits", "messages"):
        known, foretold_ = getattr(real, name).keys(), getattr(said, name).keys()
        if known != foretold_:
            found.append(f"{name} at {sorted(known)}, not {sorted(foretold_)}")
    return sorted(found)


def _waited_otherwise(real: Told, said: Told, place: Place) -> Iterator[str]:
    known, foretold_ = real.waits[place], said.waits[place]
    if _untimed(known.said) != _untimed(foretold_.said):
        yield f"«{known.said}», not «{foretold_.said}»"
    # A wait for a rule is announced until its next look.
    if real.visits[place].kind != "wait_for_rule" and abs(known.until - foretold_.until) > DRIFT:
        yield f"until {known.until}, not {foretold_.until}"


def _different(real: Visited, said: Visited) -> Iterator[str]:
    if abs(real.at - said.at) > DRIFT:
        yield f"at {real.at}, not at {said.at}"
    if real.kind != said.kind:
        yield f"{real.kind}, not {said.kind}"
    known, foretold_ = _kept(real), _kept(said)
    if known != foretold_:
        yield f"{known}, not {foretold_}"
    if real.kind == "condition" or "not_waited" in real.result:
        if len(said.why) < len(real.why) or (real.why == [] and said.why != []):
            yield f"why {real.why}, not {said.why}"
        for one, other in zip(real.why, said.why, strict=False):
            if one.keys() != other.keys() or any(other[name] not in {None, one[name]} for name in one):
                yield f"because {one}, not {other}"


def _untimed(text: Any) -> str:
    """A text in which times are left out: they may be another by what a worker's round trips take."""
    return TIME.sub("…", str(text))


def _kept(visited: Visited) -> dict[str, Any]:
    """What can be compared of a result: not ids, not what the other side answered, not times in its words."""
    result = visited.result
    if visited.kind == "goal":
        return {"to": result.get("to")}
    if visited.kind.startswith("wait"):
        return {name: _untimed(result[name]) for name in ("not_waited", "looked_back") if name in result}
    if visited.kind == "send_email":
        held = [one["by"] for one in result.get("held", ())]
        return {"state": result.get("state"), "held": held, "detail": _untimed(result.get("detail"))}
    if visited.kind in {"start_process", "stop_process"}:
        return {"process": result.get("process")}
    return result


def shape(preview: Preview) -> list[tuple[list[tuple[str, int, str, str]], Any]]:
    """What a preview says apart from when: to tell whether it would be another a moment later."""
    return [
        ([(m.step, m.visit, m.kind, str(_kept(Visited(m.at, m.kind, m.result)))) for m in moments],
         (ending.how, ending.outcome))
        for moments, ending, _ in all_ways(preview.foresight.timeline)
    ]  # fmt: skip


def is_the_same_later(preview: Preview, later: Preview) -> bool:
    """Whether a preview of a little later tells the same story, no more than that much later."""
    if shape(preview) != shape(later):
        return False
    pairs = zip(all_ways(preview.foresight.timeline), all_ways(later.foresight.timeline), strict=True)
    return all(
        timedelta(0) <= after.at - before.at <= DRIFT
        for (one, _, _), (other, _, _) in pairs
        for before, after in zip(one, other, strict=True)
    )
