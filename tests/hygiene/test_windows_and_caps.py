"""A send outside its window, or over a cap, waits or is skipped, says so, and is done once when it may."""

import asyncio
from datetime import UTC, datetime, time, timedelta
from typing import Any
from zoneinfo import ZoneInfo

import pytest
from sqlalchemy import insert

from api.app import create_app
from processes.instructions import Hold, Instruction, Perform, Wait
from processes.windows import Cap
from runtime import Services
from store import contacts, rows
from store.messages import newest
from store.suppressions import suppress
from tests.api.conftest import client_of
from tests.guarantees.processes import release_by_outbox, set_status, stop_by_hand, waiting_at
from tests.support.by_hand import ByHand, delete_contact, perform
from tests.support.engine import Engine
from tests.support.people import change_contact, contact, meet, messages, tags
from tests.support.smtp_server import RecordingSmtpServer
from tests.support.visits import REST, in_a_row, send_through, visited
from tests.support.waiting import others_wait

PRAGUE = "Europe/Prague"
OFFICE = {"from": "09:00", "to": "20:00"}
MAIL = {"id": "mail", "type": "send_email", "template": "hello"}
TAG = {"id": "tag", "type": "add_tag", "tag": "went-on"}
ON_SQLITE = pytest.mark.parametrize("database_url", ["sqlite"], indirect=True)
"""For what no database has a part in."""


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


# Windows


async def test_a_send_outside_the_window_waits_says_so_and_goes_when_it_opens(
    idle: Engine, smtp: RecordingSmtpServer
) -> None:
    mine = await begun(idle, local(24, "21:15"), window=OFFICE)
    opening = local(25, "09:00")
    assert is_put_off(await mine.go(), opening, "the delivery window")
    row = await mine.row()
    assert (row.state, row.step, row.due_at, row.open) == ("waiting", "mail", opening, True)
    assert row.reason == "Held by the delivery window · until 25 Nov 09:00 Prague"
    held = [{"by": "the delivery window", "until": opening.isoformat()}]
    assert (await mine.results())["mail"] == {"held": held}
    async with client_of(create_app(idle.services)) as api:
        shown = (await api.get(f"/v1/instances/{mine.instance}")).json()
    assert datetime.fromisoformat(shown["next"]["due_at"]) == opening
    assert shown["next"]["summary"] == f"send email · template hello · {row.reason}"
    assert shown["visits"][-1]["result"] == {"held": held}
    assert smtp.messages == []
    assert await messages(idle, mine.instance) == []
    await mine.wake()
    (message,) = smtp.messages_to(idle.address)
    assert (await mine.row()).reason is None
    assert mine.place == "rest"
    result = (await mine.results())["mail"]
    assert (result["state"], result["held"]) == ("sent", held)
    (kept,) = await messages(idle, mine.instance)
    assert kept.state == "sent"
    assert opening <= kept.closed_at < opening + timedelta(minutes=1)
    assert datetime.strptime(str(message.message["Date"]), "%a, %d %b %Y %H:%M:%S %z") == opening


@ON_SQLITE
async def test_a_send_within_the_window_goes_at_once(idle: Engine, smtp: RecordingSmtpServer) -> None:
    mine = await begun(idle, local(24, "19:59"), window=OFFICE)
    await mine.go()
    assert len(smtp.messages) == 1
    assert "held" not in (await mine.results())["mail"]


@ON_SQLITE
async def test_the_contacts_zone_counts_and_a_steps_window_comes_first(
    idle: Engine, smtp: RecordingSmtpServer
) -> None:
    now = local(24, "12:00")
    mine = await begun(idle, now, window=OFFICE, contact_extra={"time_zone": "America/Los_Angeles"})
    assert is_put_off(await mine.go(), local(24, "09:00", "America/Los_Angeles"), "the delivery window")
    own = {**MAIL, "window": {"from": "00:00"}}
    other = await begun(idle, now, own, window=OFFICE, key="other")
    await other.go()
    assert other.place == "rest"
    assert len(smtp.messages) == 1


@ON_SQLITE
async def test_a_contact_that_moves_while_it_waits_is_asked_about_the_hour_where_it_is_now(
    idle: Engine, smtp: RecordingSmtpServer
) -> None:
    mine = await begun(idle, local(24, "21:00"), window=OFFICE, contact_extra={"time_zone": PRAGUE})
    await mine.go()
    await change_contact(idle, time_zone="America/New_York")
    assert is_put_off(await mine.wake(), local(25, "09:00", "America/New_York"), "the delivery window")
    assert smtp.messages == []
    await mine.wake()
    assert len(smtp.messages) == 1
    held = (await mine.results())["mail"]["held"]
    assert [one["until"] for one in held] == [
        local(25, "09:00").isoformat(),
        local(25, "09:00", "America/New_York").isoformat(),
    ]


@ON_SQLITE
async def test_who_must_not_get_it_is_skipped_at_once_and_does_not_wait_for_the_morning(
    idle: Engine, smtp: RecordingSmtpServer
) -> None:
    await meet(idle)
    await change_contact(idle, email_state="unsubscribed")
    mine = await begun(idle, local(24, "23:00"), window=OFFICE)
    await mine.go()
    assert mine.place == "rest"
    assert (await mine.results())["mail"]["state"] == "skipped"
    assert smtp.messages == []


@ON_SQLITE
async def test_who_leaves_while_it_waits_gets_nothing_in_the_morning(
    idle: Engine, smtp: RecordingSmtpServer
) -> None:
    mine = await begun(idle, local(24, "23:00"), window=OFFICE)
    await mine.go()
    await change_contact(idle, email_state="unsubscribed")
    await mine.wake()
    assert mine.place == "rest"
    result = (await mine.results())["mail"]
    assert (result["state"], result["detail"]) == ("skipped", "the contact wants no marketing mail")
    assert len(result["held"]) == 1
    assert smtp.messages == []


async def test_a_held_send_whose_activity_runs_again_answers_the_same(
    idle: Engine, smtp: RecordingSmtpServer
) -> None:
    mine = await begun(idle, local(24, "21:15"), window=OFFICE)
    what = mine.next
    assert isinstance(what, Perform)
    first = await mine.go()
    assert await perform(idle, mine.instance, what, mine.now) == first
    assert len((await mine.results())["mail"]["held"]) == 1
    assert isinstance(first, Wait)
    mine.now = first.until
    sent = await perform(idle, mine.instance, first.then, mine.now)
    assert await perform(idle, mine.instance, first.then, mine.now + timedelta(hours=1)) == sent
    assert len(smtp.messages) == 1
    assert len(await messages(idle, mine.instance)) == 1


@ON_SQLITE
async def test_a_message_that_is_tried_again_at_night_waits_for_the_morning(
    idle: Engine, smtp: RecordingSmtpServer
) -> None:
    """The relay was busy at 19:59; the retry comes at 20:01 of the same call."""
    await idle.template("hello")
    smtp.everyone.message_reply = "451 busy"
    mine = await begun(idle, local(24, "19:59"), window=OFFICE)
    what = mine.next
    assert isinstance(what, Perform)
    with pytest.raises(Exception, match="451 busy"):
        await perform(idle, mine.instance, what, mine.now)
    smtp.everyone.message_reply = None
    following = await perform(idle, mine.instance, what, mine.now, tried_for=timedelta(minutes=2))
    assert is_put_off(following, local(25, "09:00"), "the delivery window")
    assert [m.state for m in await messages(idle, mine.instance)] == ["retrying"]
    mine.next = following
    await mine.wake()
    assert [m.state for m in await messages(idle, mine.instance)] == ["sent"]
    assert len(smtp.messages) == 1


@ON_SQLITE
async def test_a_process_paused_while_a_send_is_held_holds_at_the_opening_and_then_sends_once(
    idle: Engine, smtp: RecordingSmtpServer
) -> None:
    mine = await begun(idle, local(24, "21:15"), window=OFFICE)
    await mine.go()
    await set_status(idle, "journey", "paused")
    assert isinstance(await mine.wake(), Hold)
    assert smtp.messages == []
    await set_status(idle, "journey", "active")
    await mine.release()
    assert mine.place == "rest"
    assert (await mine.row()).reason is None
    assert len(smtp.messages) == 1


@pytest.mark.parametrize("over", ["stopped", "contact_deleted"])
async def test_an_instance_that_is_over_while_its_send_is_held_sends_nothing(
    idle: Engine, smtp: RecordingSmtpServer, over: str
) -> None:
    mine = await begun(idle, local(24, "21:15"), window=OFFICE)
    await mine.go()
    if over == "stopped":
        await stop_by_hand(idle, mine.instance, "enough")
    else:
        await delete_contact(idle)
    row = await mine.row()
    assert (row.state, row.due_at) == ("stopping", None)
    await mine.wake()
    assert (await mine.row()).state == "stopping"
    assert await mine.cancel() == over
    assert smtp.messages == []
    assert await messages(idle, mine.instance) == []


@ON_SQLITE
async def test_what_held_an_instance_is_not_why_it_was_cancelled(idle: Engine) -> None:
    mine = await begun(idle, local(24, "21:15"), window=OFFICE)
    await mine.go()
    assert await mine.cancel() == "stopped"
    row = await mine.row()
    assert (row.state, row.reason, row.due_at) == ("ended", "cancelled in Temporal", None)


async def test_an_instance_whose_workflow_was_lost_while_its_send_is_held_goes_on(
    idle: Engine, smtp: RecordingSmtpServer
) -> None:
    mine = await begun(idle, local(24, "21:15"), window=OFFICE)
    await mine.go()
    mine.later(hours=1)
    assert isinstance(await mine.resumed(), Perform)
    assert is_put_off(await mine.go(), local(25, "09:00"), "the delivery window")
    await mine.wake()
    assert len(smtp.messages) == 1


@ON_SQLITE
async def test_a_webhook_is_not_held(idle: Engine) -> None:
    call = {"id": "mail", "type": "webhook", "url": "http://127.0.0.1:9/", "if_refused": "continue"}
    mine = await begun(idle, local(24, "23:00"), call, window=OFFICE)
    with pytest.raises(Exception, match=r"127\.0\.0\.1"):
        await mine.go()


# Caps


async def went(engine: Engine, *moments: datetime, state: str = "sent", **columns: Any) -> None:
    """Messages of another process that the contact got."""
    person = await contact(engine)
    async with engine.services.database.write() as connection:
        for number, moment in enumerate(moments):
            await connection.execute(
                insert(rows.messages).values(
                    {
                        "id": f"m{state}{number}", "instance_id": f"other/{state}{number}", "step": "s", "visit": 1,
                        "process_key": "other", "contact_id": person.id, "channel": "email",
                        "recipient": engine.address, "state": state, "attempts": 1,
                        "claimed_at": moment, "closed_at": moment, **columns,
                    }
                )
            )  # fmt: skip


def cap(messages: int = 2, per: str = "1 week", over: str = "hold", **more: Any) -> list[dict[str, Any]]:
    return [{"messages": messages, "per": per, "over": over, **more}]


async def test_a_message_over_the_cap_waits_until_the_oldest_counts_no_more(
    idle: Engine, smtp: RecordingSmtpServer
) -> None:
    await meet(idle)
    await went(idle, local(20, "10:00"), local(23, "10:00"))
    mine = await begun(idle, local(24, "12:00"), caps=cap())
    until = local(27, "10:00")
    assert is_put_off(await mine.go(), until, "the cap of 2 per 7 days (email)")
    row = await mine.row()
    assert (row.state, row.due_at) == ("waiting", until)
    assert row.reason == "Held by the cap of 2 per 7 days (email) · until 27 Nov 10:00 Prague"
    assert smtp.messages == []
    await mine.wake()
    assert len(smtp.messages) == 1
    assert (await mine.results())["mail"]["held"][0]["by"] == "the cap of 2 per 7 days (email)"


async def test_a_message_over_the_cap_is_skipped_where_the_cap_says_so(
    idle: Engine, smtp: RecordingSmtpServer
) -> None:
    await meet(idle)
    await went(idle, local(20, "10:00"), local(23, "10:00"))
    mine = await begun(idle, local(24, "12:00"), MAIL, TAG, caps=cap(over="skip"))
    await mine.go()
    said = "over the cap of 2 per 7 days (email), until 27 Nov 10:00 Prague"
    result = (await mine.results())["mail"]
    assert (result["state"], result["detail"]) == ("skipped", said)
    (kept,) = await messages(idle, mine.instance)
    assert (kept.state, kept.detail, kept.recipient) == ("skipped", said, idle.address)
    await mine.go()
    assert await tags(idle) == ["went-on"]
    assert smtp.messages == []


async def test_what_the_contact_got_or_may_have_got_on_the_channel_counts(idle: Engine) -> None:
    await meet(idle)
    moments = [local(24, f"{hour:02}:00") for hour in range(14)]
    got = ("sent", "unknown", "claimed", "complained")
    lost = ("skipped", "refused", "retrying", "withdrawn", "bounced", "soft_bounced")
    for moment, state in zip(moments, (*got, *lost), strict=False):
        await went(idle, moment, state=state)
    await went(idle, moments[10], state="sent", id="m1", instance_id="1", channel="sms")
    await went(idle, moments[11], state="sent", id="m2", instance_id="2", contact_id="someone else")
    await went(idle, moments[12], state="sent", id="m3", instance_id="3", process_key="journey")
    await went(idle, moments[0], state="claimed", id="m4", instance_id="4", closed_at=None)
    person = (await contact(idle)).id
    async with idle.services.database.read() as connection:
        found = await newest(connection, person, "email", 10, besides="m3")
        two = await newest(connection, person, "email", 2, besides="none")
    assert found == [moments[3], moments[2], moments[1], moments[0], moments[0]]
    assert two == [moments[12], moments[3]]


@ON_SQLITE
async def test_the_caps_of_the_house_count_where_a_process_has_none_of_its_own(
    idle: Engine, services: Services, smtp: RecordingSmtpServer
) -> None:
    house = (Cap.model_validate({"messages": 1, "per": "1 day", "over": "skip"}),)
    services.settings = services.settings.model_copy(update={"caps": house})
    await meet(idle)
    await went(idle, local(24, "10:00"))
    found = {}
    processes: dict[str, dict[str, Any]] = {
        "plain": {}, "order": {"purpose": "transactional"}, "free": {"caps": []}, "own": {"caps": cap(2, "1 day")},
        "strict-order": {"purpose": "transactional", "caps": cap(1, "1 day", "skip")},
    }  # fmt: skip
    for key, more in processes.items():
        mine = await begun(idle, local(24, "12:00"), key=key, **more)
        await mine.go()
        found[key] = [m.state for m in await messages(idle, mine.instance)]
    assert found["plain"] == found["strict-order"] == ["skipped"]
    assert found["order"] == found["free"] == ["sent"]
    assert found["own"] == []  # held: the order's and the free one's count by now


async def test_of_two_instances_that_send_at_once_one_message_goes(
    idle: Engine, smtp: RecordingSmtpServer
) -> None:
    """Both have talked to the relay before either claims."""
    smtp.everyone.rcpt_when.clear()
    first = await begun(idle, local(24, "12:00"), caps=cap(1, "1 day"), key="first")
    second = await begun(idle, local(24, "12:00"), caps=cap(1, "1 day"), key="second")
    both = asyncio.gather(first.go(), second.go())
    await smtp.wait_asked(idle.address, 2)
    smtp.everyone.rcpt_when.set()
    await both
    assert len(smtp.messages) == 1
    assert sorted(type(mine.next).__name__ for mine in (first, second)) == ["Wait", "Wait"]
    places = sorted(str(mine.place) for mine in (first, second))
    assert places == ["mail", "rest"]


async def test_the_contact_is_locked_from_the_count_to_the_claim(
    idle: Engine, smtp: RecordingSmtpServer
) -> None:
    """What makes it sure: a claim under a cap waits for whoever has the contact."""
    database = idle.services.database
    if database.is_sqlite:
        pytest.skip("SQLite's writers are alone")
    first = await begun(idle, local(24, "12:00"), caps=cap(1, "1 day"), key="first")
    second = await begun(idle, local(24, "12:00"), caps=cap(1, "1 day"), key="second")
    person = (await contact(idle)).id
    async with database.write() as connection:
        await contacts.lock(connection, [person])
        both = asyncio.gather(first.go(), second.go())
        await others_wait(database, 2)
    await both
    assert len(smtp.messages) == 1


async def test_of_eight_instances_at_once_as_many_send_as_the_cap_lets_through(
    idle: Engine, smtp: RecordingSmtpServer
) -> None:
    keys = [f"p{number}" for number in range(8)]
    mine = [await begun(idle, local(24, "12:00"), caps=cap(3, "1 day", "skip"), key=key) for key in keys]
    await asyncio.gather(*(one.go() for one in mine))
    assert len(smtp.messages) == 3
    states = [m.state for m in await idle.rows(rows.messages)]
    assert (states.count("sent"), states.count("skipped")) == (3, 5)


@ON_SQLITE
async def test_a_message_held_by_a_cap_is_held_by_the_window_too_where_it_is_night_then(
    idle: Engine, smtp: RecordingSmtpServer
) -> None:
    await meet(idle)
    await went(idle, local(23, "23:00"))
    mine = await begun(idle, local(24, "12:00"), caps=cap(1, "1 day"), window=OFFICE)
    assert is_put_off(await mine.go(), local(24, "23:00"), "the cap of 1 per 1 day (email)")
    assert is_put_off(await mine.wake(), local(25, "09:00"), "the delivery window")
    await mine.wake()
    assert len(smtp.messages) == 1


# Suppressed addresses


async def test_a_suppressed_address_gets_nothing_not_even_an_orders_confirmation(
    idle: Engine, smtp: RecordingSmtpServer
) -> None:
    await block(idle)
    mine = await begun(idle, local(24, "12:00"), purpose="transactional")
    await mine.go()
    assert mine.place == "rest"
    assert smtp.messages == []
    (kept,) = await messages(idle, mine.instance)
    assert (kept.state, kept.detail) == ("skipped", "suppressed: on the Robinson list")


async def test_an_address_suppressed_while_its_message_waits_for_a_retry_gets_nothing(
    idle: Engine, smtp: RecordingSmtpServer
) -> None:
    smtp.everyone.message_reply = "451 busy"
    mine = await begun(idle, local(24, "12:00"))
    what = mine.next
    assert isinstance(what, Perform)
    with pytest.raises(Exception, match="451 busy"):
        await perform(idle, mine.instance, what, mine.now)
    smtp.everyone.message_reply = None
    await block(idle)
    await mine.go()
    assert smtp.messages == []
    assert [m.state for m in await messages(idle, mine.instance)] == ["skipped"]


async def test_an_address_suppressed_at_the_last_moment_gets_nothing(
    idle: Engine, smtp: RecordingSmtpServer
) -> None:
    """The relay has agreed to the recipient; the claim is what says no."""
    smtp.everyone.rcpt_when.clear()
    mine = await begun(idle, local(24, "12:00"))
    sending = asyncio.create_task(mine.go())
    await smtp.wait_asked(idle.address)
    await block(idle)
    smtp.everyone.rcpt_when.set()
    await sending
    assert smtp.messages == []
    assert [m.state for m in await messages(idle, mine.instance)] == ["skipped"]


async def block(engine: Engine) -> None:
    async with engine.services.database.write() as connection:
        await suppress(
            connection, "email", engine.address.upper(), "on the Robinson list", "a test", datetime.now(UTC)
        )


# On the server


def days_after(now: datetime) -> tuple[dict[str, Any], datetime]:
    """A window (UTC) that is closed now, and when it opens."""
    opening = datetime.combine((now + timedelta(days=2)).date(), time(9), UTC)
    return {"from": "09:00", "days": [f"{opening:%A}".lower()]}, opening


@ON_SQLITE
async def test_the_workflow_waits_for_the_opening_and_sends_then(
    engine: Engine, smtp: RecordingSmtpServer
) -> None:
    await engine.template("hello")
    window, opening = days_after(datetime.now(UTC))
    async with engine.skipping():
        instance = await send_through(engine, MAIL, TAG, window=window)
    await waiting_at(engine, instance, "rest")
    (message,) = smtp.messages_to(engine.address)
    (kept,) = await messages(engine, instance)
    assert opening <= kept.closed_at < opening + timedelta(minutes=1)
    result = (await visited(engine, instance, "mail")).result
    assert result["held"] == [{"by": "the delivery window", "until": opening.isoformat()}]
    assert message.subject == "Hello"


@ON_SQLITE
async def test_a_held_instance_is_paused_resumed_and_stopped_as_at_any_wait(
    engine: Engine, smtp: RecordingSmtpServer
) -> None:
    await engine.template("hello")
    window, opening = days_after(datetime.now(UTC))
    await engine.publish(journey(window=window, time_zone="UTC"))
    result = await engine.event("go_journey")
    instance = result.decisions[0].instance
    assert instance is not None
    row = await engine.in_state(instance, "waiting")
    assert (row.step, row.due_at) == ("mail", opening)
    await set_status(engine, "journey", "paused")
    await set_status(engine, "journey", "active")
    await release_by_outbox(engine, instance)  # it does not hold: nothing happens
    await stop_by_hand(engine, instance, "enough")
    row = await engine.ended(instance, "stopped")
    assert row.reason == "enough"
    assert smtp.messages == []


@ON_SQLITE
async def test_two_instances_on_the_server_keep_a_cap_between_them(
    engine: Engine, smtp: RecordingSmtpServer
) -> None:
    await engine.template("hello")
    for key in ("first", "second"):
        await engine.publish(journey(key=key, caps=cap(1, "1 day")))
    async with engine.skipping():
        started = [await engine.event(f"go_{key}") for key in ("first", "second")]
        for result in started:
            await waiting_at(engine, str(result.decisions[0].instance), "rest")
    one, other = sorted([m.closed_at for m in await engine.rows(rows.messages)])
    assert timedelta(days=1) <= other - one < timedelta(days=1, hours=2)
    assert len(smtp.messages) == 2
