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
        ("City", Column("City", "fields", "city")),
        ("Colour", Column("Colour", "fields", "Colour")),
        ("Shoe size", Column("Shoe size", "fields", "shoe_size")),
        ("2nd choice", Column("2nd choice", "fields", "_2nd_choice")),
        ("???", None),
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
    twice = problems_of(["email", "E-mail"], {"email": "email", "E-mail": "email"})
    assert "the same as the column «email»" in twice["/columns/E-mail"]
    found = problems_of(["email", "age", "a/b"], {"age": "age:numeral", "a/b": "a b"})
    assert found.keys() == {"/columns/age", "/columns/a~1b"}
    assert "null leaves the column out" in found["/columns/age"]


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
        (["a@example.com", ""], []),
        (["a@example.com", "", "", "", "", "", "", " "], []),
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


def test_a_bad_optional_value_costs_that_value_and_not_the_row() -> None:
    header = ["email", "phone", "language", "time_zone", "n", "born", "tags", "city"]
    mapping: dict[str, str | None] = {"n": "n:number", "born": "born:date"}
    cells = ["a@example.com", "(775) 555-0154", "???", "Mars", "many", "32.1.1990", "x" * 200, "Brno"]
    read = row(header, cells, mapping)
    assert not read.refused
    assert read.identities.given() == {"email": "a@example.com"}
    assert (read.extra, read.tags) == ({"fields": {"city": "Brno"}}, [])
    assert sorted(p.pointer for p in read.problems) == [
        "/born",
        "/language",
        "/n",
        "/phone",
        "/tags",
        "/time_zone",
    ]


@pytest.mark.parametrize(
    ("cells", "refused", "given"),
    [
        (["7", "bad", ""], False, {"external_id": "7"}),
        (["7\x00", "a@example.com", ""], False, {"email": "a@example.com"}),
        (["", "bad", "+420601234567"], True, None),
        (["7.21045E+12", "a@example.com", ""], False, {"email": "a@example.com"}),
        (["7.21045E+12", "", "+420601234567"], True, None),
        (["", "a@example.com", "4.20601E+11"], False, {"email": "a@example.com"}),
        (["", "", "12"], True, None),
        (["", "", ""], True, None),
    ],
)
def test_a_bad_identity_costs_the_row_only_if_it_is_needed(
    cells: list[str], refused: bool, given: dict[str, str] | None
) -> None:
    """Whom a weaker identity finds may be somebody else than the one who cannot be read."""
    read = row(["external_id", "email", "phone"], cells)
    assert read.refused is refused
    assert read.problems
    if given is not None:
        assert read.identities.given() == given


def test_a_number_that_a_spreadsheet_has_rounded_is_named_as_that() -> None:
    read = row(["email", "id", "phone"], ["a@example.com", "7,21045E+12", "4.20601E+11"])
    assert ["rounded" in problem.message for problem in read.problems] == [True, True]


@pytest.mark.parametrize(
    ("country", "phone", "read"),
    [
        ("US", "(775) 555-0154", "+17755550154"),
        ("CZ", "601 234 567", "+420601234567"),
        ("CZ", "+1 775 555 0154", "+17755550154"),
        ("CZ", "00420601234567", "+420601234567"),
        ("CZ", "12", None),
        (None, "601 234 567", None),
    ],
)
def test_a_national_phone_number_needs_a_country(country: str | None, phone: str, read: str | None) -> None:
    columns = read_columns(["email", "phone"], {})
    taken = read_row(2, ["nat@example.com", phone], columns, country=country)
    assert (taken.refused, taken.identities.phone) == (False, read)
    assert [p.pointer for p in taken.problems] == ([] if read else ["/phone"])


@pytest.mark.parametrize(
    ("header", "cell", "subscription", "email_state"),
    [
        ("EMAIL_BLACKLISTED", "Yes", "unsubscribed", "unsubscribed"),
        ("EMAIL_BLACKLISTED", "No", None, "ok"),
        ("Email Opt Out", "1", "unsubscribed", "unsubscribed"),
        ("Accepts Email Marketing", "yes", "subscribed", "ok"),
        ("Accepts Email Marketing", "no", "unsubscribed", "ok"),
        ("Status", "cleaned", "bounced", "bounced"),
        ("Status", "Unsubscribed", "unsubscribed", "ok"),
        ("Status", "non-subscribed", "none", "ok"),
        ("Status", "nonSubscribed", "none", "ok"),
        ("Status", "SUBSCRIBED", "subscribed", "ok"),
        ("Stav", "odhlášen", "unsubscribed", "ok"),
        ("Status", "marked as spam", "complained", "complained"),
        ("Status", "what?", "none", "ok"),
        ("EMAIL_BLACKLISTED", "maybe", "none", "ok"),
        ("Status", "", None, "ok"),
    ],
)
def test_what_another_system_says_of_consent(
    header: str, cell: str, subscription: str | None, email_state: str
) -> None:
    read = row(["email", header], ["a@example.com", cell])
    assert (read.refused, read.subscription, read.email_state) == (False, subscription, email_state)
    assert bool(read.problems) == (cell in {"what?", "maybe"}), (
        "what cannot be read is named, and is no consent"
    )


def test_of_two_columns_the_one_that_says_no_counts() -> None:
    header = ["email", "Status", "EMAIL_BLACKLISTED", "SMS_BLACKLISTED"]
    assert row(header, ["a@example.com", "active", "yes", ""]).subscription == "unsubscribed"
    assert row(header, ["a@example.com", "pending", "no", ""]).subscription == "none"
    assert row(header, ["a@example.com", "", "", "Yes"]).consent == {"sms": {"granted": False}}


def test_equal_headers_are_told_apart() -> None:
    columns = read_columns(["name", "email", "email", ""], {"email": None, "email#2": "email"})
    assert columns == [Column("name", "fields", "name"), None, Column("email#2", "email"), None]
    known = read_columns(["name", "email", "email", ""], {})
    assert known[1:] == [Column("email", "email"), Column("email#2", "fields", "email_2"), None]


def test_what_is_not_known_is_kept_under_a_made_name_or_dropped() -> None:
    header = ["email", "Shoe size", "shoe-size", "Größe (EU)", "Colour"]
    kept = [column.name for column in read_columns(header, {}) if column and column.target == "fields"]
    assert kept == ["shoe_size", "shoe_size_2", "grosse_eu", "Colour"]
    dropped = [column for column in read_columns(header, {"Shoe size": "size"}, "drop") if column]
    assert [column.name for column in dropped] == ["", "size", "Colour"]


@pytest.mark.parametrize(
    ("kind", "cell", "day"),
    [
        ("date_mdy", "03/15/1990", "1990-03-15"),
        ("date_dmy", "15/03/1990", "1990-03-15"),
        ("date_dmy", "15.3.1990 00:00", "1990-03-15"),
        ("date_dmy", "1990-03-15", "1990-03-15"),
        ("date_mdy", "15/03/1990", None),
        ("date", "03/15/1990", None),
    ],
)
def test_a_local_form_of_a_date_is_read_only_as_told(kind: str, cell: str, day: str | None) -> None:
    read = row(["email", "born"], ["a@example.com", cell], {"born": f"born:{kind}"})
    assert read.extra["fields"] == ({"born": day} if day else {})
    assert [p.pointer for p in read.problems] == ([] if day else ["/born"])
