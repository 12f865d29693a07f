"""A process with one send, at a time of its clock, for the tests of what keeps a send back."""

from datetime import UTC, datetime, time, timedelta
from typing import Any
from zoneinfo import ZoneInfo

from processes.instructions import Instruction, Perform, Wait
from tests.support.by_hand import ByHand
from tests.support.engine import Engine
from tests.support.visits import REST, in_a_row

PRAGUE = "Europe/Prague"
OFFICE = {"from": "09:00", "to": "20:00"}
MAIL = {"id": "mail", "type": "send_email", "template": "hello"}
TAG = {"id": "tag", "type": "add_tag", "tag": "went-on"}


def local(day: int, clock: str, zone: str = PRAGUE) -> datetime:
    """A time of November 2026."""
    return datetime.combine(
        datetime(2026, 11, day, tzinfo=UTC).date(), time.fromisoformat(clock), ZoneInfo(zone)
    ).astimezone(UTC)


def journey(*steps: dict[str, Any], key: str = "journey", **more: Any) -> dict[str, Any]:
    return {
        "key": key,
        "name": "A journey",
        "recurrence": "each_time",
        "time_zone": PRAGUE,
        "triggers": [{"type": "event", "event": f"go_{key}"}],
        "steps": in_a_row(*(steps or (MAIL,)), REST),
        **more,
    }


async def begun(engine: Engine, now: datetime, *steps: dict[str, Any], **more: Any) -> ByHand:
    """An instance right before its first step, at a time of its clock."""
    await engine.template("hello")
    event = {name: more.pop(name) for name in ("contact_extra",) if name in more}
    document = journey(*steps, **more)
    mine = await ByHand.begun(engine, document, f"go_{document['key']}", **event)
    mine.now = now
    return mine


def is_put_off(following: Instruction, until: datetime, by: str) -> bool:
    assert isinstance(following, Wait), following
    assert isinstance(following.then, Perform)
    assert (following.step, following.then.step, following.until) == ("mail", "mail", until)
    assert following.summary is not None
    return following.summary.startswith(f"Held by {by} · until ")


def cap(messages: int = 2, per: str = "1 week", over: str = "hold", **more: Any) -> list[dict[str, Any]]:
    return [{"messages": messages, "per": per, "over": over, **more}]


def days_after(now: datetime) -> tuple[dict[str, Any], datetime]:
    """A window (UTC) that is closed now, and when it opens."""
    opening = datetime.combine((now + timedelta(days=2)).date(), time(9), UTC)
    return {"from": "09:00", "days": [f"{opening:%A}".lower()]}, opening
