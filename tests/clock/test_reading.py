"""Days, moments, times of day and zones as they are read, and as they are written for people."""

from datetime import UTC, date, time, timedelta

import pytest
from pydantic import ValidationError

from processes.clock import check_zone, describe, elapsed, has_year, parse_day, parse_moment, parse_time
from processes.values import Json
from tests.clock.places import NEW_YORK, PRAGUE, Wait, utc


class TestReading:
    @pytest.mark.parametrize(
        ("value", "day"),
        [
            ("2024-02-29", date(2024, 2, 29)),
            (" 2024-02-29 ", date(2024, 2, 29)),
            ("2024-02-29T23:30:00Z", date(2024, 2, 29)),
            ("2024-02-29T23:30:00.123456-05:00", date(2024, 2, 29)),
            ("2024-02-29 23:30", date(2024, 2, 29)),
            ("--02-29", date(4, 2, 29)),
            ("--0229", date(4, 2, 29)),
        ],
    )
    def test_a_day_is_read_as_written(self, value: Json, day: date) -> None:
        assert parse_day(value) == day
        assert has_year(day) == (day.year == 2024)

    @pytest.mark.parametrize(
        "value",
        [
            *(
                None,
                True,
                20240229,
                1.5,
                [],
                {},
                "",
                "soon",
                "2023-02-29",
                "29.2.2024",
                "02/29/2024",
                "20240229",
            ),
            *(
                "2024-W09-4",
                "2024-02-29x",
                "2024-02-29T25:00",
                "--02-30",
                "--13-01",
                "0001-01-01",
                "0004-02-29",
            ),
        ],
    )
    def test_what_is_not_a_day_is_none(self, value: Json) -> None:
        assert parse_day(value) is None

    @pytest.mark.parametrize(
        ("text", "moment"),
        [
            ("2026-11-24T09:00", "2026-11-24T08:00"),
            ("2026-11-24 09:00:30", "2026-11-24T08:00:30"),
            ("2026-11-24T09:00Z", "2026-11-24T09:00"),
            ("2026-11-24T09:00-05:00", "2026-11-24T14:00"),
            ("2026-11-24", "2026-11-23T23:00"),
            ("2026-03-29T02:30", "2026-03-29T01:00"),
            ("2026-10-25T02:30", "2026-10-25T00:30"),
        ],
    )
    def test_a_moment_without_an_offset_is_local(self, text: str, moment: str) -> None:
        assert parse_moment(text, PRAGUE) == utc(moment)

    @pytest.mark.parametrize("text", ["", "tomorrow", "24.11.2026", "2026-11-31", "2026-11-24T9", "20261124"])
    def test_what_is_not_a_moment_is_named(self, text: str) -> None:
        with pytest.raises(ValueError, match=f"'{text}' is not a date and time; write ISO 8601, such as"):
            parse_moment(text, PRAGUE)

    def test_a_moment_outside_the_calendar_is_refused(self) -> None:
        with pytest.raises(ValueError, match="falls outside the years 1 to 9999"):
            parse_moment("0001-01-01T00:00+05:00", PRAGUE)

    @pytest.mark.parametrize(
        ("text", "at"), [("09:00", time(9)), ("09:00:30", time(9, 0, 30)), ("23:59", time(23, 59))]
    )
    def test_a_time_of_day_reads_and_writes_the_same(self, text: str, at: time) -> None:
        wait = Wait.model_validate({"lasts": "1d", "at": text})
        assert wait.at == at
        assert wait.model_dump(mode="json")["at"] == text
        assert Wait.model_validate(wait.model_dump()).at == at

    @pytest.mark.parametrize("value", ["9:00", "24:00", "09:60", "9am", "", 600, None, time(9, tzinfo=UTC)])
    def test_a_bad_time_of_day_is_named(self, value: object) -> None:
        with pytest.raises(ValueError, match="09:00"):
            parse_time(value)

    @pytest.mark.parametrize("name", [PRAGUE, NEW_YORK, "UTC", "America/Argentina/Buenos_Aires", "Etc/GMT+5"])
    def test_a_known_zone_is_itself(self, name: str) -> None:
        assert check_zone(name) == name

    @pytest.mark.parametrize(
        "name",
        ["", "Prague", "europe/prague", "America", "../etc/passwd", "/etc/localtime", "localtime", "+02:00"],
    )
    def test_an_unknown_zone_is_named(self, name: str) -> None:
        with pytest.raises(ValueError, match="use an IANA name such as Europe/Prague") as caught:
            check_zone(name)
        assert str(caught.value).startswith(f"unknown time zone {name!r}")
        with pytest.raises(ValidationError, match="unknown time zone"):
            Wait.model_validate({"lasts": "1d", "zone": name})


class TestWriting:
    @pytest.mark.parametrize(
        ("zone", "now", "expected"),
        [
            (PRAGUE, None, "24 Nov 09:00 Prague"),
            (PRAGUE, "2026-01-01", "24 Nov 09:00 Prague"),
            (PRAGUE, "2025-12-31T22:00", "24 Nov 2026 09:00 Prague"),
            (PRAGUE, "2025-12-31T23:00", "24 Nov 09:00 Prague"),
            (NEW_YORK, None, "24 Nov 03:00 New York"),
            ("America/Argentina/Buenos_Aires", None, "24 Nov 05:00 Buenos Aires"),
            ("UTC", None, "24 Nov 08:00 UTC"),
        ],
    )
    def test_an_instant_is_described_where_it_is(self, zone: str, now: str | None, expected: str) -> None:
        assert describe(utc("2026-11-24T08:00"), zone, utc(now) if now else None) == expected

    @pytest.mark.parametrize(
        ("seconds", "expected"),
        [
            (0, "0 seconds"),
            (0.9, "0 seconds"),
            (45, "45 seconds"),
            (5400, "1 hour 30 minutes"),
            (86400 * 3, "3 days"),
            (86400 * 3 + 3600 + 59, "3 days 1 hour"),
            (86400 * 3 + 59, "3 days"),
            (-3600, "-1 hour"),
        ],
    )
    def test_time_passed_is_written_in_two_units(self, seconds: float, expected: str) -> None:
        start = utc("2026-11-24T08:00")
        assert elapsed(start, start + timedelta(seconds=seconds)) == expected
