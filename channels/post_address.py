"""A postal address out of a contact's fields, as it stands in the window of an envelope.

`name` (else `first_name` and `last_name`), `street`, `postal_code`, `city`, `country`: all must be there. The country
is a code of ISO 3166-1 (`CZ`) or a name; abroad it stands in the last line, in capitals, a code by its English name, as
the Universal Postal Union asks. At home it is left out.
"""

from collections.abc import Mapping

from babel import Locale

LONGEST_PART = 120
"""Characters of a field. What is longer is no part of an address."""

_ENGLISH = Locale("en")


class NoAddress(Exception):
    """The contact has no postal address, or not one that can be printed; the text says what is wrong."""


def address_lines(fields: Mapping[str, str | None], home: str | None) -> tuple[str, ...]:
    """The lines of the address, top to bottom.

    Args:
        fields: the contact's, as text.
        home: the country that the letter is posted in, by its code, or None.

    Raises:
        NoAddress: a field is missing or too long.
    """
    both = " ".join(part for name in ("first_name", "last_name") if (part := fields.get(name)))
    parts = {
        "name": fields.get("name") or both,
        "street": fields.get("street"),
        "postal_code": fields.get("postal_code"),
        "city": fields.get("city"),
        "country": fields.get("country"),
    }
    there = {name: " ".join(value.split()) for name, value in parts.items() if value}
    missing = [name for name in parts if not there.get(name)]
    if missing:
        raise NoAddress(f"the contact has no postal address: {', '.join(missing)} missing")
    too_long = [name for name, value in there.items() if len(value) > LONGEST_PART]
    if too_long:
        raise NoAddress(f"the contact has no postal address: {', '.join(too_long)} too long")
    lines = (there["name"], there["street"], f"{there['postal_code']} {there['city']}")
    country = _country(there["country"])
    at_home = home is not None and country == _country(home)
    return lines if at_home else (*lines, country)


def _country(written: str) -> str:
    name: str = _ENGLISH.territories.get(written.upper(), written) if len(written) == 2 else written
    return name.upper()
