"""The rule language: what conditions, trigger filters and segments ask about a contact and the event in hand.

A rule is a small tree of models, decided by which key is present (`tag`, `contact`, `all`, …). This module
reads, checks, writes and walks rules; `processes/rule_values.py` reads their values. It does not say whether one
holds: `store/rules.py` compiles a rule to SQL, the only implementation there is. `docs/rules.md` describes the
language to its users.
"""

import difflib
import re
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import Annotated, ClassVar, Self

from pydantic import (
    BaseModel,
    ConfigDict,
    Field,
    StrictBool,
    TypeAdapter,
    ValidationError,
    ValidatorFunctionWrapHandler,
    WrapValidator,
    model_validator,
)
from pydantic_core import InitErrorDetails
from typing_extensions import TypeAliasType

from processes.rule_values import (
    AnyScalar,
    Count,
    Elapsed,
    ListStatus,
    MessageState,
    Moment,
    Number,
    OneOf,
    Outcome,
    Path,
    ProcessState,
    Text,
    kind_of_value,
    parse_elapsed,
    wrong,
)
from processes.values import EventTypeKey, Key, StepId, Tag

MAX_DEPTH = 10
"""How many levels of rules a rule may have, itself included."""
MAX_LEAVES = 200
TEXT_COLUMNS = frozenset({"external_id", "email", "phone", "language", "time_zone", "email_state"})
"""Facts of a contact that are texts outside its own fields."""
TIME_COLUMNS = frozenset({"created_at"})
"""Facts of a contact that are instants: `before`, `after` and `exists` only."""

Children = Iterator["RuleNode"]


def _is_none(value: object) -> bool:
    return value is None


_Absent = Field(default=None, exclude_if=_is_none)


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
            raise wrong(
                "rule_operator",
                "{subject} needs exactly one of {operators}; it has {given}",
                subject=f"a rule about {self.subject}",
                operators=", ".join(name.rstrip("_") for name in OPERATORS),
                given=" and ".join(name.rstrip("_") for name in given) or "none",
            )
        if getattr(self, given[0]) is None:
            raise wrong(
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
            raise wrong("rule_path", "{field} is a single value: nothing can follow it in a path", field=root)
        if root in TIME_COLUMNS and self.operator not in {"before", "after", "exists"}:
            raise wrong("rule_operator", "{field} is a time: use before, after or exists", field=root)
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
            raise wrong(
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
        return now - parse_elapsed(self.within) if self.within is not None else None


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
                raise wrong(
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


class OfProcess(RuleNode):
    """Names a process, and which of the contact's runs in it count. A class of its own, as that of a contact's fact."""

    process: Key
    is_: ProcessState = Field(default="in", alias="is")
    step: StepId | None = _Absent
    outcome: Outcome | None = _Absent


class InProcess(Counted, OfProcess):
    """The contact is, was or has ended in a process; by the time of its entry, or of its end for `ended`."""

    @model_validator(mode="after")
    def _outcome_is_of_an_end(self) -> Self:
        if self.outcome is not None and self.is_ != "ended":
            raise wrong("rule_process", "an outcome goes with is: ended")
        return self


AnyRule = (
    AllOf
    | AnyOf
    | Not
    | Always
    | ContactFact
    | EventFact
    | HasTag
    | OnList
    | InSegment
    | Happened
    | Messaged
    | InProcess
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
    "process": InProcess,
}
"""The kinds of rule by the key that decides."""


# --- Reading a rule -------------------------------------------------------------------------------


def _read(data: object, _: ValidatorFunctionWrapHandler) -> object:
    """Choose the kind by its key, so that an error speaks of the rule that was meant and not of all kinds."""
    _measure(data)
    if isinstance(data, tuple(KINDS.values())):
        return data
    if not isinstance(data, Mapping):
        raise wrong(
            "rule_kind",
            "a rule is a mapping with one of {kinds}, not {kind}",
            kinds=", ".join(KINDS),
            kind=kind_of_value(data),
        )
    kinds = [key for key in KINDS if key in data]
    if len(kinds) > 1:
        raise wrong(
            "rule_kind", "a rule has exactly one kind; this one has {kinds}", kinds=" and ".join(kinds)
        )
    if not kinds:
        raise wrong(
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
        error = wrong(
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
                raise wrong(
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
            raise wrong("rule_depth", "a rule has at most {most} levels", most=MAX_DEPTH)
        below: list[object] = []
        for node in level:
            inside = _inside(node)
            below.extend(inside[: MAX_LEAVES + 1])
            leaves += not inside or _is_leaf(node)
            if leaves > MAX_LEAVES or len(below) > MAX_LEAVES:
                raise wrong("rule_size", "a rule has at most {most} leaves", most=MAX_LEAVES)
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


def _process_of(node: RuleNode) -> str | None:
    if isinstance(node, InProcess):
        return node.process
    return node.message.process if isinstance(node, Messaged) else None


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
        processes=named(_process_of),
    )
