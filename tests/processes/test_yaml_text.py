"""One reading of YAML, in the API, on the command line and in bundles."""

import math
import re
from pathlib import Path
from typing import Any

import pytest
import yaml
from hypothesis import given
from hypothesis import strategies as st

from processes.yaml_lines import lines
from processes.yaml_text import YamlTooDeep, YamlUnreadable, read_yaml_text, write_yaml_text

LIBRARY_WORDS = (
    r"scann|pars|token|scalar|block|stream|mapping|sequence|\bnode|codec|\bexpected|\bfound\b"
    r"|unpack|attribute"
)
"""Words of PyYAML's and Python's own messages."""
ROOT = Path(__file__).parents[2]
USERS = ("api/bodies.py", "console/bundles.py")


@pytest.mark.parametrize(
    "text",
    [
        "09:00", "9:30", "190:20:30", "1:30.5",
        "0123", "007", "0o17", "0x1F", "0b11", "1_000", "1e3", "12e4", "yes", "No",
        "on", "OFF", "y", "2026-12-01", "2026-12-01T10:00:00Z", "+420601234567", "+1", "1.", "=", "1.2.3",
        "Infinity", "NaN",
    ],
)  # fmt: skip
def test_what_json_does_not_write_so_is_text(text: str) -> None:
    assert read_yaml_text(f"value: {text}") == {"value": text}
    assert read_yaml_text(f"{text}: value") == {text: "value"}


@pytest.mark.parametrize(
    ("text", "value"),
    [
        ("0", 0), ("12", 12), ("-5", -5), ("1.5", 1.5), ("-0.5", -0.5), (".5", 0.5), ("1.5e3", 1500.0),
        ("true", True), ("False", False), ("null", None), ("~", None), ("", None), ("'12'", "12"), ("!!str 12", "12"),
        (".inf", math.inf), ("-.inf", -math.inf), ("18446744073709551616", 2**64), ("|\n  09:00", "09:00"),
    ],
)  # fmt: skip
def test_what_json_has_is_that_value(text: str, value: Any) -> None:
    found = read_yaml_text(f"value: {text}")["value"]
    assert found == value
    assert type(found) is type(value)


@pytest.mark.parametrize(
    ("text", "says", "line"),
    [
        ("a: 1\nb: 2\na: 3", 'the key "a" stands twice', 3),
        ("1: a\n'1': b", 'the key "1" stands twice', 2),
        ("a:\n  b: 1\n  b: 2", 'the key "b" stands twice', 3),
        ("a: &x [1]\nb: *x", "aliases are not supported", 2),
        ("<<: {a: 1}", "merge keys are not supported", 1),
        ("a: !!binary aGVsbG8=", "is not supported", 1),
        ("a: !!python/object/apply:os.system [true]", "is not supported", 1),
        ("a: !!timestamp 2026-12-01", "is not supported", 1),
        ("a: !!int x", '"x" is not a number', 1),
        ("a: !!bool x", '"x" is not true or false', 1),
        ("a: !!int [1]", "does not fit its value", 1),
        ("a: !!bool [1]", "is not true or false", 1),
        ("a: !!map x", "does not fit its value", 1),
        ("a: !!seq {a: 1}", "does not fit its value", 1),
        ("a: !!str [1]", "does not fit its value", 1),
        ("a: !<x", 'cannot begin with "!"', 1),
        ("? [1]\n: 2", "a key must be a text", 1),
        ("a: {{ x }}", 'begins with "{" or "\\[", put it in quotes', 1),
        ("--- a\n--- b", "more than one document", 2),
        ("%x", 'cannot begin with "%"', 1),
        ("%YAML 2.0\n---\na: 1", "only YAML 1", 1),
        ("a: 1\n\tb: 2", "a tab cannot indent a line: use spaces", 2),
        ("x: |\n\tfoo", "a tab cannot indent a line: use spaces", 2),
        ("a: 'b", "the quote that opens here is never closed", 1),
        ('a: 1\nb: "c\nd: e\n', "the quote that opens here is never closed", 2),
        ("a: 'it's'", "A single quote inside single quotes is written twice", 1),
        ('a: "\\q"', "q is not known inside double quotes", 1),
        ('a: "\\x1"', "2 hexadecimal digits", 1),
        ("b: 1\na: [1, 2", 'the "\\[" that opens here is never closed', 2),
        ('a: "["\nb: [c, {d: 1},', 'the "\\[" that opens here is never closed', 2),
        ("a: {b: 1]", '"," or "}" is missing: the "{" opens at line 1, column 4', 1),
        ("a: 1\n}", 'this "}" closes nothing', 2),
        ("a: }", 'cannot begin with "}": put it in quotes', 1),
        ("a: @x", 'cannot begin with "@": put it in quotes', 1),
        ("a: & x", 'cannot begin with "&": put it in quotes', 1),
        ("a: ? b", 'cannot begin with "\\? ": put it in quotes', 1),
        ("text: Hello: world", 'a value with ": " in it is read as a key: put it in quotes', 1),
        ("a:b\nc: 1", 'a key has no ": " after it', 1),
        ("a: 1\nb", 'there is no ":" after this key', 2),
        ("a: 1\n  b: 2", "this line is indented too far; line 1 has a value already", 2),
        ("a:\n  b: 1\n c: 2", "does not line up with the keys from line 1 on", 3),
        ("a:\n  - b\n - c", "does not line up with the keys from line 1 on", 3),
        ("- - a\n - b", "does not line up with the items", 2),
        ("a:\n  - b\n  c: 1", "a key stands where a list goes on", 3),
        ("a: b\n- c", "a list's item stands where keys go on", 2),
        ("a: - b", "a list begins on a line of its own", 1),
        ("a: > b c\n d", "begins on the next line", 1),
        ("a: &x 1\nb: &x 2", "an anchor .* is given twice", 2),
        ("...\n...\na: 1", "a value is missing here", 1),
        ("a: \x00", "a NUL character cannot stand in YAML", 1),
        ("a: 1\nb: \x07", "U\\+0007 cannot stand in YAML", 2),
        (b"a: 1\nb: \xff", "the byte 0xff is not UTF-8: save the text as UTF-8", 2),
        (b"\xff\xfea", "is not UTF-16", 1),
        ("a: " + "9" * 5000, "is not a number", 1),
    ],
)
def test_what_is_refused_says_what_and_where(text: str | bytes, says: str, line: int | None) -> None:
    with pytest.raises(YamlUnreadable, match=says) as caught:
        read_yaml_text(text)
    assert caught.value.line == line
    assert str(caught.value).endswith(f"(line {line}, column {caught.value.column})")
    assert len(str(caught.value)) < 200
    assert not re.search(LIBRARY_WORDS, str(caught.value))


@pytest.mark.parametrize("text", ["[" * 100_000, "{a: " * 50_000, "- " * 50_000, "? " * 50_000])
def test_what_is_nested_too_deep_is_refused_before_it_is_read(text: str) -> None:
    with pytest.raises(YamlTooDeep, match="64 levels"):
        read_yaml_text(text)


def test_a_bomb_of_aliases_is_refused() -> None:
    bomb = "a0: &a0 [x]\n" + "".join(f"a{n}: &a{n} [{f'*a{n - 1}, ' * 9}]\n" for n in range(1, 10))
    with pytest.raises(YamlUnreadable, match="aliases"):
        read_yaml_text(bomb)


def test_the_examples_read_as_they_did() -> None:
    for path in sorted((ROOT / "examples").glob("*.yaml")):
        assert read_yaml_text(path.read_text()) == yaml.safe_load(path.read_text()), path.name


TEXTS = st.text(st.characters(exclude_categories=["Cs"], exclude_characters="\0"), max_size=20)
VALUES = st.recursive(
    st.none()
    | st.booleans()
    | st.integers(-(2**63), 2**63 - 1)
    | st.floats(allow_nan=False)
    | TEXTS
    | st.sampled_from(
        [
            "yes", "09:00", "10:00", "1e3", "1.5e3", "-", "~", "", "null", "<<", "=", "a: b", "# x", "- a", "|", ".inf",
            "  a\n b", " x\n", "a\n\n\nb\n", "\tb\n", "x \ny", "%a", "@a", "a\rb", "a\x85", "a\u2028b", "\ufeff",
            "0123",
        ]
    ),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(TEXTS, inner, max_size=3),
    max_leaves=8,
)  # fmt: skip


@given(VALUES)
def test_what_is_written_is_read_as_the_same_value(value: Any) -> None:
    read = read_yaml_text(write_yaml_text({"value": value}))
    assert read == {"value": value}
    assert type(read["value"]) is type(value)


def test_what_is_written_is_for_people() -> None:
    written = write_yaml_text(
        {"key": "a", "at": "10:00", "text": "One\ntwo\n", "name": "Přání", "steps": [{"id": "b"}]}
    )
    assert written == "key: a\nat: '10:00'\ntext: |\n  One\n  two\nname: Přání\nsteps:\n  - id: b\n"


def test_a_place_is_found_by_the_reader_that_reads_the_text() -> None:
    text = "a: 1\n10:00: b\nc:\n  - {0123: x}\n"
    assert lines(text, ["/10:00", "/c/0/0123", "/c/0/none"]) == {"/10:00": 2, "/c/0/0123": 4, "/c/0/none": 4}
    assert lines(text.encode("utf-16"), ["/10:00"]) == {"/10:00": 2}
    refused = ("a: &x 1\nb: *x", "a: !!binary eA==", "[" * 100, "a: [")
    assert [lines(text, ["/a"]) for text in refused] == [{}] * len(refused)


def test_nobody_else_reads_yaml() -> None:
    for path in ROOT.rglob("*.py"):
        if (
            path.relative_to(ROOT).parts[0] in {"tests", ".venv", "benchmarks", "build"}
            or path.name == "yaml_text.py"
        ):
            continue
        assert "yaml.load" not in path.read_text(), path
        for other in ("yaml.safe_load", "yaml.compose", "SafeLoader", "yaml.dump", "yaml.safe_dump"):
            assert other not in path.read_text(), (path, other)
