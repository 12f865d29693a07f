"""Reading a definition: everything that is wrong is said at once, each thing with its place."""

from typing import Any

import pytest

from processes.definition import MAX_STEPS, MAX_TRIGGERS, parse
from processes.problems import DocumentInvalid
from tests.processes.documents import process, steps, tag, wait

COND = {"id": "c", "type": "condition"}
HOOK = {"id": "h", "type": "webhook"}
MAIL = {"id": "m", "type": "send_email", "template": "t"}
EVENT = {"type": "event", "event": "e"}
ASK = {"id": "w", "type": "wait_for_event", "event": "e", "within": "1d"}
UNTIL = {"id": "w", "type": "wait_for_rule", "when": {"tag": "x"}, "within": "1d"}
ONE_WAIT = "give exactly one of «for», «until», «weekday», «date» and «event_date»"


def on(trigger: dict[str, Any]) -> dict[str, Any]:
    return process(triggers=[trigger])


def first(step: dict[str, Any]) -> dict[str, Any]:
    return steps(step)


def split(*shares: Any, hold_out: Any = None) -> dict[str, Any]:
    branches = [{"name": f"b{number}", "share": share} for number, share in enumerate(shares)]
    held = {} if hold_out is None else {"hold_out": {"share": hold_out}}
    return {"id": "s", "type": "split", "branches": branches, **held}


def goal(**changes: Any) -> dict[str, Any]:
    written = {"name": "g", "event": "e"} | changes
    return process(goals=[{name: value for name, value in written.items() if value is not None}])


BAD: list[tuple[str, Any, str, str]] = [
    # What the process itself says
    ("no object", ["p"], "", "a process is an object"),
    ("no key", process(key=None), "/key", "this field is required"),
    ("no name", process(name=None), "/name", "this field is required"),
    ("no steps", process(steps=None), "/steps", "this field is required"),
    ("empty steps", process(steps=[]), "/steps", "at least 1 item"),
    ("too many steps", steps(*[tag(f"s{n}") for n in range(MAX_STEPS + 1)]), "/steps", "at most 500 items"),
    ("no recurrence", process(recurrence=None), "/recurrence", "this field is required"),
    ("bad key", process(key="Upper Case"), "/key", "is not written as it must be"),
    ("key too long", process(key="a" * 65), "/key", "is not written as it must be"),
    ("empty name", process(name=""), "/name", "at least 1 character"),
    ("unknown field", process(colour="red"), "/colour", "unknown field"),
    ("tag twice", process(tags=["a", "a"]), "/tags", "a tag stands twice"),
    ("empty tag", process(tags=[" "]), "/tags/0", "at least 1 character"),
    ("bad list key", process(list="News!"), "/list", "is not written as it must be"),
    ("unknown purpose", process(purpose="spam"), "/purpose", "must be «marketing»"),
    ("bad zone", process(time_zone="Europe/Brno"), "/time_zone", "unknown time zone 'Europe/Brno'"),
    ("bad instance key", process(instance_key="order"), "/instance_key", "is not written as it must be"),
    ("unknown first step", process(first="z"), "/first", "there is no step «z»"),
    # Recurrence
    ("unknown recurrence", process(recurrence="twice"), "/recurrence", "there is no mode «twice»"),
    ("no period", process(recurrence={"mode": "once_per"}), "/recurrence/period", "this field is required"),
    (
        "period without a unit", process(recurrence={"mode": "once_per", "period": 3}),
        "/recurrence/period", "3 has no unit",
    ),
    (
        "period of a mode without one", process(recurrence={"mode": "once", "period": "1d"}),
        "/recurrence/period", "unknown field",
    ),
    # Triggers
    ("unknown trigger", on({"type": "full_moon"}), "/triggers/0", "no trigger type «full_moon»"),
    ("trigger without a type", on({"event": "e"}), "/triggers/0", "this field is required: «type»"),
    ("trigger without an event", on({"type": "event"}), "/triggers/0/event", "this field is required"),
    ("bad event type", on({**EVENT, "event": "two words"}), "/triggers/0/event", "is not written as it must be"),
    ("trigger does what", on({**EVENT, "does": "pause"}), "/triggers/0/does", "must be «start» or «stop»"),
    ("an API call stops", on({"type": "api", "does": "stop"}), "/triggers/0/does", "must be «start»"),
    ("trigger's field unknown", on({**EVENT, "list": "news"}), "/triggers/0/list", "unknown field"),
    ("trigger's rule bad", on({**EVENT, "filter": {"tags": "x"}}), "/triggers/0/filter", "needs exactly one of"),
    (
        "trigger's rule has two kinds", on({**EVENT, "filter": {"tag": "x", "list": "y"}}),
        "/triggers/0/filter", "exactly one kind; this one has tag and list",
    ),
    ("trigger's age is zero", on({**EVENT, "max_age": "0h"}), "/triggers/0/max_age", "'0h' is zero"),
    ("too many triggers", process(triggers=[EVENT] * (MAX_TRIGGERS + 1)), "/triggers", "at most 50 items"),
    # Steps
    ("step without a type", first({"id": "a"}), "/steps/0", "this field is required: «type»"),
    ("unknown kind of step", first({"id": "a", "type": "sing"}), "/steps/0", "no step type «sing»"),
    ("step without an id", first({"type": "add_tag", "tag": "x"}), "/steps/0/id", "this field is required"),
    ("bad step id", first(tag("Tag Me")), "/steps/0/id", "is not written as it must be"),
    ("unknown field of a step", first({**tag("a"), "tags": []}), "/steps/0/tags", "unknown field"),
    ("add_tag without a tag", first({"id": "a", "type": "add_tag"}), "/steps/0/tag", "this field is required"),
    ("the same id twice", steps(tag("a", "a2"), tag("a2"), tag("a2")), "/steps/2/id", "step «a2» stands twice"),
    ("reserved id continue", first(tag("continue")), "/steps/0/id", "«continue» is a reserved word"),
    ("reserved id end", first(tag("end")), "/steps/0/id", "«end» is a reserved word"),
    ("unknown step", first(tag("a", "z")), "/steps/0/next", "there is no step «z»"),
    ("unreachable step", steps(tag("a"), tag("b")), "/steps/1", "step «b» cannot be reached"),
    # Waits
    ("wait for nothing", first({"id": "w", "type": "wait"}), "/steps/0", f"{ONE_WAIT}, not none"),
    (
        "two kinds of wait", first(wait(**{"for": "1d", "until": "2026-12-24"})),
        "/steps/0", f"{ONE_WAIT}, not «for» and «until»",
    ),
    ("wait without a unit", first({"id": "w", "type": "wait", "for": 3}), "/steps/0/for", "3 has no unit"),
    ("wait in an unknown unit", first(wait(**{"for": "3 moons"})), "/steps/0/for", "unknown unit 'moons'"),
    ("negative wait", first(wait(**{"for": "-3d"})), "/steps/0/for", "is negative"),
    ("endless wait", first(wait(**{"for": "11 years"})), "/steps/0/for", "longer than 10 years"),
    ("no moment", first(wait(until="tomorrow")), "/steps/0", "is not a date and time"),
    ("30 February", first(wait(until="2026-02-30")), "/steps/0", "is not a date and time"),
    ("bad zone of a wait", first(wait(**{"for": "1d", "zone": "CEST"})), "/steps/0/zone", "unknown time zone"),
    (
        "unknown weekday", first(wait(weekday={"days": ["mon"], "at": "09:00"})),
        "/steps/0/weekday/days/0", "must be «monday»",
    ),
    ("no weekday", first(wait(weekday={"days": [], "at": "09:00"})), "/steps/0/weekday/days", "at least 1 item"),
    ("time as YAML reads it", first(wait(weekday={"at": 540})), "/steps/0/weekday/at", "in quotes"),
    (
        "no such time", first(wait(weekday={"at": "24:00"})),
        "/steps/0/weekday/at", "'24:00' is not a time of day",
    ),
    ("date without a time", first(wait(date={"field": "b"})), "/steps/0/date/at", "this field is required"),
    (
        "date with a bad offset", first(wait(date={"field": "b", "at": "09:00", "offset": "soon"})),
        "/steps/0/date/offset", "is not a duration",
    ),
    (
        "date in a bad field", first(wait(date={"field": "first name", "at": "09:00"})),
        "/steps/0/date/field", "is not written as it must be",
    ),
    ("if_past leads nowhere", first(wait(**{"for": "1d", "if_past": "z"})), "/steps/0/if_past", "no step «z»"),
    (
        "if_missing leads nowhere", first(wait(date={"field": "b", "at": "09:00", "if_missing": "z"})),
        "/steps/0/date/if_missing", "there is no step «z»",
    ),
    (
        "wait for an event without a limit", first({"id": "w", "type": "wait_for_event", "event": "e"}),
        "/steps/0/within", "this field is required",
    ),
    (
        "timeout leads nowhere",
        first({"id": "w", "type": "wait_for_event", "event": "e", "within": "1d", "on_timeout": "z"}),
        "/steps/0/on_timeout", "there is no step «z»",
    ),
    # Conditions
    ("condition without branches", first({**COND, "branches": []}), "/steps/0/branches", "at least 1 item"),
    ("branch without a rule", first({**COND, "branches": [{}]}), "/steps/0/branches/0/when", "is required"),
    (
        "branch leads nowhere", first({**COND, "branches": [{"when": {"tag": "x"}, "next": "z"}]}),
        "/steps/0/branches/0/next", "there is no step «z»",
    ),
    (
        "else leads nowhere", first({**COND, "branches": [{"when": {"tag": "x"}}], "else": "z"}),
        "/steps/0/else", "there is no step «z»",
    ),
    (
        "rule with two operators",
        first({**COND, "branches": [{"when": {"contact": "a", "equals": 1, "in": [1]}}]}),
        "/steps/0/branches/0/when", "needs exactly one of",
    ),
    (
        "rule with a slip", first({**COND, "branches": [{"when": {"list": "news", "statuss": "subscribed"}}]}),
        "/steps/0/branches/0/when/statuss", "did you mean status?",
    ),
    (
        "date of an event without a param", first(wait(event_date={"offset": "-1d"})),
        "/steps/0/event_date/param", "this field is required",
    ),
    (
        "date of an event in a bad param", first(wait(event_date={"param": "a..b"})),
        "/steps/0/event_date/param", "names parted by dots",
    ),
    (
        "a missing date of an event leads nowhere", first(wait(event_date={"param": "day", "if_missing": "z"})),
        "/steps/0/event_date/if_missing", "there is no step «z»",
    ),
    ("nothing to look back", first({**ASK, "look_back": "0d"}), "/steps/0/look_back", "'0d' is zero"),
    ("wait for no rule", first({"id": "w", "type": "wait_for_rule", "within": "1d"}), "/steps/0/when", "required"),
    (
        "wait for a rule without a limit", first({"id": "w", "type": "wait_for_rule", "when": {"tag": "x"}}),
        "/steps/0/within", "this field is required",
    ),
    (
        "a rule looked at too often", first({**UNTIL, "every": "30s"}),
        "/steps/0", "«every» is 30 seconds; a rule is looked at once a minute at most",
    ),
    # Splits
    ("split into nothing", first({"id": "s", "type": "split", "branches": []}), "/steps/0/branches", "at least 1"),
    ("shares short of the whole", first(split(0.5, 0.4)), "/steps/0", "the shares sum to 0.9, not to 1"),
    ("shares past the whole", first(split(0.5, 0.5, hold_out=0.0001)), "/steps/0", "the shares sum to 1.0001, not"),
    ("a share in per cent", first(split(50, 0.5)), "/steps/0/branches/0/share", "50 is not a share"),
    ("a negative share", first(split(-0.1, 1)), "/steps/0/branches/0/share", "-0.1 is not a share"),
    ("a share that is a text", first(split("0.5", 0.5)), "/steps/0/branches/0/share", "'0.5' is not a share"),
    ("a share that is true", first(split(True)), "/steps/0/branches/0/share", "true is not a share"),
    ("no number", first(split(float("nan"), 1)), "/steps/0/branches/0/share", "nan is not a share"),
    ("a third", first(split(1 / 3, 1)), "/steps/0/branches/0/share", "more than four decimal places"),
    ("a bad share held out", first(split(1, hold_out=2)), "/steps/0/hold_out/share", "2 is not a share"),
    (
        "two branches of one name",
        first({"id": "s", "type": "split", "branches": [{"name": "a", "share": 0.5}] * 2}),
        "/steps/0", "a name of its own",
    ),
    (
        "a branch called as the hold-out",
        first({"id": "s", "type": "split", "branches": [{"name": "hold_out", "share": 1}]}),
        "/steps/0", "none is called «hold_out»",
    ),
    (
        "a branch of a split leads nowhere",
        first({"id": "s", "type": "split", "branches": [{"name": "a", "share": 1, "next": "z"}]}),
        "/steps/0/branches/0/next", "there is no step «z»",
    ),
    (
        "the hold-out leads nowhere", first({**split(1), "hold_out": {"share": 0, "next": "z"}}),
        "/steps/0/hold_out/next", "there is no step «z»",
    ),
    # Goals
    ("goal of nothing", goal(event=None), "/goals/0", "give exactly one of «event» and «when»"),
    ("goal of two kinds", goal(when={"tag": "x"}), "/goals/0", "give exactly one of «event» and «when»"),
    (
        "filter of a rule", goal(event=None, when={"tag": "x"}, filter={"tag": "y"}),
        "/goals/0", "«filter» is about the event",
    ),
    ("goal without a name", goal(name=None), "/goals/0/name", "this field is required"),
    ("bad name of a goal", goal(name="Done!"), "/goals/0/name", "is not written as it must be"),
    ("bad rule of a goal", goal(event=None, when={"tags": "x"}), "/goals/0/when", "needs exactly one of"),
    ("goal leads nowhere", goal(then="z"), "/goals/0/then", "there is no step «z»"),
    (
        "goal twice", process(goals=[{"name": "g", "event": "e"}, {"name": "g", "event": "f"}]),
        "/goals/1/name", "goal «g» stands twice",
    ),
    # What other kinds want
    ("no URL", first({**HOOK, "url": "example.com"}), "/steps/0/url", "is not a URL"),
    ("URL of another kind", first({**HOOK, "url": "ftp://example.com"}), "/steps/0/url", "is not a URL"),
    (
        "bad secret", first({**HOOK, "url": "https://example.com", "secret": "open sesame"}),
        "/steps/0/secret", "is not written as it must be",
    ),
    ("bad template key", first({**MAIL, "template": "My mail"}), "/steps/0/template", "is not written as it must be"),
    ("if_unknown", first({**MAIL, "if_unknown": "pray"}), "/steps/0/if_unknown", "must be «skip» or «resend»"),
    ("move to itself", first({"id": "m", "type": "move", "from": "a", "to": "a"}), "/steps/0", "the same list"),
    ("edit nothing", first({"id": "e", "type": "edit_contact"}), "/steps/0", "nothing to edit"),
    (
        "set and unset", first({"id": "e", "type": "edit_contact", "set": {"a": 1}, "unset": ["a"]}),
        "/steps/0", "set and unset at once: a",
    ),
    (
        "edit an identity", first({"id": "e", "type": "edit_contact", "set": {"email": "a@example.com"}}),
        "/steps/0", "what a contact is found by: email",
    ),
    (
        "edit a bad field", first({"id": "e", "type": "edit_contact", "set": {"first name": 1}}),
        "/steps/0/set/first name", "is not written as it must be",
    ),
    ("empty note", first({"id": "n", "type": "add_note", "text": ""}), "/steps/0/text", "at least 1 character"),
    (
        "bad outcome", first({"id": "e", "type": "end", "outcome": "All done"}),
        "/steps/0/outcome", "is not written as it must be",
    ),
    # Loops
    ("a step that follows itself", first(tag("a", "a")), "/steps/0", "step «a» is on a loop without a wait"),
    ("loop without a wait", steps(tag("a", "b"), tag("b", "a")), "/steps/0", "on a loop without a wait"),
    (
        "loop past its wait",
        steps(
            {**COND, "branches": [{"when": {"tag": "x"}, "next": "w"}], "else": "a"},
            wait(**{"for": "1d", "next": "c"}),
            tag("a", "c"),
        ),
        "/steps/0", "step «c» is on a loop without a wait",
    ),
    ("loop whose wait may be past", steps(wait(until="2026-12-24", next="a"), tag("a", "w")), "/steps/0", "a loop"),
    (
        "loop whose date may be missing",
        steps(wait(date={"field": "b", "at": "09:00", "every_year": True}, next="a"), tag("a", "w")),
        "/steps/0", "on a loop without a wait",
    ),
    (
        "loop whose date of an event may be past",
        steps(wait(event_date={"param": "day", "if_missing": "end"}, next="a"), tag("a", "w")), "/steps/0", "a loop",
    ),
    ("loop that looks back", steps({**ASK, "look_back": "1d", "next": "a"}, tag("a", "w")), "/steps/0", "a loop"),
    ("loop whose rule may hold", steps({**UNTIL, "next": "a"}, tag("a", "w")), "/steps/0", "on a loop without a wait"),
    (
        "loop by what is too much",
        steps({**wait(), "max_visits": 1, "on_max_visits": "a"}, tag("a", "w")),
        "/steps/0", "on a loop without a wait",
    ),
    ("no visit", first({**tag("a"), "max_visits": 0}), "/steps/0/max_visits", "must be at least 1"),
    ("no visit of all", process(max_visits=0), "/max_visits", "must be at least 1"),
    (
        "too many visits lead nowhere", first({**tag("a"), "on_max_visits": "z"}),
        "/steps/0/on_max_visits", "there is no step «z»",
    ),
    (
        "loop whose date may be past",
        steps(wait(date={"field": "b", "at": "09:00", "if_missing": "end"}, next="a"), tag("a", "w")),
        "/steps/0", "on a loop without a wait",
    ),
]  # fmt: skip


@pytest.mark.parametrize(
    ("document", "pointer", "message"), [case[1:] for case in BAD], ids=[c[0] for c in BAD]
)
def test_a_bad_definition_is_refused_with_the_place_and_the_reason(
    document: Any, pointer: str, message: str
) -> None:
    with pytest.raises(DocumentInvalid) as refused:
        parse(document)
    found = [(p.pointer, p.message) for p in refused.value.problems]
    assert any(p == pointer and message in m for p, m in found), found
    assert len(found) == 1, found


def test_everything_that_is_wrong_with_the_shape_is_said_at_once() -> None:
    with pytest.raises(DocumentInvalid) as refused:
        parse(
            process(
                key="No!", recurrence="never", colour="red", steps=[{"id": "A", "type": "sing"}, tag("B")]
            )
        )
    assert sorted(p.pointer for p in refused.value.problems) == [
        "/colour", "/key", "/recurrence", "/steps/0", "/steps/1/id",
    ]  # fmt: skip


def test_everything_that_is_wrong_with_the_graph_is_said_at_once() -> None:
    with pytest.raises(DocumentInvalid) as refused:
        parse(steps(tag("a", "z"), tag("b", "b"), tag("c"), tag("c")))
    assert [(p.pointer, p.message.split(":")[0]) for p in refused.value.problems] == [
        ("/steps/0/next", "there is no step «z»"),
        ("/steps/3/id", "step «c» stands twice"),
        ("/steps/1", "step «b» cannot be reached from the first step"),
        ("/steps/2", "step «c» cannot be reached from the first step"),
        ("/steps/3", "step «c» cannot be reached from the first step"),
        ("/steps/1", "step «b» is on a loop without a wait"),
    ]


def test_a_step_that_is_not_there_is_named_beside_a_wrong_shape() -> None:
    document = {
        "key": "p", "name": "P", "recurrence": "once",
        "steps": [
            {"id": "w", "type": "wait", "for": "1 minut", "next": "tag"},
            {"id": "tag", "type": "add_tag", "tag": "x", "next": "nowhere"},
        ],
    }  # fmt: skip
    with pytest.raises(DocumentInvalid) as refused:
        parse(document)
    assert [problem.pointer for problem in refused.value.problems] == ["/steps/0/for", "/steps/1/next"]
