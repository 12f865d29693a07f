"""docs/security.md names, for each attack, tests that are there."""

import re

import pytest

from tests.test_features import ROOT, TEST, names_in

PAGE = ROOT / "docs" / "security.md"
ROWS = [
    line
    for line in PAGE.read_text().splitlines()
    if line.startswith("| ") and not re.match(r"\| (attack|---) \|", line)
]


@pytest.mark.parametrize("row", ROWS, ids=[row.split(" | ")[0].removeprefix("| ")[:40] for row in ROWS])
def test_an_attack_is_held_by_tests_that_are_there(row: str) -> None:
    named = TEST.findall(row)
    assert named, "names no test"
    assert [f"{path}::{name}" for path, name in named if name not in names_in(path)] == []


def test_the_page_has_its_rows_each_once() -> None:
    attacks = [row.split(" | ")[0] for row in ROWS]
    assert len(attacks) > 50
    assert len(attacks) == len(set(attacks))
