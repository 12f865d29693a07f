"""What a header means, and what is wrong with it or with a row, named by its column."""

import pytest

from intake.import_columns import Column, Row, read_columns, read_row
from processes.problems import DocumentInvalid


def problems_of(header: list[str], mapping: dict[str, str | None]) -> dict[str, str]:
    """What is wrong with a header, by its place."""
    with pytest.raises(DocumentInvalid) as error:
        read_columns(header, mapping)
    return {problem.pointer: problem.message for problem in error.value.problems}


def row(header: list[str], cells: list[str], mapping: dict[str, str | None] | None = None) -> Row:
    """A row under a header."""
    return read_row(7, cells, read_columns(header, mapping or {}))


@pytest.mark.parametrize(
    ("header", "column"),
    [
        ("email", Column("email", "email")),
        ("E-mail", Column("E-mail", "email")),
        ("EmailAddress", Column("EmailAddress", "email")),
        ("ContactId", Column("ContactId", "external_id")),
        ("ID", Column("ID", "external_id")),
        ("phone", Column("phone", "phone")),
        ("timezone", Column("timezone", "time_zone")),
        ("Tags", Column("Tags", "tags")),
        ("City", Column("City", "fields", "City")),
        ("fields.email", Column("fields.email", "fields", "email")),
        ("fields.age:number", Column("fields.age:number", "fields", "age", "number")),
        ("onward_id", None),
    ],
)
def test_what_a_column_means_by_its_name(header: str, column: Column | None) -> None:
    assert read_columns([header, "token"], {})[0] == column


def test_a_mapping_comes_before_the_name() -> None:
    columns = read_columns(
        ["Mail", "email", "Narozeniny"], {"Mail": "email", "email": None, "Narozeniny": "birthday:date"}
    )
    assert columns == [
        Column("Mail", "email"),
        None,
        Column("Narozeniny", "fields", "birthday", "date"),
    ]


def test_a_header_that_says_too_much_or_too_little_is_refused() -> None:
    assert "no such column" in problems_of(["email"], {"Mail": "email"})["/columns/Mail"]
    assert "who the rows are about" in problems_of(["city"], {})["/columns"]
    assert "the same as the column «email»" in problems_of(["email", "E-mail"], {})["/columns/E-mail"]
    found = problems_of(["email", "first name", "age", "a/b"], {"age": "age:numeral"})
    assert found.keys() == {"/columns/first name", "/columns/age", "/columns/a~1b"}
    assert "null leaves the column out" in found["/columns/first name"]


def test_a_row_is_normalised_as_in_the_api() -> None:
    read = row(
        ["id", "email", "phone", "language", "time_zone", "city", "fields.n:number"],
        [" 7 ", " Anna@Example.COM ", "+420 601 234 567", "cs", "Europe/Prague", " Brno", "5"],
    )
    assert read.problems == []
    assert read.identities.given() == {
        "external_id": "7",
        "email": "anna@example.com",
        "phone": "+420601234567",
    }
    assert read.extra == {
        "language": "cs",
        "time_zone": "Europe/Prague",
        "fields": {"city": " Brno", "n": 5},
    }


def test_empty_cells_say_nothing() -> None:
    read = row(["email", "phone", "city", "tags", "lists"], ["a@example.com", "", " ", "", ""])
    assert (read.identities.given(), read.extra) == ({"email": "a@example.com"}, {"fields": {}})
    assert (read.tags, read.lists) == ([], {})


def test_defused_cells_are_read_as_what_they_were() -> None:
    read = row(["email", "phone", "formula"], ["a@example.com", "'+420601234567", "'=1+1"])
    assert read.identities.phone == "+420601234567"
    assert read.extra["fields"] == {"formula": "=1+1"}


@pytest.mark.parametrize(
    ("cells", "places"),
    [
        (["x", "", "", "", "", ""], ["/E-mail"]),
        (["a@example.com", "12", "", "", "", ""], ["/phone"]),
        (["a@example.com", "", "many", "", "", ""], ["/n"]),
        (["a@example.com", "", "", "Mars", "", ""], ["/time_zone"]),
        (["a@example.com", "", "", "", "Bad Key", ""], ["/lists"]),
        (["a@example.com", "", "", "", "", "happy"], ["/email_state"]),
        (["x", "12", "many", "Mars", "", "happy"], ["/E-mail", "/email_state", "/n", "/phone", "/time_zone"]),
        (["", "", "5", "", "", ""], [""]),
        (["a@example.com", ""], [""]),
        (["a@example.com", "", "", "", "", "", "x"], [""]),
        (["a\0@example.com", "", "", "", "", ""], ["/E-mail"]),
    ],
)
def test_a_bad_row_names_its_columns(cells: list[str], places: list[str]) -> None:
    read = row(["E-mail", "phone", "n", "time_zone", "lists", "email_state"], cells, {"n": "n:number"})
    assert sorted(problem.pointer for problem in read.problems) == places


def test_a_value_that_no_database_keeps_names_its_column() -> None:
    for cell in ("x" * 10_001, "a\0b"):
        assert [p.pointer for p in row(["email", "note"], ["a@example.com", cell]).problems] == ["/note"]
    deep = "[" * 12 + "]" * 12
    read = row(["email", "fields.deep:json"], ["a@example.com", deep])
    assert {p.pointer for p in read.problems} == {"/fields.deep:json"}
