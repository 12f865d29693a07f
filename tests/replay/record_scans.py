"""Records the histories of scans, and of the examples that time starts: `python -m tests.replay.record_scans [NAME …]`.

As `tests.replay.record` does for everything else; what is said there holds here.
"""

import asyncio
import sys
from collections.abc import Sequence
from dataclasses import replace
from datetime import UTC, date, datetime, time, timedelta, tzinfo
from zoneinfo import ZoneInfo

from intake.scans import Scans
from intake.segment_scans import SegmentScans
from processes.scanning import SCAN_WORKFLOW, ScanCall, ScanRequest
from store import rows
from tests.replay.record import FEW_EVENTS, closed, engine_of_its_own, finish, over, set_up
from tests.schedules.scanner import Scanner
from tests.support.engine import Engine
from tests.support.people import meet
from worker import make_worker

PEOPLE = 14
PRAGUE = ZoneInfo("Europe/Prague")
DAY = timedelta(days=1)


def tomorrow(at: time, zone: tzinfo = PRAGUE) -> datetime:
    """That local time of tomorrow."""
    return datetime.combine(datetime.now(zone).date() + DAY, at, zone).astimezone(UTC)


async def birthday(engine: Engine) -> str:
    """A birthday, and the reminder of its present ten days later."""
    nine = tomorrow(time(9))
    await set_up(engine, "birthday")
    await meet(engine, fields={"birthday": f"1990-{nine:%m-%d}"})
    await come_due(engine, "birthday", nine)
    return await over(engine, engine.id("birthday", f"date.birthday.{nine:%Y-%m-%d}"))


async def date_reminder(engine: Engine) -> str:
    """A date that stays as it is: both reminders."""
    ten = tomorrow(time(10))
    await set_up(engine, "date-reminder")
    await meet(engine, fields={"subscription_ends": ends(ten).isoformat()})
    await come_due(engine, "date-reminder", ten)
    return await over(engine, reminder_of(engine, ten))


async def win_back(engine: Engine) -> str:
    """A customer who does not come back."""
    ten = tomorrow(time(10), UTC)
    await set_up(engine, "win-back")
    await engine.event(
        "order_created", occurred_at=datetime.now(UTC) - 100 * DAY, params={"orderNumber": "1001"}
    )
    await come_due(engine, "win-back", ten)
    (row,) = await engine.rows(rows.instances, rows.instances.c.process_key == "win-back")
    return await over(engine, row.id)


def ends(moment: datetime) -> date:
    """The date three weeks after a moment."""
    return moment.date() + 21 * DAY


def reminder_of(engine: Engine, moment: datetime) -> str:
    """The instance that reminds of the date three weeks after a moment."""
    return engine.id("date-reminder", f"date.subscription_ends.-P21D.once.{moment:%Y-%m-%d}")


async def come_due(engine: Engine, process: str, moment: datetime) -> None:
    """A scan at a moment that is to come; whom it lets in skips time."""
    async with engine.skipping():
        call = ScanCall(process=process, since=moment - DAY / 24, until=moment)
        scanned = await engine.services.tools().scans.look(call, lambda _: None)
    assert scanned.started == 1, scanned


async def trigger_scan(engine: Engine) -> str:
    """A scan that finds its people on several pages."""
    moment = datetime.now(UTC) - timedelta(hours=1)
    scanner = Scanner(engine.services)
    people = {str(22222 + number): {"ends": f"{moment:%Y-%m-%d}"} for number in range(PEOPLE)}
    await scanner.people(people)
    await scanner.publish(
        {"type": "date", "field": "ends", "at": f"{moment:%H:%M}", "zone": "UTC"},
        since=moment - timedelta(days=1),
    )
    parts = engine.services
    small = Scans(parts.database, parts.catalog, parts.admission, parts.dispatcher, page=2, pages=1)
    queue = f"{parts.settings.temporal_task_queue}-scans"
    settings = parts.settings.model_copy(update={"temporal_task_queue": queue})
    async with make_worker(parts.client, replace(parts.tools(), scans=small), settings):
        await parts.client.start_workflow(
            SCAN_WORKFLOW, ScanRequest(process="p"), id="TriggerScan:onward/p", task_queue=queue
        )
        return await closed(engine, "TriggerScan:onward/p")


async def trigger_scan_continued(engine: Engine) -> str:
    """The same where the server suggests early to continue as new."""
    return await trigger_scan(engine)


async def segment_scan(engine: Engine) -> str:
    """A look at a segment that finds who has entered, on several pages."""
    scanner, now = Scanner(engine.services), datetime.now(UTC)
    people = [str(22222 + number) for number in range(PEOPLE)]
    await scanner.people({name: {} for name in people})
    await scanner.segment("vips", {"tag": "vip"})
    await scanner.publish({"type": "segment_entered", "segment": "vips"})
    parts = engine.services
    small = SegmentScans(parts.database, parts.catalog, parts.admission, parts.dispatcher, page=2, pages=1)
    await small.look(ScanCall(segment="vips", until=now - DAY), lambda _: None)
    for name in people:
        await scanner.tag(name, "vip")
    queue = f"{parts.settings.temporal_task_queue}-scans"
    settings = parts.settings.model_copy(update={"temporal_task_queue": queue})
    async with make_worker(parts.client, replace(parts.tools(), segment_scans=small), settings):
        await parts.client.start_workflow(
            SCAN_WORKFLOW, ScanRequest(segment="vips"), id="SegmentScan:onward/vips", task_queue=queue
        )
        return await closed(engine, "SegmentScan:onward/vips")


async def record(names: Sequence[str]) -> None:
    """Record all, or those named, each on an engine of its own."""
    for journey in (birthday, date_reminder, win_back, trigger_scan, segment_scan):
        if not names or journey.__name__ in names:
            async with engine_of_its_own() as engine:
                await finish(engine, journey)
    if names and "trigger_scan_continued" not in names:
        return
    async with engine_of_its_own(limit__historyCount__suggestContinueAsNew=str(FEW_EVENTS)) as engine:
        await finish(engine, trigger_scan_continued)


if __name__ == "__main__":
    asyncio.run(record(sys.argv[1:]))
