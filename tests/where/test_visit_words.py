"""A visit of an instance in words: what it did, or what keeps it, and never its result as JSON."""

from datetime import UTC, datetime
from types import SimpleNamespace
from typing import Any

import pytest

from intake.why.visits import visit_in_words
from processes.definition import parse
from tests.processes.documents import process

AT = datetime(2026, 12, 1, 9, tzinfo=UTC)
DEFINITION = parse(
    process(
        time_zone="Europe/Prague",
        steps=[
            {"id": "mail", "type": "send_email", "template": "hello", "next": "pause"},
            {"id": "pause", "type": "wait", "for": "3 days", "next": "ask"},
            {"id": "ask", "type": "wait_for_event", "event": "paid", "within": "1 day", "next": "tag"},
            {"id": "tag", "type": "add_tag", "tag": "vip", "next": "over"},
            {"id": "over", "type": "end", "outcome": "bought"},
        ],
    )
)


def said(step: str, kind: str, result: dict[str, Any] | None, here: bool = False) -> str:
    """The words for a visit of an instance that stands at it, or has gone on."""
    visit = SimpleNamespace(step=step, visit=1, kind=kind, at=AT, result=result)
    instance = SimpleNamespace(
        id="p/22222", step=step if here else "elsewhere", visit=1, open=True, state="waiting", ended_at=None,
        updated_at=AT,
    )  # fmt: skip
    return visit_in_words(visit, instance, DEFINITION, AT)


@pytest.mark.parametrize(
    ("step", "kind", "result", "words"),
    [
        ("mail", "send_email", {"message": "m", "state": "sent"}, "sent (the other side took it)"),
        ("mail", "send_email", {"message": "m", "state": "refused", "detail": "550 no"}, "refused (550 no)"),
        (
            "mail",
            "send_email",
            {"message": "m", "state": "skipped", "detail": "the contact has no e-mail address"},
            "skipped (the contact has no e-mail address)",
        ),
    ],
)
def test_of_a_message_it_says_what_became_of_it(
    step: str, kind: str, result: dict[str, Any], words: str
) -> None:
    assert said(step, kind, result) == f"send email template hello: {words}"


@pytest.mark.parametrize(
    ("step", "kind", "result", "here", "words"),
    [
        ("pause", "wait", {"until": "2026-12-04T09:00:00+00:00"}, True, "wait: waits until 4 Dec 10:00 Prague"),
        ("pause", "wait", {"until": "2026-12-04T09:00:00+00:00"}, False, "wait: waited until 4 Dec 10:00 Prague"),
        ("ask", "wait_for_event", {"event": "e1"}, False, "wait for event: waited until event e1 came"),
        ("ask", "wait_for_event", {"timed_out": True}, False, "wait for event: waited until the time limit, in vain"),
        ("tag", "add_tag", {"tag": "vip", "added": True}, False, "add tag vip: done (tag: vip, added: yes)"),
        ("tag", "add_tag", {"skipped": True, "by": "key/1"}, False, "add tag: skipped by key/1"),
        ("over", "end", {"outcome": "bought"}, False, "end: the run ends as «bought»"),
        ("tag", "add_tag", None, False, "add tag vip: done"),
    ],
)  # fmt: skip
def test_of_a_step_it_says_what_it_did(
    step: str, kind: str, result: dict[str, Any] | None, here: bool, words: str
) -> None:
    assert said(step, kind, result, here) == words


def test_what_keeps_a_message_back_is_said() -> None:
    held = {"held": [{"by": "the delivery window", "until": "2026-12-02T08:00:00+00:00"}]}
    assert said("mail", "send_email", held, here=True) == (
        "kept back by the delivery window, not before 2 Dec 09:00 Prague: messages go within the delivery window only"
    )
