"""A preview of 50 steps, against the admission of one event, in turn on the same database."""

import time
from datetime import UTC, datetime
from statistics import median
from typing import Any

from api.lifecycle import process_previews
from benchmarks.documents import process
from benchmarks.options import Options
from benchmarks.rounds import alternate, ratio_by_round
from benchmarks.stage import Bench
from benchmarks.tables import Table, bar, ratios
from intake.events import check_event
from intake.previews import Imagined, PreviewWanted

STEPS = 50
ROUND: tuple[dict[str, Any], ...] = (
    {"type": "send_email", "template": "one"},
    {"type": "wait", "for": "1 day"},
    {"type": "add_tag", "tag": "seen"},
    {
        "type": "condition",
        "branches": [{"when": {"all": [{"tag": "seen"}, {"contact": "city", "equals": "Brno"}]}}],
    },
    {"type": "edit_contact", "set": {"greeting": "Hello {{ contact.city }}"}},
)
BOTH = ("a preview of 50 steps", "an event that starts")


def _steps() -> list[dict[str, Any]]:
    made: list[dict[str, Any]] = []
    for number in range(STEPS):
        step = {"id": f"s{number}", **ROUND[number % len(ROUND)]}
        following = f"s{number + 1}" if number + 1 < STEPS else None
        if step["type"] == "condition":
            step = {**step, "branches": [{**step["branches"][0], "next": following}], "else": following}
        elif following is not None:
            step["next"] = following
        made.append(step)
    return made


async def run(stage: Bench, options: Options) -> list[Table]:
    """Each a few times in turn."""
    await stage.publish(process("long", _steps()))
    previews = process_previews(stage.services)
    contact = Imagined(
        {"email": "anna@example.com", "time_zone": "Europe/Prague", "fields": {"city": "Brno"}}
    )

    async def preview(count: int) -> float:
        taken = []
        for _ in range(count):
            began = time.perf_counter()
            found = await previews.preview(
                PreviewWanted("long", contact, datetime.now(UTC), event_type="long_wanted")
            )
            taken.append(1000 * (time.perf_counter() - began))
            assert len(found.foresight.timeline.moments) == STEPS
        return median(taken)

    async def event(count: int) -> float:
        taken = []
        for number in range(count):
            now = datetime.now(UTC)
            incoming = check_event(
                id=None, type="long_wanted", key=None, contact={"id": f"{now.timestamp()}-{number}"}, occurred_at=None,
                params={}, received_at=now,
            )  # fmt: skip
            began = time.perf_counter()
            async with stage.services.database.write() as connection:
                await stage.services.admission.admit(connection, [incoming], now)
            taken.append(1000 * (time.perf_counter() - began))
        return median(taken)

    found = await alternate(options.rounds, options.count, dict(zip(BOTH, (preview, event), strict=True)))
    ours, theirs = (found[name] for name in BOTH)
    by_round = ratio_by_round(ours, theirs)
    lines = [
        (f"{BOTH[0]}, ms", f"{median(ours):.0f}", bar("at most 100")),
        (f"{BOTH[1]}, ms", f"{median(theirs):.1f}"),
        ("a preview in events", f"{median(by_round):.1f}"),
        ("  round by round", ratios(by_round)),
    ]
    return [Table(f"Preview ({options.count} a round)", lines)]
