"""A worker may die at any moment: another goes on, and nobody gets a message twice."""

import asyncio
from typing import Any

from settings import Settings
from tests.guarantees.processes import mail, message, process, tag
from tests.support.engine import Engine
from tests.support.people import tags
from tests.support.smtp_server import RecordingSmtpServer
from tests.support.waiting import eventually
from tests.support.worker_process import worker_process

HASTY = ("-m", "tests.support.hasty_worker")
REST: dict[str, Any] = {"id": "rest", "type": "wait_for_event", "event": "on", "within": "1 day"}
REST["on_timeout"] = "second"


async def test_after_a_kill_between_steps_another_worker_goes_on_and_each_message_arrives_once(
    idle: Engine, settings: Settings, smtp: RecordingSmtpServer
) -> None:
    await idle.template("hello")
    await idle.publish(process(mail("first"), tag("met"), REST, mail("second"), recurrence="once"))
    people = [f"{idle.contact}-{number}" for number in range(20)]
    async with worker_process(settings, *HASTY) as worker:
        await idle.services.intake.take([idle.incoming("go", person) for person in people])

        await eventually(lambda: _all_wait(idle, people))
        await worker.kill()
    await idle.services.intake.take([idle.incoming("on", person) for person in people])
    async with worker_process(settings, *HASTY):
        await asyncio.gather(*(idle.ended(f"p/{person}", timeout=60) for person in people))
    for person in people:
        ids = [sent.message_id for sent in smtp.messages_to(f"{person}@example.com")]
        assert len(ids) == len(set(ids)) == 2


async def _all_wait(engine: Engine, people: list[str]) -> bool:
    """Whether everyone has the first message and waits for the second."""
    rows = [await engine.instance(f"p/{person}") for person in people]
    return {(row.state, row.step) for row in rows} == {("waiting", "rest")}


async def test_a_message_in_flight_at_the_kill_is_shown_as_unknown_and_is_sent_again_only_where_the_step_says_so(
    idle: Engine, settings: Settings, smtp: RecordingSmtpServer
) -> None:
    await idle.template("hello")
    for key, if_unknown in (("careful", "skip"), ("bold", "resend")):
        await idle.publish(
            process(mail("hello", if_unknown=if_unknown), tag(key), key=key, recurrence="once")
            | {"triggers": [{"type": "event", "event": key}]}
        )
    careful, bold = f"{idle.contact}-careful", f"{idle.contact}-bold"
    for person in (careful, bold):
        smtp.for_recipient(f"{person}@example.com").answer_when.clear()
    async with worker_process(settings, *HASTY) as worker:
        await idle.event("careful", careful)
        await idle.event("bold", bold)
        for person in (careful, bold):
            await smtp.wait_received(f"{person}@example.com")
        await worker.kill()
    for person in (careful, bold):
        assert (await message(idle, f"{person.rsplit('-')[1]}/{person}", "hello")).state == "claimed"
        smtp.for_recipient(f"{person}@example.com").answer_when.set()
    async with worker_process(settings, *HASTY):
        await asyncio.gather(
            idle.ended(f"careful/{careful}", timeout=60), idle.ended(f"bold/{bold}", timeout=60)
        )
    unknown = await message(idle, f"careful/{careful}", "hello")
    assert unknown.state == "unknown"
    assert unknown.detail == "a worker ended between claim and answer; not sent again"
    assert smtp.received[f"{careful}@example.com"] == 1
    resent = await message(idle, f"bold/{bold}", "hello")
    assert resent.state == "sent"
    assert resent.attempts == smtp.received[f"{bold}@example.com"] > 1


async def test_a_worker_asked_to_stop_lets_its_send_finish(
    idle: Engine, settings: Settings, smtp: RecordingSmtpServer
) -> None:
    smtp.for_recipient(idle.address).answer_when.clear()
    await idle.template("hello")
    await idle.publish(process(mail("hello"), tag("after"), recurrence="once"))
    async with worker_process(settings) as worker:
        await idle.event("go")
        await smtp.wait_received(idle.address)
        worker.ask_to_stop()
        smtp.for_recipient(idle.address).answer_when.set()
        assert await worker.exit_code() == 0
    assert (await message(idle, idle.id("p"), "hello")).state == "sent"
    async with worker_process(settings):
        await idle.ended(idle.id("p"), timeout=60)
    assert len(smtp.messages_to(idle.address)) == 1
    assert smtp.received[idle.address] == 1
    assert await tags(idle) == ["after"]
