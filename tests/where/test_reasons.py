"""Every reason in the code has words: the code is read for the places that give one. Pure."""

import ast
from collections.abc import Iterator
from functools import cache
from importlib import import_module
from pathlib import Path
from typing import get_args

import pytest
from temporalio.client import WorkflowExecutionStatus

from activities import base
from intake.why.messages import _SAYS
from processes.reasons import KINDS, UNEXPLAINED, reason
from processes.rule_values import MessageState

ROOT = Path(__file__).parents[2]
FOLDERS = ("intake", "activities", "processes", "store", "channels")
REFUSERS = {
    **dict.fromkeys(("no_mail", "unwanted", "no_audience", "_not_on_list", "_obstacle"), "message"),
    "refusal": "step",
}
"""Functions that return why a message must not go, or a step does nothing."""
STATED = {"skipped": "step", "not_waited": "step"}
"""Keys of a visit's result that hold a reason."""
OTHERS = {"refused": "an answer of the other side"}

Found = tuple[str, str, str]
"""Where, of which kind, and how it is said."""


def texts(node: ast.expr | None, module: str) -> Iterator[str]:
    """What an expression may say, as far as it can be read: what is put in is an x."""
    match node:
        case ast.Constant(value=str(text)):
            yield text
        case ast.JoinedStr():
            yield "".join(next(iter(texts(part, module)), "x") for part in node.values)
        case ast.FormattedValue():
            yield from texts(node.value, module)
        case ast.IfExp():
            yield from texts(node.body, module)
            yield from texts(node.orelse, module)
        case ast.BoolOp():
            for value in node.values:
                yield from texts(value, module)
        case ast.Name(id=name) if name.isupper():
            constant = getattr(import_module(module), name, None) or getattr(base, name, None)
            if isinstance(constant, str):
                yield constant


def given(call: ast.Call, place: int, name: str) -> ast.expr | None:
    """An argument, by its place or its name."""
    named = next((k.value for k in call.keywords if k.arg == name), None)
    return named if named is not None or place >= len(call.args) else call.args[place]


def reasons_of(call: ast.Call) -> Iterator[tuple[str, ast.expr | None, str]]:
    """What a call gives as a reason: its kind, the expression, and what is written behind it."""
    function = call.func
    name = function.attr if isinstance(function, ast.Attribute) else getattr(function, "id", "")
    match name:
        case "say":
            yield "admission", given(call, 2, "reason"), ""
        case "pass_by":
            yield "admission", given(call, 2, "reason"), ""
        case "Decision":
            yield "admission", given(call, 99, "reason"), ""
        case "Skip" | "NoAddress":
            yield "message", given(call, 0, "reason"), ""
        case "Obstacle":
            kind = "message" if given(call, 1, "until") is None else "hold"
            yield kind, given(call, 0, "words"), ""
        case "withdraw":
            yield "message", given(call, 2, "why"), ""
        case "_close" if len(call.args) >= 3:
            yield "message", call.args[2], ""
        case "_instead":
            yield "step", given(call, 1, "why"), ""
        case "Finish" | "_end":
            yield "outcome", given(call, 0, "outcome"), ""
        case "end" if len(call.args) == 4:
            yield "outcome", call.args[2], ""
        case "hold" | "hold_row" if len(call.args) >= 3:
            yield "hold", call.args[1 if name == "hold" else 3], ": "
        case "Held":
            yield "hold", given(call, 1, "code") or ast.Name("FAILED"), ": "
        case "Hold":
            yield "hold", given(call, 99, "reason"), ""
    if name != "Recorded":
        yield "outcome", given(call, 99, "outcome"), ""


@cache
def found() -> tuple[Found, ...]:
    """Every reason in the code that can be read."""
    every: list[Found] = []
    for folder in FOLDERS:
        for path in sorted((ROOT / folder).rglob("*.py")):
            relative = path.relative_to(ROOT)
            module = ".".join(relative.with_suffix("").parts)
            if "why" in relative.parts or relative.name == "reasons.py" or "segment_spec" in relative.parts:
                continue
            for place, kind, node, behind in _in(ast.parse(path.read_text())):
                every += [(f"{relative}:{place}", kind, text + behind) for text in texts(node, module)]
    return tuple(every)


def _in(tree: ast.Module) -> Iterator[tuple[int, str, ast.expr | None, str]]:
    for node in ast.walk(tree):
        if isinstance(node, ast.Call):
            for kind, expression, behind in reasons_of(node):
                yield node.lineno, kind, expression, behind
        elif isinstance(node, ast.Dict):
            for key, value in zip(node.keys, node.values, strict=True):
                if isinstance(key, ast.Constant) and key.value in STATED:
                    yield node.lineno, STATED[key.value], value, ""
        elif isinstance(node, (ast.FunctionDef, ast.AsyncFunctionDef)) and node.name in REFUSERS:
            for inner in ast.walk(node):
                if isinstance(inner, ast.Return):
                    yield inner.lineno, REFUSERS[node.name], inner.value, ""


def test_every_reason_that_the_code_gives_has_words() -> None:
    bare = [
        f"{where}: {kind} «{text}»" for where, kind, text in found() if reason(kind, text).code == UNEXPLAINED
    ]
    assert bare == [], "put them into processes/reasons.py, with what they mean"


@pytest.mark.parametrize(
    ("kind", "text"),
    [
        ("admission", "filter does not hold"),
        ("admission", "once: this contact has entered before"),
        ("admission", "loop: x processes led to one another"),
        ("admission", "the wait's filter does not hold"),
        ("admission", "the goal's filter does not hold: x"),
        ("message", "the contact has no e-mail address"),
        ("message", "the contact wants no marketing mail"),
        ("message", "a goal was met"),
        ("hold", "the delivery window"),
        ("hold", "paused: "),
        ("hold", "failed: "),
        ("hold", "sending_refused: "),
        ("outcome", "contact_deleted"),
        ("outcome", "held_out"),
        ("step", "it is that moment now"),
        ("step", "not subscribed to the first list"),
    ],
)
def test_the_reading_of_the_code_finds_reasons_of_each_kind(kind: str, text: str) -> None:
    assert (kind, text) in {(k, t) for _, k, t in found()}


def test_every_state_of_a_message_has_words() -> None:
    states = {*get_args(MessageState), "withdrawn"} - {"opened", "clicked"}
    assert states == KINDS["state"].keys() == _SAYS.keys()


def test_every_end_that_temporal_knows_has_words() -> None:
    ends = {status.name.lower() for status in WorkflowExecutionStatus} - {
        "running",
        "continued_as_new",
        "paused",
    }
    assert ends <= KINDS["outcome"].keys()


def test_no_word_is_a_shrug() -> None:
    for named in KINDS.values():
        for known in named.values():
            assert known.means
            assert "unknown" not in f"{known.code} {known.means}"
            assert "?" not in known.means


def test_the_longest_beginning_counts_and_an_outcome_is_whole() -> None:
    assert reason("admission", "once per 1 day: it entered within that time").code == "once_per"
    assert reason("admission", "once: this contact has entered before").code == "once"
    assert reason("outcome", "completed-late").code == UNEXPLAINED
    assert reason("hold", "something else").code == UNEXPLAINED
