"""The rule language: what conditions, trigger filters and segments ask about a contact and the event in hand.

A rule is a small tree of models, decided by which key is present (`tag`, `contact`, `all`, …). This module
reads, checks, writes and walks rules. It does not say whether one holds: `store/rules.py` compiles a rule to
SQL, the only implementation there is. `docs/rules.md` describes the language to its users.
"""

import difflib
import math
import re
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from datetime import UTC, date, datetime, timedelta
from typing import Annotated, ClassVar, Literal, Self, cast

from pydantic import (
    AfterValidator,
    BaseModel,
    ConfigDict,
    Field,
    StrictBool,
    StrictInt,
    StringConstraints,
    TypeAdapter,
    ValidationError,
    ValidatorFunctionWrapHandler,
    WithJsonSchema,
    WrapValidator,
    model_validator,
)
from pydantic_core import InitErrorDetails, PydanticCustomError
from typing_extensions import TypeAliasType

from processes.values import EventTypeKey, Key, StepId, Tag

MAX_DEPTH = 10
"""How many levels of rules a rule may have, itself included."""
MAX_LEAVES = 200
MAX_TEXT = 1000
MAX_CHOICES = 100
"""How many values `in` and `not_in` may list."""
MAX_LIST_INDEXES = 3
MAX_ELAPSED = timedelta(days=36_500)

TEXT_COLUMNS = frozenset({"external_id", "email", "phone", "language", "time_zone", "email_state"})
"""Facts of a contact that are texts outside its own fields."""
TIME_COLUMNS = frozenset({"created_at"})
"""Facts of a contact that are instants: `before`, `after` and `exists` only."""

Scalar = bool | int | float | str
Children = Iterator["RuleNode"]

_ELAPSED = re.compile(r"(?:[0-9]{1,9}[wdhms])+")
_ISO_ELAPSED = re.compile(
    r"P(?=.)(?:[0-9]{1,9}W)?(?:[0-9]{1,9}D)?(?:T(?=.)(?:[0-9]{1,9}H)?(?:[0-9]{1,9}M)?(?:[0-9]{1,9}S)?)?"
)
_UNIT = {"w": "weeks", "d": "days", "h": "hours", "m": "minutes", "s": "seconds"}
_INSTANT = re.compile(
    r"(?P<date>[0-9]{4}-[0-9]{2}-[0-9]{2})"
    r"(?:[T ](?P<time>(?:[01][0-9]|2[0-3]):[0-5][0-9](?::[0-5][0-9](?:\.[0-9]+)?)?)"
    r"(?P<zone>Z|[+-](?:0[0-9]|1[0-4]):[0-5][0-9])?)?"
)
_RELATIVE = re.compile(r"now(?:\s*(?P<sign>[+-])\s*(?P<elapsed>\S+))?")


# --- The values of a rule -------------------------------------------------------------------------


def parse_instant(text: str) -> datetime | None:
    """The instant that an ISO 8601 date, or date and time, names; None if it is no such text.

    In whole seconds: fractions are cut off. A date is its midnight in UTC, a time without offset is in UTC.
    """
    match = _INSTANT.fullmatch(text) if len(text) <= 64 else None
    if match is None:
        return None
    try:
        day = date.fromisoformat(match["date"])
        clock = (match["time"] or "00:00").partition(".")[0]
        return datetime.fromisoformat(f"{day}T{clock}{match['zone'] or 'Z'}").astimezone(UTC)
    except (ValueError, OverflowError):
        return None


def resolve_instant(text: str, now: datetime) -> datetime:
    """The instant of a `before` or `after` at `now` (aware), in whole seconds of UTC. Raises ValueError."""
    match = _RELATIVE.fullmatch(text)
    if match is None:
        instant = parse_instant(text)
        if instant is None:
            raise ValueError(f"{text!r} is neither a date, nor a date and time, nor relative to now")
        return instant
    shift = _elapsed(match["elapsed"]) if match["elapsed"] else timedelta(0)
    whole = now.astimezone(UTC).replace(microsecond=0)
    return whole - shift if match["sign"] == "-" else whole + shift


def _elapsed(text: str) -> timedelta:
    """Elapsed time: "30d", "12h", "1d12h" or ISO 8601 "P30D", "PT12H". Raises ValueError."""
    if not (_ELAPSED.fullmatch(text) or _ISO_ELAPSED.fullmatch(text)):
        raise ValueError(
            f"{text!r} is no length of time: write 45s, 90m, 12h, 30d, 2w or ISO 8601 such as P30D"
        )
    total = timedelta(0)
    for number, unit in re.findall(r"([0-9]+)([a-zA-Z])", text):
        total += timedelta(**{_UNIT[unit.lower()]: int(number)})
    if not timedelta(0) < total <= MAX_ELAPSED:
        raise ValueError(
            f"{text!r} is out of range: a length of time is more than nothing and at most 36500d"
        )
    return total


def _kind(value: object) -> str:
    names = {
        bool: "true or false",
        int: "a number",
        float: "a number",
        str: "a text",
        list: "a list",
        dict: "a mapping",
    }
    if isinstance(value, date):
        return "a date (write it in quotes)"
    return "nothing" if value is None else names.get(type(value), type(value).__name__)


def _wrong(code: str, message: str, **context: object) -> PydanticCustomError:
    return PydanticCustomError(code, cast(Literal["message"], message), context)


def _is_number(value: object) -> bool:
    if isinstance(value, float):
        return math.isfinite(value)
    return isinstance(value, int) and not isinstance(value, bool) and -(2**63) <= value < 2**63


def _scalar(value: object, _: ValidatorFunctionWrapHandler) -> object:
    if isinstance(value, bool) or _is_number(value):
        return value
    if isinstance(value, str):
        return _text_within(value, 0)
    if isinstance(value, (int, float)):
        raise _wrong("rule_number", "a finite number of at most 64 bits is needed")
    raise _wrong("rule_value", "a text, a number or true/false is needed, not {kind}", kind=_kind(value))


def _number(value: object, _: ValidatorFunctionWrapHandler) -> object:
    if not _is_number(value):
        raise _wrong(
            "rule_number", "a finite number of at most 64 bits is needed, not {kind}", kind=_kind(value)
        )
    return value


def _text_within(value: str, shortest: int) -> str:
    if not shortest <= len(value) <= MAX_TEXT:
        raise _wrong(
            "rule_text",
            "a text of {shortest} to {most} characters is needed",
            shortest=shortest,
            most=MAX_TEXT,
        )
    return value


def _text(value: object, _: ValidatorFunctionWrapHandler) -> object:
    if not isinstance(value, str):
        raise _wrong("rule_text", "a text is needed, not {kind}", kind=_kind(value))
    return _text_within(value, 1)


def _moment(value: object, _: ValidatorFunctionWrapHandler) -> object:
    if isinstance(value, date):  # YAML reads an unquoted date as one
        value = value.isoformat()
    if not isinstance(value, str):
        raise _wrong(
            "rule_date",
            "a date, a date and time or a text such as now-30d is needed, not {kind}",
            kind=_kind(value),
        )
    try:
        resolve_instant(value, datetime(2026, 1, 1, tzinfo=UTC))
    except ValueError as error:
        raise _wrong("rule_date", "{reason}", reason=str(error)) from None
    return value


def _length(value: object, _: ValidatorFunctionWrapHandler) -> object:
    if not isinstance(value, str):
        raise _wrong("rule_elapsed", "a length of time such as 30d is needed, not {kind}", kind=_kind(value))
    try:
        _elapsed(value)
    except ValueError as error:
        raise _wrong("rule_elapsed", "{reason}", reason=str(error)) from None
    return value


def _path(value: str) -> str:
    """A dotted path. Each part means the same on both databases: what only one could read is refused."""
    parts = value.split(".")
    if len(parts) > MAX_DEPTH or not all(0 < len(part) <= 100 for part in parts):
        raise _wrong(
            "rule_path",
            "a path is 1 to {most} names parted by dots, each 1 to 100 characters",
            most=MAX_DEPTH,
        )
    if any(character in '"\\' or not character.isprintable() for character in value):
        raise _wrong("rule_path", "a name in a path has no quotation mark, backslash or control character")
    if any(re.fullmatch(r"\s*[+-]?\d+\s*", part) and not is_index(part) for part in parts):
        raise _wrong("rule_path", "a list index is written 0, 1, 2 and so on")
    if sum(map(is_index, parts)) > MAX_LIST_INDEXES:
        raise _wrong("rule_path", "a path has at most {most} list indexes", most=MAX_LIST_INDEXES)
    return value


def is_index(part: str) -> bool:
    """Whether a part of a path can be the index of a list."""
    return re.fullmatch(r"0|[1-9][0-9]{0,8}", part) is not None


def _is_none(value: object) -> bool:
    return value is None


_Absent = Field(default=None, exclude_if=_is_none)
_SCALAR_SCHEMA = {
    "anyOf": [{"type": "string", "maxLength": MAX_TEXT}, {"type": "number"}, {"type": "boolean"}],
}
_TEXT_SCHEMA = {"type": "string", "minLength": 1, "maxLength": MAX_TEXT}

AnyScalar = Annotated[Scalar, WrapValidator(_scalar), WithJsonSchema(_SCALAR_SCHEMA)]
OneOf = Annotated[list[AnyScalar], Field(min_length=1, max_length=MAX_CHOICES)]
Number = Annotated[int | float, WrapValidator(_number), WithJsonSchema({"type": "number"})]
Text = Annotated[str, WrapValidator(_text), WithJsonSchema(_TEXT_SCHEMA)]
Moment = Annotated[
    str,
    WrapValidator(_moment),
    WithJsonSchema({"type": "string", "examples": ["2026-12-24", "2026-12-24T18:00:00+01:00", "now-30d"]}),
]
Elapsed = Annotated[
    str, WrapValidator(_length), WithJsonSchema({"type": "string", "examples": ["30d", "12h", "P30D"]})
]
Path = Annotated[str, StringConstraints(strict=True), AfterValidator(_path)]
Count = Annotated[StrictInt, Field(ge=0, le=1_000_000)]
ListStatus = Literal["subscribed", "unsubscribed", "unconfirmed", "bounced", "complained"]
MessageState = Literal[
    "claimed",
    "sent",
    "retrying",
    "refused",
    "skipped",
    "unknown",
    "soft_bounced",
    "bounced",
    "complained",
    "opened",
    "clicked",
]
"""A message's state on the ledger; `opened` and `clicked` are what a person did with it since, whatever its state."""


# --- The kinds of rule ----------------------------------------------------------------------------


class RuleNode(BaseModel):
    """What every kind of rule is. Immutable; keys that are not set are left out when it is written."""

    model_config = ConfigDict(
        extra="forbid", frozen=True, serialize_by_alias=True, validate_by_name=True, validate_by_alias=True
    )

    def children(self) -> Children:
        """The rules directly inside this one."""
        return iter(())


class AllOf(RuleNode):
    """Every one of the rules holds."""

    all: "list[Rule]" = Field(min_length=1)

    def children(self) -> Children:
        """The rules directly inside this one."""
        return iter(self.all)


class AnyOf(RuleNode):
    """At least one of the rules holds."""

    any: "list[Rule]" = Field(min_length=1)

    def children(self) -> Children:
        """The rules directly inside this one."""
        return iter(self.any)


class Not(RuleNode):
    """The rule does not hold. A plain negation: there is no third value."""

    not_: "Rule" = Field(alias="not")

    def children(self) -> Children:
        """The rule inside this one."""
        return iter((self.not_,))


class Always(RuleNode):
    """Holds always, or never."""

    always: StrictBool


class Comparison(RuleNode):
    """One fact compared by exactly one operator."""

    subject: ClassVar[str]

    equals: AnyScalar | None = _Absent
    not_equals: AnyScalar | None = _Absent
    in_: OneOf | None = Field(default=None, alias="in", exclude_if=_is_none)
    not_in: OneOf | None = _Absent
    greater_than: Number | None = _Absent
    at_least: Number | None = _Absent
    less_than: Number | None = _Absent
    at_most: Number | None = _Absent
    contains: Text | None = _Absent
    starts_with: Text | None = _Absent
    ends_with: Text | None = _Absent
    includes: AnyScalar | None = _Absent
    before: Moment | None = _Absent
    after: Moment | None = _Absent
    exists: StrictBool | None = _Absent

    @model_validator(mode="after")
    def _one_operator(self) -> Self:
        given = [name for name in OPERATORS if name in self.model_fields_set]
        if len(given) != 1:
            raise _wrong(
                "rule_operator",
                "{subject} needs exactly one of {operators}; it has {given}",
                subject=f"a rule about {self.subject}",
                operators=", ".join(name.rstrip("_") for name in OPERATORS),
                given=" and ".join(name.rstrip("_") for name in given) or "none",
            )
        if getattr(self, given[0]) is None:
            raise _wrong(
                "rule_operator",
                "{operator} needs a value; to ask whether there is one, use exists",
                operator=given[0].rstrip("_"),
            )
        return self

    @property
    def operator(self) -> str:
        """The operator's name as written in a rule."""
        return next(name.rstrip("_") for name in OPERATORS if getattr(self, name) is not None)


OPERATORS = tuple(Comparison.model_fields)
"""The fields of a comparison, in the order in which messages name them."""


class OfContact(RuleNode):
    """Names a fact of the contact. A class of its own so that the name is written before the operator."""

    contact: Path


class ContactFact(Comparison, OfContact):
    """A fact about the contact: a built-in one, else a path into its own fields."""

    subject: ClassVar[str] = "a contact's field"

    @model_validator(mode="after")
    def _fits_the_column(self) -> Self:
        root, _, rest = self.contact.partition(".")
        if rest and root in TEXT_COLUMNS | TIME_COLUMNS:
            raise _wrong(
                "rule_path", "{field} is a single value: nothing can follow it in a path", field=root
            )
        if root in TIME_COLUMNS and self.operator not in {"before", "after", "exists"}:
            raise _wrong("rule_operator", "{field} is a time: use before, after or exists", field=root)
        return self


class OfEvent(RuleNode):
    """Names a param of the event in hand."""

    event: Path


class EventFact(Comparison, OfEvent):
    """A param of the event in hand, by its path."""

    subject: ClassVar[str] = "an event's param"


class HasTag(RuleNode):
    """The contact has the tag."""

    tag: Tag


class OnList(RuleNode):
    """The contact has the status in the list."""

    list: Key
    status: ListStatus = "subscribed"


class InSegment(RuleNode):
    """The contact belongs to the segment, by its rule or by hand."""

    segment: Key


class Counted(RuleNode):
    """A number of things on record for the contact, optionally of the last while only."""

    within: Elapsed | None = _Absent
    at_least: Count | None = _Absent
    at_most: Count | None = _Absent

    @model_validator(mode="after")
    def _in_order(self) -> Self:
        least, most = self.bounds
        if most is not None and least > most:
            raise _wrong(
                "rule_count", "at_least ({least}) is more than at_most ({most})", least=least, most=most
            )
        return self

    @property
    def bounds(self) -> tuple[int, int | None]:
        """The least and the most that hold. With neither written at least 1; with `at_most` alone from 0."""
        if self.at_least is None:
            return (1, None) if self.at_most is None else (0, self.at_most)
        return self.at_least, self.at_most

    def since(self, now: datetime) -> datetime | None:
        """The instant from which things count, itself included; None for ever."""
        return now - _elapsed(self.within) if self.within is not None else None


class OfEventType(RuleNode):
    """Names a type of events, and which of them count."""

    happened: EventTypeKey
    where: "Rule | None" = _Absent


class Happened(Counted, OfEventType):
    """Events of a type happened to the contact, by the time at which they occurred."""

    @model_validator(mode="after")
    def _where_reads_params_only(self) -> Self:
        for node in walk(self.where) if self.where is not None else ():
            if not isinstance(node, (AllOf, AnyOf, Not, Always, EventFact)):
                raise _wrong(
                    "rule_where",
                    "where reads each event's params: it has event, all, any, not, always, but never {kind}",
                    kind=kind_of(node),
                )
        return self

    def children(self) -> Children:
        """The rule that each event must meet."""
        return iter(() if self.where is None else (self.where,))


class SentMessage(RuleNode):
    """Which messages count: those of any process and step unless named, in the given state."""

    model_config = ConfigDict(extra="forbid", frozen=True)
    process: Key | None = _Absent
    step: StepId | None = _Absent
    state: MessageState = "sent"


class OfMessages(RuleNode):
    """Names the messages that count."""

    message: SentMessage


class Messaged(Counted, OfMessages):
    """Messages to the contact are on the ledger, by the time at which they were claimed; those opened or clicked by the
    time at which they first were.
    """


AnyRule = (
    AllOf | AnyOf | Not | Always | ContactFact | EventFact | HasTag | OnList | InSegment | Happened | Messaged
)

KINDS: dict[str, type[RuleNode]] = {
    "all": AllOf,
    "any": AnyOf,
    "not": Not,
    "always": Always,
    "contact": ContactFact,
    "event": EventFact,
    "tag": HasTag,
    "list": OnList,
    "segment": InSegment,
    "happened": Happened,
    "message": Messaged,
}
"""The kinds of rule by the key that decides."""


# --- Reading a rule -------------------------------------------------------------------------------


def _read(data: object, _: ValidatorFunctionWrapHandler) -> object:
    """Choose the kind by its key, so that an error speaks of the rule that was meant and not of all kinds."""
    _measure(data)
    if isinstance(data, tuple(KINDS.values())):
        return data
    if not isinstance(data, Mapping):
        raise _wrong(
            "rule_kind",
            "a rule is a mapping with one of {kinds}, not {kind}",
            kinds=", ".join(KINDS),
            kind=_kind(data),
        )
    kinds = [key for key in KINDS if key in data]
    if len(kinds) > 1:
        raise _wrong(
            "rule_kind", "a rule has exactly one kind; this one has {kinds}", kinds=" and ".join(kinds)
        )
    if not kinds:
        raise _wrong(
            "rule_kind",
            "a rule needs exactly one of {kinds}; this one has {keys}",
            kinds=", ".join(KINDS),
            keys=", ".join(sorted(str(key) for key in data)) or "no key",
        )
    model = KINDS[kinds[0]]
    _refuse_unknown_keys(kinds[0], model, data)
    _refuse_unstorable_text(data)
    return model.model_validate(dict(data))


def _refuse_unknown_keys(kind: str, model: type[RuleNode], data: Mapping[object, object]) -> None:
    known = [field.alias or name for name, field in model.model_fields.items()]
    errors: list[InitErrorDetails] = []
    for key in data:
        if key in known:
            continue
        near = difflib.get_close_matches(str(key), known, n=1)
        hint = f"did you mean {near[0]}?" if near else f"it can have {', '.join(known)}"
        error = _wrong(
            "rule_unknown_key",
            "unknown key {key} in a rule with {kind}; {hint}",
            key=str(key),
            kind=kind,
            hint=hint,
        )
        errors.append(InitErrorDetails(type=error, loc=(str(key),), input=data[key]))
    if errors:
        raise ValidationError.from_exception_data("Rule", errors)


def _refuse_unstorable_text(data: Mapping[object, object]) -> None:
    for value in data.values():
        for text in value if isinstance(value, list) else (value,):
            if isinstance(text, str) and re.search("[\x00\ud800-\udfff]", text):
                raise _wrong(
                    "rule_text", "a text in a rule has no NUL character and no half of a surrogate pair"
                )


def _measure(data: object) -> None:
    """Refuse a rule that is too deep or too large before anything is read from it. Knows data and models."""
    leaves = 0
    level = [data]
    depth = 0
    while level:
        depth += 1
        if depth > MAX_DEPTH:
            raise _wrong("rule_depth", "a rule has at most {most} levels", most=MAX_DEPTH)
        below: list[object] = []
        for node in level:
            inside = _inside(node)
            below.extend(inside[: MAX_LEAVES + 1])
            leaves += not inside or _is_leaf(node)
            if leaves > MAX_LEAVES or len(below) > MAX_LEAVES:
                raise _wrong("rule_size", "a rule has at most {most} leaves", most=MAX_LEAVES)
        level = below


def _is_leaf(node: object) -> bool:
    return isinstance(node, Happened) or (isinstance(node, Mapping) and "happened" in node)


def _inside(node: object) -> list[object]:
    if isinstance(node, RuleNode):
        return list(node.children())
    if not isinstance(node, Mapping):
        return []
    inside: list[object] = []
    for key in ("all", "any", "not", "where"):
        value = node.get(key)
        inside.extend(value if isinstance(value, list) else [] if value is None else [value])
    return inside


Rule = TypeAliasType("Rule", Annotated[AnyRule, WrapValidator(_read)])
"""A rule, as the type of a model's field. Reading it raises ValidationError with the place of each error."""

for _model in (AllOf, AnyOf, Not, OfEventType, Happened):
    _model.model_rebuild()

_adapter: TypeAdapter[Rule] = TypeAdapter(Rule, config=ConfigDict(title="Rule"))

ALWAYS: Rule = Always(always=True)
"""The rule that every contact meets."""


def parse_rule(data: object) -> Rule:
    """Read a rule from what YAML or JSON gave. Raises pydantic's ValidationError."""
    return _adapter.validate_python(data)


def dump_rule(rule: Rule) -> dict[str, object]:
    """The rule as JSON data, which `parse_rule` reads back to an equal rule."""
    return rule.model_dump(mode="json")


# --- Walking a rule -------------------------------------------------------------------------------


def walk(rule: RuleNode) -> Iterator[RuleNode]:
    """The rule and all rules inside it, from the outside in."""
    yield rule
    for child in rule.children():
        yield from walk(child)


def kind_of(rule: RuleNode) -> str:
    """The key that makes the rule what it is."""
    return next(key for key, model in KINDS.items() if isinstance(rule, model))


@dataclass(frozen=True)
class References:
    """What a rule names, so that it can be checked to exist. `params` are paths into the event in hand."""

    event_types: frozenset[str]
    segments: frozenset[str]
    lists: frozenset[str]
    tags: frozenset[str]
    params: frozenset[str]
    fields: frozenset[str]
    processes: frozenset[str]


def references(rule: Rule) -> References:
    """Everything that the rule names itself; what its segments name in turn is not followed."""
    in_where = {
        id(node) for one in walk(rule) if isinstance(one, Happened) and one.where for node in walk(one.where)
    }

    def named(read: Callable[[RuleNode], str | None]) -> frozenset[str]:
        return frozenset(name for node in walk(rule) if (name := read(node)) is not None)

    return References(
        event_types=named(lambda node: node.happened if isinstance(node, Happened) else None),
        segments=named(lambda node: node.segment if isinstance(node, InSegment) else None),
        lists=named(lambda node: node.list if isinstance(node, OnList) else None),
        tags=named(lambda node: node.tag if isinstance(node, HasTag) else None),
        params=named(
            lambda node: node.event if isinstance(node, EventFact) and id(node) not in in_where else None
        ),
        fields=named(lambda node: node.contact if isinstance(node, ContactFact) else None),
        processes=named(lambda node: node.message.process if isinstance(node, Messaged) else None),
    )
