"""Exports of the usual systems come in without a `--map`: header lines as those systems write them, invented people."""

from pathlib import Path
from typing import Any

import pytest

from intake.csv_records import Records
from intake.import_columns import Row, read_columns, read_row
from intake.import_headers import plain

EXPORTS = {
    path.stem: path.read_bytes() for path in sorted(Path(__file__).with_name("usual_exports").iterdir())
}
"""A header line and a row of each system."""


def lines(name: str) -> list[list[str]]:
    """The records of a system's export."""
    return [cells for _, cells in Records().feed(EXPORTS[name], last=True)]


def imported(name: str) -> Row:
    """The row of a system's export, read without any word about its columns."""
    header, cells = lines(name)
    return read_row(2, cells, read_columns(header, {}))


@pytest.mark.parametrize("name", EXPORTS)
def test_a_usual_export_needs_no_map(name: str) -> None:
    row = imported(name)
    assert not row.refused, row.problems
    assert row.problems == []
    assert row.identities.email == "fia@example.com"
    first_or_whole = {row.extra["fields"].get("first_name"), row.extra["fields"].get("name")}
    assert first_or_whole & {"Fia", "Fia Berg"}
    assert (row.subscription, row.email_state) in {(None, "ok"), ("subscribed", "ok")}


@pytest.mark.parametrize("name", [name for name, file in EXPORTS.items() if b"46701234567" in file])
def test_the_number_that_can_get_a_text_is_the_phone(name: str) -> None:
    assert imported(name).identities.phone == "+46701234567"


@pytest.mark.parametrize("name", [name for name, file in EXPORTS.items() if b"vip" in file.lower()])
def test_tags_are_what_the_system_meant(name: str) -> None:
    said = EXPORTS[name].lower()
    wanted = (
        ["vip", "bread, fresh"]
        if b"bread, fresh" in said
        else [t for t in ("vip", "bread") if t.encode() in said]
    )
    assert [tag.lower() for tag in imported(name).tags] == wanted


@pytest.mark.parametrize(
    ("name", "values"),
    [
        ("mailchimp", {"tags": ["VIP", "Bread, fresh"], "fields": {"MEMBER_RATING": "4", "LEID": "1"}}),
        ("shopify", {"external_id": "7210448301122", "fields": {"street": "Kungsgatan 1", "postal_code": "111 43"}}),
        ("salesforce", {"external_id": "003xx0001", "fields": {"company": "Berg AB", "city": "Stockholm"}}),
        ("smartemailing", {"fields": {"first_name": "Fia", "postal_code": "11143", "pohlavi": None}}),
        ("salesforce", {"fields": {"mailing_state_province": None, "salutation": None, "Salutation": "Ms."}}),
        ("hubspot", {"fields": {"create_date_gmt_1": "2024-03-14 09:12"}}),
        ("braze", {"external_id": "u7", "fields": {"user_id": "b7"}}),
        ("pipedrive", {"external_id": "7", "fields": {"first_name": "Fia", "person_organization": None}}),
    ],
)  # fmt: skip
def test_what_else_is_known_and_what_is_kept_under_a_made_name(name: str, values: dict[str, Any]) -> None:
    row = imported(name)
    if "external_id" in values:
        assert row.identities.external_id == values["external_id"]
    if "tags" in values:
        assert row.tags == values["tags"]
    for field, value in values["fields"].items():
        assert row.extra["fields"].get(field) == value


@pytest.mark.parametrize("name", EXPORTS)
def test_the_rest_can_be_dropped_and_a_second_look_means_the_same(name: str) -> None:
    names = lines(name)[0]
    kept, dropped = read_columns(names, {}), read_columns(names, {}, "drop")
    assert kept == read_columns(names, {})
    assert [one for one in dropped if one] == [one for one in kept if one in dropped and one]
    fields = [one.name for one in kept if one and one.target == "fields"]
    assert len(fields) == len(set(fields))


def test_a_header_is_known_however_it_is_written() -> None:
    for one in ("E-mail Address", "email_address", "EMAIL ADDRESS", " Email-Address ", "E-Mail-Address"):
        assert plain(one) == "email address"
    assert plain("Příjmení") == "prijmeni"
