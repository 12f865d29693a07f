"""One reading of YAML, in the API, on the command line and in bundles."""

import math
from pathlib import Path
from typing import Any

import pytest
import yaml

from processes.yaml_text import YamlTooDeep, YamlUnreadable, read_yaml_text

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
        ("? [1]\n: 2", "a key must be a text", 1),
        ("--- a\n--- b", "another document", 2),
        ("a: 'b", "end of stream", 1),
        ("a: \x00", "unacceptable character", None),
        (b"\xff", "unacceptable character", None),
        ("a: " + "9" * 5000, "is not a number", 1),
    ],
)
def test_what_is_refused_says_what_and_where(text: str | bytes, says: str, line: int | None) -> None:
    with pytest.raises(YamlUnreadable, match=says) as caught:
        read_yaml_text(text)
    assert caught.value.line == line
    assert len(str(caught.value)) < 200


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


def test_nobody_else_reads_yaml() -> None:
    for path in ROOT.rglob("*.py"):
        if (
            path.relative_to(ROOT).parts[0] in {"tests", ".venv", "benchmarks", "build"}
            or path.name == "yaml_text.py"
        ):
            continue
        assert "yaml.load" not in path.read_text(), path
        assert "yaml.safe_load" not in path.read_text(), path
