"""Who wrote a process wrongly is told the step, the line, what is right and what may have been meant, in plain words."""

import json
import re
from collections.abc import Iterator
from typing import Any

import pytest

from processes.definition import ProcessDefinition, parse
from processes.problems import DocumentInvalid, Problem
from processes.wording import PATTERNS
from processes.yaml_lines import lines

JARGON = re.compile(
    r"input should|should match|string should|field required|input tag|discriminator|pydantic|type=|\^\[|\[a-z|valid (?:str|"
    r"int|dict|list)|extra inputs|none is not|nonetype|model_|value error",
    re.IGNORECASE,
)
GOOD: dict[str, Any] = {
    "key": "w", "name": "W", "recurrence": "once", "steps": [{"id": "a", "type": "add_tag", "tag": "x"}]
}  # fmt: skip


def process(**more: Any) -> dict[str, Any]:
    """A process with these fields."""
    return {**GOOD, **more}


def step(**more: Any) -> dict[str, Any]:
    """A process with this step."""
    return process(steps=[{"id": "a", **more}])


# ruff: noqa: E501
MISTAKES: list[tuple[dict[str, Any], str, str]] = [
    (process(key="Welcome Series"), "/key", "such as «welcome-series»"),
    (process(recurrence="twice"), "/recurrence", "it is one of «each_time», «once»"),
    (process(recurrence={"mode": "once_per", "perod": "1 day"}), "/recurrence/perod", "did you mean «period»?"),
    (process(recurrence={"mod": "once"}), "/recurrence", "required"),
    (process(recurence="once"), "/recurence", "did you mean «recurrence»?"),
    (process(purpose="fun"), "/purpose", "must be «marketing» or «transactional», not «fun»"),
    (process(name=5), "/name", "must be a text, not the number 5: put it in quotes"),
    (process(name=None), "/name", "must be a text, not nothing"),
    (process(name=""), "/name", "at least 1 character"),
    (process(steps="a"), "/steps", "must be a list, not «a»"),
    (process(steps={"id": "a"}), "/steps", "must be a list, not an object"),
    (process(steps=[]), "/steps", "at least 1 item"),
    (process(steps=[None]), "/steps/0", "must be an object (keys with values), not nothing"),
    (process(steps=["send_email"]), "/steps/0", "must be an object (keys with values), not «send_email»"),
    (process(steps=[{"id": "a", "tag": "x"}]), "/steps/0", "required"),
    (process(steps=[{"type": "add_tag", "tag": "x"}]), "/steps/0/id", "required"),
    (process(tags="x"), "/tags", "must be a list"),
    (process(time_zone="Prague"), "/time_zone", "such as Europe/Prague"),
    (process(instance_key="order"), "/instance_key", "«event.key», or «params.»"),
    (process(max_visits="ten"), "/max_visits", "must be a number, not «ten»"),
    (process(max_visits=0), "/max_visits", "must be at least 1"),
    (process(window={"form": "09:00"}), "/window/form", "did you mean «from»?"),
    (process(first="aa"), "/first", "there is no step «aa»; did you mean «a»?"),
    (process(goals=[{"name": "g", "event": "e", "thn": "a"}]), "/goals/0/thn", "did you mean «then»?"),
    (process(triggers={"type": "event"}), "/triggers", "must be a list"),
    (process(triggers=[{"type": "evnt", "event": "a"}]), "/triggers/0", "no trigger type «evnt»; did you mean «event»?"),
    (process(triggers=[{"type": "event", "evnt": "a"}]), "/triggers/0/evnt", "did you mean «event»?"),
    (process(triggers=[{"type": "event", "event": "two words"}]), "/triggers/0/event", "letters and digits of any script"),
    (process(triggers=[{"type": "event", "event": "a", "does": "stopp"}]), "/triggers/0/does", "did you mean «stop»?"),
    (process(triggers=[{"type": "event", "event": "a", "filter": {"tagg": "x"}}]), "/triggers/0/filter", "needs exactly one of"),
    (process(triggers=[{"type": "event", "event": "a", "filter": {"contact": "x", "equal": 1}}]),
     "/triggers/0/filter/equal", "did you mean equals?"),
    (step(type="add_tug", tag="x"), "/steps/0", "there is no step type «add_tug»; did you mean «add_tag»?"),
    (step(type="mail"), "/steps/0", "it is one of"),
    (step(type="add_tag", tga="x"), "/steps/0/tga", "did you mean «tag»?"),
    (step(type="add_tag", tag="x", nxt="b"), "/steps/0/nxt", "did you mean «next»?"),
    (step(type="add_tag", tag=True), "/steps/0/tag", "YAML reads a bare yes, no, on or off so"),
    (step(type="add_tag", tag=["x"]), "/steps/0/tag", "must be a text, not a list"),
    (step(type="add_tag", tag="x", next="b"), "/steps/0/next", "there is no step «b»"),
    (step(type="wait", **{"for": "3 dayz"}), "/steps/0/for", "unknown unit 'dayz'"),
    (step(type="wait", **{"for": 3}), "/steps/0/for", "has no unit; write text such as '3d'"),
    (step(type="wait", fro="3d"), "/steps/0/fro", "did you mean «for»?"),
    (step(type="wait"), "/steps/0", "exactly one of"),
    (step(type="wait", weekday={"day": ["monday"], "at": "09:00"}), "/steps/0/weekday/day", "did you mean «days»?"),
    (step(type="wait", weekday={"days": ["mondy"], "at": "09:00"}), "/steps/0/weekday/days/0", "did you mean «monday»?"),
    (step(type="wait", weekday={"days": "monday", "at": "09:00"}), "/steps/0/weekday/days", "must be a list"),
    (step(type="wait", weekday={"days": ["monday"], "at": 540}), "/steps/0/weekday/at", "write it as '09:00', in quotes"),
    (step(type="wait", weekday={"days": ["monday"], "at": "9:00"}), "/steps/0/weekday/at", "write it as '09:00'"),
    (step(type="wait", date={"feild": "x", "at": "09:00"}), "/steps/0/date/feild", "did you mean «field»?"),
    (step(type="wait", date={"field": "first name", "at": "09:00"}), "/steps/0/date/field", "letters, digits and _"),
    (step(type="wait", until="tomorrow"), "/steps/0", "is not a date and time"),
    (step(type="send_email", template="Hello World"), "/steps/0/template", "such as «hello-world»"),
    (step(type="send_email", template=5), "/steps/0/template", "put it in quotes"),
    (step(type="send_email", template="x", if_unknown=True), "/steps/0/if_unknown", "put it in quotes"),
    (step(type="condition", branches=[{"whn": {"tag": "x"}}]), "/steps/0/branches/0/whn", "did you mean «when»?"),
    (step(type="condition", branches={"when": {"tag": "x"}}), "/steps/0/branches", "must be a list"),
    (step(type="webhook", url="nowhere"), "/steps/0/url", "is not a URL with http:// or https://"),
    (step(type="move", **{"from": "a", "to": "a"}), "/steps/0", "same list"),
    (step(type="get_order", if_missing="wait"), "/steps/0/if_missing", "must be «continue» or «hold», not «wait»"),
]  # fmt: skip


def problems(document: Any) -> list[Problem]:
    """What is wrong with it."""
    with pytest.raises(DocumentInvalid) as raised:
        parse(document)
    return raised.value.problems


@pytest.mark.parametrize(
    ("document", "pointer", "words"), MISTAKES, ids=[f"{m[1]} {m[2]}"[:60] for m in MISTAKES]
)
def test_a_mistake_is_named_in_plain_words(document: dict[str, Any], pointer: str, words: str) -> None:
    found = problems(document)
    mine = next((one for one in found if one.pointer == pointer and words in one.message), None)
    assert mine is not None, found
    for one in found:
        assert not JARGON.search(one.message), one
    named = pointer.startswith("/steps/0/") and pointer != "/steps/0/id"
    assert mine.step == ("a" if named or (pointer == "/steps/0" and words[:4] != "must") else None)


def test_every_expression_of_the_language_has_words() -> None:
    schema = json.loads(json.dumps(ProcessDefinition.model_json_schema()))
    unknown = {
        pattern
        for pattern in _patterns(schema)
        if pattern not in PATTERNS and not re.fullmatch(r"\^\([a-z|]+\)\$", pattern)
    }
    assert unknown == {
        "^([01][0-9]|2[0-3]):[0-5][0-9](:[0-5][0-9])?$"
    }  # a time of day, which has its own message


def _patterns(node: Any) -> Iterator[str]:
    if isinstance(node, dict):
        if isinstance(node.get("pattern"), str):
            yield node["pattern"]
        for inner in node.values():
            yield from _patterns(inner)
    elif isinstance(node, list):
        for inner in node:
            yield from _patterns(inner)


def test_a_problem_is_on_the_line_where_it_stands() -> None:
    text = "key: w\nsteps:\n  - id: a\n    type: wait\n    for: soon\n  - {id: b,\n     type: end}\n"
    found = lines(
        text, ["/key", "/steps/0", "/steps/0/for", "/steps/0/nothing", "/steps/1/type", "/steps/9", ""]
    )
    assert found == {
        "/key": 1, "/steps/0": 3, "/steps/0/for": 5, "/steps/0/nothing": 3, "/steps/1/type": 7, "/steps/9": 2, "": 1,
    }  # fmt: skip
    assert lines("a: [", ["/a"]) == {}
    assert lines("", ["/a"]) == {}
