"""Cells that no spreadsheet takes for a formula, and values that come back as they were."""

from datetime import date

import pytest
from hypothesis import given
from hypothesis import strategies as st

from intake.csv_cells import (
    FORMULA_STARTS,
    defused,
    read_lists,
    read_tags,
    read_value,
    restored,
    write_lists,
    write_tags,
    write_value,
)
from intake.import_columns import LIST_STATUSES
from processes.values import Json, same

starts = st.sampled_from([*sorted(FORMULA_STARTS), "'", '"', "a", " "])
cells = st.one_of(st.text(), st.lists(starts, max_size=5).map("".join))
json_values = st.recursive(
    st.none()
    | st.booleans()
    | st.integers(-(2**63), 2**63 - 1)
    | st.floats(allow_nan=False, allow_infinity=False)
    | st.text(),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(), inner, max_size=3),
    max_leaves=5,
)


@given(cells)
def test_a_cell_is_never_a_formula_and_comes_back(cell: str) -> None:
    safe = defused(cell)
    assert safe[:1] not in FORMULA_STARTS
    assert restored(safe) == cell


@pytest.mark.parametrize(
    ("cell", "safe"),
    [
        ('=HYPERLINK("http://evil.example")', '\'=HYPERLINK("http://evil.example")'),
        ("+420601234567", "'+420601234567"),
        ("-5", "'-5"),
        ("@SUM(1)", "'@SUM(1)"),
        ("\tx", "'\tx"),
        ("\rx", "'\rx"),
        ("＝1", "'＝1"),
        ("'=1", "''=1"),
        ("O'Brien", "O'Brien"),
        ("'t Hooft", "'t Hooft"),
        ("'90s music", "'90s music"),
        ("'7210448301122", "''7210448301122"),
        ("", ""),
    ],
)
def test_what_is_put_in_front_of_what(cell: str, safe: str) -> None:
    assert defused(cell) == safe


@given(st.integers(-(2**63), 2**63 - 1) | st.floats(allow_nan=False, allow_infinity=False))
def test_numbers_come_back(value: float) -> None:
    back = read_value(write_value(value, "number"), "number")
    assert back == value
    assert type(back) is type(value)


@given(json_values.filter(lambda value: value is not None))
def test_any_json_comes_back(value: Json) -> None:
    assert same(read_value(write_value(value, "json"), "json"), value)


@pytest.mark.parametrize(
    ("cell", "kind", "value"),
    [
        (" 12 ", "number", 12),
        ("-12.50", "number", -12.5),
        ("1e3", "number", 1000.0),
        ("99999999999999999999", "number", 1e20),
        ("Yes", "boolean", True),
        ("0", "boolean", False),
        ("1990-03-15", "date", "1990-03-15"),
        ("15.3.1990", "date", "1990-03-15"),
        ("15. 3. 1990", "date", "1990-03-15"),
        (" 007 ", "text", " 007 "),
        ('"5"', "json", "5"),
    ],
)
def test_what_a_cell_says(cell: str, kind: str, value: Json) -> None:
    assert read_value(cell, kind) == value  # type: ignore[arg-type]


@pytest.mark.parametrize(
    ("cell", "kind", "words"),
    [
        ("12,5", "number", "must be a number"),
        ("1e999", "number", "must be a number"),
        ("maybe", "boolean", "true or false"),
        ("31.2.1990", "date", "must be a date"),
        ("3/15/1990", "date", "must be a date"),
        ("Brno", "json", "stands in quotes"),
    ],
)
def test_what_a_cell_cannot_say(cell: str, kind: str, words: str) -> None:
    with pytest.raises(ValueError, match=words):
        read_value(cell, kind)  # type: ignore[arg-type]


@given(st.dates())
def test_dates_are_kept_as_iso(day: date) -> None:
    assert read_value(day.isoformat(), "date") == day.isoformat()


tags = st.text(st.characters(categories=["L", "N", "P", "S"]), min_size=1, max_size=20)


@given(st.lists(tags, max_size=4))
def test_tags_come_back(given_tags: list[str]) -> None:
    assert read_tags(write_tags(given_tags)) == given_tags


def test_tags_as_people_write_them() -> None:
    assert read_tags("vip; new customer,,brno ;") == ["vip", "new customer", "brno"]
    assert read_tags('["a,b", "c"]') == ["a,b", "c"]
    for cell in ("x" * 101, "[1]", "[broken", "a\x07b"):
        with pytest.raises(ValueError, match=r"tag|list"):
            read_tags(cell)


def test_lists_come_back() -> None:
    statuses = {"news": "subscribed", "shop": "unsubscribed"}
    assert read_lists(write_lists(statuses), LIST_STATUSES) == statuses
    assert read_lists("news; shop : bounced,", LIST_STATUSES) == {"news": "subscribed", "shop": "bounced"}
    for cell, words in (("News", "no list's key"), ("news:happy", "no status")):
        with pytest.raises(ValueError, match=words):
            read_lists(cell, LIST_STATUSES)


@pytest.mark.parametrize(
    ("cell", "tags"),
    [
        ('"VIP","Bread, fresh"', ["VIP", "Bread, fresh"]),
        ('"VIP"; "a ""b"""', ["VIP", 'a "b"']),
        ('vip, 5" pipe, ', ["vip", '5" pipe']),
        ('vip, "a;b"', ["vip", "a;b"]),
        ("vip;brno,fair", ["vip", "brno", "fair"]),
        ('["vip", "a, b"]', ["vip", "a, b"]),
        ('"', ['"']),
    ],
)
def test_tags_in_the_quoting_of_other_systems(cell: str, tags: list[str]) -> None:
    assert read_tags(cell) == tags


@given(st.lists(st.text(st.characters(categories=["L", "N", "P", "S"]), min_size=1, max_size=20), max_size=5))
def test_tags_come_back_whatever_is_in_them(tags: list[str]) -> None:
    assert read_tags(write_tags(tags)) == tags


@pytest.mark.parametrize("cell", ["'7210448301122", "'+33611111111", "'001", "'2024-03-14"])
def test_an_apostrophe_before_a_number_is_a_spreadsheets(cell: str) -> None:
    assert restored(cell) == cell[1:]
