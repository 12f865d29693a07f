"""Whether what a definition refers to exists and works: every problem with its place."""

from typing import Any

import pytest

from processes.definition import parse
from processes.validation import Surroundings, problems
from tests.processes.documents import process, steps
from tests.processes.test_good_definitions import EVERYTHING

AROUND = Surroundings(
    templates={"good": None, "bad": "subject, line 1: unknown filter"},
    lists=frozenset({"news", "vips"}),
    segments=frozenset({"loyal", "rich"}),
    ruled_segments=frozenset({"rich"}),
    processes=frozenset({"other"}),
    channels={"email": None, "sms": "ONWARD_SMS_PROVIDER"},
    check_text=lambda text: "unexpected end" if "{{" in text and "}}" not in text else None,
)
MAIL = {"id": "m", "type": "send_email"}
START, STOP = {"type": "event", "event": "e"}, {"type": "event", "event": "e", "does": "stop"}
PAID = {"event": "state", "equals": "paid"}


def condition(rule: dict[str, Any]) -> dict[str, Any]:
    return steps({"id": "c", "type": "condition", "branches": [{"when": {"tag": "x"}}, {"when": rule}]})


@pytest.mark.parametrize(
    ("document", "pointer", "message"),
    [
        (steps({**MAIL, "template": "none"}), "/steps/0/template", "there is no template «none»"),
        (
            steps({**MAIL, "template": "bad"}), "/steps/0/template",
            "template «bad» does not render: subject, line 1: unknown filter",
        ),
        (process(list="old"), "/list", "there is no list «old»"),
        (process(triggers=[{"type": "list_subscribed", "list": "old"}]), "/triggers/0/list", "no list «old»"),
        (process(triggers=[{"type": "list_unsubscribed", "list": "old"}]), "/triggers/0/list", "no list «old»"),
        (steps({"id": "s", "type": "subscribe", "list": "old"}), "/steps/0/list", "there is no list «old»"),
        (steps({"id": "s", "type": "unsubscribe", "list": "old"}), "/steps/0/list", "there is no list «old»"),
        (steps({"id": "s", "type": "move", "from": "old", "to": "news"}), "/steps/0/from", "no list «old»"),
        (steps({"id": "s", "type": "move", "from": "news", "to": "old"}), "/steps/0/to", "no list «old»"),
        (steps({"id": "s", "type": "add_to_segment", "segment": "gone"}), "/steps/0/segment", "no segment «gone»"),
        (
            steps({"id": "s", "type": "remove_from_segment", "segment": "rich"}), "/steps/0/segment",
            "segment «rich» has a rule: its members cannot be changed by hand",
        ),
        (steps({"id": "s", "type": "start_process", "process": "gone"}), "/steps/0/process", "no process «gone»"),
        (steps({"id": "s", "type": "stop_process", "process": "gone"}), "/steps/0/process", "no process «gone»"),
        (condition({"segment": "gone"}), "/steps/0/branches/1/when", "there is no segment «gone»"),
        (condition({"not": {"any": [{"list": "old"}]}}), "/steps/0/branches/1/when", "there is no list «old»"),
        (
            process(triggers=[{**START, "filter": {"segment": "gone"}}]), "/triggers/0/filter",
            "there is no segment «gone»",
        ),
        (
            steps({"id": "w", "type": "wait_for_event", "event": "e", "within": "1d", "filter": {"list": "old"}}),
            "/steps/0/filter", "there is no list «old»",
        ),
        (
            steps({"id": "w", "type": "wait_for_rule", "when": {"segment": "gone"}, "within": "1d"}),
            "/steps/0/when", "there is no segment «gone»",
        ),
        (
            process(goals=[{"name": "g", "event": "e", "filter": {"segment": "gone"}}]), "/goals/0/filter",
            "there is no segment «gone»",
        ),
        (
            process(goals=[{"name": "g", "event": "e"}, {"name": "h", "when": {"list": "old"}}]), "/goals/1/when",
            "there is no list «old»",
        ),
        (
            steps({"id": "n", "type": "add_note", "text": "Hi {{ contact.name"}), "/steps/0/text",
            "the text does not render: unexpected end",
        ),
        (
            steps({"id": "s", "type": "send_sms", "text": "Hi"}), "/steps/0/type",
            "the channel «sms» is not configured: set ONWARD_SMS_PROVIDER",
        ),
        (
            steps({"id": "s", "type": "send_messenger", "text": "Hi {{ contact.name"}), "/steps/0/text",
            "the text does not render: unexpected end",
        ),
        (
            steps({"id": "h", "type": "webhook", "url": "https://example.com", "data": {"a": 1, "b": "{{ x"}}),
            "/steps/0/data/b", "the text does not render",
        ),
        (
            steps({"id": "e", "type": "edit_contact", "set": {"a": "{{ x"}}), "/steps/0/set/a",
            "the text does not render",
        ),
        (process(triggers=[START, STOP]), "/triggers/1", "event «e» both starts and stops the process"),
        (
            process(triggers=[{**STOP, "filter": PAID}, {**START, "filter": PAID}]), "/triggers/0",
            "event «e» both starts and stops the process",
        ),
    ],
)  # fmt: skip
def test_what_is_missing_or_does_not_work_is_named_with_its_place(
    document: dict[str, Any], pointer: str, message: str
) -> None:
    (problem,) = problems(parse(document), AROUND)
    assert problem.pointer == pointer
    assert message in problem.message


@pytest.mark.parametrize(
    "document",
    [
        process(list="news"),
        steps({**MAIL, "template": "good"}),
        steps({"id": "s", "type": "add_to_segment", "segment": "loyal"}),
        steps({"id": "s", "type": "start_process", "process": "other"}),
        steps({"id": "s", "type": "stop_process", "process": "p"}),
        condition({"segment": "loyal"}),
        steps({"id": "n", "type": "add_note", "text": "Hi {{ contact.name }}"}),
        process(triggers=[START, {**STOP, "event": "f"}]),
        process(triggers=[{**START, "filter": PAID}, STOP]),
    ],
)
def test_what_is_there_and_works_is_no_problem(document: dict[str, Any]) -> None:
    assert problems(parse(document), AROUND) == []


def test_everything_that_is_missing_is_said_at_once() -> None:
    definition = parse(EVERYTHING)
    ids = {f"/steps/{index}": f"/steps/{step.id}" for index, step in enumerate(definition.steps)}
    pointers = [problem.pointer for problem in problems(definition, Surroundings())]
    heads = ["/".join(pointer.split("/")[:3]) for pointer in pointers]
    places = [
        ids.get(head, head) + pointer[len(head) :] for head, pointer in zip(heads, pointers, strict=True)
    ]
    assert {
        "/list", "/triggers/2/list", "/triggers/3/list", "/triggers/9/segment", "/triggers/10/segment",
        "/steps/mail/template", "/steps/join/list", "/steps/leave/list", "/steps/move/from", "/steps/move/to",
        "/steps/enter/segment", "/steps/exit/segment", "/steps/start/process", "/steps/stop/process",
        "/steps/ask/branches/0/when",
    } <= set(places)  # fmt: skip
    assert len(set(places)) == len(places)
