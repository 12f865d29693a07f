"""An edited weekday or anniversary stays the one that was waited for, and the preview says both moments."""

from datetime import UTC, datetime
from typing import Any

import pytest

from api.lifecycle import process_lifecycle
from intake import edits
from intake.edits import Moments
from processes.definition import parse
from processes.differences import Inside
from processes.instructions import Wait
from processes.planner import moment_after_edit
from processes.planning import Situation
from tests.edits.test_moving import MOVE, edited
from tests.guarantees.processes import process, tag
from tests.support.by_hand import ByHand
from tests.support.engine import Engine
from tests.support.visits import begin

MONDAY = "2026-11-30T12:00Z"
"""When the waits of the table began: a Monday."""


def moment(text: str) -> datetime:
    """An instant."""
    return datetime.fromisoformat(text).astimezone(UTC)


def weekday(at: str, *days: str, **more: Any) -> dict[str, Any]:
    """A wait for a weekday."""
    return {"weekday": {"days": list(days), "at": at}, **more}


def yearly(at: str, offset: str = "0d", field: str = "birthday", **more: Any) -> dict[str, Any]:
    """A wait for an anniversary."""
    return {"date": {"field": field, "at": at, "offset": offset, "every_year": True}, **more}


TABLE: list[tuple[str, dict[str, Any], dict[str, Any], str, str, str | None]] = [
    # what, before, after, now, it ended at, and will end at (None: at once)
    (
        "the same day, later",
        weekday("09:00", "monday"),
        weekday("15:00", "monday"),
        MONDAY,
        "2026-12-07T09:00Z",
        "2026-12-07T15:00Z",
    ),
    (
        "the same day, later, long after",
        weekday("09:00", "monday"),
        weekday("15:00", "monday"),
        "2026-12-04T09:00Z",
        "2026-12-07T09:00Z",
        "2026-12-07T15:00Z",
    ),
    (
        "the same day, earlier",
        weekday("15:00", "monday"),
        weekday("09:00", "monday"),
        "2026-12-04T09:00Z",
        "2026-12-07T15:00Z",
        "2026-12-07T09:00Z",
    ),
    (
        "the same day, at a time that is past",
        weekday("15:00", "tuesday"),
        weekday("09:00", "tuesday"),
        "2026-12-01T10:00Z",
        "2026-12-01T15:00Z",
        None,
    ),
    (
        "another day",
        weekday("09:00", "monday"),
        weekday("09:00", "tuesday"),
        "2026-12-02T00:00Z",
        "2026-12-07T09:00Z",
        "2026-12-08T09:00Z",
    ),
    (
        "one more day",
        weekday("09:00", "monday"),
        weekday("09:00", "monday", "thursday"),
        "2026-12-02T00:00Z",
        "2026-12-07T09:00Z",
        "2026-12-03T09:00Z",
    ),
    (
        "days in another order",
        weekday("09:00", "monday", "friday"),
        weekday("10:00", "friday", "monday"),
        "2026-12-01T00:00Z",
        "2026-12-04T09:00Z",
        "2026-12-04T10:00Z",
    ),
    (
        "a weekday instead of a length",
        {"for": "30 days"},
        weekday("09:00", "monday"),
        "2026-12-10T00:00Z",
        "2026-12-30T12:00Z",
        "2026-12-14T09:00Z",
    ),
    (
        "another zone",
        weekday("09:00", "monday"),
        weekday("09:00", "monday", zone="America/New_York"),
        MONDAY,
        "2026-12-07T09:00Z",
        "2026-12-07T14:00Z",
    ),
    (
        "the day of the zone",
        weekday("23:30", "monday", zone="America/New_York"),
        weekday("23:45", "monday", zone="America/New_York"),
        "2026-12-02T00:00Z",
        "2026-12-08T04:30Z",
        "2026-12-08T04:45Z",
    ),
    (
        "an anniversary, later that day",
        yearly("09:00"),
        yearly("15:00"),
        MONDAY,
        "2027-11-30T09:00Z",
        "2027-11-30T15:00Z",
    ),
    (
        "an anniversary, days before",
        yearly("09:00"),
        yearly("09:00", "-14d"),
        "2027-10-01T00:00Z",
        "2027-11-30T09:00Z",
        "2027-11-16T09:00Z",
    ),
    (
        "an anniversary, by days that are past",
        yearly("09:00"),
        yearly("09:00", "-14d"),
        "2027-11-20T00:00Z",
        "2027-11-30T09:00Z",
        None,
    ),
    (
        "the anniversary of another field",
        yearly("09:00"),
        yearly("09:00", field="wedding"),
        MONDAY,
        "2027-11-30T09:00Z",
        "2026-12-24T09:00Z",
    ),
    (
        "an anniversary instead of a length",
        {"for": "30 days"},
        yearly("09:00"),
        "2026-12-10T00:00Z",
        "2026-12-30T12:00Z",
        "2027-11-30T09:00Z",
    ),
    (
        "a longer wait",
        {"for": "3 days"},
        {"for": "5 days"},
        "2026-12-01T12:00Z",
        "2026-12-03T12:00Z",
        "2026-12-05T12:00Z",
    ),
    (
        "a shorter wait that is over",
        {"for": "3 days"},
        {"for": "1h"},
        "2026-12-01T12:00Z",
        "2026-12-03T12:00Z",
        None,
    ),
    (
        "another moment",
        {"until": "2026-12-24T09:00"},
        {"until": "2026-12-20T09:00"},
        MONDAY,
        "2026-12-24T09:00Z",
        "2026-12-20T09:00Z",
    ),
    (
        "a moment that is past",
        {"until": "2026-12-24T09:00"},
        {"until": "2026-12-01T09:00"},
        "2026-12-10T00:00Z",
        "2026-12-24T09:00Z",
        None,
    ),
    (
        "another offset of a date",
        {"date": {"field": "visit", "at": "09:00"}},
        {"date": {"field": "visit", "at": "09:00", "offset": "-1d"}},
        MONDAY,
        "2026-12-20T09:00Z",
        "2026-12-19T09:00Z",
    ),
    (
        "another time of an event's date",
        {"event_date": {"param": "day", "at": "09:00"}},
        {"event_date": {"param": "day", "at": "10:00"}},
        MONDAY,
        "2026-12-20T09:00Z",
        "2026-12-20T10:00Z",
    ),
]
FIELDS: dict[str, Any] = {"birthday": "1990-11-30", "wedding": "2010-12-24", "visit": "2026-12-20"}


@pytest.mark.parametrize(
    ("before", "after", "now", "was", "expected"), [row[1:] for row in TABLE], ids=[row[0] for row in TABLE]
)
def test_a_changed_wait_ends_when_people_expect_it_to(
    before: dict[str, Any], after: dict[str, Any], now: str, was: str, expected: str | None
) -> None:
    old, new = (
        parse(process({"id": "w", "type": "wait", **step}, tag("a"))).by_id["w"] for step in (before, after)
    )
    situation = Situation(now=moment(now), zone="UTC", fields=FIELDS, event={"day": "2026-12-20"})
    found = moment_after_edit(old, moment(was), new, moment(MONDAY), situation)
    assert found == (None if expected is None else moment(expected))


def document(at: str) -> dict[str, Any]:
    """A process that waits for Monday."""
    return process({"id": "w", "type": "wait", **weekday(at, "monday")}, tag("a"))


async def waiting_since(idle: Engine, began: str) -> ByHand:
    """An instance that waits for Monday 09:00 since then."""
    await idle.publish(document("09:00"))
    (decision,) = (await idle.event("go")).decisions
    assert decision.instance is not None
    now = moment(began)
    mine = ByHand(idle, decision.instance, now, await begin(idle, decision.instance, now))
    assert isinstance(mine.next, Wait)
    return mine


async def test_what_the_preview_says_is_what_becomes_of_who_waits(idle: Engine) -> None:
    lifecycle, now = process_lifecycle(idle.services), moment("2026-12-01T08:00Z")
    mine = await waiting_since(idle, MONDAY)
    await lifecycle.pause("p")
    await lifecycle.put("p", document("15:00"))
    async with idle.services.database.read() as connection:
        found = await edits.preview(
            connection,
            idle.services.catalog,
            (parse(document("09:00")), 1),
            parse(document("15:00")),
            MOVE,
            now,
        )
    (standing,) = found.standing
    was, will_be = moment("2026-12-07T09:00Z"), moment("2026-12-07T15:00Z")
    assert standing.moments == Moments(
        examined=1, earlier=0, later=1, unchanged=0, at_once=0,
        changes=[edits.MomentChange(was, will_be, 1)],
    )  # fmt: skip
    await lifecycle.publish("p", MOVE)
    await lifecycle.activate("p")
    mine.now = now
    moved = await mine.told_of_an_edit()
    assert isinstance(moved, Wait)
    assert moved.until == will_be
    again = await mine.told_of_an_edit()
    assert isinstance(again, Wait)
    assert again.until == will_be


async def test_who_stays_and_who_is_not_touched_has_no_moments(idle: Engine) -> None:
    lifecycle = process_lifecycle(idle.services)
    await waiting_since(idle, MONDAY)
    await lifecycle.pause("p")
    await lifecycle.put("p", document("15:00"))
    (stays,) = (await lifecycle.preview_edit("p", Inside())).standing
    assert stays.moments is None
    await lifecycle.put("p", {**document("09:00"), "name": "Renamed"})
    (untouched,) = (await lifecycle.preview_edit("p", MOVE)).standing
    assert untouched.moments is None
    await edited_without_pause(idle)


async def edited_without_pause(idle: Engine) -> None:
    """The process can be edited as ever afterwards."""
    lifecycle = process_lifecycle(idle.services)
    await lifecycle.activate("p")
    await edited(lifecycle, document("10:00"))
