"""Short words for previews of small processes, from a real database and for an imagined contact."""

from datetime import UTC, datetime
from typing import Any

from api.lifecycle import process_previews
from intake.previews import Imagined, Preview, PreviewWanted
from processes.timeline import Ending, Moment, Timeline
from tests.preview.playing import all_ways
from tests.support.engine import Engine

NOW = datetime(2026, 11, 23, 8, 0, tzinfo=UTC)
"""A Monday, 09:00 in Prague."""
ANNA = Imagined({"email": "anna@example.com", "time_zone": "Europe/Prague", "fields": {"name": "Anna"}})
MAIL: dict[str, Any] = {"type": "send_email", "template": "hello"}
DAY: dict[str, Any] = {"type": "wait", "for": "1 day"}


def process(*steps: dict[str, Any], **more: Any) -> dict[str, Any]:
    return {
        "name": "P", "recurrence": "once", "triggers": [{"type": "event", "event": "go"}], "steps": list(steps), **more,
    }  # fmt: skip


def in_turn(*steps: dict[str, Any]) -> list[dict[str, Any]]:
    """The steps, named a, b, c …, each followed by the next."""
    names = [chr(ord("a") + number) for number in range(len(steps))]
    following = [*names[1:], None]
    return [
        {"id": name, **step} | ({"next": then} if then and "next" not in step else {})
        for name, step, then in zip(names, steps, following, strict=True)
    ]


async def preview(
    engine: Engine, document: dict[str, Any], contact: str | Imagined = ANNA, at: datetime = NOW, **more: Any
) -> Preview:
    wanted = PreviewWanted(
        process="p", contact=contact, at=at, document=document, event_type="go", **{"params": {}, **more}
    )
    return await process_previews(engine.services).preview(wanted)


async def only_way(
    engine: Engine, document: dict[str, Any], contact: str | Imagined = ANNA, **more: Any
) -> tuple[list[Moment], Ending]:
    """The moments and the ending of a preview that does not part."""
    ((moments, ending, _),) = all_ways((await preview(engine, document, contact, **more)).foresight.timeline)
    return moments, ending


def told(timeline: Timeline) -> list[tuple[str, list[str], str | None]]:
    """Each way: what decided, its steps, and its outcome."""
    return [
        (" / ".join(when), [moment.step for moment in moments], ending.outcome or ending.how)
        for moments, ending, when in all_ways(timeline)
    ]
