"""Opens and clicks start and stop processes (T3), let waits go on, and are filtered; machines do none of it unasked."""

from datetime import timedelta
from typing import Any

import pytest

from processes.definition import parse
from processes.problems import DocumentInvalid
from processes.validation import Surroundings, problems
from store import rows
from tests.support.visits import begin
from tests.tracking.conftest import SCANNER, Recipient

SHOP = "https://shop.example/learn-more?a=1"
REST = {"id": "rest", "type": "wait", "for": "30d"}


def listening(*triggers: dict[str, Any], **more: Any) -> dict[str, Any]:
    """A process with these triggers."""
    return {
        "key": "follow", "name": "Follow", "recurrence": "each_time", "triggers": list(triggers), "steps": [REST],
        **more,
    }  # fmt: skip


async def did(recipient: Recipient, kind: str) -> list[str]:
    """What the events of a kind did to the process."""
    return [decision for process, decision, _ in await recipient.decisions(kind) if process == "follow"]


OPENED: dict[str, Any] = {"type": "message_opened"}
CLICKED: dict[str, Any] = {"type": "message_clicked"}


async def started_by(recipient: Recipient, triggers: list[dict[str, Any]], *, machine: bool) -> list[bool]:
    """Whether each trigger, in a process of its own, starts it once the message is opened and clicked in."""
    for number, trigger in enumerate(triggers):
        await recipient.engine.publish(listening(trigger, key=f"p{number}"))
    if machine:
        await recipient.open(SCANNER)
        await recipient.click(SHOP, agent=SCANNER)
    else:
        await recipient.click(SHOP)
    told = await recipient.decisions("message.opened") + await recipient.decisions("message.clicked")
    assert {decision for _, decision, _ in told} <= {"started"}
    processes = [process for process, _, _ in told]
    assert len(set(processes)) == len(processes), "one was started twice"
    return [f"p{number}" in processes for number in range(len(triggers))]


async def test_it_starts_on_the_messages_and_links_that_are_meant(recipient: Recipient) -> None:
    table: list[tuple[dict[str, Any], bool]] = [
        (OPENED, True),
        ({**OPENED, "process": "spring"}, True),
        ({**OPENED, "process": "spring", "step": "mail", "template": "offer"}, True),
        ({**OPENED, "process": "autumn"}, False),
        ({**OPENED, "process": "spring", "step": "second"}, False),
        ({**OPENED, "template": "other"}, False),
        (CLICKED, True),
        ({**CLICKED, "template": "offer"}, True),
        ({**CLICKED, "process": "autumn"}, False),
        ({**CLICKED, "url": SHOP}, True),
        ({**CLICKED, "url": "https://shop.example/learn-more"}, False),
        ({**CLICKED, "url": "https://shop.example/learn-more*"}, True),
        ({**CLICKED, "url": "https://shop.example/*"}, True),
        ({**CLICKED, "url": "https://other.example/*"}, False),
        ({"type": "event", "event": "message.clicked"}, True),
    ]
    started = await started_by(recipient, [trigger for trigger, _ in table], machine=False)
    assert started == [starts for _, starts in table]


async def test_a_machine_starts_only_what_asks_for_machines(recipient: Recipient) -> None:
    table: list[tuple[dict[str, Any], bool]] = [
        (CLICKED, False),
        ({**CLICKED, "machines": True}, True),
        ({**OPENED, "machines": True}, True),
        (OPENED, False),
        ({"type": "event", "event": "message.clicked"}, False),
    ]
    started = await started_by(recipient, [trigger for trigger, _ in table], machine=True)
    assert started == [starts for _, starts in table]


async def test_its_filter_keeps_out(recipient: Recipient) -> None:
    await recipient.engine.publish(listening({**CLICKED, "filter": {"event": "url", "contains": "learn"}}))
    await recipient.click("https://shop.example/other")
    assert await recipient.decisions("message.clicked") == [("follow", "skipped", "filter does not hold")]
    recipient.later(seconds=5)
    await recipient.click(SHOP)
    assert await did(recipient, "message.clicked") == ["skipped", "started"]


async def test_its_filter_sees_the_tag_that_the_click_adds(recipient: Recipient) -> None:
    await recipient.engine.publish(listening({**CLICKED, "filter": {"tag": "yes"}}))
    await recipient.click(SHOP, "yes")
    assert await did(recipient, "message.clicked") == ["started"]


async def test_its_recurrence_holds_for_each_link(recipient: Recipient) -> None:
    await recipient.engine.publish(listening(CLICKED, recurrence="once", instance_key="params.url"))
    for url in (SHOP, "https://shop.example/other", SHOP):
        await recipient.click(url)
        recipient.later(minutes=2)
    assert await did(recipient, "message.clicked") == ["started", "started", "skipped"]


@pytest.mark.parametrize("trigger", [OPENED, {**CLICKED, "url": SHOP}])
async def test_it_stops(recipient: Recipient, trigger: dict[str, Any]) -> None:
    go = {"type": "event", "event": "go"}
    await recipient.engine.publish(listening(go, {**trigger, "does": "stop"}))
    started = await recipient.engine.event("go")
    recipient.later(minutes=5)
    await recipient.click(SHOP, agent=SCANNER)
    (running,) = await recipient.engine.rows(rows.instances)
    assert (running.id, running.state) == (started.decisions[0].instance, "pending")
    recipient.later(minutes=5)
    await recipient.click(SHOP)
    (stopped,) = await recipient.engine.rows(rows.instances)
    assert (stopped.state, stopped.outcome) == ("stopping", "stopped")


async def test_a_wait_for_it_goes_on_by_a_person_only(recipient: Recipient) -> None:
    table: list[tuple[str, dict[str, Any] | None, bool]] = [
        ("message.clicked", None, True),
        ("message.clicked", {"event": "url", "starts_with": "https://shop.example/"}, True),
        ("message.clicked", {"event": "url", "equals": "https://other.example/"}, False),
        ("message.opened", {"event": "template", "equals": "offer"}, True),
    ]
    for number, (event, rule, _) in enumerate(table):
        ask = {"id": "ask", "type": "wait_for_event", "event": event, "within": "2d", "next": "rest"}
        steps = [ask | ({"filter": rule} if rule else {}), REST]
        go = {"type": "event", "event": "go"}
        await recipient.engine.publish(listening(go, key=f"p{number}", steps=steps))
    began = await recipient.engine.event("go")
    for decision in began.decisions:
        await begin(recipient.engine, str(decision.instance), recipient.now)
    await recipient.open(SCANNER)
    await recipient.click(SHOP, agent=SCANNER)
    assert await recipient.engine.rows(rows.outbox) == []
    recipient.later(seconds=10)
    await recipient.click(SHOP)
    signalled = {row.instance_id.split("/")[0] for row in await recipient.engine.rows(rows.outbox)}
    assert signalled == {f"p{number}" for number, (_, _, goes_on) in enumerate(table) if goes_on}


async def test_a_wait_that_looks_back_does_not_see_machines(recipient: Recipient) -> None:
    ask = {
        "id": "ask", "type": "wait_for_event", "event": "message.clicked", "within": "2d", "look_back": "1d",
        "next": "rest",
    }  # fmt: skip
    await recipient.engine.publish(listening({"type": "event", "event": "go"}, steps=[ask, REST]))
    await recipient.click(SHOP, agent=SCANNER)
    started = await recipient.engine.event("go")
    first = await begin(recipient.engine, str(started.decisions[0].instance), recipient.now)
    assert first.step == "ask"  # type: ignore[union-attr]
    recipient.later(minutes=1)
    await recipient.click(SHOP)
    started = await recipient.engine.event("go")
    later = recipient.now + timedelta(seconds=1)
    second = await begin(recipient.engine, str(started.decisions[0].instance), later)
    assert second.step == "rest"  # type: ignore[union-attr]


@pytest.mark.parametrize(
    ("trigger", "place", "words"),
    [
        ({**CLICKED, "url": "shop.example/x"}, "/triggers/0/url", "an address with http"),
        ({**CLICKED, "url": "https://shop.example/*/x"}, "/triggers/0/url", "an address with http"),
        ({**CLICKED, "url": "https://*"}, "/triggers/0/url", None),
        ({**OPENED, "url": SHOP}, "/triggers/0/url", "unknown field"),
        ({**OPENED, "machines": "yes"}, "/triggers/0/machines", "must be true or false"),
        ({**OPENED, "process": "No Key"}, "/triggers/0/process", "lower-case letters"),
        ({**OPENED, "list": "news"}, "/triggers/0/list", "unknown field"),
    ],
)
def test_a_bad_shape_is_refused_with_its_place(
    trigger: dict[str, Any], place: str, words: str | None
) -> None:
    with pytest.raises(DocumentInvalid) as refused:
        parse(listening(trigger))
    (problem,) = refused.value.problems
    assert problem.pointer == place
    assert words is None or words in problem.message


def test_what_it_names_must_be_there() -> None:
    definition = parse(
        listening({**OPENED, "process": "spring", "template": "offer"}, {**CLICKED, "process": "follow"})
    )
    assert [problem.pointer for problem in problems(definition, Surroundings())] == [
        "/triggers/0/template",
        "/triggers/0/process",
    ]
    around = Surroundings(templates={"offer": None}, processes=frozenset({"spring"}))
    assert problems(definition, around) == []
