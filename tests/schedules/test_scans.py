"""Scans: who is let in by a date, a day or a cron expression, and that nobody is twice, at times handed in."""

import asyncio
from dataclasses import replace
from datetime import date, timedelta
from typing import Any

import pytest
from structlog.testing import capture_logs
from temporalio.testing import ActivityEnvironment

from activities.scan import Scan
from intake.admission import Admission
from processes.scanning import ScanProgress
from processes.triggers.schedules import DateTrigger
from store import rows
from tests.schedules.scanner import BIRTHDAY, Scanner, utc

DAY, HOUR, QUARTER = timedelta(days=1), timedelta(hours=1), timedelta(minutes=15)
MORNING = utc(2026, 11, 24, 8)
"""09:00 in Prague."""
ALL: dict[str, Any] = {"type": "daily", "when": {"always": True}, "at": "09:00"}
BORN = "1990-11-24"


async def test_everyone_is_let_in_once_at_their_own_nine_o_clock(scanner: Scanner) -> None:
    zones = {
        "kiritimati": ("Pacific/Kiritimati", utc(2026, 11, 23, 19)),
        "kathmandu": ("Asia/Kathmandu", utc(2026, 11, 24, 3, 15)),
        "prague": (None, MORNING),
        "nowhere": ("Atlantis/Poseidonis", MORNING),
        "new-york": ("America/New_York", utc(2026, 11, 24, 14)),
        "niue": ("Pacific/Niue", utc(2026, 11, 24, 20)),
    }
    await scanner.people({name: {"birthday": BORN, "time_zone": zone} for name, (zone, _) in zones.items()})
    await scanner.publish(BIRTHDAY)
    await scanner.scan_in_steps(utc(2026, 11, 23), utc(2026, 11, 25, 12), timedelta(minutes=45))
    moments = {event.contact_id.removeprefix("c-"): event.occurred_at for event in await scanner.events()}
    assert moments == {name: moment for name, (_, moment) in zones.items()}
    assert await scanner.started() == sorted((name, "2026-11-24") for name in zones)


async def test_sql_finds_all_who_are_meant_however_their_date_is_written(scanner: Scanner) -> None:
    days = [date(2026, 11, 24), date(2027, 2, 28), date(2028, 2, 28), date(2028, 2, 29)]
    written = [
        form.format(one)
        for one in ("11-24", "02-29", "02-28", "01-31", "01-28", "01-29", "11-23", "10-24")
        for form in (
            "1990-{}", "2026-{}", "2028-{}", "--{}", " 1990-{}\t", "1990-{}T23:59:59-11:00", "1990-{} 10:00",
            "{}", "x{}",
        )
    ]  # fmt: skip
    others: list[Any] = [
        "--1124",
        "--0229",
        "--0228",
        "",
        "never",
        20261124,
        1.5,
        True,
        None,
        [BORN],
        {"a": BORN},
    ]
    people = {f"n{number}": value for number, value in enumerate([*written, *others])}
    await scanner.people({name: {"birthday": value} for name, value in people.items()})
    await scanner.people({"without": {}})
    changes: list[dict[str, Any]] = [{}, {"every_year": False}, {"offset": "1 month"}]
    for number, change in enumerate(changes):
        key, document = f"p{number}", {**BIRTHDAY, **change}
        trigger = DateTrigger.model_validate(document)
        await scanner.publish(document, key=key)
        for day in days:
            noon = utc(day.year, day.month, day.day, 12)
            (due,) = trigger.due("Europe/Prague", noon - DAY, noon)
            meant = {(name, due.occasion) for name, value in people.items() if trigger.is_for(value, due)}
            assert (await scanner.scan(noon, noon - DAY, key=key)).failed == 0
            assert {entry for entry in await scanner.started(key) if entry[1] == due.occasion} == meant


async def test_the_day_that_a_contact_was_made_is_a_date_too(scanner: Scanner) -> None:
    await scanner.people({"old": {}}, now=utc(2025, 11, 24, 23, 30))
    await scanner.people({"new": {"created_at": BORN}}, now=utc(2026, 11, 20))
    await scanner.publish({**BIRTHDAY, "field": "created_at"})
    await scanner.scan(MORNING, MORNING - QUARTER)
    assert await scanner.names() == {"old"}


async def test_a_scan_that_runs_twice_or_looks_back_too_far_lets_nobody_in_twice(scanner: Scanner) -> None:
    await scanner.people({f"n{number}": {"birthday": BORN} for number in range(5)})
    await scanner.publish(BIRTHDAY)
    first = await scanner.scan(MORNING, MORNING - QUARTER)
    again = await scanner.scan(MORNING, MORNING - QUARTER)
    blind = await scanner.scan(MORNING + HOUR)
    assert [(one.found, one.started, one.repeated) for one in (first, again, blind)] == [
        (5, 5, 0),
        (5, 0, 5),
        (5, 0, 5),
    ]
    assert len(await scanner.started()) == 5


async def test_scans_at_the_same_time_let_everyone_in_once(scanner: Scanner) -> None:
    people = {f"n{number:02}": {"birthday": BORN} for number in range(40)}
    await scanner.people(people)
    await scanner.publish(BIRTHDAY, recurrence="when_finished")
    scans = await asyncio.gather(*(scanner.scan(MORNING, MORNING - QUARTER, page=7 + n) for n in range(4)))
    assert {one.found for one in scans} == {40}
    assert sum(one.started for one in scans) == len(await scanner.started()) == 40
    assert sum(one.failed for one in scans) == 0


async def test_a_scan_goes_on_from_any_page_that_it_had_reached(scanner: Scanner) -> None:
    people = {f"n{number:02}": {"birthday": BORN} for number in range(20)}
    await scanner.people({**people, **{f"x{number:02}": {"birthday": "1990-01-01"} for number in range(20)}})
    await scanner.publish(BIRTHDAY, {**BIRTHDAY, "field": "name_day"})
    call = scanner.call(MORNING, MORNING - QUARTER)
    heard: list[ScanProgress] = []
    await scanner.scans(page=3, pages=4).look(call, heard.append)
    assert len(await scanner.started()) == 12
    for progress in (None, heard[0], heard[2]):
        rest = await scanner.scans(page=3).look(call.model_copy(update={"progress": progress}), heard.append)
        assert rest.done
    assert sorted(await scanner.names()) == sorted(people)
    assert len(await scanner.started()) == 20


async def test_another_attempt_goes_on_from_what_the_last_one_told(scanner: Scanner) -> None:
    await scanner.people({f"n{number}": {"birthday": BORN} for number in range(6)})
    await scanner.publish(BIRTHDAY)
    tools, call = scanner.services.tools(), scanner.call(MORNING, MORNING - QUARTER)
    first = Scan(replace(tools, scans=scanner.scans(page=2, pages=2)))
    told: list[Any] = []
    environment = ActivityEnvironment()
    environment.on_heartbeat = lambda *details: told.extend(details)
    await environment.run(first.scan, call)
    # A slow machine hears the same progress again in between.
    assert list(dict.fromkeys(progress.started for progress in told)) == [2, 4]
    environment.info = replace(
        environment.info, heartbeat_details=[told[0].model_dump(mode="json")], attempt=2
    )
    rest = await environment.run(Scan(tools).scan, call)
    assert (rest.found, rest.started, rest.repeated, rest.done) == (6, 4, 2, True)
    assert len(await scanner.started()) == 6


async def test_a_worker_that_is_told_to_stop_leaves_the_rest_to_another(scanner: Scanner) -> None:
    await scanner.people({f"n{number}": {"birthday": BORN} for number in range(6)})
    await scanner.publish(BIRTHDAY)
    leaving, call = ActivityEnvironment(), scanner.call(MORNING, MORNING - QUARTER)
    leaving.worker_shutdown()
    left = await leaving.run(Scan(replace(scanner.services.tools(), scans=scanner.scans(page=2))).scan, call)
    assert (left.started, left.done) == (2, False)
    rest = await ActivityEnvironment().run(
        Scan(scanner.services.tools()).scan, call.model_copy(update={"progress": left})
    )
    assert (rest.started, rest.repeated, rest.done) == (6, 0, True)


async def test_a_process_activated_at_noon_does_not_make_up_for_its_morning(scanner: Scanner) -> None:
    await scanner.people(
        {"prague": {"birthday": BORN}, "york": {"birthday": BORN, "time_zone": "America/New_York"}}
    )
    await scanner.publish(BIRTHDAY, since=MORNING + 3 * HOUR)
    await scanner.scan(MORNING + 8 * HOUR)
    assert await scanner.names() == {"york"}


async def test_what_came_due_in_a_pause_lets_nobody_in_then_or_later(scanner: Scanner) -> None:
    await scanner.people(
        {"prague": {"birthday": BORN}, "york": {"birthday": BORN, "time_zone": "America/New_York"}}
    )
    await scanner.publish(BIRTHDAY)
    await scanner.set_status("paused", MORNING - HOUR)
    assert (await scanner.scan(MORNING, MORNING - QUARTER)).found == 0
    await scanner.set_status("active", MORNING + HOUR)
    await scanner.scan(MORNING + 10 * HOUR, MORNING - 2 * HOUR)
    assert await scanner.names() == {"york"}
    assert len(await scanner.events()) == 1


async def test_a_pause_in_the_middle_of_a_scan_ends_it(scanner: Scanner) -> None:
    await scanner.people({f"n{number}": {"birthday": BORN} for number in range(6)})
    await scanner.publish(BIRTHDAY)
    call = scanner.call(MORNING, MORNING - QUARTER)
    begun = await scanner.scans(page=2, pages=1).look(call, scanner.told.append)
    rest = call.model_copy(update={"progress": begun})
    await scanner.set_status("paused", MORNING)
    ended = await scanner.scans(page=2).look(rest, scanner.told.append)
    assert (begun.started, ended.started, ended.done) == (2, 2, True)
    await scanner.set_status("active", MORNING + QUARTER)
    ended = await scanner.scans(page=2).look(rest, scanner.told.append)
    assert (ended.started, ended.done) == (2, True)


async def test_an_outage_is_made_up_for_up_to_the_age_that_the_trigger_allows(scanner: Scanner) -> None:
    days = {f"d{day}": {"birthday": f"1990-11-{day}"} for day in (21, 22, 23, 24)}
    await scanner.people(days)
    await scanner.publish(BIRTHDAY)
    await scanner.publish({**BIRTHDAY, "max_age": "4 hours"}, key="short")
    for key in ("p", "short"):
        await scanner.scan(MORNING + HOUR, utc(2026, 11, 1), key=key)
    assert await scanner.names() == {"d23", "d24"}
    assert await scanner.names("short") == {"d24"}


async def test_a_daily_check_that_was_missed_for_days_lets_each_contact_in_once(scanner: Scanner) -> None:
    await scanner.people({"ann": {}})
    await scanner.publish({**ALL, "max_age": "10 days"})
    await scanner.scan(MORNING + HOUR, MORNING - 5 * DAY)
    assert await scanner.started() == [("ann", "2026-11-24")]


async def test_a_daily_check_lets_in_those_who_meet_its_rule_on_each_day(scanner: Scanner) -> None:
    await scanner.people({"ann": {"points": 10}, "bob": {"points": 1}, "cid": {"points": 12}})
    await scanner.change("cid", deleted_at=MORNING - DAY)
    await scanner.publish({**ALL, "when": {"contact": "points", "at_least": 5}})
    await scanner.scan(MORNING, MORNING - QUARTER)
    await scanner.scan(MORNING + HOUR, MORNING)
    await scanner.change("bob", fields={"points": 7})
    await scanner.scan(MORNING + DAY, MORNING + HOUR)
    assert await scanner.started() == [("ann", "2026-11-24"), ("ann", "2026-11-25"), ("bob", "2026-11-25")]


async def test_a_cron_expression_can_come_twice_a_day(scanner: Scanner) -> None:
    await scanner.people({"ann": {"time_zone": "America/New_York"}})
    await scanner.publish(
        {"type": "cron", "when": {"always": True}, "cron": "30 9,17 * * tue", "zone": "Europe/Prague"}
    )
    await scanner.scan_in_steps(utc(2026, 11, 22), utc(2026, 11, 26), timedelta(hours=6))
    assert await scanner.started() == [("ann", "2026-11-24T09:30"), ("ann", "2026-11-24T17:30")]


async def test_a_zone_of_the_trigger_is_everyones(scanner: Scanner) -> None:
    await scanner.people({"ann": {"birthday": BORN, "time_zone": "Asia/Tokyo"}, "bob": {"birthday": BORN}})
    await scanner.publish({**BIRTHDAY, "zone": "Europe/Prague"})
    await scanner.scan(MORNING, MORNING - QUARTER)
    assert {event.occurred_at for event in await scanner.events()} == {MORNING}
    assert await scanner.names() == {"ann", "bob"}


async def test_an_offset_moves_the_day_into_another_year(scanner: Scanner) -> None:
    await scanner.people({"ann": {"birthday": "1990-01-02"}, "bob": {"birthday": "1990-12-30"}})
    await scanner.publish({**BIRTHDAY, "offset": "-3d"})
    await scanner.scan(utc(2026, 12, 30, 9), utc(2026, 12, 30))
    assert await scanner.started() == [("ann", "2026-12-30")]


async def test_who_moves_to_a_zone_where_the_day_comes_again_is_not_let_in_again(scanner: Scanner) -> None:
    await scanner.people({"ann": {"birthday": BORN, "time_zone": "Asia/Tokyo"}})
    await scanner.publish(BIRTHDAY)
    await scanner.scan(utc(2026, 11, 24, 0), utc(2026, 11, 23, 23))
    await scanner.change("ann", time_zone="America/New_York")
    late = await scanner.scan(utc(2026, 11, 24, 14), utc(2026, 11, 24, 13))
    assert (late.found, late.repeated) == (1, 1)
    assert await scanner.started() == [("ann", "2026-11-24")]


async def test_a_date_that_is_changed_after_its_moment_counts_for_the_new_day(scanner: Scanner) -> None:
    await scanner.people({"ann": {"birthday": BORN}, "bob": {"birthday": "1990-11-30"}})
    await scanner.publish(BIRTHDAY)
    await scanner.scan(MORNING, MORNING - QUARTER)
    await scanner.change("ann", fields={"birthday": "1990-11-26"})
    await scanner.change("bob", fields={"birthday": BORN})
    await scanner.scan_in_steps(MORNING, MORNING + 3 * DAY, DAY)
    assert await scanner.started() == [("ann", "2026-11-24"), ("ann", "2026-11-26")]


async def test_a_process_of_a_list_looks_at_its_subscribers_only(scanner: Scanner) -> None:
    await scanner.make_list("club")
    await scanner.people({"ann": {"birthday": BORN}, "bob": {"birthday": BORN}})
    await scanner.subscribe("ann", "club")
    await scanner.publish(BIRTHDAY, list="club")
    assert (await scanner.scan(MORNING, MORNING - QUARTER)).found == 1
    assert await scanner.names() == {"ann"}


async def test_a_filter_keeps_out_and_says_so(scanner: Scanner) -> None:
    await scanner.people({"ann": {"birthday": BORN}, "bob": {"birthday": BORN}})
    await scanner.tag("ann", "vip")
    await scanner.publish({**BIRTHDAY, "filter": {"tag": "vip"}})
    scanned = await scanner.scan(MORNING, MORNING - QUARTER)
    assert (scanned.found, scanned.started, scanned.skipped) == (2, 1, 1)
    outcomes = {event.contact_id: event.outcome[0] for event in await scanner.events()}
    assert outcomes["c-bob"]["reason"] == "filter does not hold"
    assert outcomes["c-ann"]["decision"] == "started"


@pytest.mark.parametrize(
    ("recurrence", "days"),
    [
        ("each_time", ["2026-11-24", "2026-11-25", "2026-11-26"]),
        ("once", ["2026-11-24"]),
        ("when_finished", ["2026-11-24", "2026-11-26"]),
        ({"mode": "once_per", "period": "2 days"}, ["2026-11-24", "2026-11-26"]),
    ],
)
async def test_the_recurrence_of_the_process_holds(
    scanner: Scanner, recurrence: Any, days: list[str]
) -> None:
    await scanner.people({"ann": {}})
    await scanner.publish(ALL, recurrence=recurrence)
    await scanner.scan(MORNING, MORNING - QUARTER)
    await scanner.scan(MORNING + DAY, MORNING)
    await scanner.end_all()
    await scanner.scan(MORNING + 2 * DAY, MORNING + DAY)
    assert [day for _, day in await scanner.started()] == days
    assert len(await scanner.events()) == 3


async def test_two_triggers_of_a_process_each_let_in_by_themselves(scanner: Scanner) -> None:
    await scanner.people({"ann": {"birthday": "1990-11-27", "name_day": BORN}})
    before = {**BIRTHDAY, "offset": "-3d"}
    await scanner.publish(BIRTHDAY, before, {**BIRTHDAY, "field": "name_day"})
    await scanner.scan(MORNING, MORNING - QUARTER)
    triggers = {event.params["trigger"] for event in await scanner.events()}
    assert triggers == {"date.birthday.-P3D", "date.name_day"}
    assert len(await scanner.started()) == 2


async def test_an_instance_is_named_by_its_trigger_and_its_day(scanner: Scanner) -> None:
    await scanner.people({"22222": {"birthday": BORN}})
    await scanner.publish(BIRTHDAY, key="birthday")
    await scanner.scan(MORNING, MORNING - QUARTER, key="birthday")
    (event,) = await scanner.events()
    assert event.id == "schedule/birthday/date.birthday/2026-11-24/c-22222"
    assert event.outcome[0]["instance"] == "birthday/22222/date.birthday.2026-11-24"


async def test_a_rule_that_cannot_be_asked_leaves_the_other_triggers_alone(scanner: Scanner) -> None:
    await scanner.segment("vips", {"tag": "vip"})
    await scanner.people({"ann": {"birthday": BORN}})
    await scanner.publish({**ALL, "when": {"segment": "vips"}}, BIRTHDAY)
    await scanner.segment("vips", None)
    scanned = await scanner.scan(MORNING, MORNING - QUARTER)
    assert scanned.started == 1
    (problem,) = scanned.problems
    assert "no segment 'vips'" in problem


async def test_a_contact_who_cannot_be_let_in_keeps_nobody_else_out(
    scanner: Scanner, monkeypatch: pytest.MonkeyPatch
) -> None:
    admit = Admission.admit

    async def broken(self: Admission, connection: Any, events: Any, now: Any) -> Any:
        if any(event.contact_id == "c-n3" for event in events):
            raise ValueError("a contact that breaks everything")
        return await admit(self, connection, events, now)

    await scanner.people({f"n{number}": {"birthday": BORN} for number in range(8)})
    await scanner.publish(BIRTHDAY)
    with monkeypatch.context() as patched, capture_logs() as logs:
        patched.setattr(Admission, "admit", broken)
        scanned = await scanner.scan(MORNING, MORNING - QUARTER)
    assert (scanned.started, scanned.failed) == (7, 1)
    failed = [entry["contact"] for entry in logs if entry["event"] == "scan_contact_failed"]
    assert failed == ["c-n3"]
    mended = await scanner.scan(MORNING + HOUR, MORNING - QUARTER)
    assert (mended.started, mended.repeated, mended.failed) == (1, 7, 0)


async def test_a_contact_deleted_between_finding_and_letting_in_is_let_in_nowhere(
    scanner: Scanner, monkeypatch: pytest.MonkeyPatch
) -> None:
    await scanner.people({"ann": {"birthday": BORN}, "bob": {"birthday": BORN}})
    await scanner.publish(BIRTHDAY)
    admit = Admission.admit

    async def late(self: Admission, connection: Any, events: Any, now: Any) -> Any:
        await connection.execute(
            rows.contacts.update().where(rows.contacts.c.id == "c-ann").values(deleted_at=MORNING)
        )
        return await admit(self, connection, events, now)

    monkeypatch.setattr(Admission, "admit", late)
    scanned = await scanner.scan(MORNING, MORNING - QUARTER)
    assert (scanned.found, scanned.started, scanned.failed) == (2, 1, 0)
    assert await scanner.names() == {"bob"}


async def test_a_process_that_nobody_published_has_nothing_to_scan(scanner: Scanner) -> None:
    assert (await scanner.scan(MORNING, MORNING - QUARTER, key="nothing")).found == 0
    await scanner.publish({"type": "api"})
    assert (await scanner.scan(MORNING, MORNING - QUARTER)).found == 0
