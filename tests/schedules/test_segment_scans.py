"""Scans of segments with a rule: who is told to have entered or left, once, at times handed in."""

import asyncio
from collections.abc import Iterator
from datetime import datetime, timedelta
from typing import Any

import pytest
from sqlalchemy import select
from structlog.testing import capture_logs

from intake.admission import Admission
from intake.segment_scans import SegmentScans
from processes.builtin_events import SEGMENT_ENTERED, SEGMENT_LEFT
from processes.scanning import ScanCall, ScanProgress
from store import contacts, presences, rows
from tests.schedules.scanner import Scanner, utc
from tests.support.waiting import needs_two_writers, others_wait

NOON = utc(2026, 11, 24, 12)
MINUTE, HOUR, DAY = timedelta(minutes=1), timedelta(hours=1), timedelta(days=1)
ENTERED: dict[str, Any] = {"type": "segment_entered", "segment": "vips"}
LEFT: dict[str, Any] = {"type": "segment_left", "segment": "vips"}
VIP = {"tag": "vip"}
ON_SQLITE = pytest.mark.parametrize("database_url", ["sqlite"], indirect=True)


class Watcher:
    """A segment with a rule, and a clock that moves with each look at it."""

    def __init__(self, scanner: Scanner) -> None:
        self.scanner = scanner
        self.services = scanner.services
        self.now = NOON

    async def look(self, *, by: timedelta = 5 * MINUTE, **size: int) -> ScanProgress:
        """One whole scan, some minutes after the last."""
        self.now += by
        return await self.look_at(self.now, **size)

    async def look_at(self, now: datetime, **size: int) -> ScanProgress:
        """One whole scan at a moment."""
        call, progress = ScanCall(segment="vips", until=now), ScanProgress()
        while not progress.done:
            progress = await self.scans(**size).look(call, lambda _: None)
            call = call.model_copy(update={"progress": progress})
        return progress

    def scans(self, **size: int) -> SegmentScans:
        """Scans of such a size."""
        parts = self.services
        return SegmentScans(parts.database, parts.catalog, parts.admission, parts.dispatcher, **size)

    async def untag(self, name: str) -> None:
        """Take the tag of a contact away."""
        async with self.services.database.write() as connection:
            await contacts.remove_tag(connection, f"c-{name}", "vip")

    async def told(self) -> list[tuple[str, str]]:
        """Who was told to have entered or left, in the order of time."""
        found = sorted(await self.scanner.events(), key=lambda e: (e.occurred_at, e.type, e.contact_id))
        return [(event.type, event.contact_id.removeprefix("c-")) for event in found]

    async def decisions(self, process: str = "p") -> list[tuple[str, str | None]]:
        """What was decided about a process, in the order of time."""
        found = sorted(await self.scanner.events(), key=lambda e: (e.occurred_at, e.type, e.contact_id))
        return [
            (one["decision"], one.get("reason"))
            for event in found
            for one in event.outcome
            if one["process"] == process
        ]

    async def known(self, segment: str = "vips") -> set[str]:
        """Who is written down, without the mark."""
        p = rows.segment_presences.c
        async with self.services.database.read() as connection:
            found = await connection.execute(select(p.contact_id).where(p.segment_key == segment))
            return {one.removeprefix("c-") for one in found.scalars()} - {""}


@pytest.fixture
async def watcher(scanner: Scanner) -> Watcher:
    """A segment of those with a tag; ann has it, bob and cid have not."""
    await scanner.segment("vips", VIP)
    await scanner.people({"ann": {}, "bob": {}, "cid": {}})
    await scanner.tag("ann", "vip")
    return Watcher(scanner)


async def test_the_first_look_tells_nobody_and_the_next_ones_who_has_come_and_gone(watcher: Watcher) -> None:
    scanner = watcher.scanner
    await scanner.publish(ENTERED)
    await scanner.publish(LEFT, key="q")
    first = await watcher.look()
    assert (first.members, first.found, await watcher.told()) == (1, 0, [])
    assert (await watcher.look()).found == 0
    await scanner.tag("bob", "vip")
    await watcher.untag("ann")
    scanned = await watcher.look()
    assert (scanned.found, scanned.started, scanned.members) == (2, 2, None)
    assert await watcher.told() == [(SEGMENT_ENTERED, "bob"), (SEGMENT_LEFT, "ann")]
    assert await scanner.names() == {"bob"}
    assert await scanner.names("q") == {"ann"}
    assert (await watcher.look()).found == 0
    await scanner.tag("ann", "vip")
    assert (await watcher.look()).started == 1
    assert await scanner.names() == {"ann", "bob"}
    assert {event.source for event in await scanner.events()} == {"segment vips"}


@ON_SQLITE
async def test_a_look_stops_who_has_left_and_no_other_process(watcher: Watcher) -> None:
    scanner = watcher.scanner
    await scanner.publish(ENTERED, LEFT | {"does": "stop"})
    await scanner.publish(ENTERED, key="q")
    await watcher.look()
    await scanner.tag("bob", "vip")
    await watcher.look()
    await watcher.untag("bob")
    scanned = await watcher.look()
    assert (scanned.found, scanned.started, scanned.stopped) == (1, 0, 1)
    async with scanner.services.database.read() as connection:
        found = await connection.execute(select(rows.instances.c.process_key, rows.instances.c.state))
        assert sorted(found.all()) == [("p", "stopping"), ("q", "pending")]


@ON_SQLITE
async def test_time_alone_lets_contacts_enter_and_leave(watcher: Watcher) -> None:
    await watcher.scanner.segment("vips", {"contact": "trial_ends", "before": "now"})
    await watcher.scanner.people({"dan": {"trial_ends": (NOON + HOUR).isoformat()}})
    await watcher.scanner.publish(ENTERED)
    await watcher.look()
    assert (await watcher.look(by=50 * MINUTE)).found == 0
    assert (await watcher.look(by=10 * MINUTE)).started == 1
    assert await watcher.told() == [(SEGMENT_ENTERED, "dan")]


@ON_SQLITE
async def test_its_filter_keeps_out_and_is_not_asked_again(watcher: Watcher) -> None:
    await watcher.scanner.publish(ENTERED | {"filter": {"contact": "age", "at_least": 18}})
    await watcher.look()
    await watcher.scanner.tag("bob", "vip")
    await watcher.look()
    await watcher.scanner.change("bob", fields={"age": 20})
    await watcher.look()
    assert await watcher.decisions() == [("skipped", "filter does not hold")]


@pytest.mark.parametrize(
    ("recurrence", "decisions"),
    [
        ("each_time", ["started", "started", "started"]),
        ("once", ["started", "skipped", "skipped"]),
        ("when_finished", ["started", "skipped", "started"]),
        ({"mode": "once_per", "period": "1h"}, ["started", "skipped", "started"]),
    ],
)
@ON_SQLITE
async def test_the_recurrence_of_the_process_holds(
    watcher: Watcher, recurrence: Any, decisions: list[str]
) -> None:
    await watcher.scanner.publish(ENTERED, recurrence=recurrence)
    await watcher.look()
    for passed in (MINUTE, MINUTE, HOUR):
        if passed == HOUR:
            await watcher.scanner.end_all()
        await watcher.scanner.tag("bob", "vip")
        await watcher.look(by=passed)
        await watcher.untag("bob")
        await watcher.look(by=MINUTE)
    assert [decision for decision, _ in await watcher.decisions()] == decisions


async def test_scans_at_the_same_time_tell_each_once(watcher: Watcher) -> None:
    people: dict[str, dict[str, Any]] = {f"n{number:02}": {} for number in range(30)}
    await watcher.scanner.people(people)
    await watcher.scanner.publish(ENTERED, LEFT, recurrence="each_time")
    firsts = await asyncio.gather(*(watcher.look_at(NOON + number * MINUTE) for number in range(3)))
    assert sorted(one.members for one in firsts if one.members is not None) == [1]
    for name in people:
        await watcher.scanner.tag(name, "vip")
    await watcher.untag("ann")
    later = NOON + HOUR
    scans = await asyncio.gather(*(watcher.look_at(later + n * MINUTE, page=3 + n) for n in range(3)))
    assert (sum(one.found for one in scans), sum(one.started for one in scans)) == (31, 31)
    assert sum(one.failed for one in scans) == 0
    assert sorted(name for _, name in await watcher.told()) == ["ann", *people]
    assert await watcher.known() == set(people)


async def test_a_scan_goes_on_from_any_page_that_it_had_reached(watcher: Watcher) -> None:
    people: dict[str, dict[str, Any]] = {f"n{number:02}": {} for number in range(20)}
    await watcher.scanner.people(people)
    for name in list(people)[:10]:
        await watcher.scanner.tag(name, "vip")
    await watcher.scanner.publish(ENTERED, LEFT)
    await watcher.look()
    for name in list(people)[:10]:
        await watcher.untag(name)
    for name in list(people)[10:]:
        await watcher.scanner.tag(name, "vip")
    call = ScanCall(segment="vips", until=NOON + HOUR)
    heard: list[ScanProgress] = []
    cut = await watcher.scans(page=3, pages=6, found=5).look(call, heard.append)
    assert (cut.done, cut.entering, len(await watcher.told())) == (False, True, 15)
    for progress in (heard[1], heard[4], cut, None):
        again = call.model_copy(update={"progress": progress})
        assert (await watcher.scans(page=3, found=5).look(again, heard.append)).done
    assert sorted(name for _, name in await watcher.told()) == sorted(people)
    assert await watcher.known() == {"ann", *list(people)[10:]}


@ON_SQLITE
async def test_a_list_of_changes_that_is_old_by_now_tells_nobody_anew(
    watcher: Watcher, monkeypatch: pytest.MonkeyPatch
) -> None:
    await watcher.scanner.publish(ENTERED, LEFT)
    await watcher.look()
    await watcher.scanner.tag("bob", "vip")
    find = SegmentScans._find

    async def slow(self: SegmentScans, *args: Any) -> Any:
        """While this scan holds its list, another tells of bob, and bob leaves."""
        found = await find(self, *args)
        if found:
            monkeypatch.setattr(SegmentScans, "_find", find)
            await watcher.look()
            await watcher.untag("bob")
            await watcher.look()
        return found

    monkeypatch.setattr(SegmentScans, "_find", slow)
    assert (await watcher.look()).found == 0
    assert await watcher.told() == [(SEGMENT_ENTERED, "bob"), (SEGMENT_LEFT, "bob")]
    assert await watcher.known() == {"ann"}


@ON_SQLITE
async def test_who_was_found_by_a_rule_that_has_changed_since_is_looked_for_anew(
    watcher: Watcher, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Bob, whom the old one found, is told nothing."""
    await watcher.scanner.publish(ENTERED, LEFT)
    await watcher.look()
    await watcher.scanner.tag("bob", "vip")
    find = SegmentScans._find

    async def slow(self: SegmentScans, *args: Any) -> Any:
        """While this scan holds its list, the rule becomes another."""
        found = await find(self, *args)
        if found:
            monkeypatch.setattr(SegmentScans, "_find", find)
            await watcher.scanner.segment("vips", {"not": VIP})
        return found

    monkeypatch.setattr(SegmentScans, "_find", slow)
    await watcher.look()
    await watcher.look()
    assert await watcher.told() == [(SEGMENT_ENTERED, "cid"), (SEGMENT_LEFT, "ann")]
    assert await watcher.known() == {"cid"}


@ON_SQLITE
async def test_a_contact_who_cannot_be_let_in_keeps_nobody_else_out_and_is_found_again(
    watcher: Watcher, monkeypatch: pytest.MonkeyPatch
) -> None:
    admit = Admission.admit

    async def broken(self: Admission, connection: Any, events: Any, now: Any) -> Any:
        if any(event.contact_id == "c-bob" for event in events):
            raise ValueError("a contact that breaks everything")
        return await admit(self, connection, events, now)

    await watcher.scanner.publish(ENTERED)
    await watcher.look()
    await watcher.scanner.tag("bob", "vip")
    await watcher.scanner.tag("cid", "vip")
    with monkeypatch.context() as patched, capture_logs() as logs:
        patched.setattr(Admission, "admit", broken)
        scanned = await watcher.look()
    assert (scanned.found, scanned.started, scanned.failed) == (1, 1, 1)
    assert [one["contact"] for one in logs if one["event"] == "scan_contact_failed"] == ["c-bob"]
    assert await watcher.known() == {"ann", "cid"}
    mended = await watcher.look()
    assert (mended.found, mended.started, mended.failed) == (1, 1, 0)


@ON_SQLITE
async def test_another_rule_lets_its_members_enter_and_the_others_leave(watcher: Watcher) -> None:
    await watcher.scanner.publish(ENTERED, LEFT)
    await watcher.look()
    await watcher.scanner.segment("vips", {"not": VIP})
    await watcher.look()
    assert await watcher.told() == [
        (SEGMENT_ENTERED, "bob"),
        (SEGMENT_ENTERED, "cid"),
        (SEGMENT_LEFT, "ann"),
    ]


@ON_SQLITE
async def test_a_segment_that_is_gone_or_made_by_hand_by_now_has_nothing_to_look_at(watcher: Watcher) -> None:
    await watcher.scanner.publish(ENTERED, LEFT)
    await watcher.look()
    await watcher.scanner.segment("vips", None)
    gone = await watcher.look()
    assert (gone.done, gone.found, gone.problems) == (True, 0, [])
    assert await forget(watcher) == ["vips"]
    await watcher.scanner.segment("vips", VIP)
    await watcher.scanner.tag("bob", "vip")
    assert (await watcher.look()).members == 2
    assert await watcher.told() == []


@ON_SQLITE
async def test_a_rule_that_cannot_be_asked_is_a_problem_and_loses_nobody(watcher: Watcher) -> None:
    await watcher.scanner.segment("inner", VIP)
    await watcher.scanner.segment("vips", {"segment": "inner"})
    await watcher.scanner.publish(ENTERED, LEFT)
    await watcher.look()
    await watcher.scanner.segment("inner", None)
    broken = await watcher.look()
    assert (broken.done, broken.problems) == (True, ["segment vips: there is no segment 'inner'"])
    await watcher.scanner.segment("inner", VIP)
    await watcher.scanner.tag("bob", "vip")
    assert (await watcher.look()).found == 1
    assert await watcher.told() == [(SEGMENT_ENTERED, "bob")]


async def test_deleting_and_merging_contacts_tells_nothing(watcher: Watcher) -> None:
    scanner, changes = watcher.scanner, watcher.services.changes
    await scanner.people({"dan": {}, "eva": {}, "fay": {"x": 1}, "gus": {"y": 1}})
    for name in ("bob", "eva"):
        await scanner.tag(name, "vip")
    both = {"all": [{"contact": "x", "exists": True}, {"contact": "y", "exists": True}]}
    await scanner.segment("vips", {"any": [VIP, both]})
    await scanner.publish(ENTERED, LEFT)
    await watcher.look()
    async with watcher.services.database.write() as connection:
        await changes.delete_contact(connection, "c-ann", NOON)
        await changes.merge(connection, "c-bob", "c-cid", NOON)
        await changes.merge(connection, "c-dan", "c-eva", NOON)
        await changes.merge(connection, "c-fay", "c-gus", NOON)
    assert await watcher.known() == {"cid", "eva", "gus"}
    assert (await watcher.look()).found == 0
    assert await watcher.told() == []


@ON_SQLITE
async def test_who_is_deleted_without_a_word_is_forgotten_without_one(watcher: Watcher) -> None:
    await watcher.scanner.publish(LEFT)
    await watcher.look()
    await watcher.scanner.change("ann", deleted_at=NOON)
    assert (await watcher.look()).found == 0
    assert (await watcher.known(), await watcher.told()) == (set(), [])


@ON_SQLITE
async def test_what_comes_in_a_pause_starts_nobody_then_or_later_and_stops(watcher: Watcher) -> None:
    await watcher.scanner.publish(ENTERED, LEFT | {"does": "stop"})
    await watcher.look()
    await watcher.scanner.tag("bob", "vip")
    await watcher.look()
    await watcher.scanner.set_status("paused", watcher.now)
    await watcher.scanner.tag("cid", "vip")
    await watcher.untag("bob")
    assert (await watcher.look()).stopped == 1
    await watcher.scanner.set_status("active", watcher.now)
    assert (await watcher.look()).found == 0
    assert await watcher.decisions() == [
        ("started", None),
        ("skipped", "process is paused"),
        ("stopped", None),
    ]


async def test_who_comes_to_watch_goes_on_from_what_is_known_or_from_a_first_look(watcher: Watcher) -> None:
    scanner = watcher.scanner
    await scanner.publish(ENTERED)
    await watcher.look()
    await scanner.publish(ENTERED, key="q", since=watcher.now)
    await scanner.tag("bob", "vip")
    assert (await watcher.look()).started == 1
    assert (await scanner.names(), await scanner.names("q")) == ({"bob"}, {"bob"})

    for key in ("p", "q"):
        await scanner.set_status("archived", watcher.now, key)
    await scanner.tag("cid", "vip")
    assert (await watcher.look()).found == 0
    assert (await forget(watcher), await watcher.known()) == (["vips"], set())
    await scanner.publish(ENTERED, key="r", since=watcher.now)
    assert (await watcher.look()).members == 3
    assert (await watcher.look()).found == 0
    assert await forget(watcher) == []


@ON_SQLITE
async def test_what_was_known_to_others_long_ago_is_not_compared_with(watcher: Watcher) -> None:
    await watcher.scanner.publish(ENTERED)
    await watcher.look()
    await watcher.scanner.set_status("archived", watcher.now)
    await watcher.scanner.tag("bob", "vip")
    await watcher.scanner.publish(ENTERED, key="q", since=watcher.now + DAY)
    assert (await watcher.look(by=2 * DAY)).members == 2
    await watcher.untag("bob")
    await watcher.look()
    await watcher.scanner.tag("bob", "vip")
    assert (await watcher.look()).started == 1
    assert await watcher.scanner.names("q") == {"bob"}


@ON_SQLITE
async def test_who_comes_after_the_first_look_and_stays_alone_goes_on_from_the_last_look(
    watcher: Watcher,
) -> None:
    """Also where a scan of before ends after one of later."""
    await watcher.scanner.publish(ENTERED)
    await watcher.look_at(NOON)
    await watcher.scanner.publish(ENTERED, key="q", since=NOON + 2 * MINUTE)
    for minutes in (5, 1):
        await watcher.look_at(NOON + minutes * MINUTE)
    await watcher.scanner.set_status("archived", NOON + 6 * MINUTE)
    await watcher.scanner.tag("bob", "vip")
    assert (await watcher.look_at(NOON + 10 * MINUTE)).started == 1
    assert await watcher.scanner.names("q") == {"bob"}


@ON_SQLITE
async def test_a_process_that_is_published_while_its_first_look_begins_hears_of_who_enters_then(
    watcher: Watcher,
) -> None:
    await watcher.scanner.publish(ENTERED, since=NOON + 2 * MINUTE)
    assert (await watcher.look_at(NOON + MINUTE)).members == 1
    await watcher.scanner.tag("bob", "vip")
    assert (await watcher.look_at(NOON + 5 * MINUTE)).started == 1


async def test_nothing_is_forgotten_under_a_transaction_that_writes_it(watcher: Watcher) -> None:
    needs_two_writers(watcher.services.database)
    await watcher.scanner.publish(ENTERED)
    await watcher.look()
    await watcher.scanner.set_status("archived", watcher.now)
    async with watcher.services.database.write() as connection:
        assert await presences.hold(connection, "vips")
        forgetting = asyncio.create_task(forget(watcher))
        await others_wait(watcher.services.database)
    assert (await forgetting, await watcher.known()) == (["vips"], set())


@ON_SQLITE
async def test_what_somebody_has_come_to_watch_meanwhile_is_not_forgotten(
    watcher: Watcher, monkeypatch: pytest.MonkeyPatch
) -> None:
    await watcher.scanner.publish(ENTERED)
    await watcher.look()
    watched = presences.watched
    looks: Iterator[dict[str, list[str]]] = iter([{}])
    monkeypatch.setattr(presences, "watched", lambda view: next(looks, watched(view)))
    assert (await forget(watcher), await watcher.known()) == ([], {"ann"})


@ON_SQLITE
async def test_who_waits_hears_of_it_and_who_does_not_listen_does_not(watcher: Watcher) -> None:
    ask = {"id": "ask", "type": "wait_for_event", "event": SEGMENT_LEFT, "within": "1d"}
    await watcher.scanner.publish(ENTERED)
    await watcher.look()
    await watcher.untag("ann")
    await watcher.look()
    assert await watcher.told() == []
    await watcher.scanner.tag("ann", "vip")
    await watcher.look()
    await watcher.scanner.publish(ENTERED, steps=[ask])
    await watcher.untag("ann")
    await watcher.look()
    assert await watcher.told() == [(SEGMENT_ENTERED, "ann"), (SEGMENT_LEFT, "ann")]


async def forget(watcher: Watcher) -> list[str]:
    """What the keeper of schedules does beside them."""
    async with watcher.services.database.write() as connection:
        return await presences.forget_unwatched(connection, watcher.services.catalog)
