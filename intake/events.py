"""Events as intake understands them: normalised, with every problem named by its field. No database here."""

import math
import re
import secrets
import time
from collections.abc import Mapping
from datetime import UTC, datetime, timedelta
from typing import Any

import phonenumbers
from pydantic import BaseModel, ConfigDict, Field

from intake.identity import NotAttached
from processes import dates
from processes.addresses import STRICT, AddressRules, read_address
from processes.clock import check_zone
from processes.problems import DocumentInvalid, Problem, pointer
from processes.values import EVENT_TYPE_PATTERN, Json

MAX_STRING = 10_000
MAX_DEPTH = 10
MAX_PARAMS = 200
MAX_IDENTITY = 255
FUTURE_TOLERANCE = timedelta(minutes=5)

_EVENT_TYPE = re.compile(EVENT_TYPE_PATTERN)
PARAM_NAME = re.compile(r"^[^\s.][^.\x00]{0,99}$")
"""How a param's name looks."""


class Identities(BaseModel):
    """What a contact is found by, in this order (C1): ContactId, e-mail, phone, token."""

    model_config = ConfigDict(frozen=True)

    external_id: str | None = None
    email: str | None = None
    phone: str | None = None
    token: str | None = None

    def given(self) -> dict[str, str]:
        """Those that are set, in order."""
        return {name: value for name, value in self if value is not None}


class IncomingEvent(BaseModel):
    """An event, checked and normalised. `occurred_at` is UTC, and None where the sender did not say.

    `contact_id` is our own id where the caller knows it already (a step, a person); `extra` is used where the
    event makes the contact. `forced` and `instance` (the id that the new instance must have) are words of a
    request that Onward itself makes: no sender can set them. `depth` counts the processes that led to it. `label`
    stands in the instance's id in place of the event's, where the event's own says less to people. `type_name` is what
    the sender calls the event's type, which a type that is new gets as its name. `test`: a test run
    led to it, and it starts nothing.
    """

    model_config = ConfigDict(frozen=True)

    id: str
    type: str
    key: str | None = None
    identities: Identities = Identities()
    contact_id: str | None = None
    occurred_at: datetime | None = None
    params: dict[str, Json] = Field(default_factory=dict)
    extra: dict[str, Json] = Field(default_factory=dict)
    source: str = "api"
    forced: bool = False
    instance: str | None = None
    depth: int = 0
    label: str | None = None
    test: bool = False
    type_name: str | None = None


class Decision(BaseModel):
    """What an event did to one process, and why."""

    process: str
    decision: str = Field(
        description="started, pending, stopped, continued, goal (the reason is its name), skipped or refused"
    )
    reason: str | None = None
    instance: str | None = None
    after: str | None = Field(
        default=None, description="The instance that must have ended before the one that is started begins."
    )
    stopped: list[str] | None = Field(
        default=None, description="The instances that were stopped first, of a start that is a restart."
    )
    rule: dict[str, bool] | None = Field(
        default=None, description="The conditions of the filter that decided, each with whether it held."
    )


def begins_after(instance: str) -> str:
    """Why an instance that was let in has not begun."""
    return f"it begins when {instance} has ended"


def pending(decision: Decision) -> Decision:
    """A start that was decided on, while its workflow has not been started."""
    after = decision.after
    reason = "Temporal has not confirmed the start yet" if after is None else begins_after(after)
    return decision.model_copy(update={"decision": "pending", "reason": reason})


class EventResult(BaseModel):
    """What an event did, process by process. The pointers of `not_attached` are ours, as those of `problems`."""

    id: str
    type: str
    status: str = Field(description="accepted, duplicate or refused")
    contact: str | None = Field(default=None, description="Our id of the contact found or created.")
    contact_status: str = Field(default="none", description="found, created, not_found or none")
    decisions: list[Decision] = Field(default_factory=list)
    problems: list[Problem] = Field(default_factory=list)
    not_attached: list[NotAttached] = Field(default_factory=list)


def new_event_id() -> str:
    """An id for an event whose sender gave none: sorts by time."""
    return f"{int(time.time() * 1000):012x}{secrets.token_hex(6)}"


def check_event(
    *,
    id: str | None,
    type: str,
    key: str | None,
    contact: Mapping[str, Json],
    occurred_at: str | datetime | None,
    params: Mapping[str, Json],
    received_at: datetime,
    source: str = "api",
    places: Mapping[str, str] | None = None,
    addresses: AddressRules = STRICT,
) -> IncomingEvent:
    """Check and normalise. `received_at` is the receiver's clock (UTC), which a future `occurred_at` is held against.

    `places` maps our names to the pointers that the sender used. `addresses` says which e-mail addresses are taken.
    Raises DocumentInvalid with every problem.
    """
    problems = _Problems(places or {})
    if not _EVENT_TYPE.fullmatch(type) or not _is_unicode(type):
        problems.add(
            "/type",
            "an event type is letters, digits, «_», «.», «:», «-», at most 100 characters",
        )
    if id is not None and not _is_plain(id, MAX_IDENTITY):
        problems.add("/id", f"an id has 1 to {MAX_IDENTITY} characters and no control characters")
    if key is not None and not _is_plain(key, MAX_IDENTITY):
        problems.add("/key", f"a key has 1 to {MAX_IDENTITY} characters and no control characters")
    occurred = _moment(occurred_at, received_at, problems)
    if len(params) > MAX_PARAMS:
        problems.add("/params", f"at most {MAX_PARAMS} params")
    for name, value in params.items():
        if not PARAM_NAME.fullmatch(name):
            problems.add(
                pointer(["params", name]),
                "a param's name has 1 to 100 characters, no dot, and no space in front",
            )
        check_json(value, pointer(["params", name]), problems.add)
    identities, extra = read_contact(contact, problems.add, addresses)
    problems.raise_any()
    return IncomingEvent(
        id=id if id is not None else new_event_id(),
        type=type,
        key=key,
        identities=identities,
        occurred_at=occurred,
        params=dict(params),
        extra=extra,
        source=source,
    )


def read_contact(
    contact: Mapping[str, Json], problem: Any, addresses: AddressRules = STRICT
) -> tuple[Identities, dict[str, Json]]:
    """The identities and the other properties of a contact as a sender writes it; `problem(pointer, message)`
    is called for each thing that is wrong. `addresses` says which e-mail addresses are taken.
    """
    values: dict[str, str] = {}
    for name in ("external_id", "email", "phone", "token"):
        value = contact.get(name)
        if name == "external_id" and value is None:
            value = contact.get("id")
        if isinstance(value, int) and not isinstance(value, bool):
            value = str(value)
        if value is None or value == "":
            continue
        if not isinstance(value, str):
            problem(f"/contact/{name}", "must be a text")
            continue
        try:
            values[name] = read_address(value, addresses) if name == "email" else _NORMALISE[name](value)
        except ValueError as error:
            problem(f"/contact/{name}", str(error))
    extra: dict[str, Json] = {}
    for name, value in contact.items():
        if name in {"id", "external_id", "email", "phone", "token"}:
            continue
        if name == "time_zone" and value is not None:
            try:
                extra[name] = check_zone(str(value))
            except ValueError as error:
                problem("/contact/time_zone", str(error))
        elif name == "language" and value is not None:
            if not isinstance(value, str) or not re.fullmatch(r"^[A-Za-z]{2,3}(-[A-Za-z0-9]{2,8})*$", value):
                problem("/contact/language", "must be a language tag such as «cs» or «en-GB»")
            else:
                extra[name] = value
        elif name == "fields":
            if not isinstance(value, dict):
                problem("/contact/fields", "must be an object")
            else:
                for field, content in value.items():
                    if not re.fullmatch(r"^[A-Za-z_][A-Za-z0-9_]{0,63}$", field):
                        problem(
                            pointer(["contact", "fields", field]),
                            "a field's name is letters, digits and «_», at most 64",
                        )
                    check_json(content, pointer(["contact", "fields", field]), problem)
                extra[name] = value
        elif value is not None:
            problem(pointer(["contact", name]), "unknown field")
    return Identities(**values), extra


def check_json(value: Any, place: str, problem: Any, depth: int = 1) -> None:
    """Call `problem(pointer, message)` for what neither database can keep, and for what is too large or too deep."""
    if depth > MAX_DEPTH:
        problem(place, f"nested deeper than {MAX_DEPTH} levels")
    elif isinstance(value, str):
        if len(value) > MAX_STRING:
            problem(place, f"longer than {MAX_STRING} characters")
        elif "\x00" in value:
            problem(place, "holds a NUL character")
        elif not _is_unicode(value):
            problem(place, "holds half a surrogate pair")
    elif isinstance(value, float) and not math.isfinite(value):
        problem(place, "is not a finite number")
    elif isinstance(value, int) and not -(2**63) <= value < 2**63:
        problem(place, "is an integer of more than 64 bits")
    elif isinstance(value, dict):
        for name, inner in value.items():
            check_json(name, place, problem, depth)
            check_json(inner, place + pointer([name]), problem, depth + 1)
    elif isinstance(value, list):
        for index, inner in enumerate(value):
            check_json(inner, f"{place}/{index}", problem, depth + 1)


class _Problems:
    def __init__(self, places: Mapping[str, str]) -> None:
        self._places = places
        self._found: list[Problem] = []

    def add(self, place: str, message: str) -> None:
        self._found.append(Problem(pointer=self._places.get(place, place), message=message))

    def raise_any(self) -> None:
        if self._found:
            raise DocumentInvalid(self._found)


def _moment(value: str | datetime | None, received_at: datetime, problems: _Problems) -> datetime | None:
    if value is None:
        return None
    if isinstance(value, str):
        read = dates.read_time(value)
        if read is None:
            problems.add("/occurred_at", "must be an ISO 8601 date and time, such as 2026-11-24T09:00:00Z")
            return None
        value = read
    if value.tzinfo is None:
        problems.add("/occurred_at", "must say its offset, such as …T09:00:00Z or …T09:00:00+01:00")
        return None
    try:
        value = value.astimezone(UTC)
    except OverflowError:
        problems.add("/occurred_at", "is outside the calendar")
        return None
    if value > received_at + FUTURE_TOLERANCE:
        problems.add("/occurred_at", "is in the future")
    elif value.year < 1970:
        problems.add("/occurred_at", "is before 1970")
    return value


def _is_unicode(value: str) -> bool:
    try:
        value.encode()
    except UnicodeEncodeError:
        return False
    return True


def _is_plain(value: str, limit: int) -> bool:
    return 0 < len(value) <= limit and value.isprintable()


def _plain(value: str) -> str:
    value = value.strip()
    if not _is_plain(value, MAX_IDENTITY):
        raise ValueError(f"has 1 to {MAX_IDENTITY} characters and no control characters")
    return value


def _phone(value: str) -> str:
    try:
        number = phonenumbers.parse(value, None)
    except phonenumbers.NumberParseException:
        raise ValueError("is not a phone number in international form, such as +420601234567") from None
    if not phonenumbers.is_possible_number(number):
        raise ValueError("is not a possible phone number")
    return phonenumbers.format_number(number, phonenumbers.PhoneNumberFormat.E164)


_NORMALISE = {"external_id": _plain, "phone": _phone, "token": _plain}
