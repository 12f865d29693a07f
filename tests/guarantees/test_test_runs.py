"""A test run (O7): a process for one address, with its waits cut; it is sent, it is marked, and it counts nowhere."""

from collections.abc import Mapping
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from sqlalchemy import update
from temporalio.client import Client

from api.lifecycle import process_lifecycle
from intake.dispatch import VERSION
from intake.refusals import Missing, NoTimeSkipping, WrongStatus
from intake.test_runs import TestRun, TestRuns
from processes.differences import Inside
from processes.instructions import Wait
from processes.problems import DocumentInvalid
from store import rows
from tests.guarantees.processes import (
    LONG_WAIT,
    mail,
    only,
    process,
    set_status,
    start_on,
    tag,
    wait,
    wait_for,
    waiting_at,
)
from tests.support.by_hand import ByHand
from tests.support.engine import Engine
from tests.support.people import messages
from tests.support.smtp_server import RecordingSmtpServer
from tests.support.temporal import temporal_server
from tests.support.visits import begin

SECOND = timedelta(seconds=1)


pytestmark = pytest.mark.parametrize("database_url", ["sqlite"], indirect=True)


async def try_out(
    engine: Engine,
    email: str | None = None,
    *,
    cap: timedelta | None = None,
    skip_time: bool = False,
    params: Mapping[str, Any] | None = None,
    draft: bool | None = None,
) -> TestRun:
    """Test the process `p` with this test's address."""
    address = email if email is not None else engine.address
    return await starter(engine).start(
        "p",
        address,
        cap=cap,
        skip_time=skip_time,
        key=None,
        params=params or {},
        actor="key/k1",
        draft=draft,
    )


def starter(engine: Engine, client: Client | None = None) -> TestRuns:
    """What starts test runs, on the engine's Temporal server or another."""
    parts = engine.services
    return TestRuns(
        parts.database,
        parts.catalog,
        parts.dispatcher,
        client or parts.client,
        process_lifecycle(parts).validate,
    )


async def test_the_address_goes_on_the_list_and_through_everything_with_short_waits(
    engine: Engine, smtp: RecordingSmtpServer
) -> None:
    """It is once for everyone, and the test run takes nobody's place."""
    await engine.template("hello")
    await engine.make_list("news")
    joined = {"type": "list_subscribed", "list": "news"}
    await engine.publish(
        process(
            mail("hello"), wait("pause", "7 days"), wait_for("ask", within="3 days", on_timeout="more"), mail("more"),
            recurrence="once", list="news", triggers=[start_on("go"), joined],
        )
    )  # fmt: skip
    made = await try_out(engine, cap=SECOND)
    assert (made.confirmed, made.stopped) == (True, [])
    row = await engine.ended(made.instance)
    assert (row.test_cap, row.exclusive) == (1, False)
    assert "/test-" in made.instance
    assert [m.rcpt_to for m in smtp.messages] == [engine.address] * 2
    assert [m.state for m in await messages(engine, made.instance)] == ["sent", "sent"]
    (person,) = await engine.rows(rows.contacts, rows.contacts.c.email == engine.address)
    (subscribed,) = await engine.rows(rows.subscriptions)
    assert (subscribed.contact_id, subscribed.status) == (person.id, "subscribed")
    assert len(await engine.rows(rows.instances)) == 1
    assert await engine.rows(rows.entries) == []
    description = await engine.services.client.get_workflow_handle(made.instance).describe()
    assert await description.static_summary() is not None
    assert "test run" in str(await description.static_summary())
    (audit,) = await engine.rows(rows.audit)
    assert (audit.actor, audit.action, audit.subject) == ("key/k1", "process.test_run", "process/p")
    assert audit.after["cap"] == 1
    assert only(await engine.event("go")) == ("started", None)


async def test_who_is_in_it_is_stopped_and_begins_again(engine: Engine) -> None:
    await engine.publish(process(tag("first"), LONG_WAIT, recurrence="when_finished"))
    await engine.event("go")
    real = (await engine.rows(rows.instances))[0].id
    await waiting_at(engine, real, "rest")
    one = await try_out(engine)
    assert one.stopped == [real]
    await waiting_at(engine, one.instance, "rest")
    two = await try_out(engine)
    assert two.stopped == [one.instance]
    row = await waiting_at(engine, two.instance, "rest")
    assert row.due_at - row.updated_at == timedelta(minutes=5)
    for stopped in (real, one.instance):
        ended = await engine.ended(stopped, "stopped")
        assert ended.reason == "a test run starts again from the beginning"
    assert only(await engine.event("go")) == ("started", None)


@pytest.mark.parametrize("status", ["draft", "paused"])
async def test_a_process_that_lets_nobody_in_can_be_tested(
    engine: Engine, smtp: RecordingSmtpServer, status: str
) -> None:
    await engine.template("hello")
    await engine.publish(process(mail("hello"), wait("w", "2 days"), tag("done")), status=status)
    assert only_skipped(await engine.event("go"))
    await engine.ended((await try_out(engine, cap=SECOND)).instance)
    assert len(smtp.messages) == 1


def only_skipped(result: Any) -> bool:
    return all(decision.decision == "skipped" for decision in result.decisions)


async def test_what_it_does_starts_and_stops_nobody_else(engine: Engine) -> None:
    other = {"id": "other", "type": "start_process", "process": "q"}
    halt = {"id": "halt", "type": "stop_process", "process": "r"}
    await engine.publish(process(LONG_WAIT, key="q", triggers=[{"type": "tag_added", "tag": "t"}]))
    stopping = [start_on("go"), {"type": "tag_added", "tag": "t", "does": "stop"}]
    await engine.publish(process(LONG_WAIT, key="r", triggers=stopping))
    await engine.event("go")
    await engine.publish(process(tag("t"), other, halt, triggers=[]))
    made = await try_out(engine)
    await engine.ended(made.instance)
    assert [row.process_key for row in await engine.rows(rows.instances)] == ["r", "p"]
    (real,) = await engine.rows(rows.instances, rows.instances.c.process_key == "r")
    assert real.state == "waiting"
    (told,) = await engine.rows(rows.events, rows.events.c.type == "tag.added")
    reason = "a test run led to it: it starts nothing"
    assert {"process": "q", "decision": "skipped", "reason": reason} in told.outcome


async def test_a_month_runs_in_seconds_and_its_waits_are_as_long_as_they_are(
    engine: Engine, smtp: RecordingSmtpServer
) -> None:
    await engine.template("hello")
    await engine.publish(process(mail("hello"), wait("pause", "30 days"), mail("more")))
    made = await try_out(engine, skip_time=True)
    row = await engine.ended(made.instance)
    assert timedelta(days=30) <= row.ended_at - row.started_at < timedelta(days=31)
    assert len(smtp.messages) == 2
    (audit,) = await engine.rows(rows.audit)
    assert (audit.after["cap"], audit.after["skip_time"]) == (None, True)


async def test_a_test_run_whose_start_was_lost_skips_time_when_it_is_sent_again(
    engine: Engine, monkeypatch: pytest.MonkeyPatch
) -> None:
    """By the sweeper, which knows the row only."""

    async def lost(_: Any) -> bool:
        return False

    await engine.publish(process(wait("pause", "30 days"), tag("done")))
    with monkeypatch.context() as patched:
        patched.setattr(engine.services.dispatcher, "start", lost)
        made = await try_out(engine, skip_time=True)
    assert not made.confirmed
    i = rows.instances.c
    async with engine.services.database.write() as connection:
        await connection.execute(
            update(rows.instances).where(i.id == made.instance).values(lease_until=i.created_at)
        )
    await engine.sweeper.sweep()
    row = await engine.ended(made.instance)
    assert timedelta(days=30) <= row.ended_at - row.started_at < timedelta(days=31)


async def test_a_server_that_skips_no_time_is_named_before_anything_is_done(idle: Engine) -> None:
    await idle.publish(process(tag("first")))
    async with temporal_server() as plain:
        runs = starter(idle, await plain.client())
        with pytest.raises(NoTimeSkipping, match=r"frontend\.WorkflowTimeSkippingEnabled"):
            await runs.start("p", idle.address, cap=None, skip_time=True, key=None, params={}, actor="key/k1")
    assert await idle.rows(rows.instances) == []
    assert await idle.rows(rows.contacts) == []


async def begun(engine: Engine, **how: Any) -> ByHand:
    """A test run of `p` whose `begin` has run, without a worker."""
    made = await try_out(engine, **how)
    now = (await engine.instance(made.instance)).created_at
    return ByHand(engine, made.instance, now, await begin(engine, made.instance, now))


async def test_a_window_keeps_a_test_message_for_the_cut_only(idle: Engine) -> None:
    await idle.template("hello")
    weekday = f"{datetime.now(UTC) + timedelta(days=3):%A}".lower()
    await idle.publish(process(mail("hello", window={"days": [weekday]}), LONG_WAIT))
    run = await begun(idle)
    held = await run.go()
    assert isinstance(held, Wait)
    assert held.until - run.now <= timedelta(minutes=5, seconds=5)
    await run.wake()
    assert run.place == "rest"
    assert [m.state for m in await messages(idle, run.instance)] == ["sent"]


async def test_caps_neither_keep_a_test_message_nor_count_it(idle: Engine) -> None:
    await idle.template("hello")
    caps = [{"messages": 1, "per": "30 days", "channel": "email", "over": "skip"}]
    await idle.publish(process(mail("hello"), LONG_WAIT, caps=caps))
    for _ in range(2):
        run = await begun(idle)
        await run.go()
        assert [m.state for m in await messages(idle, run.instance)] == ["sent"]
    real = await ByHand.begun(idle, None, contact_extra={})
    await real.go()
    assert [m.state for m in await messages(idle, real.instance)] == ["sent"]


async def test_the_test_of_a_draft_goes_on_with_it_whatever_becomes_of_the_draft(idle: Engine) -> None:
    """It was never published; then it is edited, and published with another step, to which those inside are to move."""
    lifecycle = process_lifecycle(idle.services)
    await lifecycle.put("p", process(tag("early"), LONG_WAIT, tag("late")))
    run = await begun(idle)
    await run.go()
    assert run.place == "rest"
    await lifecycle.put("p", process(LONG_WAIT, tag("other")))
    assert [row.version for row in await idle.rows(rows.process_versions)] == []
    await lifecycle.publish("p", Inside(inside="move"))
    changed = process(wait("rest", "60 days"), tag("newest"))
    await lifecycle.put("p", changed)
    assert (await lifecycle.preview_edit("p", Inside(inside="move"))).standing == []
    await lifecycle.publish("p", Inside(inside="move"))
    assert (await lifecycle.activate("p")).version == 2
    assert await idle.rows(rows.outbox) == [], "no edit is told to it"
    await run.wake()
    row = await run.row()
    assert (run.place, row.outcome, row.version) == ("completed", "completed", -1)
    assert {"early", "rest", "late"} <= (await run.results()).keys()
    assert [row.version for row in await idle.rows(rows.process_versions)] == [1, 2]
    assert await idle.rows(rows.entries) == []


async def test_tests_of_one_draft_share_it_and_those_of_another_do_not(idle: Engine) -> None:
    lifecycle = process_lifecycle(idle.services)
    versions = []
    for document in (process(tag("a")), process(tag("a")), process(tag("b")), process(tag("a"))):
        await lifecycle.put("p", document)
        made = await try_out(idle)
        assert made.version is None
        versions.append((await idle.instance(made.instance)).version)
    assert versions == [-1, -1, -2, -3]
    kept = await idle.rows(rows.tested_drafts)
    steps = {row.version: row.definition["steps"][0]["id"] for row in kept}
    assert steps == {-1: "a", -2: "b", -3: "a"}


async def test_an_event_that_only_a_tested_draft_waits_for_is_heard(idle: Engine) -> None:
    lifecycle = process_lifecycle(idle.services)
    goals = [{"name": "bought", "event": "bought", "then": "thanks"}]
    steps = (wait_for("ask"), tag("paid_up"), LONG_WAIT, tag("thanks"))
    await lifecycle.put("p", process(*steps, goals=goals))
    run = await begun(idle)
    assert run.place == "ask"
    await idle.event("paid")
    await run.go()
    assert run.place == "paid_up"
    await run.go()
    assert run.place == "rest"
    assert only(await idle.event("bought")) == ("goal", "bought")
    await run.go()
    assert run.place == "thanks"


async def test_temporal_says_that_it_is_a_test_of_the_draft_and_of_no_version(idle: Engine) -> None:
    lifecycle = process_lifecycle(idle.services)
    await lifecycle.put("p", process(tag("a")))
    draft = await try_out(idle)
    await lifecycle.publish("p")
    published = await try_out(idle)
    assert (draft.version, published.version) == (None, 1)
    assert published.stopped == [draft.instance]
    for made, of_the_draft in ((draft, True), (published, False)):
        described = await idle.services.client.get_workflow_handle(made.instance).describe()
        summary, details = await described.static_summary(), await described.static_details()
        assert str(summary).endswith("test run of the draft" if of_the_draft else "test run")
        assert str(details).endswith("its draft" if of_the_draft else "version 1")
        assert described.typed_search_attributes.get(VERSION) == (None if of_the_draft else 1)


async def test_what_cannot_be_tested_is_refused_with_its_reason(idle: Engine) -> None:
    with pytest.raises(Missing, match="process «p»"):
        await try_out(idle)
    await idle.publish(process(tag("first"), instance_key="params.order"))
    with pytest.raises(DocumentInvalid) as bad:
        await try_out(idle, "no address")
    assert [problem.pointer for problem in bad.value.problems] == ["/email"]
    with pytest.raises(DocumentInvalid) as keyless:
        await try_out(idle)
    assert [problem.pointer for problem in keyless.value.problems] == ["/params"]
    with pytest.raises(DocumentInvalid) as endless:
        await try_out(idle, cap=timedelta(days=400), params={"order": "1"})
    assert [problem.pointer for problem in endless.value.problems] == ["/cap"]
    await set_status(idle, "p", "archived")
    with pytest.raises(WrongStatus, match="archived"):
        await try_out(idle, params={"order": "1"})
    assert await idle.rows(rows.instances) == []
