"""What a contact did, in their profile: opens and clicks of people and machines apart, and goals, the newest first."""

from datetime import datetime, timedelta
from typing import Any

import pytest
from sqlalchemy import insert, text

from processes.builtin_events import MESSAGE_CLICKED, MESSAGE_OPENED
from processes.goals import goal_step
from store import activity, rows
from store.database import Database
from tests.support.plans import plans_of
from tests.tracking.conftest import SCANNER, Recipient
from tests.where.rows_made import NOW, made, people

SHOP = "https://shop.example.com/"
HOUR, SECOND = timedelta(hours=1), timedelta(seconds=1)
NOBODY: dict[str, Any] = {"people": 0, "machines": 0, "last_at": None}


def said(moment: datetime) -> str:
    """A time as the API writes it."""
    return moment.isoformat().replace("+00:00", "Z")


async def profile(recipient: Recipient, **query: Any) -> dict[str, Any]:
    """The contact's activity."""
    answer = await recipient.http.get(f"/v1/contacts/{recipient.id}/activity", params=query)
    assert answer.status_code == 200, answer.text
    found: dict[str, Any] = answer.json()
    return found


async def message(recipient: Recipient, id: str, at: datetime, **more: Any) -> None:
    """Another message to the contact."""
    values = {
        "id": id, "instance_id": "spring/1", "step": id, "visit": 1, "process_key": "spring",
        "contact_id": recipient.id, "channel": "email", "recipient": "a@example.com", "state": "sent",
        "attempts": 1, "claimed_at": at, "closed_at": at, **more,
    }  # fmt: skip
    async with recipient.services.database.write() as connection:
        await connection.execute(insert(rows.messages).values(values))


async def goals(database: Database, instance: str, *reached: tuple[str, datetime]) -> None:
    """Goals that an instance has reached."""
    async with database.write() as connection:
        for name, at in reached:
            await connection.execute(
                insert(rows.visits).values(
                    instance_id=instance,
                    step=goal_step(name),
                    visit=1,
                    kind="goal",
                    at=at,
                    result={"to": None},
                )
            )


async def test_people_and_machines_are_told_apart(recipient: Recipient) -> None:
    untouched = await profile(recipient)
    (entry,) = untouched["items"]
    assert (entry["kind"], entry["process"], entry["step"], entry["test"]) == (
        "message",
        "spring",
        "mail",
        False,
    )
    assert (entry["message"]["opens"], entry["message"]["clicks"]) == (NOBODY, NOBODY)
    assert (untouched["last_opened_at"], untouched["last_clicked_at"]) == (None, None)
    await recipient.click(SHOP, agent=SCANNER)
    await recipient.open(SCANNER)
    scanned = await profile(recipient)
    (entry,) = scanned["items"]
    assert entry["message"]["opens"] == {**NOBODY, "machines": 1}
    assert entry["message"]["clicks"] == {**NOBODY, "machines": 1}
    assert (scanned["last_opened_at"], scanned["last_clicked_at"]) == (None, None)
    recipient.later(minutes=5)
    opened = recipient.now
    await recipient.open()
    recipient.later(minutes=5)
    await recipient.click(SHOP)
    recipient.later(minutes=5)
    clicked = recipient.now
    await recipient.click(f"{SHOP}tea")
    shown = await profile(recipient)
    (entry,) = shown["items"]
    assert entry["message"]["opens"] == {"people": 1, "machines": 1, "last_at": said(opened)}
    assert entry["message"]["clicks"] == {"people": 2, "machines": 1, "last_at": said(clicked)}
    assert (entry["message"]["opened_at"], entry["message"]["clicked_at"]) == (
        said(opened), said(clicked - timedelta(minutes=5)),
    )  # fmt: skip
    assert (shown["last_opened_at"], shown["last_clicked_at"]) == (said(opened), said(clicked))


async def test_each_message_has_its_own_opens(recipient: Recipient) -> None:
    await message(recipient, "m0", recipient.now - 2 * HOUR)
    await message(recipient, "m2", recipient.now - HOUR / 2)
    await recipient.open()
    items = (await profile(recipient))["items"]
    opens = {one["message"]["id"]: one["message"]["opens"]["people"] for one in items}
    assert list(opens.items()) == [("m2", 0), ("m1", 1), ("m0", 0)]


async def test_a_message_of_a_test_run_whose_clock_was_ahead_has_its_opens(recipient: Recipient) -> None:
    """A month was skipped before it was sent; it is opened today."""
    database = recipient.services.database
    await made(
        database,
        {"id": "spring/1", "process_key": "spring", "contact_id": recipient.id, "test_cap": 300,
         "created_at": recipient.now - HOUR},
    )  # fmt: skip
    async with database.write() as connection:
        ahead = recipient.now + timedelta(days=30)
        await connection.execute(rows.messages.update().values(claimed_at=ahead, closed_at=ahead))
    await recipient.open()
    (entry,) = (await profile(recipient))["items"]
    assert (entry["test"], entry["message"]["opens"]["people"]) == (True, 1)


async def test_goals_stand_between_messages_in_the_order_of_time(recipient: Recipient) -> None:
    database = recipient.services.database
    await made(
        database,
        {"id": "spring/1", "process_key": "spring", "contact_id": recipient.id},
        {"id": "autumn/1", "process_key": "autumn", "contact_id": recipient.id, "test_cap": 300},
        {"id": "spring/2", "process_key": "spring", "contact_id": "somebody else"},
    )
    await goals(
        database, "spring/1", ("bought", recipient.now - HOUR / 2), ("came", recipient.now - 3 * HOUR)
    )
    await goals(database, "autumn/1", ("bought", recipient.now - HOUR))
    await goals(database, "spring/2", ("bought", recipient.now))
    await message(recipient, "m2", recipient.now - 2 * HOUR, state="refused", detail="mailbox gone")
    items = (await profile(recipient))["items"]
    told = [
        (one["kind"], one["process"], one["instance"], one["goal"] or one["message"]["id"], one["test"])
        for one in items
    ]
    assert told == [
        ("goal", "spring", "spring/1", "bought", False),
        ("message", "spring", "spring/1", "m1", False),
        ("goal", "autumn", "autumn/1", "bought", True),
        ("message", "spring", "spring/1", "m2", False),
        ("goal", "spring", "spring/1", "came", False),
    ]
    assert (items[3]["message"]["state"], items[3]["message"]["detail"]) == ("refused", "mailbox gone")
    assert [one["at"] for one in items] == sorted((one["at"] for one in items), reverse=True)


async def test_pages_of_any_size_make_the_whole(recipient: Recipient) -> None:
    """Though messages and goals bear the same time."""
    database = recipient.services.database
    await made(database, {"id": "spring/1", "process_key": "spring", "contact_id": recipient.id})
    for number in range(6):
        await message(recipient, f"n{number}", recipient.now - (number // 3) * HOUR)
    moments = [recipient.now - (number // 2) * HOUR for number in range(5)]
    await goals(database, "spring/1", *((f"g{number}", at) for number, at in enumerate(moments)))
    whole = (await profile(recipient))["items"]
    assert len(whole) == 12
    for limit in range(1, 6):
        joined: list[Any] = []
        page = await profile(recipient, limit=limit)
        while page["next_cursor"] is not None:
            assert len(page["items"]) == limit
            joined += page["items"]
            page = await profile(recipient, limit=limit, cursor=page["next_cursor"])
        assert joined + page["items"] == whole, limit
    bad = await recipient.http.get(f"/v1/contacts/{recipient.id}/activity?cursor=nonsense")
    assert bad.status_code == 422


async def test_only_some_processes_are_told_of_to_who_may_see_no_others(recipient: Recipient) -> None:
    database = recipient.services.database
    await made(
        database,
        {"id": "spring/1", "process_key": "spring", "contact_id": recipient.id},
        {"id": "autumn/1", "process_key": "autumn", "contact_id": recipient.id},
    )
    for instance in ("spring/1", "autumn/1"):
        await goals(database, instance, ("bought", recipient.now))
    await recipient.open()
    async with database.read() as connection:
        for process, kinds, opened in (("spring", ["goal", "message"], True), ("autumn", ["goal"], False)):
            found = await activity.activity(
                connection, recipient.id, processes={process}, limit=10, cursor=None
            )
            assert [(one.kind, one.process) for one in found.items] == [(kind, process) for kind in kinds]
            last = await activity.last_times(connection, recipient.id, {process})
            assert (MESSAGE_OPENED in last) == opened


async def test_it_is_exported_and_gone_with_the_contact(recipient: Recipient) -> None:
    database = recipient.services.database
    await made(database, {"id": "spring/1", "process_key": "spring", "contact_id": recipient.id})
    await goals(database, "spring/1", ("bought", recipient.now))
    await recipient.click(SHOP)
    exported = (await recipient.http.get(f"/v1/contacts/{recipient.id}/export")).json()
    assert [one["id"] for one in exported["messages"]] == ["m1"]
    assert [(one["step"], one["kind"]) for one in exported["visits"]] == [("goal:bought", "goal")]
    tracked = [one["params"]["url"] for one in exported["events"] if one["type"] == MESSAGE_CLICKED]
    assert tracked == [SHOP]
    assert (await recipient.http.delete(f"/v1/contacts/{recipient.id}")).status_code == 204
    assert (await recipient.http.get(f"/v1/contacts/{recipient.id}/activity")).status_code == 404
    async with database.read() as connection:
        left = await activity.activity(connection, recipient.id, processes=None, limit=10, cursor=None)
        assert await activity.last_times(connection, recipient.id, None) == {}
    (sent,) = [one.message for one in left.items if one.message is not None]
    assert (sent.recipient, sent.subject, sent.detail) == ("", None, None)
    assert (sent.opens.people, sent.clicks.people) == (0, 0)


EVENTS = 2_000


@pytest.fixture
async def busy(database: Database) -> Database:
    """A contact with many events, half of them opens, among others who have as many."""
    names = [f"c{number}" for number in range(20)]
    await people(database, "ann", *names)
    events: list[dict[str, Any]] = [
        {
            "id": f"e{number}", "type": ("page.visited", MESSAGE_OPENED)[number // 10 % 2],
            "contact_id": "ann" if number % 10 == 0 else names[number % 20], "occurred_at": NOW + number * SECOND,
            "received_at": NOW + number * SECOND, "params": {"message": f"m{number}", "by": "person"},
            "source": "tracking", "depth": 0, "outcome": [],
        }
        for number in range(EVENTS)
    ]  # fmt: skip
    await made(
        database,
        *({"id": f"i{n}", "contact_id": names[n % 20], "event_id": f"{n}"} for n in range(400)),
        {"id": "ann/1"},
    )
    async with database.write() as connection:
        await connection.execute(insert(rows.events), events)
        await connection.execute(
            insert(rows.messages),
            [
                {
                    "id": f"m{n}", "instance_id": f"i{n}", "step": "s", "visit": 1, "process_key": "welcome",
                    "contact_id": "ann" if n % 20 == 0 else names[n % 20], "channel": "email", "recipient": "x",
                    "state": "sent", "attempts": 1, "claimed_at": NOW, "closed_at": NOW,
                }
                for n in range(400)
            ],
        )  # fmt: skip
    if not database.is_sqlite:
        async with database.engine.connect() as connection:
            alone = await connection.execution_options(isolation_level="AUTOCOMMIT")
            await alone.execute(text("VACUUM ANALYZE"))
    return database


async def test_no_table_is_read_as_a_whole_for_it(busy: Database) -> None:
    plans = await plans_of(
        busy,
        lambda c: activity.activity(c, "ann", processes=None, limit=5, cursor=None),
        no_scans=True,
    )
    plans += await plans_of(busy, lambda c: activity.last_times(c, "ann", None), no_scans=True)
    assert len(plans) == 4
    for plan in plans:
        for table in ("events", "messages", "visits", "instances"):
            assert f"SCAN {table}" not in plan, plan
            assert f"Seq Scan on {table}" not in plan, plan
    for tracked in plans[2:]:
        assert "ix_events_contact" in tracked, tracked
