"""A process started for many: each is let in once or has a reason why not, whatever is cut short on the way."""

import asyncio
from datetime import UTC, datetime
from typing import Any

import pytest
from sqlalchemy import update

from intake import operating
from intake.admission import Admission
from intake.refusals import Clash, Missing, WrongStatus
from processes.operating import Lane, PageCall
from processes.problems import DocumentInvalid
from store import rows
from tests.operations.crowd import Crowd, going, times

pytestmark = pytest.mark.filterwarnings("error")


async def test_everyone_in_a_segment_has_a_result_and_a_refusal_says_why(crowd: Crowd) -> None:
    people = await crowd.people(25, segment="vip")
    await crowd.publish(recurrence="once")
    first = await crowd.run(await crowd.start(contacts=people[:5]))
    assert (first.state, first.total, first.counts) == ("done", 5, {"started": 5})
    done = await crowd.run(await crowd.start(segment="vip"))
    once = "once: this contact has entered before"
    assert done.counts == {"started": 20, "refused": 5, "reasons": {"once": 5}}
    assert (done.state, done.total, done.ended_at is not None) == ("done", 25, True)
    assert await crowd.results(done.id) == {
        one: ("refused", once) if one in people[:5] else ("started", None) for one in people
    }
    assert await crowd.in_it() == dict.fromkeys(people, 1)


async def test_a_segment_is_who_is_in_it_when_it_is_asked_for(crowd: Crowd) -> None:
    people = await crowd.people(4)
    await crowd.rule("all", {"always": True})
    await crowd.publish()
    async with crowd.services.database.write() as connection:
        c = rows.contacts
        await connection.execute(update(c).where(c.c.id == people[0]).values(deleted_at=datetime.now(UTC)))
    operation = await crowd.start(segment="all")
    await crowd.gather(operation)
    await crowd.rule("all", {"not": {"always": True}})
    assert set(await crowd.results((await crowd.run(operation)).id)) == set(people[1:])
    assert await crowd.in_it() == dict.fromkeys(people[1:], 1)


async def test_contacts_are_known_by_every_reference_and_one_that_is_named_twice_is_started_once(
    crowd: Crowd,
) -> None:
    await crowd.people(3)
    await crowd.publish()
    given = ["000", "c001", "P002@Example.com", "c000", "nobody", "000"]
    done = await crowd.run(await crowd.start(contacts=given))
    assert done.total == 5
    assert done.counts["started"] == 3
    found = await crowd.results(done.id)
    twice = ("refused", "asked for already: this operation names the contact twice")
    assert sorted([found["000"], found["c000"]]) == [twice, ("started", None)]
    assert found["nobody"] == ("refused", "there is no such contact: «nobody»")
    assert await crowd.in_it() == {"c000": 1, "c001": 1, "c002": 1}


async def test_who_was_deleted_or_merged_meanwhile_is_not_started_or_is_as_the_survivor(crowd: Crowd) -> None:
    people = await crowd.people(4, segment="vip")
    await crowd.publish()
    operation = await crowd.start(segment="vip")
    await crowd.gather(operation)
    gone, merged, survivor, _ = people
    async with crowd.services.database.write() as connection:
        await crowd.services.changes.delete_contact(connection, gone, datetime.now(UTC))
        await crowd.services.changes.merge(connection, merged, survivor, datetime.now(UTC))
    await crowd.run(operation)
    found = await crowd.results(operation)
    assert found[gone] == ("refused", f"there is no such contact: «{gone}»")
    assert sorted([found[merged][0], found[survivor][0]]) == ["refused", "started"]
    assert await crowd.in_it() == {survivor: 1, people[3]: 1}


async def test_force_key_and_params_reach_each_start(crowd: Crowd) -> None:
    people = await crowd.people(3)
    await crowd.publish(recurrence="once", instance_key="params.order")
    more: dict[str, Any] = {"params": {"order": "o1", "colour": "blue"}}
    for force in (False, True):
        done = await crowd.run(await crowd.start(contacts=people, force=force, **more))
        assert done.counts["started"] == 3
    found = await crowd.rows(rows.instances)
    assert {(row.contact_id, row.key) for row in found} == {(one, "o1") for one in people}
    events = await crowd.rows(rows.events)
    assert all(event.params["colour"] == "blue" and event.source.startswith("operation ") for event in events)


async def test_after_a_stop_nobody_more_is_started_and_a_resumed_one_starts_nobody_twice(
    crowd: Crowd,
) -> None:
    people = await crowd.people(25, segment="vip")
    await crowd.publish()
    operation = await crowd.start(segment="vip")
    await crowd.gather(operation)
    await crowd.one_page(operation, 10)
    await crowd.services.operations.stop(operation, "local")
    stopped = await crowd.run(operation)
    assert (stopped.state, stopped.counts, stopped.ended_at) == ("stopped", {"started": 10}, None)
    assert await crowd.statuses(operation) == {"started": 10, "waiting": 15}
    assert len(await crowd.in_it()) == 10
    await crowd.services.operations.resume(operation, "local")
    done = await crowd.run(operation)
    assert (done.state, done.counts) == ("done", {"started": 25})
    assert await crowd.in_it() == dict.fromkeys(people, 1)


async def test_one_that_is_resumed_before_its_workflow_has_ended_is_not_done_before_everyone_is(
    crowd: Crowd,
) -> None:
    """Its lanes were over for the stop: the workflow goes through them anew."""
    await crowd.people(4, segment="vip")
    await crowd.publish()
    operation = await crowd.start(segment="vip")
    await crowd.gather(operation)
    await crowd.one_page(operation, 2)
    await crowd.services.operations.stop(operation, "local")
    await crowd.services.operations.resume(operation, "local")
    left = await crowd.operating().finish(operation, times(1))
    assert (left.done, left.again, (await crowd.row(operation)).state) == (False, True, "running")
    assert (await crowd.run(operation)).counts == {"started": 4}


async def test_a_stop_in_the_middle_of_a_page_undoes_the_page(
    crowd: Crowd, monkeypatch: pytest.MonkeyPatch
) -> None:
    """On SQLite the stop waits for the page; what counts is that what it answers to is all there is."""
    await crowd.people(10, segment="vip")
    await crowd.publish()
    operation = await crowd.start(segment="vip")
    await crowd.gather(operation)
    entered, stopped = asyncio.Event(), asyncio.Event()
    admit = Admission.admit

    async def slowly(self: Admission, *args: Any) -> Any:
        entered.set()
        if not crowd.services.database.is_sqlite:
            await stopped.wait()
        return await admit(self, *args)

    monkeypatch.setattr(Admission, "admit", slowly)
    page = asyncio.create_task(crowd.one_page(operation, 4))
    await entered.wait()
    await crowd.services.operations.stop(operation, "local")
    told = len(await crowd.in_it())
    stopped.set()
    await page
    assert len(await crowd.in_it()) == told == (4 if crowd.services.database.is_sqlite else 0)
    assert (await crowd.row(operation)).counts == ({"started": 4} if told else {})


async def test_a_page_that_two_workers_do_at_once_is_done_once(crowd: Crowd) -> None:
    """A worker that was taken for dead goes on while another does its page again."""
    people = await crowd.people(20, segment="vip")
    await crowd.publish()
    operation = await crowd.start(segment="vip")
    (lane,) = await crowd.gather(operation)
    call = PageCall(operation=operation, lane=lane)
    await asyncio.gather(*(crowd.operating(7).carry_on(call, going) for _ in range(3)))
    done = await crowd.run(operation)
    assert (done.state, done.counts) == ("done", {"started": 20})
    assert await crowd.in_it() == dict.fromkeys(people, 1)


async def test_lanes_are_all_of_it_and_none_twice(crowd: Crowd, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(operating, "SMALL", 10)
    monkeypatch.setattr(operating, "GATHERED_AT_ONCE", 4)
    people = await crowd.people(23, segment="vip")
    await crowd.publish()
    operation = await crowd.start(segment="vip")
    lanes = await crowd.gather(operation)
    assert [lane.after for lane in lanes[1:]] == [lane.last for lane in lanes[:-1]]
    assert (lanes[0].after, lanes[-1].last, len(lanes)) == ("", None, 4)
    calls = [PageCall(operation=operation, lane=lane, lanes=4) for lane in lanes]
    done = await asyncio.gather(*(crowd.operating(3).carry_on(call, going) for call in calls))
    assert all(one.lane.done for one in done)
    assert (await crowd.row(operation)).counts == {"started": 23}
    assert await crowd.in_it() == dict.fromkeys(people, 1)


async def test_a_gathering_that_was_cut_short_goes_on(crowd: Crowd, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(operating, "GATHERED_AT_ONCE", 4)
    await crowd.people(10, segment="vip")
    await crowd.publish()
    operation = await crowd.start(segment="vip")
    cut = await crowd.operating().gather(operation, lambda: False)
    assert cut.lanes is None
    assert ((await crowd.row(operation)).total, len(await crowd.results(operation))) == (None, 4)
    both = [crowd.operating().gather(operation, going) for _ in range(2)]
    assert [gathered.lanes for gathered in await asyncio.gather(*both)] == [[Lane()], [Lane()]]
    assert ((await crowd.row(operation)).total, len(await crowd.results(operation))) == (10, 10)


async def test_a_segment_that_cannot_be_read_any_more_stops_the_operation_and_says_so(crowd: Crowd) -> None:
    await crowd.people(2, segment="vip")
    await crowd.publish()
    operation = await crowd.start(segment="vip")
    await crowd.rule("vip", {"segment": "vip"})
    stopped = await crowd.run(operation)
    assert (stopped.state, stopped.total, stopped.counts) == ("stopped", None, {})
    assert stopped.reason.startswith("the segment cannot be read: ")
    await crowd.rule("vip", {"always": True})
    await crowd.services.operations.resume(operation, "local")
    assert (await crowd.run(operation)).counts == {"started": 2}


async def test_a_pause_stops_the_operation_and_says_so(crowd: Crowd) -> None:
    await crowd.people(20, segment="vip")
    await crowd.publish()
    operation = await crowd.start(segment="vip")
    await crowd.gather(operation)
    await crowd.one_page(operation, 10)
    await crowd.set_status("paused")
    stopped = await crowd.run(operation)
    because = "the process is paused: activate it, then resume the operation"
    assert (stopped.state, stopped.counts, stopped.reason) == ("stopped", {"started": 10}, because)
    with pytest.raises(WrongStatus):
        await crowd.services.operations.resume(operation, "local")
    await crowd.set_status("active")
    await crowd.services.operations.resume(operation, "local")
    done = await crowd.run(operation)
    assert (done.state, done.counts, done.reason) == ("done", {"started": 20}, None)


async def test_one_for_whom_it_fails_keeps_nobody_else_out(
    crowd: Crowd, monkeypatch: pytest.MonkeyPatch
) -> None:
    people = await crowd.people(12, segment="vip")
    await crowd.publish()
    admit = Admission.admit

    async def broken(self: Admission, connection: Any, events: Any, now: datetime) -> Any:
        if any(event.contact_id == people[7] for event in events):
            raise ArithmeticError("a defect")
        return await admit(self, connection, events, now)

    monkeypatch.setattr(Admission, "admit", broken)
    operation = await crowd.start(segment="vip")
    monkeypatch.setattr(operating.log, "exception", lambda *_, **__: None)
    done = await crowd.run(operation, page=5)
    assert (done.state, done.counts["started"], done.counts["failed"]) == ("done", 11, 1)
    assert (await crowd.results(operation))[people[7]][0] == "failed"
    assert sorted(await crowd.in_it()) == [one for one in people if one != people[7]]


async def test_one_that_another_worker_did_meanwhile_has_not_failed_nor_has_the_next(
    crowd: Crowd, monkeypatch: pytest.MonkeyPatch
) -> None:
    await crowd.people(3, segment="vip")
    await crowd.publish()
    note = operating.Operating._note_failure

    async def broken(*_: Any) -> Any:
        raise ArithmeticError("a defect of this worker")

    async def late(self: operating.Operating, *args: Any) -> None:
        broken_here.undo()
        await crowd.one_page(operation, 1)
        await note(self, *args)

    operation = await crowd.start(segment="vip")
    await crowd.gather(operation)
    monkeypatch.setattr(operating.log, "exception", lambda *_, **__: None)
    monkeypatch.setattr(operating.Operating, "_note_failure", late)
    with pytest.MonkeyPatch.context() as broken_here:
        broken_here.setattr(Admission, "admit", broken)
        await crowd.one_page(operation, 2)
    assert (await crowd.run(operation)).counts == {"started": 3}


async def test_it_waits_while_too_many_have_not_begun(crowd: Crowd, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(operating, "ROOM_SECONDS", 0.01)
    await crowd.people(9, segment="vip")
    await crowd.publish()
    operation = await crowd.start(segment="vip")
    await crowd.gather(operation)
    narrow = crowd.operating(page=2, in_flight=3)
    lane = (await narrow.carry_on(PageCall(operation=operation, lane=Lane()), times(4))).lane
    assert not lane.done
    assert len(await crowd.in_it()) == 4
    await crowd.place(state="waiting")
    await narrow.carry_on(PageCall(operation=operation, lane=lane), times(4))
    assert len(await crowd.in_it()) == 8


async def test_it_goes_no_faster_than_its_rate(crowd: Crowd) -> None:
    await crowd.people(6, segment="vip")
    await crowd.publish()
    operation = await crowd.start(segment="vip")
    parts = crowd.services
    slow = operating.Operating(
        parts.database, parts.catalog, parts.admission, parts.dispatcher, rate=40, in_flight=100, page=2
    )
    loop = asyncio.get_running_loop()
    began = loop.time()
    await slow.carry_on(
        PageCall(operation=operation, lane=(await crowd.gather(operation))[0], lanes=2), going
    )
    assert loop.time() - began >= 6 / 20
    assert len(await crowd.in_it()) == 6


async def test_at_a_low_rate_a_page_is_small(crowd: Crowd, monkeypatch: pytest.MonkeyPatch) -> None:
    """So that a worker that ends does not wait out a large one."""
    monkeypatch.setattr(operating, "PAGE_SECONDS", 0.1)
    await crowd.people(6, segment="vip")
    await crowd.publish()
    operation = await crowd.start(segment="vip")
    await crowd.gather(operation)
    for lanes, begun in ((2, 2), (1000, 3)):
        slow = crowd.operating(page=5, rate=40 if lanes == 2 else 10_000)
        await slow.carry_on(PageCall(operation=operation, lane=Lane(), lanes=lanes), times(1))
        assert len(await crowd.in_it()) == begun


async def test_the_same_id_twice_makes_one_operation(crowd: Crowd) -> None:
    people = await crowd.people(4, segment="vip")
    other = people.pop()
    await crowd.publish()
    await crowd.publish("q")
    assert [await crowd.start(contacts=people, operation="mine") for _ in range(2)] == ["mine", "mine"]
    assert (await crowd.run("mine")).counts == {"started": 3}
    for process, wanted in (
        ("q", {"contacts": people}),
        ("p", {"contacts": [*people[1:], other]}),
        ("p", {"contacts": people, "force": True}),
        ("p", {"segment": "vip"}),
    ):
        with pytest.raises(Clash):
            await crowd.start(process, **wanted, operation="mine")
    audit = await crowd.rows(rows.audit)
    assert [(row.action, row.subject, row.after["operation"]) for row in audit] == [
        ("process.start-many", "process/p", "mine")
    ]


async def test_what_cannot_be_is_refused_at_once(crowd: Crowd) -> None:
    await crowd.people(1)
    await crowd.publish()
    with pytest.raises(Missing):
        await crowd.start("nothing", contacts=["000"])
    wrong_ones: list[dict[str, Any]] = [
        {},
        {"contacts": []},
        {"contacts": ["000"], "segment": "x"},
        {"segment": "nowhere"},
    ]
    for wrong in wrong_ones:
        with pytest.raises(DocumentInvalid):
            await crowd.start(**wrong)
    await crowd.set_status("paused")
    with pytest.raises(WrongStatus):
        await crowd.start(contacts=["000"])
    operation_rows = await crowd.rows(rows.operations)
    assert operation_rows == []
