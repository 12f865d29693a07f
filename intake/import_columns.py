"""What the columns of an import mean, and rows read by them. Values only: who a row is about is asked elsewhere.

The headers that are known are in `intake/import_headers.py`; another one is the contact's own field of that name.
"""

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Final, Literal, get_args

import phonenumbers

from intake.csv_cells import Kind, damaged_number, read_lists, read_tags, read_value, restored
from intake.events import Identities, check_json, read_contact
from intake.import_headers import (
    INTERNATIONAL,
    OPT_IN,
    OPT_OUT,
    SMS_OPT_IN,
    SMS_OPT_OUT,
    STATUS,
    field_name,
    rank,
    subscription,
    usual,
    yes_or_no,
)
from processes.addresses import STRICT, AddressRules
from processes.problems import DocumentInvalid, Problem, pointer
from processes.rule_values import ListStatus
from processes.values import Json

EMAIL_STATES: Final = ("ok", "unsubscribed", "bounced", "complained")
"""What may be said of mail to a contact, the better first."""
LIST_STATUSES: Final[tuple[str, ...]] = get_args(ListStatus)
OWN: Final = ("external_id", "email", "phone", "token", "language", "time_zone")
"""Columns that are read as in the API's contact."""
CONSENTS: Final = (STATUS, OPT_IN, OPT_OUT, SMS_OPT_IN, SMS_OPT_OUT)
"""Columns in which another system says whether it may write to somebody."""
TARGETS: Final = (*OWN, "tags", "lists", "email_state", "consent", *CONSENTS)
Rest = Literal["keep", "drop"]
"""What becomes of a column that nobody knows: it is a field of the contact, or it is left out."""
LEFT_OUT: Final = frozenset({"onward_id", "created_at"})
MOST_COLUMNS: Final = 1000
"""Columns of an export that only inform."""
FIELD_PREFIX: Final = "fields."
DAMAGED: Final = "a spreadsheet has rounded this number: format the column as text and export it again"

BLANK: Final = " \t\r\n"
"""A cell of these alone says nothing."""

_FIELD = re.compile(r"([A-Za-z_][A-Za-z0-9_]{0,63})(?::([a-z_]+))?")
_REPEATED = re.compile(r"#[0-9]+$")
_DIGITS = re.compile(r"[0-9]{7,15}")
_KINDS: Final[tuple[Kind, ...]] = get_args(Kind)


@dataclass(frozen=True, slots=True)
class Column:
    """A column: what stands in the header, one of TARGETS or `fields`, and for a field its name and kind."""

    header: str
    target: str
    name: str = ""
    kind: Kind = "text"
    international: bool = False

    @property
    def meaning(self) -> tuple[str, str]:
        """What only one column can mean."""
        return self.target, self.name


@dataclass(slots=True)
class Row:
    """A row of an import. `problems` point at columns by their headers. A refused row means nothing; of another, what
    a problem names was left out.

    `subscription` is what another system says of the list that the import subscribes to: a status, `none` for who is
    not in it (yet), or None if the row says nothing.
    """

    line: int
    identities: Identities = field(default_factory=Identities)
    extra: dict[str, Any] = field(default_factory=dict)
    tags: list[str] = field(default_factory=list)
    lists: dict[str, str] = field(default_factory=dict)
    email_state: str = "ok"
    subscription: str | None = None
    consent: dict[str, Json] = field(default_factory=dict)
    problems: list[Problem] = field(default_factory=list)
    places: dict[str, str] = field(default_factory=dict)
    refused: bool = False

    def refuse(self, target: str, message: str) -> None:
        """Refuse the row, because of the column that `target` (one of TARGETS, or empty: the row) came from."""
        self.refused = True
        self.leave_out(target, message)

    def leave_out(self, target: str, message: str) -> None:
        """Say of a value that it was left out; the row is taken without it."""
        self.problems.append(Problem(pointer=self.places.get(target, ""), message=message))


def read_columns(
    header: Sequence[str], mapping: Mapping[str, str | None], rest: Rest = "keep"
) -> list[Column | None]:
    """What each column means; None for one that is left out. `mapping` says so by header: a target, or null. The second
    of two equal headers `email` is `email#2`. Of several columns that are known to mean the same, one is taken, and the
    others are fields.

    Raises DocumentInvalid with every problem, under `/columns`.
    """
    if len(header) > MOST_COLUMNS:
        message = f"the file has {len(header):,} columns; at most {MOST_COLUMNS:,} are read"
        raise DocumentInvalid([Problem(pointer="/columns", message=message)])
    nul = [number for number, name in enumerate(header, 1) if "\x00" in name]
    if nul:
        message = f"the name of column {nul[0]} has a NUL character"
        raise DocumentInvalid([Problem(pointer="/columns", message=message)])
    names = _told_apart([restored(name.strip()) for name in header])
    wanted = {name.strip(): target for name, target in mapping.items()}
    found = [
        Problem(pointer=pointer(["columns", name]), message="the file has no such column")
        for name in wanted
        if name not in names
    ]
    columns: dict[str, Column] = {}
    taken: dict[tuple[str, str], str] = {}
    for name, target in wanted.items():
        if name not in names or not target:
            continue
        column = _column(name, target)
        if column is None:
            found.append(Problem(pointer=pointer(["columns", name]), message=_unknown(target)))
            continue
        if column.meaning in taken:
            message = f"means the same as the column «{taken[column.meaning]}»: leave one out"
            found.append(Problem(pointer=pointer(["columns", name]), message=message))
        taken[column.meaning] = name
        columns[name] = column
    unmapped = [name for name in names if name not in wanted and name.lower() not in LEFT_OUT]
    known = [(name, column) for name in unmapped if (column := _known(name)) is not None]
    for name, column in sorted(known, key=lambda one: rank(_bare(one[0]))):
        if column.meaning not in taken:
            taken[column.meaning] = name
            columns[name] = column
    if rest == "keep":
        for name in unmapped:
            made = None if name in columns else field_name(name, (field for _, field in taken))
            if made is not None:
                columns[name] = Column(name, "fields", made)
                taken["fields", made] = name
    if not found and not any(column.target in OWN[:4] for column in columns.values()):
        found.append(
            Problem(
                pointer="/columns",
                message="no column says who the rows are about: external_id, email, phone or token",
            )
        )
    if found:
        raise DocumentInvalid(found)
    return [columns.get(name) for name in names]


def _told_apart(names: Sequence[str]) -> list[str]:
    """The headers, of which the second that is equal to one has `#2` behind it."""
    seen: dict[str, int] = {}
    found: list[str] = []
    for name in names:
        seen[name] = seen.get(name, 0) + 1
        found.append(name if seen[name] == 1 or not name else f"{name}#{seen[name]}")
    return found


def _bare(name: str) -> str:
    return _REPEATED.sub("", name)


def _known(name: str) -> Column | None:
    """What a header means by itself: a target of ours, a usual header, or a field's name."""
    if name.lower() in TARGETS:
        return _column(name, name.lower())
    if name.startswith(FIELD_PREFIX):
        return _column(name, name)
    target = usual(_bare(name))
    return _column(name, target or name)


def _column(header: str, target: str) -> Column | None:
    if target in TARGETS:
        return Column(header, target)
    if target == INTERNATIONAL:
        return Column(header, "phone", international=True)
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
    line: int,
    cells: Sequence[str],
    columns: Sequence[Column | None],
    *,
    country: str | None = None,
    addresses: AddressRules = STRICT,
) -> Row:
    """A row by its columns. Empty cells say nothing; missing ones at the end are empty. `country` (ISO 3166, two
    letters) is that of phone numbers without an international prefix; `addresses` says which e-mail addresses are
    taken.

    A value that cannot be read is left out, and stands in the row's `problems`. The row is refused if nobody is left
    whom it could be about, or only somebody found by a weaker identity than the one that cannot be read.
    """
    row = Row(line)
    cells = [*cells, *[""] * (len(columns) - len(cells))]
    if any(cell.strip(BLANK) for cell in cells[len(columns) :]):
        row.refuse("", f"has {len(cells)} cells, the header has {len(columns)}")
        return row
    document: dict[str, Json] = {}
    fields: dict[str, Json] = {}
    bad: set[str] = set()
    for cell, column in zip(cells[: len(columns)], columns, strict=True):
        if column is None or not cell.strip(BLANK):
            continue
        text = restored(cell)
        row.places[column.target if column.target != "fields" else f"fields/{column.name}"] = pointer(
            [column.header]
        )
        try:
            if "\x00" in text:
                raise ValueError("holds a NUL character")
            _read_cell(row, column, text, document, fields, country)
        except ValueError as error:
            bad.add(column.target)
            row.problems.append(Problem(pointer=pointer([column.header]), message=str(error)))

    def problem(place: str, message: str) -> None:
        parts = place.split("/")[2:]
        if parts[0] == "fields":
            fields.pop(parts[1], None)
        bad.add(parts[0])
        row.leave_out("/".join(parts[:2] if parts[0] == "fields" else parts[:1]), message)

    check_json(row.consent, "/contact/consent", problem)
    if "consent" in bad:
        row.consent = {}
    row.identities, row.extra = read_contact({**document, "fields": dict(fields)}, problem, addresses)
    row.extra["fields"] = fields
    if bad & {"email_state", STATUS, OPT_IN, OPT_OUT, "lists", "consent"}:
        # What it says of consent cannot be read: that is no consent.
        row.subscription = "none" if row.subscription in (None, "subscribed") else row.subscription
    _settle_whose(row, bad)
    return row


def _settle_whose(row: Row, bad: set[str]) -> None:
    given = row.identities.given()
    if not given and not bad.intersection(OWN[:4]):
        row.refuse("", "says nobody: a contact needs one of external_id, email, phone and token")
    elif not given or (bad.intersection(OWN[:2]) and not given.keys() & set(OWN[:2])):
        row.refused = True


def _read_cell(
    row: Row,
    column: Column,
    text: str,
    document: dict[str, Json],
    fields: dict[str, Json],
    country: str | None,
) -> None:
    match column.target:
        case "fields":
            fields[column.name] = read_value(text, column.kind)
        case "tags":
            row.tags = read_tags(text)
        case "lists":
            row.lists = read_lists(text, LIST_STATUSES)
        case "email_state":
            state = text.strip().lower()
            if state not in EMAIL_STATES:
                raise ValueError(f"must be one of {', '.join(EMAIL_STATES)}")
            _worsen(row, state)
        case "consent":
            consent = read_value(text, "json")
            if not isinstance(consent, dict):
                raise ValueError("must be a JSON object")
            row.consent = {**consent, **row.consent}
        case "status":
            _say(row, subscription(text))
        case "opt_in":
            _say(row, "subscribed" if yes_or_no(text) else "unsubscribed")
        case "opt_out":
            if yes_or_no(text):
                _say(row, "unsubscribed")
                _worsen(row, "unsubscribed")
        case "sms_opt_in" | "sms_opt_out":
            granted = yes_or_no(text) is (column.target == SMS_OPT_IN)
            if column.target == SMS_OPT_IN or not granted:
                row.consent = {**row.consent, "sms": {"granted": granted}}
        case "language":
            document["language"] = text.strip().replace("_", "-")
        case "phone":
            document["phone"] = _phone(text.strip(), country, column.international)
        case _:
            if column.target in OWN[:4] and damaged_number(text):
                raise ValueError(DAMAGED)
            document[column.target] = text.strip()


def _say(row: Row, status: str) -> None:
    """What another system says of the subscription. Of several that say something, the one that says no counts."""
    if row.subscription is None or row.subscription in ("subscribed", "none"):
        row.subscription = row.subscription if status == "subscribed" and row.subscription else status
    if status in ("bounced", "complained"):
        _worsen(row, status)


def _worsen(row: Row, state: str) -> None:
    if EMAIL_STATES.index(state) > EMAIL_STATES.index(row.email_state):
        row.email_state = state


def _phone(text: str, country: str | None, international: bool) -> str:
    """A phone number with its international prefix, where it can be told."""
    if damaged_number(text):
        raise ValueError(DAMAGED)
    if text.startswith("+") or not (country or international):
        return text
    if text.startswith("00"):
        return "+" + text[2:]
    if international and _DIGITS.fullmatch(text):
        return "+" + text
    try:
        number = phonenumbers.parse(text, country)
    except phonenumbers.NumberParseException:
        return text
    if country is None or not phonenumbers.is_valid_number(number):
        return text
    return phonenumbers.format_number(number, phonenumbers.PhoneNumberFormat.E164)
