"""A send outside its window waits, says so, and is done once when the window opens."""

from datetime import UTC, datetime, timedelta

import pytest

from api.app import create_app
from processes.instructions import Hold, Perform, Wait
from tests.api.conftest import client_of
from tests.guarantees.processes import release_by_outbox, set_status, stop_by_hand, waiting_at
from tests.hygiene.journeys import MAIL, OFFICE, PRAGUE, TAG, begun, days_after, is_put_off, journey, local
from tests.support.by_hand import delete_contact, perform
from tests.support.engine import Engine
from tests.support.people import change_contact, meet, messages
from tests.support.smtp_server import RecordingSmtpServer
from tests.support.visits import send_through, visited

ON_SQLITE = pytest.mark.parametrize("database_url", ["sqlite"], indirect=True)
"""For what no database has a part in."""


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
