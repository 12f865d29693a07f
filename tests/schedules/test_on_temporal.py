"""Schedules and scans on a Temporal server: made, changed, paused and removed with their process; cut short."""

from collections.abc import AsyncIterator
from dataclasses import replace
from datetime import UTC, datetime, time, timedelta
from typing import Any

import pytest
from sqlalchemy import func, select
from temporalio.client import (
    ScheduleActionExecutionStartWorkflow,
    ScheduleBackfill,
    ScheduleHandle,
    ScheduleOverlapPolicy,
    WorkflowFailureError,
)
from temporalio.service import RPCError, RPCStatusCode
from temporalio.testing import ActivityEnvironment

from activities.lifecycle import Lifecycle
from api.lifecycle import process_lifecycle
from intake.scans import Scans
from intake.schedules import Schedules
from processes.instructions import End, StepCall
from processes.scanning import SCAN_WORKFLOW, ScanCall, ScanRequest, ScanResult
from runtime import Services, connect_services
from store import rows
from tests.guarantees.test_recovery import examine
from tests.replay.record import set_up
from tests.replay.record_scans import ends, reminder_of, tomorrow
from tests.schedules.scanner import BIRTHDAY, Scanner
from tests.support.engine import Engine
from tests.support.people import change_contact, meet
from tests.support.smtp_server import RecordingSmtpServer
from tests.support.temporal import free_port
from tests.support.waiting import eventually
from tests.support.worker_process import worker_process
from worker import make_worker
from workflows import trigger_scan

HOUR, DAY = timedelta(hours=1), timedelta(days=1)
STEPS = [{"id": "tag", "type": "add_tag", "tag": "greeted"}]


@pytest.fixture
async def live(services: Services) -> AsyncIterator[Scanner]:
    """Scans with Temporal there, and no worker; no schedule is left behind."""
    yield Scanner(services)
    keeper = keeper_of(services)
    for difference in [d async for d in keeper._compare({})]:
        await keeper.mend(difference)


def keeper_of(services: Services) -> Schedules:
    """One who has not looked yet, as after a worker's start."""
    return Schedules(
        services.database,
        services.catalog,
        services.client,
        task_queue=services.settings.temporal_task_queue,
        segment_minutes=services.settings.segment_scan_minutes,
    )


def handle_of(services: Services, process: str = "p") -> ScheduleHandle:
    """The schedule of a process."""
    return services.client.get_schedule_handle(keeper_of(services).id(process))


def an_hour_ago() -> tuple[dict[str, Any], dict[str, Any]]:
    """A trigger whose moment was an hour ago, and what a contact has for whom it was."""
    moment = datetime.now(UTC) - HOUR
    trigger = {"type": "date", "field": "ends", "at": f"{moment:%H:%M}", "zone": "UTC"}
    return trigger, {"ends": f"{moment:%Y-%m-%d}"}


async def is_there(handle: ScheduleHandle) -> bool:
    """Whether Temporal has the schedule."""
    try:
        await handle.describe()
    except RPCError as error:
        if error.status != RPCStatusCode.NOT_FOUND:
            raise
        return False
    return True


async def scanned(services: Services, handle: ScheduleHandle, number: int) -> list[ScanResult]:
    """The results of a schedule's scans, once there are so many and none runs."""

    async def are_over() -> list[str]:
        info = (await handle.describe()).info
        if info.num_actions < number or info.running_actions:
            return []
        actions = [result.action for result in info.recent_actions]
        return [one.workflow_id for one in actions if isinstance(one, ScheduleActionExecutionStartWorkflow)]

    ids = await eventually(are_over)
    return [await services.client.get_workflow_handle(one, result_type=ScanResult).result() for one in ids]


async def test_a_schedule_is_made_changed_paused_and_removed_with_its_process(live: Scanner) -> None:
    services = live.services
    lifecycle, keeper, handle = process_lifecycle(services), keeper_of(services), handle_of(services)
    document = {"key": "p", "name": "P", "recurrence": "once", "triggers": [BIRTHDAY], "steps": STEPS}

    async def kept() -> list[str]:
        return [difference.kind for difference in await keeper.keep()]

    await lifecycle.put("p", document)
    assert await kept() == []
    await lifecycle.activate("p")
    assert (await kept(), await kept()) == (["missing"], [])
    found = (await handle.describe()).schedule
    assert [one.every for one in found.spec.intervals] == [timedelta(minutes=15)]
    assert (found.policy.overlap, found.policy.catchup_window) == (ScheduleOverlapPolicy.SKIP, DAY)
    assert not found.state.paused

    await lifecycle.pause("p")
    assert await kept() == ["differs"]
    assert (await handle.describe()).schedule.state.paused
    await lifecycle.put("p", {**document, "triggers": [{**BIRTHDAY, "at": "09:07"}]})
    await lifecycle.activate("p")
    assert await kept() == ["differs"]
    found = (await handle.describe()).schedule
    assert [one.offset for one in found.spec.intervals] == [timedelta(minutes=7)]
    assert not found.state.paused

    await lifecycle.archive("p")
    assert await kept() == ["left"]
    assert not await is_there(handle)


async def test_a_schedule_that_runs_many_times_starts_its_contact_once(live: Scanner, engine: Engine) -> None:
    services, handle = live.services, handle_of(live.services)
    trigger, person = an_hour_ago()
    await live.people({engine.contact: person})
    await live.publish(trigger, since=datetime.now(UTC) - DAY)
    await keeper_of(services).keep()
    (row,) = await eventually(lambda: engine.rows(rows.instances))
    await engine.ended(row.id)
    assert row.id.startswith(f"p/{engine.contact}/date.ends.once.")
    (first,) = await scanned(services, handle, 1)
    assert (first.found, first.started) == (1, 1)

    await handle.trigger()
    await scanned(services, handle, 2)
    now = datetime.now(UTC)
    await handle.backfill(
        ScheduleBackfill(start_at=now - HOUR, end_at=now, overlap=ScheduleOverlapPolicy.BUFFER_ALL)
    )
    later = (await scanned(services, handle, 6))[1:]
    assert [result.found for result in later] == [0] * len(later)
    assert all(result.until > first.until for result in later)

    await handle.delete()
    assert [difference.kind for difference in await keeper_of(services).keep()] == ["missing"]
    (blind,) = await scanned(services, handle, 1)
    assert (blind.found, blind.started, blind.repeated) == (1, 0, 1)
    assert len(await engine.rows(rows.instances)) == 1


@pytest.mark.parametrize("database_url", ["sqlite"], indirect=True)
async def test_the_schedule_of_a_segment_is_there_while_a_process_watches_it_and_its_scans_start_who_enters(
    live: Scanner, engine: Engine
) -> None:
    services, keeper = live.services, keeper_of(live.services)
    handle = services.client.get_schedule_handle(keeper.segment_id("vips"))
    await live.people({engine.contact: {}})
    await live.segment("vips", {"tag": "vip"})
    assert await keeper.keep() == []
    await live.publish({"type": "segment_entered", "segment": "vips"})
    assert [difference.says for difference in await keeper.keep()] == ["segment vips has none"]
    (first,) = await scanned(services, handle, 1)
    assert (first.members, first.found) == (0, 0)
    await live.tag(engine.contact, "vip")
    await handle.trigger()
    (row,) = await eventually(lambda: engine.rows(rows.instances))
    await engine.ended(row.id)
    second = (await scanned(services, handle, 2))[1]
    assert (second.found, second.started, second.members) == (1, 1, None)

    slower = Schedules(
        services.database,
        services.catalog,
        services.client,
        task_queue=services.settings.temporal_task_queue,
        segment_minutes=60,
    )
    assert [difference.says for difference in await slower.keep()] == ["it looks at other times"]
    assert [one.every for one in (await handle.describe()).schedule.spec.intervals] == [HOUR]
    await live.set_status("paused", datetime.now(UTC))
    assert await slower.keep() == []
    await handle.delete()
    found = await examine(services, fix=True)
    assert [f.done for f in found if f.subject == keeper.segment_id("vips")] == ["made"]
    await live.set_status("archived", datetime.now(UTC))
    assert [difference.kind for difference in await keeper.keep()] == ["left"]
    assert not await is_there(handle)
    assert await engine.rows(rows.segment_presences) == []


@pytest.mark.parametrize("database_url", ["postgres"], indirect=True)
async def test_a_scan_whose_worker_is_killed_is_finished_by_another_and_starts_nobody_twice(
    live: Scanner, engine_without_worker: Engine
) -> None:
    services, engine = live.services, engine_without_worker
    trigger, person = an_hour_ago()
    people = {f"{engine.contact}-{number}": person for number in range(60)}
    await live.people(people)
    await live.publish(trigger, since=datetime.now(UTC) - DAY)

    async def let_in() -> int:
        async with services.database.read() as connection:
            return int(
                (await connection.execute(select(func.count()).select_from(rows.instances))).scalar_one()
            )

    async def some_are_in() -> bool:
        return await let_in() >= 6

    program = ("-m", "tests.support.scanning_worker")
    async with worker_process(services.settings, *program) as worker:
        await eventually(some_are_in)
        await worker.kill()
    assert await let_in() < len(people), "the scan was too quick to be cut short"
    async with worker_process(services.settings, *program):
        (result,) = await eventually(lambda: scanned(services, handle_of(services), 1), 60)
    assert result.found == result.started + result.repeated >= len(people)
    assert {name for name, _ in await live.started()} == set(people)
    assert await let_in() == len(people)


@pytest.fixture
def engine_without_worker(services: Services) -> Engine:
    """Words for tests, on parts of which none runs."""
    return Engine(services, sweeper=None)  # type: ignore[arg-type]


async def test_a_long_scan_goes_on_in_run_after_run_and_the_next_begins_where_it_began(
    live: Scanner, engine_without_worker: Engine, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(trigger_scan, "CALLS_IN_A_RUN", 2)
    services, engine = live.services, engine_without_worker
    trigger, person = an_hour_ago()
    people = {f"{engine.contact}-{number}": person for number in range(9)}
    await live.people(people)
    await live.publish(trigger, since=datetime.now(UTC) - DAY)
    small = Scans(
        services.database, services.catalog, services.admission, services.dispatcher, page=2, pages=1
    )
    async with make_worker(services.client, replace(services.tools(), scans=small), services.settings):
        await keeper_of(services).keep()
        (first,) = await scanned(services, handle_of(services), 1)
        assert (first.found, first.started) == (9, 9)
        await handle_of(services).trigger()
        _, second = await scanned(services, handle_of(services), 2)
        assert second.found == 0
    continued = "ExecutionStatus = 'ContinuedAsNew'"
    query = f"TemporalScheduledById = '{keeper_of(services).id('p')}' AND {continued}"

    async def runs_are_listed() -> bool:
        return (await services.client.count_workflows(query)).count == 2

    await eventually(runs_are_listed)
    assert {name for name, _ in await live.started()} == set(people)


async def test_a_scan_that_could_not_look_after_a_trigger_fails_and_says_which(
    live: Scanner, engine: Engine
) -> None:
    services = live.services
    trigger, person = an_hour_ago()
    await live.segment("vips", {"tag": "vip"})
    await live.people({engine.contact: person})
    every_day = {"type": "daily", "when": {"segment": "vips"}, "at": trigger["at"], "zone": "UTC"}
    await live.publish(every_day, trigger, since=datetime.now(UTC) - DAY)
    await live.segment("vips", None)
    with pytest.raises(WorkflowFailureError) as failed:
        await services.client.execute_workflow(
            SCAN_WORKFLOW,
            ScanRequest(process="p"),
            id=f"scan-{engine.contact}",
            task_queue=services.settings.temporal_task_queue,
        )
    assert "no segment 'vips'" in str(failed.value.cause)
    assert await live.names() == {engine.contact}


async def test_a_change_of_a_process_does_not_wait_for_temporal(live: Scanner) -> None:
    services = live.services
    dead = await connect_services(
        services.settings.model_copy(
            update={"temporal_address": f"127.0.0.1:{free_port()}", "temporal_start_timeout": 0.1}
        )
    )
    try:
        lifecycle = process_lifecycle(dead)
        await lifecycle.put(
            "p", {"key": "p", "name": "P", "recurrence": "once", "triggers": [BIRTHDAY], "steps": STEPS}
        )
        assert (await lifecycle.activate("p")).status == "active"
        with pytest.raises((RPCError, RuntimeError)):
            await keeper_of(dead).keep()
    finally:
        await dead.close()
    assert not await is_there(handle_of(services))
    assert [difference.kind for difference in await keeper_of(services).keep()] == ["missing"]
    assert await is_there(handle_of(services))


async def test_the_doctor_finds_what_somebody_did_to_schedules_and_puts_it_right(live: Scanner) -> None:
    services = live.services

    async def seen(*, fix: bool = False) -> dict[str, str | None]:
        found = await examine(services, fix=fix)
        return {f.subject.rpartition("/")[2]: f.done for f in found if f.kind.key == "schedule"}

    for key in ("kept", "paused", "deleted", "archived"):
        await live.publish(BIRTHDAY, key=key)
    await keeper_of(services).keep()
    assert await seen() == {}
    await handle_of(services, "paused").pause()
    await handle_of(services, "deleted").delete()
    await live.set_status("archived", datetime.now(UTC), "archived")
    assert await eventually(lambda: all_of(seen)) == {"paused", "deleted", "archived"}
    assert await seen(fix=True) == {"paused": "set right", "deleted": "made", "archived": "removed"}
    assert not (await handle_of(services, "paused").describe()).schedule.state.paused
    assert await is_there(handle_of(services, "deleted"))
    assert not await is_there(handle_of(services, "archived"))


async def all_of(seen: Any) -> set[str] | None:
    """The subjects, once visibility lists all of them."""
    found = set(await seen())
    return found if len(found) == 3 else None


async def test_who_renews_between_the_reminders_gets_the_first_only(
    engine: Engine, smtp: RecordingSmtpServer
) -> None:
    ten = tomorrow(time(10))
    await set_up(engine, "date-reminder")
    await meet(engine, fields={"subscription_ends": ends(ten).isoformat()})
    call = ScanCall(process="date-reminder", since=ten - HOUR, until=ten)
    await engine.services.tools().scans.look(call, lambda _: None)
    instance = reminder_of(engine, ten)
    await engine.in_state(instance, "waiting")
    renewed = (ends(ten) + 365 * DAY).isoformat()
    await change_contact(engine, fields={"subscription_ends": renewed})
    environment = ActivityEnvironment()
    environment.info = replace(environment.info, workflow_id=instance)
    later = StepCall(step="until", now=ten + 18 * DAY)
    following = await environment.run(Lifecycle(engine.services.tools()).decide, later)
    assert isinstance(following, End)
    assert following.outcome == "renewed"
    assert len(smtp.messages_to(engine.address)) == 1
