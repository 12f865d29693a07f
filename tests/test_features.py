"""docs/features.md has a line for each feature: with tests that are there, or as not built yet."""

import ast
import re
from functools import cache
from pathlib import Path

import pytest

ROOT = Path(__file__).parent.parent
PAGE = ROOT / "docs" / "features.md"
ROW = re.compile(r"^\| ([A-Z]\d+) \|.*$", re.MULTILINE)
TEST = re.compile(r"`(tests/[\w/]+\.py)::(test_\w+)`")
NOT_BUILT = "| not built yet |"

DEMANDS = ROOT.parent / "shared" / "features.md"
"""The list of demands, where a checkout has it beside it."""
SERIES = {"C": 5, "V": 8, "P": 11, "T": 13, "S": 12, "O": 12, "W": 12, "A": 3}
"""How far each letter's ids go; those of A begin at 0."""
WANTED = [f"{letter}{number}" for letter, last in SERIES.items() for number in range(letter != "A", last + 1)]


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
def test_a_feature_is_shown_by_tests_that_are_there_or_is_said_not_to_be_built(feature: str) -> None:
    row = rows().get(feature)
    assert row is not None, f"docs/features.md has no line for {feature}"
    named = TEST.findall(row)
    assert bool(named) != row.endswith(NOT_BUILT), (
        f"{feature} names tests or is not built yet, one of the two"
    )
    missing = [f"{path}::{name}" for path, name in named if name not in names_in(path)]
    assert missing == []


def test_the_page_has_the_rows_of_the_list_of_demands() -> None:
    demanded = set(ROW.findall(DEMANDS.read_text())) if DEMANDS.exists() else set(WANTED)
    assert demanded == set(WANTED) == set(rows())


def test_no_feature_stands_twice() -> None:
    found = ROW.findall(PAGE.read_text())
    assert len(found) == len(set(found))
