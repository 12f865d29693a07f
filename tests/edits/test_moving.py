"""What becomes of who is inside when a live process is edited: every kind of change, both choices."""

from datetime import timedelta
from typing import Any

import pytest

from api.lifecycle import process_lifecycle
from intake.processes import ProcessLifecycle
from processes.differences import STAY, Inside
from processes.instructions import End, Hold, Perform, Wait
from processes.problems import DocumentInvalid
from store import rows
from tests.guarantees.processes import process, tag, wait
from tests.support.by_hand import ByHand
from tests.support.engine import Engine
from tests.support.people import tags
from tests.support.smtp_server import RecordingSmtpServer
from tests.support.visits import begin

MOVE = Inside(inside="move")
DAY, HOUR = timedelta(days=1), timedelta(hours=1)
LAST = {"id": "last", "type": "wait", "for": "30 days"}


@pytest.fixture
def lifecycle(idle: Engine) -> ProcessLifecycle:
    """What the API edits with."""
    return process_lifecycle(idle.services)


async def edited(lifecycle: ProcessLifecycle, document: dict[str, Any], inside: Inside = MOVE) -> None:
    """Pause, publish with a choice for who is inside, resume."""
    await lifecycle.pause("p")
    await lifecycle.put("p", document)
    await lifecycle.publish("p", inside)
    await lifecycle.activate("p")


async def signals(engine: Engine) -> list[tuple[str, str]]:
    """What is to be sent to workflows: kind and instance."""
    return [(row.kind, row.instance_id) for row in await engine.rows(rows.outbox)]


async def begun(idle: Engine, *steps: dict[str, Any]) -> ByHand:
    """An instance at its first step, which is as far as it goes by itself."""
    return await ByHand.begun(idle, process(*steps))


@pytest.mark.parametrize(("length", "left"), [("5d", 4 * DAY), ("36h", DAY / 2)])
async def test_a_wait_that_lasts_longer_or_shorter_counts_from_when_it_began(
    idle: Engine, lifecycle: ProcessLifecycle, length: str, left: timedelta
) -> None:
    mine = await begun(idle, wait("w", "3d"), tag("a"))
    began = mine.now
    await edited(lifecycle, process(wait("w", length), tag("a")))
    assert await signals(idle) == [("edited", mine.instance)]
    mine.now += DAY
    following = await mine.told_of_an_edit()
    assert isinstance(following, Wait)
    assert following.until == began + DAY + left
    row = await idle.instance(mine.instance)
    assert (row.version, row.state, row.step, row.due_at) == (2, "waiting", "w", began + DAY + left)
    assert await tags(idle) == []
    await mine.wake()
    assert await tags(idle) == ["a"]


async def test_a_wait_that_is_over_by_its_new_length_goes_on_at_once(
    idle: Engine, lifecycle: ProcessLifecycle
) -> None:
    mine = await begun(idle, wait("w", "3d"), tag("a"))
    await edited(lifecycle, process(wait("w", "1h"), tag("a")))
    mine.now += DAY
    following = await mine.told_of_an_edit()
    assert isinstance(following, Perform)
    assert following.step == "a"


async def test_a_timer_that_fires_before_the_signal_comes_asks_the_new_version_first(
    idle: Engine, lifecycle: ProcessLifecycle
) -> None:
    mine = await begun(idle, wait("w", "3d"), tag("a"), LAST)
    began = mine.now
    await edited(lifecycle, process(wait("w", "5d"), tag("a"), LAST))
    first = await mine.wake()
    assert isinstance(first, Perform)
    assert (first.step, first.activity) == ("w", "reconsider")
    again = await mine.go()
    assert isinstance(again, Wait)
    assert again.until == began + 5 * DAY
    assert await tags(idle) == []


async def test_a_call_that_is_repeated_answers_the_same_and_moves_once(
    idle: Engine, lifecycle: ProcessLifecycle
) -> None:
    mine = await begun(idle, wait("w", "3d"), tag("a"), LAST)
    await edited(lifecycle, process(tag("b"), LAST), Inside(inside="move", removed={"w": "b"}))
    waiting = mine.next
    following = await mine.told_of_an_edit()
    mine.next = waiting
    assert await mine.told_of_an_edit() == following
    assert isinstance(following, Perform)
    assert following.step == "b"
    visits = await idle.rows(rows.visits, rows.visits.c.instance_id == mine.instance)
    (left,) = [visit for visit in visits if visit.step == "w"]
    assert left.result["moved"] == {"version": 2, "to": "b"}


async def test_a_removed_step_ends_the_instance_or_leads_where_it_was_said(
    idle: Engine, lifecycle: ProcessLifecycle
) -> None:
    mine = await begun(idle, wait("w", "3d"), tag("a"))
    await edited(lifecycle, process(tag("b"), LAST))
    assert await mine.told_of_an_edit() == End(do="end", outcome="step_removed")
    row = await idle.instance(mine.instance)
    assert (row.state, row.outcome, row.version) == ("ended", "step_removed", 2)


async def test_who_holds_at_a_removed_step_goes_on_elsewhere_undone(
    idle: Engine, lifecycle: ProcessLifecycle
) -> None:
    mine = await begun(idle, tag("a"), tag("b"), LAST)
    await lifecycle.pause("p")
    assert isinstance(await mine.go(), Hold)
    await lifecycle.put("p", process(tag("b"), LAST))
    await lifecycle.publish("p", Inside(inside="move", removed={"a": "b"}))
    await lifecycle.activate("p")
    following = await mine.release()
    assert isinstance(following, Perform)
    assert following.step == "b"
    await mine.go()
    assert await tags(idle) == ["b"]


async def test_a_step_of_another_kind_is_another_step(idle: Engine, lifecycle: ProcessLifecycle) -> None:
    mine = await begun(idle, wait("w", "3d"), LAST)
    await edited(lifecycle, process(tag("w"), LAST), Inside(inside="move", removed={"w": "w"}))
    following = await mine.told_of_an_edit()
    assert isinstance(following, Perform)
    assert (following.step, following.activity, following.visit) == ("w", "add_tag", 2)
    await mine.go()
    assert await tags(idle) == ["w"]


async def test_a_changed_step_is_done_as_it_is_now(idle: Engine, lifecycle: ProcessLifecycle) -> None:
    mine = await begun(idle, wait("w", "1d"), tag("a", "old"), LAST)
    await edited(lifecycle, process(wait("w", "1d"), tag("a", "new"), tag("more"), LAST))
    assert await signals(idle) == []
    await mine.wake()
    await mine.go()
    await mine.go()
    await mine.go()
    assert sorted(await tags(idle)) == ["more", "new"]
    assert (await idle.instance(mine.instance)).version == 2


async def test_who_stays_finishes_on_its_version(idle: Engine, lifecycle: ProcessLifecycle) -> None:
    mine = await begun(idle, wait("w", "1d"), tag("a", "old"), LAST)
    await edited(lifecycle, process(wait("w", "5d"), tag("a", "new"), LAST), STAY)
    assert await signals(idle) == []
    await mine.wake()
    assert await tags(idle) == ["old"]
    assert (await idle.instance(mine.instance)).version == 1


async def test_later_edits_take_those_along_who_stayed_before(
    idle: Engine, lifecycle: ProcessLifecycle
) -> None:
    mine = await begun(idle, wait("w", "1d"), tag("a", "old"), LAST)
    await edited(lifecycle, process(wait("w", "1d"), tag("a", "second"), LAST), STAY)
    await edited(lifecycle, process(wait("w", "1d"), tag("a", "third"), LAST), MOVE)
    await edited(lifecycle, process(wait("w", "1d"), tag("a", "fourth"), LAST), STAY)
    await mine.wake()
    await mine.go()
    await mine.go()
    assert await tags(idle) == ["third"]
    assert (await idle.instance(mine.instance)).version == 3


async def test_an_instance_that_has_not_begun_begins_by_the_new_version(
    idle: Engine, lifecycle: ProcessLifecycle
) -> None:
    await idle.publish(process(tag("a"), LAST))
    await idle.event("go")
    await edited(lifecycle, process(tag("b"), LAST))
    (instance,) = await idle.rows(rows.instances)
    mine = await ByHand.begun(idle, None, "go")
    assert (await idle.instance(mine.instance)).version == 2

    first = await begin(idle, instance.id, instance.created_at)
    assert isinstance(first, Perform)
    assert first.step == "b"


async def test_a_wait_for_an_event_waits_for_the_new_one(idle: Engine, lifecycle: ProcessLifecycle) -> None:
    def asks(event: str) -> dict[str, Any]:
        ask = {
            "id": "ask",
            "type": "wait_for_event",
            "event": event,
            "within": "3d",
            "next": "a",
            "on_timeout": "b",
        }
        return process(ask, tag("a", next="last"), tag("b"), LAST)

    mine = await ByHand.begun(idle, asks("paid"))
    await edited(lifecycle, asks("shipped"))
    mine.now += HOUR
    assert isinstance(await mine.told_of_an_edit(), Wait)
    (waiting,) = await idle.rows(rows.waits)
    assert (waiting.event_type, waiting.instance_id) == ("shipped", mine.instance)
    assert [d.decision for d in (await idle.event("paid")).decisions] == []
    assert [d.decision for d in (await idle.event("shipped")).decisions] == ["continued"]
    following = await mine.go()
    assert isinstance(following, Perform)
    assert following.step == "a"


async def test_a_message_of_a_removed_step_that_was_put_off_is_withdrawn(
    idle: Engine, lifecycle: ProcessLifecycle, smtp: RecordingSmtpServer
) -> None:
    await idle.template("hello")
    mail = {"id": "mail", "type": "send_email", "template": "hello", "next": "last"}
    mine = await ByHand.begun(idle, process(mail, LAST))
    smtp.for_recipient(idle.address).rcpt_reply = "451 4.3.0 come back later"
    with pytest.raises(Exception, match="451"):
        await mine.go()
    await edited(lifecycle, process(LAST), Inside(inside="move", removed={"mail": "last"}))
    following = await mine.go()
    assert isinstance(following, Wait)
    (message,) = await idle.rows(rows.messages)
    assert (message.state, message.detail) == ("withdrawn", "an edit removed the step")
    assert smtp.messages == []


async def test_the_preview_says_where_everyone_is_and_will_be(
    idle: Engine, lifecycle: ProcessLifecycle
) -> None:
    mine = await begun(idle, wait("w", "3d"), tag("a"), LAST)
    await idle.event("go", "another")
    await lifecycle.pause("p")
    await lifecycle.put("p", process(wait("w", "1d"), LAST))
    choice = Inside(inside="move", removed={"a": "last"})
    foretold = await lifecycle.preview_edit("p", choice)
    assert {(one.step, one.state): (one.version, one.count, one.to) for one in foretold.standing} == {
        ("w", "waiting"): (1, 1, "w"),
        (None, "pending"): (1, 1, "w"),
    }
    assert [(one.step, one.change, one.wait) for one in foretold.difference.steps] == [
        ("w", "changed", "shorter"),
        ("a", "removed", None),
    ]
    assert (await idle.instance(mine.instance)).version == 1


async def test_a_wrong_choice_publishes_nothing(idle: Engine, lifecycle: ProcessLifecycle) -> None:
    await begun(idle, wait("w", "3d"), tag("a"))
    await lifecycle.pause("p")
    await lifecycle.put("p", process(wait("w", "1d")))
    with pytest.raises(DocumentInvalid) as refused:
        await lifecycle.publish("p", Inside(inside="move", removed={"a": "nowhere"}))
    assert [one.pointer for one in refused.value.problems] == ["/removed/a"]
    assert len(await idle.rows(rows.process_versions)) == 1


async def test_a_cancelled_edit_leaves_what_was(idle: Engine, lifecycle: ProcessLifecycle) -> None:
    mine = await begun(idle, wait("w", "1d"), tag("a", "old"), LAST)
    await lifecycle.pause("p")
    await lifecycle.put("p", process(wait("w", "5d"), LAST))
    await lifecycle.drop_draft("p")
    state = await lifecycle.activate("p")
    assert (state.version, await signals(idle)) == (1, [])
    await mine.wake()
    assert await tags(idle) == ["old"]
