"""What the columns of an import mean, and rows read by them. Values only: who a row is about is asked elsewhere.

The names that a header is known by are in `docs/imports.md`; another header is the contact's own field of that name.
"""

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Final, get_args

from intake.csv_cells import Kind, read_lists, read_tags, read_value, restored
from intake.events import Identities, check_json, read_contact
from processes.addresses import STRICT, AddressRules
from processes.problems import DocumentInvalid, Problem, pointer
from processes.rule_values import ListStatus
from processes.values import Json

EMAIL_STATES: Final = ("ok", "unsubscribed", "bounced", "complained")
"""What may be said of mail to a contact, the better first."""
LIST_STATUSES: Final[tuple[str, ...]] = get_args(ListStatus)
OWN: Final = ("external_id", "email", "phone", "token", "language", "time_zone")
"""Columns that are read as in the API's contact."""
TARGETS: Final = (*OWN, "tags", "lists", "email_state", "consent")
LEFT_OUT: Final = frozenset({"onward_id", "created_at"})
MOST_COLUMNS: Final = 1000
"""Columns of an export that only inform."""
FIELD_PREFIX: Final = "fields."

BLANK: Final = " \t\r\n"
"""A cell of these alone says nothing."""

_ALIASES: Final = {
    "id": "external_id",
    "contactid": "external_id",
    "contact_id": "external_id",
    "emailaddress": "email",
    "email_address": "email",
    "e-mail": "email",
    "timezone": "time_zone",
    "tag": "tags",
}
_FIELD = re.compile(r"([A-Za-z_][A-Za-z0-9_]{0,63})(?::([a-z]+))?")
_KINDS: Final[tuple[Kind, ...]] = get_args(Kind)


@dataclass(frozen=True, slots=True)
class Column:
    """A column: what stands in the header, one of TARGETS or `fields`, and for a field its name and kind."""

    header: str
    target: str
    name: str = ""
    kind: Kind = "text"


@dataclass(slots=True)
class Row:
    """A row of an import. `problems` point at columns by their headers; with one of them the rest means nothing."""

    line: int
    identities: Identities = field(default_factory=Identities)
    extra: dict[str, Any] = field(default_factory=dict)
    tags: list[str] = field(default_factory=list)
    lists: dict[str, str] = field(default_factory=dict)
    email_state: str = "ok"
    consent: dict[str, Json] = field(default_factory=dict)
    problems: list[Problem] = field(default_factory=list)
    places: dict[str, str] = field(default_factory=dict)

    def refuse(self, target: str, message: str) -> None:
        """Say what is wrong with the column that `target` (one of TARGETS, or empty: the row) came from."""
        self.problems.append(Problem(pointer=self.places.get(target, ""), message=message))


def read_columns(header: Sequence[str], mapping: Mapping[str, str | None]) -> list[Column | None]:
    """What each column means; None for one that is left out. `mapping` says so by header: a target, or null.

    Raises DocumentInvalid with every problem, under `/columns`.
    """
    if len(header) > MOST_COLUMNS:
        message = f"the file has {len(header):,} columns; at most {MOST_COLUMNS:,} are read"
        raise DocumentInvalid([Problem(pointer="/columns", message=message)])
    columns: list[Column | None] = []
    taken: dict[tuple[str, str], str] = {}
    wanted = {name.strip(): target for name, target in mapping.items()}
    names = [restored(name.strip()) for name in header]
    found = [
        Problem(pointer=pointer(["columns", name]), message="the file has no such column")
        for name in wanted
        if name not in names
    ]
    for name in names:
        place = pointer(["columns", name])
        target = wanted[name] if name in wanted else _usual(name)
        if not target:
            columns.append(None)
            continue
        column = _column(name, target)
        if column is None:
            found.append(Problem(pointer=place, message=_unknown(target)))
            continue
        meaning = (column.target, column.name)
        if meaning in taken:
            message = f"means the same as the column «{taken[meaning]}»: leave one out"
            found.append(Problem(pointer=place, message=message))
        taken[meaning] = name
        columns.append(column)
    if not found and not any(column and column.target in OWN[:4] for column in columns):
        found.append(
            Problem(
                pointer="/columns",
                message="no column says who the rows are about: external_id, email, phone or token",
            )
        )
    if found:
        raise DocumentInvalid(found)
    return columns


def _usual(name: str) -> str | None:
    lower = name.lower()
    if lower in LEFT_OUT:
        return None
    return _ALIASES.get(lower, lower if lower in TARGETS else name)


def _column(header: str, target: str) -> Column | None:
    if target in TARGETS:
        return Column(header, target)
    matched = _FIELD.fullmatch(target.removeprefix(FIELD_PREFIX))
    if matched is None:
        return None
    name, kind = matched[1], matched[2] or "text"
    known = next((one for one in _KINDS if one == kind), None)
    return None if known is None else Column(header, "fields", name, known)


def _unknown(target: str) -> str:
    return (
        f"«{target}» is no place for a column: one of {', '.join(TARGETS)}, or a field's name (letters, digits, «_»), "
        f"which may be followed by a colon and {', '.join(_KINDS)}; null leaves the column out"
    )


def read_row(
    line: int, cells: Sequence[str], columns: Sequence[Column | None], addresses: AddressRules = STRICT
) -> Row:
    """A row by its columns. Empty cells say nothing. What is wrong stands in the row's `problems`. `addresses` says
    which e-mail addresses are taken.
    """
    row = Row(line)
    if len(cells) != len(columns):
        row.refuse("", f"has {len(cells)} cells, the header has {len(columns)}")
        return row
    document: dict[str, Json] = {}
    fields: dict[str, Json] = {}
    for cell, column in zip(cells, columns, strict=True):
        if column is None or not cell.strip(BLANK):
            continue
        text = restored(cell)
        row.places[column.target if column.target != "fields" else f"fields/{column.name}"] = pointer(
            [column.header]
        )
        try:
            _read_cell(row, column, text, document, fields)
        except ValueError as error:
            row.problems.append(Problem(pointer=pointer([column.header]), message=str(error)))

    def problem(place: str, message: str) -> None:
        parts = place.split("/")[2:]
        target = "/".join(parts[:2] if parts[0] == "fields" else parts[:1])
        row.refuse(target, message)

    check_json(row.consent, "/contact/consent", problem)
    row.identities, row.extra = read_contact({**document, "fields": fields}, problem, addresses)
    if not row.problems and not row.identities.given():
        row.refuse("", "says nobody: a contact needs one of external_id, email, phone and token")
    return row


def _read_cell(
    row: Row, column: Column, text: str, document: dict[str, Json], fields: dict[str, Json]
) -> None:
    match column.target:
        case "fields":
            fields[column.name] = read_value(text, column.kind)
        case "tags":
            row.tags = read_tags(text)
        case "lists":
            row.lists = read_lists(text, LIST_STATUSES)
        case "email_state":
            row.email_state = text.strip().lower()
            if row.email_state not in EMAIL_STATES:
                raise ValueError(f"must be one of {', '.join(EMAIL_STATES)}")
        case "consent":
            consent = read_value(text, "json")
            if not isinstance(consent, dict):
                raise ValueError("must be a JSON object")
            row.consent = consent
        case _:
            document[column.target] = text.strip()
