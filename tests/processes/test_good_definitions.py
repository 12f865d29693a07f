"""Reading a definition: what is taken, and written again as it was read."""

from typing import Any

import pytest

from processes.definition import parse
from processes.steps import STEP_KINDS
from tests.processes.documents import process, steps, tag, wait


@pytest.mark.parametrize(
    "document",
    [
        process(),
        steps(wait(**{"for": "1d", "next": "a"}), tag("a", "w")),
        steps(wait(weekday={"at": "09:00"}, next="a"), tag("a", "w")),
        steps(
            wait(date={"field": "b", "at": "09:00", "every_year": True, "if_missing": "end"}, next="a"),
            tag("a", "w"),
        ),
        steps(
            {
                "id": "w",
                "type": "wait_for_event",
                "event": "e",
                "within": "1d",
                "next": "w",
                "on_timeout": "w",
            }
        ),
        steps({"id": "end", "type": "end"}),
        process(recurrence={"mode": "once_per", "period": "1 month"}, instance_key="event.key"),
    ],
)
def test_a_good_definition_is_taken(document: dict[str, Any]) -> None:
    assert parse(document).key == "p"


EVERYTHING = process(
    description="All there is", tags=["a", "b"], list="news", purpose="transactional", time_zone="Europe/Prague",
    window={"from": "09:00", "to": "20:00", "days": ["monday", "friday"], "zone": "Europe/Prague"},
    caps=[{"messages": 3, "per": "P7D", "channel": "sms", "over": "skip"}],
    instance_key="params.order", recurrence={"mode": "once_per", "period": "1h 30m"}, first="ask", max_visits=50,
    goals=[
        {"name": "bought", "event": "order.paid", "filter": {"event": "total", "at_least": 5}, "then": "tag"},
        {"name": "rich", "when": {"contact": "score", "at_least": 9}},
    ],
    triggers=[
        {"type": "event", "event": "order.created", "filter": {"event": "total", "at_least": 5}, "max_age": "2d"},
        {"type": "event", "event": "order.cancelled", "does": "stop"},
        {"type": "list_subscribed", "list": "news"}, {"type": "list_unsubscribed", "list": "news", "does": "stop"},
        {"type": "tag_added", "tag": "vip"}, {"type": "tag_removed", "tag": "vip"}, {"type": "api"},
        {"type": "field_changed", "field": "city", "from": None, "to": "Brno"}, {"type": "note_added"},
        {"type": "segment_entered", "segment": "loyal"}, {"type": "segment_left", "segment": "loyal", "does": "stop"},
        {"type": "page_visited", "url": "*.example.com/cart/*?step=*", "max_age": "1h"},
        {"type": "order", "state": "cancelled", "does": "stop"},
    ],
    steps=[
        {
            "id": "ask", "type": "condition", "name": "Who?", "else": "wait",
            "branches": [{"name": "vip", "when": {"any": [{"tag": "vip"}, {"not": {"list": "news"}}]}, "next": "mail"}],
        },
        {
            "id": "mail", "type": "send_email", "template": "t", "if_unknown": "resend", "next": "hook",
            "window": {"from": "21:00", "to": "06:00"},
        },
        {
            "id": "hook", "type": "webhook", "url": "https://example.com/a?b=c", "secret": "whsec_MTIzNDU2",
            "data": {"a": [1, {"b": None}]}, "if_refused": "hold", "set_fields": True, "next": "wait",
        },
        {"id": "wait", "type": "wait", "for": "3 days", "next": "day"},
        {
            "id": "day", "type": "wait", "zone": "Asia/Tokyo", "if_past": "end", "next": "weekday",
            "date": {"field": "visit", "offset": "-3d", "at": "09:00", "if_missing": "weekday"},
        },
        {"id": "weekday", "type": "wait", "weekday": {"days": ["monday"], "at": "09:00:30"}, "next": "until"},
        {"id": "until", "type": "wait", "until": "2026-12-24T09:00", "next": "visit"},
        {
            "id": "visit", "type": "wait", "if_past": "continue", "next": "rich",
            "event_date": {"param": "order.delivery", "offset": "-1d", "at": "09:00", "if_missing": "end"},
        },
        {
            "id": "rich", "type": "wait_for_rule", "when": {"contact": "score", "at_least": 5}, "within": "P7D",
            "every": "PT2H", "next": "draw", "on_timeout": "over",
        },
        {
            "id": "draw", "type": "split", "hold_out": {"share": 0.1, "next": "over"},
            "branches": [{"name": "a", "share": 0.45, "next": "reply"}, {"name": "b", "share": 0.45}],
        },
        {
            "id": "reply", "type": "wait_for_event", "event": "replied", "within": "P2D", "next": "tag",
            "filter": {"event": "stars", "greater_than": 3}, "look_back": "P1D",
            "max_visits": 3, "on_max_visits": "tag",
        },
        {"id": "tag", "type": "add_tag", "tag": "x", "next": "untag"},
        {"id": "untag", "type": "remove_tag", "tag": "x", "next": "join"},
        {"id": "join", "type": "subscribe", "list": "news", "resubscribe": True, "next": "leave"},
        {"id": "leave", "type": "unsubscribe", "list": "news", "next": "move"},
        {"id": "move", "type": "move", "from": "news", "to": "vips", "next": "edit"},
        {"id": "edit", "type": "edit_contact", "set": {"a": {"b": 1.5}}, "unset": ["c"], "next": "note"},
        {"id": "note", "type": "add_note", "text": "{{ contact.name }}", "next": "enter"},
        {"id": "enter", "type": "add_to_segment", "segment": "loyal", "next": "exit"},
        {"id": "exit", "type": "remove_from_segment", "segment": "loyal", "next": "order"},
        {"id": "order", "type": "get_order", "param": "cart", "store_as": "cart", "next": "start"},
        {"id": "start", "type": "start_process", "process": "other", "params": {"a": 1}, "next": "stop"},
        {"id": "stop", "type": "stop_process", "process": "other", "reason": "enough", "next": "block"},
        {
            "id": "block", "type": "block", "channel": "sms", "reason": "asked for it", "delete_address": True,
            "next": "sms",
        },
        {
            "id": "sms", "type": "send_sms", "text": "Hi {{ contact.name }}", "sender": "Shop", "if_unknown": "resend",
            "window": {"from": "09:00", "to": "20:00"}, "next": "chat",
        },
        {
            "id": "chat", "type": "send_messenger", "text": "Hi", "messaging_type": "MESSAGE_TAG", "tag": "HUMAN_AGENT",
            "next": "push",
        },
        {
            "id": "push", "type": "send_push", "title": "Hi", "body": "Come", "url": "https://shop.example.com/",
            "icon": "https://shop.example.com/tea.png", "ttl": "4h", "next": "letter",
        },
        {"id": "letter", "type": "send_letter", "text": "Dear {{ contact.name }}", "next": "in"},
        {"id": "in", "type": "add_to_audience", "audience": "23840000000000000", "next": "out"},
        {"id": "out", "type": "remove_from_audience", "audience": "23840000000000000", "next": "over"},
        {"id": "over", "type": "end", "outcome": "done"},
    ],
)  # fmt: skip


def test_a_definition_of_everything_uses_every_kind_of_step() -> None:
    assert {step["type"] for step in EVERYTHING["steps"]} == STEP_KINDS.keys()


@pytest.mark.parametrize("document", [EVERYTHING, process()], ids=["everything", "smallest"])
def test_a_definition_is_written_as_it_was_read_and_reads_back_the_same(document: dict[str, Any]) -> None:
    definition = parse(document)
    written = definition.document()
    assert parse(written) == definition
    assert parse(written).document() == written
    assert written.keys() == document.keys()
    assert [s.keys() for s in written["steps"]] == [s.keys() for s in document["steps"]]


@pytest.mark.parametrize(
    ("instance_key", "event_key", "params", "expected"),
    [
        (None, "K", {"order": 1}, ""),
        ("event.key", "K", {}, "K"),
        ("event.key", None, {}, None),
        ("params.order", None, {"order": 7}, "7"),
        ("params.order", None, {"order": "seven"}, "seven"),
        ("params.order", "K", {}, None),
        ("params.order", "K", {"order": ""}, None),
        ("params.order", "K", {"order": True}, None),
        ("params.order", "K", {"order": [1]}, None),
        ("params.order", "K", {"order": 1.5}, None),
    ],
)
def test_the_instance_key_of_an_event(
    instance_key: str | None, event_key: str | None, params: dict[str, Any], expected: str | None
) -> None:
    assert parse(process(instance_key=instance_key)).key_of(event_key, params) == expected
