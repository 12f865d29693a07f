"""Local time: what a wait, a weekday and an anniversary mean where clocks change and months differ."""

from datetime import UTC, date, datetime, time, timedelta

import pytest
from hypothesis import assume, given, settings
from hypothesis import strategies as st

from processes.clock import (
    add,
    anniversary_in_year,
    date_moment,
    next_anniversary,
    next_weekday,
    parse_day,
    resolve,
    weekday_number,
)
from processes.durations import Duration, SignedDuration
from tests.clock.places import (
    APIA,
    AUCKLAND,
    LORD_HOWE,
    NEW_YORK,
    PRAGUE,
    SAME_DAY,
    ZONES,
    days,
    local,
    offsets,
    utc,
    wall,
)

# The zone, the local time in the gap, its end in UTC and in local time, the length of the gap in minutes.
SPRING = [
    (PRAGUE, "2026-03-29T02:30", "2026-03-29T01:00", "2026-03-29T03:00", 60),
    (PRAGUE, "2027-03-28T02:00", "2027-03-28T01:00", "2027-03-28T03:00", 60),
    (NEW_YORK, "2026-03-08T02:30", "2026-03-08T07:00", "2026-03-08T03:00", 60),
    (NEW_YORK, "2027-03-14T02:59:59", "2027-03-14T07:00", "2027-03-14T03:00", 60),
    (AUCKLAND, "2026-09-27T02:30", "2026-09-26T14:00", "2026-09-27T03:00", 60),
    (AUCKLAND, "2027-09-26T02:30", "2027-09-25T14:00", "2027-09-26T03:00", 60),
    (LORD_HOWE, "2026-10-04T02:10", "2026-10-03T15:30", "2026-10-04T02:30", 30),
    (APIA, "2011-12-30T09:00", "2011-12-30T10:00", "2011-12-31T00:00", 24 * 60),
]
# The zone, a local time that exists twice, the first in UTC, minutes to the second.
AUTUMN = [
    (PRAGUE, "2026-10-25T02:30", "2026-10-25T00:30", 60),
    (PRAGUE, "2027-10-31T02:30", "2027-10-31T00:30", 60),
    (NEW_YORK, "2026-11-01T01:30", "2026-11-01T05:30", 60),
    (NEW_YORK, "2027-11-07T01:00", "2027-11-07T05:00", 60),
    (AUCKLAND, "2026-04-05T02:30", "2026-04-04T13:30", 60),
    (AUCKLAND, "2027-04-04T02:59:59", "2027-04-03T13:59:59", 60),
    (LORD_HOWE, "2026-04-05T01:45", "2026-04-04T14:45", 30),
]


@pytest.mark.parametrize(("zone", "missing", "end", "end_local", "minutes"), SPRING)
class TestSpring:
    def test_a_missing_time_moves_to_the_end_of_the_gap(
        self, zone: str, missing: str, end: str, end_local: str, minutes: int
    ) -> None:
        assert resolve(local(missing), zone) == utc(end)
        assert wall(resolve(local(missing), zone), zone) == local(end_local)

    def test_the_edges_of_the_gap_are_exact(
        self, zone: str, missing: str, end: str, end_local: str, minutes: int
    ) -> None:
        start = local(end_local) - timedelta(minutes=minutes)
        tick = timedelta(microseconds=1)
        assert resolve(start - tick, zone) == utc(end) - tick
        assert resolve(start, zone) == resolve(start + tick, zone) == utc(end)
        assert resolve(local(end_local) - tick, zone) == resolve(local(end_local), zone) == utc(end)
        assert resolve(local(end_local) + tick, zone) == utc(end) + tick

    def test_a_day_added_into_the_gap_ends_where_the_gap_ends(
        self, zone: str, missing: str, end: str, end_local: str, minutes: int
    ) -> None:
        eve = resolve(local(missing) - timedelta(days=1), zone)
        assert add(eve, days(1), zone) == utc(end)
        assert wall(add(eve, days(2), zone), zone) == local(missing) + timedelta(days=1)

    def test_hours_are_elapsed_time(
        self, zone: str, missing: str, end: str, end_local: str, minutes: int
    ) -> None:
        eve = resolve(local(missing) - timedelta(days=1), zone)
        assert add(eve, Duration.parse("24h"), zone) == eve + timedelta(hours=24)

    def test_a_weekday_in_the_gap_comes_at_its_end_and_once(
        self, zone: str, missing: str, end: str, end_local: str, minutes: int
    ) -> None:
        weekday, at = local(missing).weekday(), local(missing).time()
        assert next_weekday(utc(end) - timedelta(days=1), {weekday}, at, zone) == utc(end)
        assert next_weekday(utc(end), {weekday}, at, zone) == utc(end)
        following = next_weekday(utc(end) + timedelta(seconds=1), {weekday}, at, zone)
        assert wall(following, zone) == local(missing) + timedelta(days=7)


@pytest.mark.parametrize(("zone", "twice", "first", "minutes"), AUTUMN)
class TestAutumn:
    def test_a_time_that_exists_twice_is_the_first(
        self, zone: str, twice: str, first: str, minutes: int
    ) -> None:
        assert resolve(local(twice), zone) == utc(first)
        assert resolve(local(twice).replace(fold=1), zone) == utc(first)
        assert wall(utc(first) + timedelta(minutes=minutes), zone) == local(twice)

    def test_a_day_added_keeps_the_local_time(self, zone: str, twice: str, first: str, minutes: int) -> None:
        eve = resolve(local(twice) - timedelta(days=1), zone)
        assert add(eve, days(1), zone) == utc(first)
        assert add(eve, days(2), zone) - eve == timedelta(days=2, minutes=minutes)

    def test_hours_from_the_second_pass_stay_on_it(
        self, zone: str, twice: str, first: str, minutes: int
    ) -> None:
        second = utc(first) + timedelta(minutes=minutes)
        assert add(second, Duration.parse("5m"), zone) == second + timedelta(minutes=5)
        assert wall(add(second, days(1), zone), zone) == local(twice) + timedelta(days=1)

    def test_a_weekday_comes_on_the_first_pass_only(
        self, zone: str, twice: str, first: str, minutes: int
    ) -> None:
        weekday, at = local(twice).weekday(), local(twice).time()
        assert next_weekday(utc(first) - timedelta(days=1), {weekday}, at, zone) == utc(first)
        assert next_weekday(utc(first), {weekday}, at, zone) == utc(first)
        following = next_weekday(utc(first) + timedelta(seconds=1), {weekday}, at, zone)
        assert wall(following, zone) == local(twice) + timedelta(days=7)


class TestAdd:
    @pytest.mark.parametrize(
        ("start", "duration", "end"),
        [
            ("2026-01-31T09:00", "1 month", "2026-02-28T09:00"),
            ("2028-01-31T09:00", "1 month", "2028-02-29T09:00"),
            ("2026-08-31T09:00", "1 month", "2026-09-30T09:00"),
            ("2028-02-29T09:00", "1 year", "2029-02-28T09:00"),
            ("2028-02-29T09:00", "4 years", "2032-02-29T09:00"),
            ("2026-11-30T09:00", "3 months", "2027-02-28T09:00"),
            ("2026-01-31T09:00", "1 month 1 day", "2026-03-01T09:00"),
            ("2026-12-31T23:00", "1d", "2027-01-01T23:00"),
            ("2026-03-28T09:00", "1d", "2026-03-29T09:00"),
            ("2026-03-28T09:00", "24h", "2026-03-29T10:00"),
            ("2026-03-28T01:00", "1d 2h", "2026-03-29T04:00"),
            ("2026-10-24T09:00", "24h", "2026-10-25T08:00"),
        ],
    )
    def test_months_and_days_are_calendar_and_hours_elapse(self, start: str, duration: str, end: str) -> None:
        moved = add(resolve(local(start), PRAGUE), Duration.parse(duration), PRAGUE)
        assert wall(moved, PRAGUE) == local(end)
        assert moved.tzinfo is UTC

    @pytest.mark.parametrize(
        ("start", "duration", "end"),
        [
            ("2026-03-31T09:00", "1 month", "2026-02-28T09:00"),
            ("2026-03-30T09:00", "1d", "2026-03-29T09:00"),
            ("2026-03-29T09:00", "24h", "2026-03-28T08:00"),
            ("2026-01-01T09:00", "1d", "2025-12-31T09:00"),
            ("2026-03-30T02:30", "1d", "2026-03-29T03:00"),
        ],
    )
    def test_a_sign_goes_back(self, start: str, duration: str, end: str) -> None:
        instant, back = resolve(local(start), PRAGUE), Duration.parse(duration)
        assert wall(add(instant, back, PRAGUE, sign=-1), PRAGUE) == local(end)
        assert wall(add(instant, -back, PRAGUE), PRAGUE) == local(end)

    def test_zero_adds_nothing_even_on_the_second_pass(self) -> None:
        second = utc("2026-10-25T01:30")
        assert add(second, Duration.zero(), PRAGUE) == second

    def test_the_day_is_that_of_the_zone(self) -> None:
        assert add(utc("2026-01-30T23:30"), Duration.parse("1 month"), "UTC") == utc("2026-02-28T23:30")
        assert add(utc("2026-01-30T23:30"), Duration.parse("1 month"), AUCKLAND) == utc("2026-02-27T23:30")

    def test_a_zone_is_checked_and_a_naive_time_refused(self) -> None:
        with pytest.raises(ValueError, match="unknown time zone 'Prague'"):
            add(utc("2026-01-01"), Duration.parse("1h"), "Prague")
        for duration in ("1h", "1d"):
            with pytest.raises(ValueError, match="has no UTC offset"):
                add(local("2026-01-01"), Duration.parse(duration), PRAGUE)

    @pytest.mark.parametrize("duration", ["1h", "1d", "1 month"])
    def test_the_end_of_the_calendar_is_an_error_of_value(self, duration: str) -> None:
        with pytest.raises(ValueError, match="falls outside the years 1 to 9999"):
            add(utc("9999-12-31T23:30"), Duration.parse(duration), "UTC")

    def test_resolve_wants_a_time_without_an_offset(self) -> None:
        with pytest.raises(ValueError, match="pass a local time without one"):
            resolve(utc("2026-01-01"), PRAGUE)


class TestNextWeekday:
    MONDAY = "2026-11-23T08:00"  # 09:00 in Prague

    @pytest.mark.parametrize(
        ("after", "weekdays", "expected"),
        [
            ("2026-11-23T08:00", ["monday"], "2026-11-23T08:00"),
            ("2026-11-23T08:00:00.000001", ["monday"], "2026-11-30T08:00"),
            ("2026-11-23T07:59:59", ["Mon"], "2026-11-23T08:00"),
            ("2026-11-23T08:01", [0, 1], "2026-11-24T08:00"),
            ("2026-11-20T12:00", ["sat", "sunday"], "2026-11-21T08:00"),
            ("2026-12-31T12:00", ["friday"], "2027-01-01T08:00"),
            ("2026-11-22T23:30", ["sunday"], "2026-11-29T08:00"),
        ],
    )
    def test_it_is_the_first_not_before(self, after: str, weekdays: list[int | str], expected: str) -> None:
        assert next_weekday(utc(after), frozenset(weekdays), time(9), PRAGUE) == utc(expected)

    @pytest.mark.parametrize("weekday", [7, -1, "m", "someday", ""])
    def test_a_wrong_weekday_is_named(self, weekday: int | str) -> None:
        with pytest.raises(ValueError, match="is not a weekday; use a name such as 'monday'"):
            weekday_number(weekday)

    def test_no_weekday_is_refused(self) -> None:
        with pytest.raises(ValueError, match="no weekday is given"):
            next_weekday(utc(self.MONDAY), frozenset(), time(9), PRAGUE)


class TestAnniversaries:
    @pytest.mark.parametrize(
        ("day", "after", "offset", "expected"),
        [
            ("1990-05-10", "2026-05-10T07:00", "0d", "2026-05-10T07:00"),
            ("1990-05-10", "2026-05-10T07:00:01", "0d", "2027-05-10T07:00"),
            ("2000-02-29", "2026-01-01", "0d", "2026-02-28T08:00"),
            ("2000-02-29", "2027-06-01", "0d", "2028-02-29T08:00"),
            ("2000-02-29", "2028-02-29T00:00", "0d", "2028-02-29T08:00"),
            ("2000-02-29", "2026-01-01", "+1d", "2026-03-01T08:00"),
            ("1990-01-02", "2026-12-01", "-7d", "2026-12-26T08:00"),
            ("1990-01-02", "2026-12-27", "-7d", "2027-12-26T08:00"),
            ("1990-12-30", "2027-01-01", "+7d", "2027-01-06T08:00"),
            ("1990-12-30", "2027-01-07", "+7d", "2028-01-06T08:00"),
            ("1990-01-01", "2026-12-31T20:00", "-3h", "2027-01-01T05:00"),
            ("1990-03-31", "2026-01-01", "-1 month", "2026-02-28T08:00"),
            ("1990-03-28", "2026-03-20", "+24h", "2026-03-29T08:00"),
            ("1990-03-28", "2026-03-20", "+1d", "2026-03-29T07:00"),
            ("1990-05-10", "2026-05-11", "-10y", "2027-05-10T07:00"),
            ("1990-05-10", "2026-05-09", "+10y", "2026-05-10T07:00"),
            ("1990-01-01", "2026-12-31", "-3652d", "2027-01-02T08:00"),
            ("2030-06-12", "2026-01-01", "-7d", "2030-06-05T07:00"),
            ("2026-05-10", "2026-05-10T06:00", "0d", "2026-05-10T07:00"),
        ],
    )
    def test_the_next_is_the_first_not_before(self, day: str, after: str, offset: str, expected: str) -> None:
        found = next_anniversary(
            date.fromisoformat(day), utc(after), SignedDuration.parse(offset), time(9), PRAGUE
        )
        assert found == utc(expected)

    def test_a_day_without_a_year_recurs(self) -> None:
        day = parse_day("--02-29")
        assert day is not None
        assert next_anniversary(day, utc("2027-01-01"), SAME_DAY, time(9), "UTC") == utc("2027-02-28T09:00")
        assert next_anniversary(day, utc("2028-01-01"), SAME_DAY, time(9), "UTC") == utc("2028-02-29T09:00")

    def test_an_anniversary_in_a_gap_moves_to_its_end(self) -> None:
        day = date(1990, 3, 29)
        assert anniversary_in_year(day, 2026, SAME_DAY, time(2, 30), PRAGUE) == utc("2026-03-29T01:00")
        assert anniversary_in_year(day, 2027, SAME_DAY, time(2, 30), PRAGUE) == utc("2027-03-29T00:30")

    def test_the_offset_may_leave_the_year(self) -> None:
        moment = anniversary_in_year(date(1990, 1, 2), 2027, SignedDuration(days=-7), time(9), "UTC")
        assert moment == utc("2026-12-26T09:00")

    @pytest.mark.parametrize("year", [0, 10000])
    def test_a_year_outside_the_calendar_is_refused(self, year: int) -> None:
        with pytest.raises(ValueError, match="falls outside the years 1 to 9999"):
            anniversary_in_year(date(1990, 1, 2), year, SAME_DAY, time(9), "UTC")

    def test_an_exact_date_takes_calendar_then_time_then_elapsed(self) -> None:
        offset = SignedDuration.parse("-1d 2h")
        assert date_moment(date(2026, 3, 30), offset, time(3, 30), PRAGUE) == utc("2026-03-28T23:30")
        assert date_moment(date(2026, 3, 29), SAME_DAY, time(2, 30), PRAGUE) == utc("2026-03-29T01:00")

    def test_an_exact_date_needs_its_year(self) -> None:
        day = parse_day("--11-24")
        assert day is not None
        with pytest.raises(ValueError, match="--11-24 has no year"):
            date_moment(day, SAME_DAY, time(9), PRAGUE)


zones = st.sampled_from(ZONES)
instants = st.datetimes(datetime(1990, 1, 1), datetime(2060, 1, 1), timezones=st.just(UTC))  # noqa: DTZ001
locals_ = st.datetimes(datetime(1990, 1, 1), datetime(2060, 1, 1))  # noqa: DTZ001
near_changes = st.builds(
    lambda text, minutes: utc(text) + timedelta(minutes=minutes),
    st.sampled_from([row[2] for row in SPRING] + [row[2] for row in AUTUMN]),
    st.integers(-3 * 1440, 3 * 1440),
)
moments = instants | near_changes
times = st.builds(time, st.integers(0, 23), st.integers(0, 59), st.integers(0, 59))
weekdays = st.frozensets(st.integers(0, 6), min_size=1)
birthdays = st.dates(date(1930, 1, 1), date(1989, 12, 31)) | st.just(date(1988, 2, 29))
steady = settings(derandomize=True, database=None, deadline=None, max_examples=150)


class TestProperties:
    @steady
    @given(moments, st.integers(1, 800), zones)
    def test_days_keep_the_local_time_outside_gaps(self, start: datetime, count: int, zone: str) -> None:
        expected = wall(start, zone) + timedelta(days=count)
        moved = add(start, days(count), zone)
        if wall(moved, zone) != expected:
            assert wall(moved, zone) > expected
            just_before = wall(moved - timedelta(microseconds=1), zone)
            assert just_before < expected

    @steady
    @given(moments, moments, offsets, zones)
    def test_adding_keeps_the_order_of_local_times(
        self, one: datetime, other: datetime, duration: SignedDuration, zone: str
    ) -> None:
        early, late = sorted((one, other), key=lambda instant: wall(instant, zone))
        assume(wall(early, zone) < wall(late, zone))
        calendar = SignedDuration(duration.months, duration.days)
        assume(not calendar.is_zero)
        first, second = add(early, calendar, zone), add(late, calendar, zone)
        if calendar.months:  # the last days of a longer month fall on one day of a shorter one
            assert wall(first, zone).date() <= wall(second, zone).date()
        else:
            assert first <= second

    @steady
    @given(locals_, locals_, zones)
    def test_resolving_keeps_order(self, one: datetime, other: datetime, zone: str) -> None:
        early, late = sorted((one, other))
        assert resolve(early, zone) <= resolve(late, zone)

    @steady
    @given(moments, zones)
    def test_resolving_a_local_time_gives_its_first_instant(self, instant: datetime, zone: str) -> None:
        first = resolve(wall(instant, zone), zone)
        assert first <= instant
        assert wall(first, zone) == wall(instant, zone)

    @steady
    @given(moments, weekdays, times, zones)
    def test_the_next_weekday_is_right_and_the_first(
        self, after: datetime, numbers: frozenset[int], at: time, zone: str
    ) -> None:
        found = next_weekday(after, numbers, at, zone)
        assert after <= found <= after + timedelta(days=8)
        assert wall(found, zone).weekday() in numbers
        day = wall(found, zone).date()
        assert resolve(datetime.combine(day, at), zone) == found
        for earlier in (wall(after, zone).date() + timedelta(days=number) for number in range(8)):
            if earlier < day and earlier.weekday() in numbers:
                assert resolve(datetime.combine(earlier, at), zone) < after
        assert next_weekday(found, numbers, at, zone) == found

    @steady
    @given(moments, moments, weekdays, times, zones)
    def test_the_next_weekday_keeps_order(
        self, one: datetime, other: datetime, numbers: frozenset[int], at: time, zone: str
    ) -> None:
        early, late = sorted((one, other))
        assert next_weekday(early, numbers, at, zone) <= next_weekday(late, numbers, at, zone)

    @steady
    @given(birthdays, moments, offsets, times, zones)
    def test_the_next_anniversary_is_the_first_of_all_years(
        self, day: date, after: datetime, offset: SignedDuration, at: time, zone: str
    ) -> None:
        found = next_anniversary(day, after, offset, at, zone)
        year = after.year
        every = [anniversary_in_year(day, y, offset, at, zone) for y in range(year - 8, year + 9)]
        assert found == min(moment for moment in every if moment >= after)
        assert next_anniversary(day, found, offset, at, zone) == found
