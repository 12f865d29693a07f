"""A date is read in one way: the same texts are dates, and the same instants, for rules on both databases, waits,
triggers, imports and letters.
"""

from datetime import date, datetime, timedelta
from typing import Any

import pytest

from channels.templates import TemplateSource, render
from intake.csv_cells import read_value
from intake.segment_spec.reading import read_moment
from processes import dates
from processes.clock import parse_day, parse_moment
from processes.rule_values import parse_instant
from processes.steps.wait import EventDate
from processes.triggers.schedules import DateTrigger
from store.database import Database
from tests.rules.people import Person, ask, store

SECOND = timedelta(seconds=1)
AT_TEN = "2026-11-20T10:00:00Z"
INSTANTS: list[tuple[str, str]] = [
    ("2026-11-20", "2026-11-20T00:00:00Z"),
    ("2026-11-20T10:00", AT_TEN),
    ("2026-11-20 10:00", AT_TEN),
    ("2026-11-20T10:00:00", AT_TEN),
    ("2026-11-20T10:00:00Z", AT_TEN),
    ("2026-11-20t10:00:00z", AT_TEN),
    ("2026-11-20T10:00:00+00:00", AT_TEN),
    ("2026-11-20T10:00:00+0000", AT_TEN),
    ("2026-11-20T10:00:00+00", AT_TEN),
    ("2026-11-20T10:00:00-00:00", AT_TEN),
    ("2026-11-20T10:00Z", AT_TEN),
    ("2026-11-20T11:00+01:00", AT_TEN),
    ("2026-11-20T11:00:00+0100", AT_TEN),
    ("2026-11-20T11:00:00+01", AT_TEN),
    ("2026-11-20T15:45:00.123456+05:45", AT_TEN),
    ("2026-11-20T05:00:00.1-0500", AT_TEN),
    ("2026-11-20T10:00:00.999999999Z", AT_TEN),
    ("2026-11-20T10:00:00,5Z", AT_TEN),
    ("  2026-11-20T10:00:00Z\n", AT_TEN),
    ("2026-11-21T00:00:00+14:00", AT_TEN),
    ("2026-11-20T00:30+1430", "2026-11-19T10:00:00Z"),
    ("2024-02-29", "2024-02-29T00:00:00Z"),
    ("1000-01-01", "1000-01-01T00:00:00Z"),
    ("9999-12-31T23:59:59Z", "9999-12-31T23:59:59Z"),
]
NO_DATES = [
    "", " ", "never", "20.11.2026", "20261120", "2026-11", "2026-W47-5", "2026-324", "2026-11-31", "2026-02-29",
    "2026-13-01", "2026-00-10", "2026-11-20 10:00:00 +0000", "2026-11-20 10:00:00 UTC", "0000-00-00",
    "10000-01-01", "2026-11-20T", "2026-11-20T10",
    "2026-11-20T1000", "2026-11-20T24:00", "2026-11-20T10:60", "2026-11-20T10:00:60", "2026-11-20T10:00:00.",
    "2026-11-20T10:00.5", "2026-11-20T10:00+1", "2026-11-20T10:00+15:00", "2026-11-20T10:00+01:60",
    "2026-11-20T10:00 CET", "2026-11-20T10:00:00  Z", "2026-11-20Z", "2026-11-20+01:00", "2026-11-20 10:00 am",
    "1763632800", "1763632800000", "now", "--11-20", "２０２６-11-20", "2026-11-20T10:00:00Z" + " " * 60,
]  # fmt: skip
TABLE = [*INSTANTS, *((text, None) for text in NO_DATES)]


def instant(text: str) -> datetime:
    """An instant in UTC."""
    return datetime.fromisoformat(text)


@pytest.mark.parametrize(("text", "expected"), TABLE, ids=[repr(text) for text, _ in TABLE])
def test_python_reads_it(text: str, expected: str | None) -> None:
    written = dates.read(text)
    day = None if written is None else written.day
    no_year = text == "--11-20"
    assert parse_instant(text) == (None if expected is None else instant(expected))
    assert dates.epoch_seconds(text) == (None if expected is None else instant(expected).timestamp())
    assert parse_day(text) == (date(4, 11, 20) if no_year else day)
    waited = EventDate(param="day").moment({"day": text}, "UTC")
    assert waited == (None if expected is None else instant(expected))
    if expected is None:
        with pytest.raises(ValueError, match="is not a date and time"):
            parse_moment(text, "UTC")
        return
    assert parse_moment(text, "UTC") == instant(expected)
    assert day == date.fromisoformat(text.strip()[:10])
    sent = read_moment(text)
    assert sent is not None
    assert sent.replace(microsecond=0) == instant(expected)
    assert read_value(text.strip(), "date") == text.strip()
    assert day is not None
    if day.year < 9999:
        trigger = DateTrigger.model_validate({"type": "date", "field": "f", "at": "09:00"})
        (due, *_) = trigger.due("UTC", instant(f"{day}T00:00Z"), instant(f"{day}T12:00Z"))
        assert trigger.is_for(text, due)
        letter = render(TemplateSource(subject="x", text="{{ d | local_date: 'short' }}"), {"d": text})
        here = instant(expected) if written is not None and written.clock is not None else day
        assert letter.text == f"{here:%d/%m/%Y}"


async def test_rules_read_it_on_both_databases(database: Database) -> None:
    people = [
        Person(
            f"p{number}",
            fields={"d": text, "list": [text], "deep": {"d": text}},
            columns={"external_id": f"{text}" if text else None},
        )
        for number, (text, _) in enumerate(TABLE)
    ]
    await store(database, *people)
    facts: list[dict[str, Any]] = [
        {"contact": "d"},
        {"contact": "list.0"},
        {"contact": "deep.d"},
        {"contact": "external_id"},
        {"event": "d"},
    ]
    for person, (text, expected) in zip(people, TABLE, strict=True):
        moment = instant(expected or AT_TEN)
        bounds = [
            {"after": moment.isoformat()},
            {"before": moment.isoformat()},
            {"after": (moment - SECOND).isoformat()} if moment.year > 1000 else {"before": AT_TEN},
            {"before": (moment + SECOND).isoformat()} if moment.year < 9999 else {"after": AT_TEN},
        ]
        rules = [{**fact, **bound} for fact in facts for bound in bounds]
        held = await ask(database, *rules, contact=person.id, event={"d": text})
        for place, answer in zip(facts, zip(*[iter(held)] * 4, strict=True), strict=True):
            assert answer == (False, False, expected is not None, expected is not None), (text, place)


async def test_the_case_that_failed(database: Database) -> None:
    await store(database, Person("r1", fields={"lead": "2026-11-20T10:00:00+0000"}))
    assert await ask(database, {"contact": "lead", "after": "2026-11-01"}, contact="r1") == [True]
