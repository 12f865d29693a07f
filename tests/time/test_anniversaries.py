"""A loop that wakes once a year: 29 February falls on the 28th in common years, and comes back in leap years."""

from calendar import isleap
from datetime import UTC, date, datetime, timedelta

from store import rows
from tests.support.engine import Engine
from tests.support.people import tags

YEARLY = """
key: birthday
name: Birthday
recurrence: once
time_zone: Europe/Prague
triggers: [{type: event, event: go}]
steps:
  - {id: day, type: wait, date: {field: birthday, at: "09:00", every_year: true, if_missing: end}, next: note}
  - {id: note, type: add_note, text: Happy birthday, next: old}
  - id: old
    type: condition
    branches: [{when: {contact: created_at, before: now-1470d}, next: tag}]
    else: day
  - {id: tag, type: add_tag, tag: four-years-on}
"""


async def test_29_february_is_met_in_leap_years_and_28_in_common_ones(engine: Engine) -> None:
    await engine.publish(YEARLY)
    now = datetime.now(UTC)
    async with engine.skipping():
        await engine.event("go", contact_extra={"fields": {"birthday": "2000-02-29"}})
    instance = engine.id("birthday")
    row = await engine.ended(instance)
    assert await tags(engine) == ["four-years-on"]
    v = rows.visits.c
    notes = await engine.rows(rows.visits, v.instance_id == instance, v.step == "note")
    greeted = [n.at for n in sorted(notes, key=lambda n: n.visit)]
    assert [at.date() for at in greeted] == leap_days(now, greeted[-1])
    assert {29, 28} == {at.day for at in greeted}
    assert all(
        timedelta(0) <= at - at.replace(hour=8, minute=0, second=0, microsecond=0) < timedelta(seconds=5)
        for at in greeted
    )
    assert row.loops == {"day": len(greeted), "note": len(greeted), "old": len(greeted)}


async def test_a_contact_without_the_date_leaves_the_loop_at_once(engine: Engine) -> None:
    await engine.publish(YEARLY)
    await engine.event("go")
    await engine.ended(engine.id("birthday"))
    assert await engine.path(engine.id("birthday")) == ["day"]


def leap_days(after: datetime, until: datetime) -> list[date]:
    """The anniversaries of 29 February in between."""
    days = (date(year, 2, 29 if isleap(year) else 28) for year in range(after.year, until.year + 1))
    return [day for day in days if after.date() < day <= until.date()]
