"""With which events a rule's answer may change."""

from typing import Any

import pytest

from processes.hearing import heard_by
from processes.rules import parse_rule

SEGMENTS = {
    "by-hand": None,
    "loyal": parse_rule({"any": [{"happened": "order"}, {"segment": "fans"}]}),
    "fans": parse_rule({"all": [{"tag": "fan"}, {"segment": "loyal"}]}),
}


@pytest.mark.parametrize(
    ("rule", "heard"),
    [
        ({"always": True}, set()),
        ({"event": "total", "at_least": 5}, set()),
        ({"tag": "x"}, {"tag.added", "tag.removed"}),
        ({"not": {"tag": "x"}}, {"tag.added", "tag.removed"}),
        ({"contact": "score", "exists": True}, {"contact.changed", "message.bounced", "message.complained"}),
        (
            {"list": "news", "status": "unsubscribed"},
            {"list.subscribed", "list.unsubscribed", "message.bounced", "message.complained"},
        ),
        ({"happened": "order", "where": {"event": "total", "at_least": 5}}, {"order"}),
        ({"segment": "by-hand"}, {"segment.entered", "segment.left"}),
        ({"segment": "gone"}, {"segment.entered", "segment.left"}),
        ({"segment": "loyal"}, {"segment.entered", "segment.left", "order", "tag.added", "tag.removed"}),
        (
            {"message": {"process": "welcome"}},
            {"message.opened", "message.clicked", "message.bounced", "message.complained"},
        ),
    ],
)
def test_a_rule_hears_what_it_asks_for(rule: dict[str, Any], heard: set[str]) -> None:
    assert heard_by(parse_rule(rule), SEGMENTS) == heard
