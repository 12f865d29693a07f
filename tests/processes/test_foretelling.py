"""What a preview knows of each kind of step: its effect, or its message. A new kind must say which."""

from datetime import UTC, datetime
from typing import Any

import pytest
from pydantic import TypeAdapter

from channels.composing import COMPOSED
from processes.facts import Facts
from processes.foretelling import FORETOLD, After, Before, Held, effect
from processes.steps import STEP_KINDS, Step

NOW = datetime(2026, 11, 22, 9, tzinfo=UTC)
STEPS: TypeAdapter[Any] = TypeAdapter(Step)


def test_every_kind_that_acts_is_foretold_or_composed() -> None:
    acting = {kind for kind, model in STEP_KINDS.items() if model.acts}
    assert acting == FORETOLD | COMPOSED
    assert not FORETOLD & COMPOSED


def done(facts: Facts, kind: str, texts: dict[str, str] | None = None, **more: Any) -> After | Held:
    event = more.pop("params", {})
    step = STEPS.validate_python({"id": "s", "type": kind, **more})
    ruled = {"hand": False, "ruled": True}
    return effect(step, Before(facts, NOW, texts or {}, event, "go", "K-1", None, ruled))


def after(facts: Facts, kind: str, texts: dict[str, str] | None = None, **more: Any) -> After:
    found = done(facts, kind, texts, **more)
    assert isinstance(found, After), found
    return found


def test_a_change_that_changes_nothing_tells_nothing() -> None:
    facts = Facts(tags=frozenset({"x"}), lists={"news": "subscribed"}, segments=frozenset({"hand"}))
    for kind, more in (
        ("add_tag", {"tag": "x"}),
        ("remove_tag", {"tag": "y"}),
        ("subscribe", {"list": "news"}),
        ("unsubscribe", {"list": "other"}),
        ("move", {"from": "other", "to": "news"}),
        ("add_to_segment", {"segment": "hand"}),
        ("edit_contact", {"set": {"age": None}}),
        ("block", {"channel": "email"}),
        ("get_order", {"if_missing": "continue"}),
    ):
        found = after(facts, kind, **more)
        assert (found.facts, found.changes) == (facts, []), kind


def test_who_left_a_list_stays_out_unless_the_step_says_so() -> None:
    facts = Facts(lists={"news": "unsubscribed"})
    assert after(facts, "subscribe", list="news").facts.lists == {"news": "unsubscribed"}
    again = after(facts, "subscribe", list="news", resubscribe=True)
    assert again.facts.lists == {"news": "subscribed"}
    assert [change.type for change in again.changes] == ["list.subscribed"]


def test_a_move_tells_of_both_lists() -> None:
    lists: Any = {"from": "a", "to": "b"}
    found = after(Facts(lists={"a": "subscribed"}), "move", **lists)
    assert found.facts.lists == {"a": "unsubscribed", "b": "subscribed"}
    assert [(c.type, c.params) for c in found.changes] == [
        ("list.unsubscribed", {"list": "a"}),
        ("list.subscribed", {"list": "b"}),
    ]


def test_a_field_is_set_from_its_rendered_text_and_told_of_when_it_is_another() -> None:
    facts = Facts(fields={"plan": "free", "age": 5})
    texts = {"set/plan": "pro", "set/time_zone": "Asia/Tokyo"}
    found = after(
        facts,
        "edit_contact",
        texts,
        set={"plan": "{{ x }}", "age": 5.0, "time_zone": "{{ y }}"},
        unset=["gone"],
    )
    assert found.facts.fields == {"plan": "pro", "age": 5.0}
    assert found.facts.time_zone == "Asia/Tokyo"
    assert [change.params["field"] for change in found.changes] == ["plan", "time_zone"]


def test_a_blocked_address_gets_nothing_and_one_that_was_deleted_is_no_more() -> None:
    facts = Facts(email="anna@example.com")
    blocked = after(facts, "block", channel="email", reason="asked for it")
    assert blocked.facts.suppressed == {"email": "asked for it"}
    assert blocked.result == {"channel": "email", "blocked": True, "deleted": False}
    deleted = after(blocked.facts, "block", channel="email", delete_address=True)
    assert (deleted.facts.email, deleted.facts.suppressed) == (None, {})
    assert [change.params["field"] for change in deleted.changes] == ["email"]


def test_an_order_is_put_aside() -> None:
    lines = [{"name": "Pod", "quantity": 1, "price": 5}]
    found = after(Facts(), "get_order", params={"number": "A-7", "total": 5, "items": lines})
    order: Any = found.aside["order"]
    assert order["number"] == "A-7"
    assert found.result == {"order": "A-7", "items": 1, "total": 5.0}


@pytest.mark.parametrize(
    ("kind", "more", "texts", "reason"),
    [
        ("add_to_segment", {"segment": "ruled"}, {}, "has a rule"),
        ("remove_from_segment", {"segment": "ghost"}, {}, "there is no segment «ghost»"),
        ("edit_contact", {"set": {"time_zone": "x"}}, {"set/time_zone": "Mars/Base"}, "Mars/Base"),
        ("get_order", {"param": "deep"}, {}, "no order in deep"),
    ],
)
def test_what_a_person_must_mend_holds(
    kind: str, more: dict[str, Any], texts: dict[str, str], reason: str
) -> None:
    found = done(Facts(), kind, texts, **more)
    assert isinstance(found, Held)
    assert reason in found.reason
