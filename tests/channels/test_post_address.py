"""A postal address out of the fields of a contact, or what is missing of it."""

from typing import Any

import pytest

from channels.post_address import LONGEST_PART, NoAddress, address_lines

JANA = {
    "name": "Jana Nováková",
    "street": "Dlouhá 1",
    "postal_code": "110 00",
    "city": "Praha",
    "country": "CZ",
}


@pytest.mark.parametrize(
    ("changed", "home", "last"),
    [
        ({}, "CZ", "110 00 Praha"),
        ({}, "DE", "CZECHIA"),
        ({}, None, "CZECHIA"),
        ({"country": "cz"}, "CZ", "110 00 Praha"),
        ({"country": "Czechia"}, "CZ", "110 00 Praha"),
        ({"country": "Česko"}, "CZ", "ČESKO"),
        ({"country": "XX"}, "CZ", "XX"),
    ],
)
def test_abroad_the_country_stands_last_in_capitals(changed: Any, home: str | None, last: str) -> None:
    lines = address_lines({**JANA, **changed}, home)
    assert lines[:3] == ("Jana Nováková", "Dlouhá 1", "110 00 Praha")
    assert lines[-1] == last


def test_the_name_may_be_in_two_fields() -> None:
    fields = {**JANA, "name": None, "first_name": "Jana", "last_name": "Nováková"}
    assert address_lines(fields, None)[0] == "Jana Nováková"


def test_blanks_and_line_ends_make_no_lines_of_their_own() -> None:
    lines = address_lines({**JANA, "name": " Jana\r\n\tNováková ", "street": "Dlouhá\n1"}, "CZ")
    assert lines == ("Jana Nováková", "Dlouhá 1", "110 00 Praha")


def test_what_is_missing_is_named() -> None:
    with pytest.raises(NoAddress, match=r"no postal address: name, street, country missing"):
        address_lines({"city": "Praha", "postal_code": "1", "street": " ", "country": None}, None)


def test_a_part_that_is_too_long_is_none() -> None:
    with pytest.raises(NoAddress, match="street too long"):
        address_lines({**JANA, "street": "x" * (LONGEST_PART + 1)}, None)
