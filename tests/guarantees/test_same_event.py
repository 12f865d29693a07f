"""The same event, however often and from wherever it is sent, has one effect."""

import asyncio

from intake.events import EventResult
from runtime import Services
from store import rows
from tests.guarantees.processes import LONG_WAIT, mail, process, tag
from tests.support.engine import Engine
from tests.support.people import tags
from tests.support.smtp_server import RecordingSmtpServer


def told_apart(results: list[EventResult]) -> tuple[list[EventResult], list[EventResult]]:
    """Those that were accepted, and those that were duplicates."""
    accepted = [r for r in results if r.status == "accepted"]
    duplicates = [r for r in results if r.status == "duplicate"]
    assert len(accepted) + len(duplicates) == len(results)
    return accepted, duplicates


async def test_an_event_sent_ten_times_at_once_to_two_api_processes_has_one_effect(
    engine: Engine, second: Services, smtp: RecordingSmtpServer
) -> None:
    await engine.template("hello")
    await engine.publish(process(mail("hello"), tag("met")))
    parts = [engine.services, second]
    sent = f"{engine.contact}e"
    takes = (parts[n % 2].intake.take([engine.incoming("go", id=sent)]) for n in range(10))
    accepted, duplicates = told_apart([result for (result,) in await asyncio.gather(*takes)])
    assert (len(accepted), len(duplicates)) == (1, 9)
    assert [d.decision for d in accepted[0].decisions] == ["started"]
    assert all(d.decisions == accepted[0].decisions for d in duplicates)
    assert all(d.contact == accepted[0].contact for d in duplicates)
    await engine.ended(engine.id("p", sent))
    assert len(await engine.rows(rows.instances)) == 1
    assert len(await engine.rows(rows.events, rows.events.c.id == sent)) == 1
    assert len(smtp.messages_to(engine.address)) == 1
    assert await tags(engine) == ["met"]


async def test_an_event_sent_again_later_is_answered_with_what_it_did_then(engine: Engine) -> None:
    await engine.publish(process(tag("met")))
    sent = f"{engine.contact}e"
    first = await engine.event("go", id=sent)
    await engine.ended(engine.id("p", sent))
    again = await engine.event("go", id=sent)
    assert again.status == "duplicate"
    assert again.decisions == first.decisions
    assert len(await engine.rows(rows.instances)) == 1


async def test_a_batch_that_holds_an_event_twice_acts_once_and_says_so(idle: Engine) -> None:
    await idle.publish(process(LONG_WAIT))
    sent = f"{idle.contact}e"
    first, other, twin = await idle.services.intake.take(
        [idle.incoming("go", id=sent), idle.incoming("go"), idle.incoming("go", id=sent)]
    )
    assert [first.status, other.status, twin.status] == ["accepted", "accepted", "duplicate"]
    assert twin.decisions == first.decisions
    assert twin.contact == first.contact
    assert len(await idle.rows(rows.instances)) == 2


async def test_an_event_sent_again_with_other_content_does_not_act_again(idle: Engine) -> None:
    await idle.publish(process(LONG_WAIT))
    sent = f"{idle.contact}e"
    await idle.event("go", id=sent, params={"total": 1})
    again = await idle.event("go", id=sent, params={"total": 2})
    assert again.status == "duplicate"
    (stored,) = await idle.rows(rows.events, rows.events.c.id == sent)
    assert stored.params == {"total": 1}
    assert len(await idle.rows(rows.instances)) == 1
