"""What a person's traits are here: columns of the contact, or fields under the names that recipes, letters and
audiences read. Pure. The table is in `docs/segment.md`.

The reserved traits: https://segment.com/docs/connections/spec/identify/#traits
"""

import re
import unicodedata
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Final

from processes.values import Json

FIELDS: Final = "fields/"
COLUMN_TRAITS: Final = {
    "email": "email",
    "phone": "phone",
    "language": "language",
    "locale": "language",
    "timezone": "time_zone",
    "timeZone": "time_zone",
    "time_zone": "time_zone",
}
"""Traits that are no fields of the contact's own."""
RESERVED: Final = {
    "firstname": "first_name",
    "lastname": "last_name",
    "postalcode": "postal_code",
    "zipcode": "postal_code",
    "zip": "postal_code",
    "createdat": "created_at",
    "birthday": "birthday",
    "birthdate": "birthday",
    "dateofbirth": "birthday",
}
"""The field of a reserved trait, by its name in lower case without what joins words: `firstName`, `first_name` and
`First Name` are one.
"""
ADDRESS: Final = ("street", "city", "state", "postal_code", "country")
"""The fields of the trait `address` where it is an object."""
COMPANY: Final = "company"
COMPANY_PARTS: Final = ("id", "industry", "employee_count", "plan")
"""What the trait `company` may say beside its name, in fields such as `company_industry`."""

_JOINING = re.compile(r"[^A-Za-z0-9]+")
_NOT_IN_A_FIELD = re.compile(r"[^A-Za-z0-9_]+")
_CAPITAL = re.compile(r"(?<=[a-z0-9])(?=[A-Z])")


@dataclass(frozen=True, slots=True)
class Placed:
    """A trait in its place: `email`, `fields/first_name`. `path` leads to it, among the traits."""

    place: str
    value: Json
    path: tuple[str, ...]
    exact: bool = False
    """Whether it was sent under this very name."""


def placed(traits: Mapping[str, Json]) -> dict[str, Placed]:
    """Every trait in its place. Of two that mean the same place, the one of that very name counts, else the first."""
    found: dict[str, Placed] = {}
    for name, value in traits.items():
        for one in _spread(name, value):
            before = found.get(one.place)
            if before is None or (one.exact and not before.exact):
                found[one.place] = one
    return found


def without(traits: Mapping[str, Json], path: tuple[str, ...]) -> dict[str, Json]:
    """The traits without the one at a path."""
    name, *inner = path
    value = traits.get(name)
    if not inner or not isinstance(value, dict):
        return {one: value for one, value in traits.items() if one != name}
    return {**traits, name: without(value, tuple(inner))}


def trait_place(trait: str) -> str:
    """What a trait with a single value is here: a column of the contact (`email`), or a field: «total billed» is
    `fields/total_billed`. A name in another script has no place: `fields/`.
    """
    column = COLUMN_TRAITS.get(trait)
    if column is not None:
        return column
    reserved = RESERVED.get(_JOINING.sub("", trait).lower())
    if reserved is not None:
        return FIELDS + reserved
    plain = without_accents(trait)
    if not plain.strip() or any(c.isalnum() and not c.isascii() for c in plain):
        return FIELDS
    name = _NOT_IN_A_FIELD.sub("_", plain)[:64]
    return FIELDS + (f"_{name}"[:64] if name[:1].isdigit() else name)


def without_accents(text: str) -> str:
    """The text with the accents of Latin letters left out. In other scripts a mark makes another letter: й, が."""
    kept: list[str] = []
    for character in unicodedata.normalize("NFC", text):
        base = unicodedata.normalize("NFKD", character)
        latin = base[:1].isascii() and base[:1].isalpha()
        kept.append("".join(c for c in base if not unicodedata.combining(c)) if latin else character)
    return "".join(kept)


def _spread(name: str, value: Json) -> Iterator[Placed]:
    if name == "address" and (value is None or isinstance(value, dict)):
        parts = {_part(part): (part, inner) for part, inner in (value or {}).items()}
        for part in ADDRESS:
            if value is None:
                yield Placed(FIELDS + part, None, (name,))
            elif part in parts:
                sent, inner = parts[part]
                yield Placed(FIELDS + part, inner, (name, sent))
        return
    if name == COMPANY and isinstance(value, dict):
        parts = {_part(part): (part, inner) for part, inner in value.items()}
        for part in ("name", *COMPANY_PARTS):
            if part in parts:
                sent, inner = parts[part]
                field = COMPANY if part == "name" else f"{COMPANY}_{part}"
                yield Placed(FIELDS + field, inner, (name, sent), part == "name")
        return
    place = trait_place(name)
    yield Placed(place, value, (name,), place.removeprefix(FIELDS) == name)


def _part(name: str) -> str:
    """`postalCode` as `postal_code`."""
    plain = _CAPITAL.sub("_", name).lower()
    return RESERVED.get(_JOINING.sub("", plain), plain)
