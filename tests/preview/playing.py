"""Plays stories on the engine, and holds what happened against what the preview said before."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from typing import Any

from sqlalchemy import insert
from temporalio.testing import TimeSkipper

from api.lifecycle import process_previews
from intake.previews import Preview, PreviewWanted
from processes.timeline import Moment, Timeline
from store import contacts, rows
from tests.preview.stories import COMES, HAND, LISTS, RULED, RULED_SEGMENT, TEMPLATE, Story
from tests.support.engine import Engine
from tests.support.people import make_segment

DRIFT = timedelta(minutes=4)
"""What a worker's round trips may add up to in a story. A story whose preview is another one so much later is left
out: what happens hangs on the second there.
"""
SIDE = {
    "key": "side", "name": "Beside", "recurrence": "each_time", "triggers": [{"type": "api"}],
    "steps": [{"id": "rest", "type": "wait", "for": "1h"}],
}  # fmt: skip


@dataclass
class Visited:
    """A visit: of the engine's rows, or of a preview's way."""

    at: datetime
    kind: str
    result: dict[str, Any]


@dataclass
class Told:
    """What happened in a story, or would: the visits by step and number, the outcome, and the messages."""

    visits: dict[tuple[str, int], Visited] = field(default_factory=dict)
    outcome: str | None = None
    ended: datetime | None = None
    subjects: dict[tuple[str, int], str | None] = field(default_factory=dict)
    is_cut: bool = False
    """Whether a preview shows no more of this way: it says nothing of what comes then."""


async def set_the_scene(engine: Engine) -> None:
    """What all stories have around them."""
    await engine.template("mail", TEMPLATE)
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
        await engine.in_state(instance, "waiting", timeout=120)
        await engine.event(COMES, contact=reference, key=story.event_key)
        client = engine.services.client
        await TimeSkipper(client).fast_forward(client.get_workflow_handle(instance))
    return instance


async def happened(engine: Engine, instance: str) -> Told:
    """What the rows say once it has ended."""
    row = await engine.ended(instance, None, timeout=300)
    v, m = rows.visits.c, rows.messages.c
    visits = await engine.rows(rows.visits, v.instance_id == instance, v.step != "")
    sent = await engine.rows(rows.messages, m.instance_id == instance, m.state == "sent")
    return Told(
        {(one.step, one.visit): Visited(one.at, one.kind, one.result or {}) for one in visits},
        row.outcome,
        row.ended_at,
        {(one.step, one.visit): one.subject for one in sent},
    )


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
        told.visits[place] = Visited(moment.at if first is None else first.at, moment.kind, moment.result)
        subject = getattr(moment.message, "subject", None)
        if subject is not None:
            told.subjects[place] = subject
    return told


def differences(real: Told, said: Told) -> list[str]:
    """Where a way of the preview is not what happened."""
    found = [f"{place} was foretold and did not happen" for place in said.visits.keys() - real.visits.keys()]
    for place in real.visits.keys() & said.visits.keys():
        found += [f"{place}: {words}" for words in _different(real.visits[place], said.visits[place])]
    if said.is_cut:
        return sorted(found)
    found += [f"{place} happened and was not foretold" for place in real.visits.keys() - said.visits.keys()]
    if real.outcome != said.outcome:
        found.append(f"it ended as {real.outcome}, not as {said.outcome}")
    if real.ended and said.ended and abs(real.ended - said.ended) > DRIFT:
        found.append(f"it ended at {real.ended}, not at {said.ended}")
    if real.subjects != said.subjects:
        found.append(f"subjects {real.subjects}, not {said.subjects}")
    return sorted(found)


def _different(real: Visited, said: Visited) -> Iterator[str]:
    if abs(real.at - said.at) > DRIFT:
        yield f"at {real.at}, not at {said.at}"
    if real.kind != said.kind:
        yield f"{real.kind}, not {said.kind}"
    known, foretold_ = _kept(real), _kept(said)
    if known != foretold_:
        yield f"{known}, not {foretold_}"


def _kept(visited: Visited) -> dict[str, Any]:
    """What can be compared of a result: not ids, not what the other side answered, not words with a time in them, not
    why (the preview has that beside it).
    """
    result = visited.result
    if visited.kind == "goal":
        return {"to": result.get("to")}
    if visited.kind.startswith("wait"):
        return {"not_waited": True} if "not_waited" in result and visited.kind == "wait" else {}
    if visited.kind == "send_email":
        held = [one["by"] for one in result.get("held", ())]
        return {"state": result.get("state"), "held": held, "detail": str(result.get("detail"))[:30]}
    if visited.kind in {"start_process", "stop_process"}:
        return {"process": result.get("process")}
    return {name: value for name, value in result.items() if name != "rules"}


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
