"""A send over a cap waits or is skipped, says so, and is done once when it may."""

import asyncio
from datetime import datetime, timedelta
from typing import Any

import pytest
from sqlalchemy import insert

from processes.windows import Cap
from runtime import Services
from store import contacts, rows
from store.messages import newest
from tests.guarantees.processes import waiting_at
from tests.hygiene.journeys import MAIL, OFFICE, TAG, begun, cap, is_put_off, journey, local
from tests.support.engine import Engine
from tests.support.people import contact, meet, messages, tags
from tests.support.smtp_server import RecordingSmtpServer
from tests.support.waiting import others_wait

ON_SQLITE = pytest.mark.parametrize("database_url", ["sqlite"], indirect=True)
"""For what no database has a part in."""


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
