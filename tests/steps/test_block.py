"""block: the contact's address gets nothing any more, whoever has it and whatever starts."""

from typing import Any

import pytest

from processes.definition import parse
from processes.instructions import Hold
from processes.problems import DocumentInvalid
from store import rows
from store.suppressions import is_suppressed
from tests.guarantees.processes import set_status, stop_by_hand
from tests.support.by_hand import ByHand, delete_contact
from tests.support.engine import Engine
from tests.support.people import change_contact, contact, meet, messages
from tests.support.smtp_server import RecordingSmtpServer
from tests.support.visits import REST, in_a_row, pass_through, repeat_answers_the_same, visited

BLOCK = {"id": "block", "type": "block", "channel": "email", "reason": "asked by phone"}
MAIL = {"id": "mail", "type": "send_email", "template": "hello"}
PHONE = "+420601234567"
ON_SQLITE = pytest.mark.parametrize("database_url", ["sqlite"], indirect=True)
"""For what no database has a part in."""


async def why(engine: Engine, channel: str = "email", address: str | None = None) -> str | None:
    async with engine.services.database.read() as connection:
        return await is_suppressed(connection, channel, address or engine.address)


async def before_it(engine: Engine, **more: Any) -> ByHand:
    """An instance right before the step."""
    document = {
        "key": "journey", "name": "J", "recurrence": "once", "triggers": [{"type": "event", "event": "go"}],
        "steps": in_a_row({**BLOCK, **more}, REST),
    }  # fmt: skip
    return await ByHand.begun(engine, document)


async def test_the_address_is_suppressed_and_gets_nothing_after_it(
    engine: Engine, smtp: RecordingSmtpServer
) -> None:
    await engine.template("hello")
    instance = await pass_through(engine, BLOCK, MAIL, purpose="transactional")
    assert await why(engine) == "asked by phone"
    assert (await contact(engine)).email == engine.address
    result = (await visited(engine, instance, "block")).result
    assert result == {"channel": "email", "blocked": True, "deleted": False}
    assert smtp.messages == []
    (kept,) = await messages(engine, instance)
    assert (kept.state, kept.detail) == ("skipped", "suppressed: asked by phone")
    await repeat_answers_the_same(engine, instance, "block")
    (row,) = await engine.rows(rows.suppressions)
    assert row.source == f"instance {instance} step block"


@ON_SQLITE
async def test_it_can_take_the_address_from_the_contact_and_tells_who_listens(idle: Engine) -> None:
    await meet(idle)
    await idle.publish(
        {
            "key": "listener", "name": "L", "recurrence": "each_time",
            "triggers": [{"type": "field_changed", "field": "email"}], "steps": [REST],
        }
    )  # fmt: skip
    await change_contact(idle, email_state="bounced")
    mine = await before_it(idle, delete_address=True)
    await mine.go()
    person = await contact(idle)
    assert (person.email, person.email_state) == (None, "ok")
    assert await why(idle) == "asked by phone"
    assert (await mine.results())["block"]["deleted"]
    assert len(await idle.rows(rows.instances, rows.instances.c.process_key == "listener")) == 1


@ON_SQLITE
async def test_a_phone_number_is_blocked_for_sms_only(idle: Engine) -> None:
    await meet(idle)
    await change_contact(idle, phone=PHONE)
    mine = await before_it(idle, channel="sms", delete_address=True)
    await mine.go()
    person = await contact(idle)
    assert (person.phone, person.email) == (None, idle.address)
    assert await why(idle, "sms", PHONE) == "asked by phone"
    assert await why(idle) is None


async def test_one_that_is_blocked_already_stays_blocked(idle: Engine) -> None:
    first = await before_it(idle)
    await first.go()
    await idle.publish(
        {
            "key": "second", "name": "S", "recurrence": "once", "triggers": [{"type": "event", "event": "more"}],
            "steps": in_a_row({**BLOCK, "reason": "again"}, REST),
        }
    )  # fmt: skip
    second = await ByHand.begun(idle, None, "more")
    await second.go()
    assert (await second.results())["block"] == {"channel": "email", "blocked": False, "deleted": False}
    assert await why(idle) == "asked by phone"


@ON_SQLITE
async def test_a_contact_without_an_address_goes_on(idle: Engine) -> None:
    mine = await before_it(idle, channel="sms")
    await mine.go()
    assert mine.place == "rest"
    assert (await mine.results())["block"] == {"channel": "sms", "skipped": "the contact has no phone number"}
    assert await idle.rows(rows.suppressions) == []


@ON_SQLITE
async def test_a_paused_process_blocks_after_it_was_resumed(idle: Engine) -> None:
    mine = await before_it(idle)
    await set_status(idle, "journey", "paused")
    assert isinstance(await mine.go(), Hold)
    assert await why(idle) is None
    await set_status(idle, "journey", "active")
    await mine.release()
    assert await why(idle) == "asked by phone"


@ON_SQLITE
async def test_a_stopped_instance_blocks_nobody(idle: Engine) -> None:
    mine = await before_it(idle)
    await stop_by_hand(idle, mine.instance, "enough")
    await mine.go()
    assert await mine.cancel() == "stopped"
    assert await why(idle) is None


@ON_SQLITE
async def test_a_contact_that_was_deleted_before_is_not_blocked(idle: Engine) -> None:
    mine = await before_it(idle)
    await delete_contact(idle)
    await mine.go()
    assert await mine.cancel() == "contact_deleted"
    assert await why(idle) is None


async def test_the_address_stays_blocked_when_its_contact_is_deleted(idle: Engine) -> None:
    mine = await before_it(idle)
    await mine.go()
    await delete_contact(idle)
    assert await why(idle) == "suppressed before the contact was deleted"


@pytest.mark.parametrize(
    ("wrong", "place"),
    [
        ({"channel": "fax"}, "/steps/0/channel"),
        ({"reason": ""}, "/steps/0/reason"),
        ({"delete_address": "often"}, "/steps/0/delete_address"),
    ],
)
def test_a_bad_configuration_is_refused_with_its_place(wrong: dict[str, Any], place: str) -> None:
    document = {"key": "p", "name": "P", "recurrence": "once", "steps": [{**BLOCK, **wrong}]}
    with pytest.raises(DocumentInvalid) as refused:
        parse(document)
    assert [p.pointer for p in refused.value.problems] == [place]
