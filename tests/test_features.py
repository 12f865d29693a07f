"""docs/features.md names, for each feature, tests that are there."""

import ast
import re
from functools import cache
from pathlib import Path

import pytest

ROOT = Path(__file__).parent.parent
PAGE = ROOT / "docs" / "features.md"
ROW = re.compile(r"^\| ([A-Z]\d+) \|.*$", re.MULTILINE)
TEST = re.compile(r"`(tests/[\w/]+\.py)::(test_\w+)`")
WANTED = [
    *(f"T{n}" for n in range(1, 12)),
    *(f"S{n}" for n in range(1, 13)),
    *(f"C{n}" for n in range(1, 6)),
    *("V6", "P8", "P9", "A3"),
]


def rows() -> dict[str, str]:
    """The line of each feature."""
    return {found[1]: found[0] for found in ROW.finditer(PAGE.read_text())}


@cache
def names_in(path: str) -> frozenset[str]:
    """The names of the tests in a module, those in its classes too."""
    tree = ast.parse((ROOT / path).read_text())
    functions = (node for node in ast.walk(tree) if isinstance(node, (ast.FunctionDef, ast.AsyncFunctionDef)))
    return frozenset(node.name for node in functions)


@pytest.mark.parametrize("feature", WANTED)
def test_a_feature_is_shown_by_tests_that_are_there(feature: str) -> None:
    named = TEST.findall(rows().get(feature, ""))
    assert named, f"docs/features.md names no test for {feature}"
    missing = [f"{path}::{name}" for path, name in named if name not in names_in(path)]
    assert missing == []


def test_no_feature_stands_twice() -> None:
    found = ROW.findall(PAGE.read_text())
    assert len(found) == len(set(found))
