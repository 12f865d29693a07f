"""A step is cancelled before the instance comes to it: it is skipped then, once, with who asked; it can be restored."""

from typing import Any

import pytest

from activities import interventions
from intake.service import retried
from store import rows
from tests.guarantees.processes import LONG_WAIT, mail, process, tag, wait, wait_for, waiting_at
from tests.guarantees.processes import visit as visit_of
from tests.support.asking_steps import audited, operate, unheard
from tests.support.engine import Engine
from tests.support.people import tags
from tests.support.smtp_server import RecordingSmtpServer

# The workflow's part and the order of things are tested here; the SQL is that of every step.
pytestmark = pytest.mark.parametrize("database_url", ["sqlite"], indirect=True)

SAID = {"skipped": True, "by": "key/k1", "reason": "she called"}


async def at_the_pause(engine: Engine, *after: dict[str, Any], **more: Any) -> str:
    """An instance that waits at `pause`, before the steps given."""
    await engine.template("hello")
    await engine.publish(process(wait("pause", "7 days"), *after, LONG_WAIT, recurrence="once", **more))
    await engine.event("go")
    await waiting_at(engine, engine.id("p"), "pause")
    return engine.id("p")


async def cancel(engine: Engine, step: str, update: str | None = None) -> Any:
    """Cancel a step; the answer, or the reason of a refusal."""
    return await operate(engine, "cancel_step", update, step=step, reason="she called")


async def skipped(engine: Engine, instance: str, step: str, visit: int = 1) -> dict[str, Any]:
    """What the visit's result says of the cancellation."""
    result = (await visit_of(engine, instance, step, visit)).result
    assert "cancelled" in result
    return {name: result[name] for name in SAID}


async def test_a_message_right_after_the_wait_is_not_sent(engine: Engine, smtp: RecordingSmtpServer) -> None:
    instance = await at_the_pause(engine, mail("hello"), tag("late"))
    assert await cancel(engine, "hello") == {"cancelled": ["hello"]}
    assert (await engine.instance(instance)).state == "waiting"
    await operate(engine, "skip_wait")
    await waiting_at(engine, instance, "rest")
    assert (smtp.messages, await tags(engine)) == ([], ["late"])
    assert await skipped(engine, instance, "hello") == SAID
    assert (await engine.instance(instance)).cancelled is None
    assert (await audited(engine))[0] == ("key/k1", "instance.cancel_step", "she called")


async def test_an_effect_after_another_is_skipped(engine: Engine) -> None:
    instance = await at_the_pause(engine, tag("first"), tag("second"), tag("third"))
    await cancel(engine, "second")
    await operate(engine, "skip_wait")
    await waiting_at(engine, instance, "rest")
    assert await tags(engine) == ["first", "third"]
    assert await skipped(engine, instance, "second") == SAID


async def test_two_effects_in_a_row_are_skipped(engine: Engine) -> None:
    instance = await at_the_pause(engine, tag("first"), tag("second"), tag("third"))
    await cancel(engine, "first")
    assert await cancel(engine, "second") == {"cancelled": ["first", "second"]}
    await operate(engine, "skip_wait")
    await waiting_at(engine, instance, "rest")
    assert await tags(engine) == ["third"]
    assert (await engine.instance(instance)).cancelled is None


@pytest.mark.parametrize(
    ("between", "then"),
    [
        (wait("week", "7 days"), ["on-time", "late"]),
        (wait_for("week", within="7 days", next="on-time", on_timeout="late"), ["late"]),
        (
            {
                "id": "week",
                "type": "wait_for_rule",
                "when": {"tag": "x"},
                "within": "7 days",
                "next": "on-time",
                "on_timeout": "late",
            },
            ["late"],
        ),
    ],
)
async def test_a_wait_is_over_as_by_its_time_limit(
    engine: Engine, between: dict[str, Any], then: list[str]
) -> None:
    instance = await at_the_pause(engine, between, tag("on-time"), tag("late"))
    await cancel(engine, "week")
    await operate(engine, "skip_wait")
    await waiting_at(engine, instance, "rest")
    assert sorted(await tags(engine)) == sorted(then)
    assert await skipped(engine, instance, "week") == SAID


async def test_what_was_restored_happens(engine: Engine, smtp: RecordingSmtpServer) -> None:
    instance = await at_the_pause(engine, mail("hello"))
    await cancel(engine, "hello")
    assert await operate(engine, "restore_step", step="hello") == {"cancelled": []}
    await operate(engine, "skip_wait")
    await waiting_at(engine, instance, "rest")
    assert len(smtp.messages) == 1
    assert [action for _, action, _ in await audited(engine)][:2] == [
        "instance.cancel_step",
        "instance.restore_step",
    ]


async def test_on_a_loop_the_next_visit_is_skipped_and_the_one_after_it_is_not(engine: Engine) -> None:
    instance = await at_the_pause(engine, tag("round"), wait_for("turn", next="rest", on_timeout="round"))
    await cancel(engine, "turn")
    await operate(engine, "skip_wait")
    row = await waiting_at(engine, instance, "turn")
    assert row.visit == 2
    assert await skipped(engine, instance, "turn") == SAID


REFUSED = [
    ("nowhere", "version 1 has no step 'nowhere'; it has pause, either, hello, rest"),
    ("pause", "step pause is not ahead: it stands there: skip it"),
    ("either", "step either is a condition: it does nothing that could be cancelled"),
]


async def test_what_is_not_ahead_is_refused_and_nothing_is_kept(engine: Engine) -> None:
    either = {"id": "either", "type": "condition", "branches": [{"when": {"tag": "x"}, "next": "rest"}]}
    instance = await at_the_pause(engine, {**either, "else": "hello"}, mail("hello"))
    for step, reason in REFUSED:
        assert await cancel(engine, step) == reason
    await operate(engine, "move", to="rest")
    await waiting_at(engine, instance, "rest")
    assert await cancel(engine, "hello") == "step hello is not ahead: it cannot come there from step rest"
    assert (await engine.instance(instance)).cancelled is None
    assert [action for _, action, _ in await audited(engine)] == ["instance.move"]


async def test_nobody_is_moved_to_a_cancelled_step(engine: Engine) -> None:
    await at_the_pause(engine, mail("hello"))
    await cancel(engine, "hello")
    assert await operate(engine, "move", to="hello") == "step hello is cancelled: restore it first"


@pytest.mark.parametrize("operation", ["cancel_step", "restore_step"])
async def test_a_repeat_whose_first_answer_was_lost_changes_nothing(
    engine: Engine, monkeypatch: pytest.MonkeyPatch, operation: str
) -> None:
    instance = await at_the_pause(engine, mail("hello"))
    if operation == "restore_step":
        await cancel(engine, "hello")
    before = len(await audited(engine))
    monkeypatch.setattr(interventions, "retried", unheard(retried))
    done = await operate(engine, operation, step="hello")
    assert done == {"cancelled": ["hello"] if operation == "cancel_step" else []}
    assert len(await audited(engine)) == before + 1
    assert bool((await engine.instance(instance)).cancelled) is (operation == "cancel_step")


async def test_a_restored_step_that_was_not_cancelled_changes_nothing(engine: Engine) -> None:
    await at_the_pause(engine, mail("hello"))
    assert await operate(engine, "restore_step", step="hello") == {"cancelled": []}
    assert await operate(engine, "restore_step", step="nowhere") == (
        "version 1 has no step 'nowhere'; it has pause, hello, rest"
    )
    assert await engine.rows(rows.audit) == []
