"""Rules and questions about a contact as it would be: the same SQL as everywhere, over rows that are not there.

`judge` puts common table expressions under the names of the tables that rules read in front of the query: the contact
as its facts have it, and what happened on the way beside what is on record. Nothing is written.
"""

from collections.abc import Callable, Collection, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any, Final

from sqlalchemy import CTE, MetaData, Select, Table, literal, null, select, true
from sqlalchemy.ext.asyncio import AsyncConnection

from processes.builtin_events import by_machine
from processes.facts import Facts, Told, found
from processes.planning import LookBack
from processes.rules import (
    AllOf,
    AnyOf,
    ContactFact,
    EventFact,
    Happened,
    HasTag,
    InProcess,
    InSegment,
    Messaged,
    Not,
    OnList,
    Rule,
    RuleNode,
    SentMessage,
    walk,
)
from processes.values import Json
from processes.verdicts import DONE_BY_OTHERS, Verdict, joined, leaf
from store import contacts, endpoints, rows
from store.past import MOST_LOOKED_AT
from store.rules import RuleScope, compile_rule, storable
from store.suppressions import CHANNELS, is_suppressed
from store.types import JSON_DOCUMENT

ENDPOINT_CHANNELS: Final = ("messenger", "push")
PARTS_A_QUERY: Final = 60
"""Parts of rules that one query asks about: each is a column of its answer."""
_NOBODY: Final = "(imagined)"

_e, _c, _t, _s, _g, _m = (
    rows.events.c,
    rows.contacts.c,
    rows.contact_tags.c,
    rows.subscriptions.c,
    rows.segment_members.c,
    rows.messages.c,
)
_SHADOWED = MetaData()
_SQLITES_EVENTS = rows.events.to_metadata(_SHADOWED, schema="main")
_SQLITES_MESSAGES = rows.messages.to_metadata(_SHADOWED, schema="main")
_SQLITES_INSTANCES = rows.instances.to_metadata(_SHADOWED, schema="main")
"""SQLite takes a table for the expression of its own name that it stands in; by its schema it is the table."""


async def facts_of(connection: AsyncConnection, contact_id: str) -> Facts | None:
    """What is known of a contact now; None where there is none."""
    row = (await connection.execute(select(rows.contacts).where(_c.id == contact_id))).one_or_none()
    if row is None:
        return None
    tags = await connection.execute(select(_t.tag).where(_t.contact_id == contact_id))
    lists = await connection.execute(select(_s.list_key, _s.status).where(_s.contact_id == contact_id))
    segments = await connection.execute(select(_g.segment_key).where(_g.contact_id == contact_id))
    reached = {
        channel: tuple(
            one.address for one in await endpoints.of_contact(connection, contact_id, channel, endpoints.OK)
        )
        for channel in ENDPOINT_CHANNELS
    }
    return Facts(
        id=row.id,
        external_id=row.external_id,
        email=row.email,
        phone=row.phone,
        token=row.token,
        language=row.language,
        time_zone=row.time_zone,
        email_state=row.email_state,
        created_at=row.created_at,
        fields=row.fields,
        consent=row.consent,
        tags=frozenset(tags.scalars()),
        lists={one.list_key: one.status for one in lists},
        segments=frozenset(segments.scalars()),
        suppressed=await suppressed(connection, {"email": row.email, "sms": row.phone}),
        endpoints=reached,
    )


async def suppressed(connection: AsyncConnection, addresses: Mapping[str, str | None]) -> dict[str, str]:
    """Why nothing may go to these addresses, by channel, for those to which nothing may."""
    reasons = {
        channel: await is_suppressed(connection, channel, address)
        for channel, address in addresses.items()
        if address is not None and channel in CHANNELS
    }
    return {channel: reason for channel, reason in reasons.items() if reason is not None}


async def judge(
    connection: AsyncConnection,
    rules: Sequence[Rule],
    *,
    facts: Facts,
    event: Mapping[str, Json] | None,
    now: datetime,
    segments: Mapping[str, Rule | None],
    later: bool,
    inside: str | None = None,
) -> list[Verdict]:
    """Each rule's answer for the contact as the facts have it, part by part.

    `event` are the params in hand, None where there is no event. `later` says that time passes before it is asked: what
    is still to come may have come then. `inside` is the process that the contact is imagined in, by its key.
    Raises UnknownSegment, RecursiveSegment and RuleTooLarge.
    """
    asking = _Asking(connection, facts, event, now, segments, inside=inside)
    for rule in rules:
        asking.compiled(rule, inside_segment=False)  # refuses segments that lead back to themselves
    trees = [_tree(rule, segments, inside_segment=False) for rule in rules]
    nodes = [node for tree in trees for node in tree.walk()]
    asking.tables = _read_by(node.rule for node in nodes)
    for start in range(0, len(nodes), PARTS_A_QUERY):
        await asking.answer(nodes[start : start + PARTS_A_QUERY])
    return [_verdict(tree, facts, event or {}, later) for tree in trees]


async def event_before(
    connection: AsyncConnection,
    asked: LookBack,
    *,
    facts: Facts,
    besides: frozenset[str],
    accepts: Any,
    now: datetime,
    segments: Mapping[str, Rule | None],
) -> str | None:
    """The oldest event that a look back asks for, on record or of the way: its id. `besides` do not count.

    `accepts` says of an event's key and params whether they are the instance's own (P7).
    """
    query = (
        select(_e.id, _e.key, _e.params)
        .join(rows.contacts, _c.id == _e.contact_id)
        .where(_e.contact_id == (facts.id or _NOBODY), _e.type == asked.event, _e.occurred_at >= asked.since)
        .order_by(_e.occurred_at, _e.id)
        .limit(MOST_LOOKED_AT)
    )
    if asked.filter is not None:
        scope = RuleScope(_c.id, _e.params, now, segments)
        query = query.where(compile_rule(asked.filter, scope, connection.dialect.name))
    filters = () if asked.filter is None else (asked.filter, *_in_segments(asked.filter, segments))
    tables = _read_by(filters) | {"events"}
    found_ones = await connection.execute(_shadowed(query, facts, connection.dialect.name, tables))
    return next(
        (
            row.id
            for row in found_ones
            if row.id not in besides
            and accepts(row.key, row.params)
            and not by_machine(asked.event, row.params)
        ),
        None,
    )


async def latest_event(
    connection: AsyncConnection, facts: Facts, event_type: str
) -> tuple[dict[str, Json], str | None] | None:
    """The params and key of the contact's latest event of a type, on record or of the way."""
    query = (
        select(_e.params, _e.key)
        .where(_e.contact_id == (facts.id or _NOBODY), _e.type == event_type)
        .order_by(_e.occurred_at.desc())
        .limit(1)
    )
    row = (
        await connection.execute(_shadowed(query, facts, connection.dialect.name, {"events"}))
    ).one_or_none()
    return None if row is None else (row.params, row.key)


# The tree of a rule


@dataclass
class _Node:
    rule: RuleNode
    inside_segment: bool
    children: list["_Node"]
    holds: bool = False
    was_sent: bool = True

    def walk(self) -> Iterator["_Node"]:
        yield self
        for child in self.children:
            yield from child.walk()


def _tree(rule: RuleNode, segments: Mapping[str, Rule | None], *, inside_segment: bool) -> _Node:
    match rule:
        case AllOf() | AnyOf() | Not():
            children = [_tree(child, segments, inside_segment=inside_segment) for child in rule.children()]
        case InSegment() if (own := segments.get(rule.segment)) is not None:
            children = [_tree(own, segments, inside_segment=True)]
        case _:
            children = []
    return _Node(rule, inside_segment, children)


def _verdict(node: _Node, facts: Facts, event: Mapping[str, Json], later: bool) -> Verdict:
    if node.children:
        return joined(
            node.rule, node.holds, [_verdict(child, facts, event, later) for child in node.children]
        )
    value: Json = None
    if isinstance(node.rule, ContactFact):
        value = facts.reading(node.rule.contact)
    elif isinstance(node.rule, EventFact) and not node.inside_segment:
        value = found(event, node.rule.event)
    return leaf(node.rule, node.holds, later=later, was_sent=node.was_sent, value=value)


def _in_segments(rule: Rule, segments: Mapping[str, Rule | None]) -> list[RuleNode]:
    """The rules of the segments that a rule names, and of those that they name. A ring of them was refused before."""
    return [node.rule for node in _tree(rule, segments, inside_segment=False).walk()]


# The query


@dataclass
class _Asking:
    connection: AsyncConnection
    facts: Facts
    event: Mapping[str, Json] | None
    now: datetime
    segments: Mapping[str, Rule | None]
    tables: Collection[str] = ()
    inside: str | None = None
    given: Any = field(init=False)

    def __post_init__(self) -> None:
        params = null() if self.event is None else literal(storable(self.event), JSON_DOCUMENT)
        self.given = select(params.label("params")).subquery("given")

    def compiled(self, rule: RuleNode, *, inside_segment: bool) -> Any:
        without = self.event is None or inside_segment
        scope = RuleScope(_c.id, None if without else self.given.c.params, self.now, self.segments)
        return compile_rule(rule, scope, self.connection.dialect.name)  # type: ignore[arg-type]

    def _own_run(self) -> dict[str, Any] | None:
        """The row of the run that is imagined."""
        if self.inside is None:
            return None
        return {"process_key": self.inside, "state": "running", "open": True, "created_at": self.now}

    async def answer(self, nodes: Sequence[_Node]) -> None:
        """Ask about each, and whether there is a message of which a rule asks what others do with it."""
        columns = []
        for number, node in enumerate(nodes):
            columns.append(
                self.compiled(node.rule, inside_segment=node.inside_segment).label(f"rule_{number}")
            )
            sent = _was_sent(node.rule)
            if sent is not None:
                columns.append(self.compiled(sent, inside_segment=False).label(f"sent_{number}"))
        query = select(*columns).select_from(self.given.outerjoin(rows.contacts, true()))
        row = (
            (
                await self.connection.execute(
                    _shadowed(query, self.facts, self.connection.dialect.name, self.tables, self._own_run())
                )
            )
            .one()
            ._mapping
        )
        for number, node in enumerate(nodes):
            node.holds = bool(row[f"rule_{number}"])
            node.was_sent = bool(row.get(f"sent_{number}", True))


def _was_sent(rule: RuleNode) -> Messaged | None:
    """The rule that there is such a message at all."""
    if not isinstance(rule, Messaged) or rule.message.state not in DONE_BY_OTHERS:
        return None
    named = {"process": rule.message.process, "step": rule.message.step}
    given = {name: value for name, value in named.items() if value is not None}
    return Messaged(message=SentMessage(**given))


_READ_BY: Mapping[type[RuleNode], Table] = {
    HasTag: rows.contact_tags,
    OnList: rows.subscriptions,
    InSegment: rows.segment_members,
    Happened: rows.events,
    Messaged: rows.messages,
    InProcess: rows.instances,
}


def _read_by(rules: Iterable[RuleNode]) -> set[str]:
    """The tables beside the contact's own that rules read."""
    inside = (node for rule in rules for node in walk(rule))
    return {table.name for node in inside if (table := _READ_BY.get(type(node))) is not None}


def _shadowed(
    query: Select[Any],
    facts: Facts,
    dialect: str,
    tables: Collection[str],
    own_run: Mapping[str, Any] | None = None,
) -> Select[Any]:
    """The query, with what it reads put in the place of these tables, and of the contacts."""
    made: dict[str, Callable[[], CTE]] = {
        "contact_tags": lambda: _in_place_of(
            rows.contact_tags, [{"tag": tag} for tag in sorted(facts.tags)], facts
        ),
        "subscriptions": lambda: _in_place_of(
            rows.subscriptions,
            [{"list_key": key, "status": status} for key, status in sorted(facts.lists.items())],
            facts,
        ),
        "segment_members": lambda: _in_place_of(
            rows.segment_members, [{"segment_key": key} for key in sorted(facts.segments)], facts
        ),
        "events": lambda: _events(facts, dialect),
        "messages": lambda: _messages(facts, dialect),
        "instances": lambda: _instances(facts, dialect, own_run),
    }
    return query.add_cte(_contact(facts), *(make() for name, make in made.items() if name in tables))


def _contact(facts: Facts) -> CTE:
    names = ("external_id", "email", "phone", "token", "language", "time_zone", "email_state", "created_at")
    values = {name: getattr(facts, name) for name in names}
    own = {"id": facts.id or _NOBODY, "fields": dict(facts.fields), "deleted_at": None}
    return _row(rows.contacts, {**values, **own}).cte("contacts")


def _in_place_of(table: Table, values: Sequence[Mapping[str, Any]], facts: Facts) -> CTE:
    """A table's rows of the contact: these, and no others."""
    whose = {"contact_id": facts.id or _NOBODY}
    if not values:
        nothing = dict.fromkeys(_NAMES[table.name])
        return _row(table, {**whose, **nothing}).where(literal(1) == 0).cte(table.name)
    made: CTE = rows.together([_row(table, {**whose, **one}) for one in values]).cte(table.name)
    return made


_NAMES: Mapping[str, tuple[str, ...]] = {
    "contact_tags": ("tag",),
    "subscriptions": ("list_key", "status"),
    "segment_members": ("segment_key",),
}
_EVENT = ("id", "type", "key", "contact_id", "occurred_at", "params")
_MESSAGE = (
    "contact_id", "process_key", "step", "channel", "state", "claimed_at", "opened_at", "clicked_at",
)  # fmt: skip

_RUN = (
    "id", "contact_id", "process_key", "state", "open", "outcome", "step", "test_cap", "created_at", "ended_at",
)  # fmt: skip


def _events(facts: Facts, dialect: str) -> CTE:
    kept = _SQLITES_EVENTS if dialect == "sqlite" else rows.events
    of_the_way = [_row(rows.events, _event(told, facts)) for told in facts.told]
    made: CTE = rows.together([_own(kept, _EVENT, facts), *of_the_way]).cte("events")
    return made


def _event(told: Told, facts: Facts) -> dict[str, Any]:
    return {
        "id": told.id,
        "type": told.type,
        "key": told.key,
        "contact_id": facts.id or _NOBODY,
        "occurred_at": told.at,
        "params": storable(told.params),
    }


def _messages(facts: Facts, dialect: str) -> CTE:
    kept = _SQLITES_MESSAGES if dialect == "sqlite" else rows.messages
    of_the_way = [
        _row(
            rows.messages,
            {
                "contact_id": facts.id or _NOBODY,
                "process_key": one.process,
                "step": one.step,
                "channel": one.channel,
                "state": one.state,
                "claimed_at": one.at,
                "opened_at": None,
                "clicked_at": None,
            },
        )
        for one in facts.letters
    ]
    made: CTE = rows.together([_own(kept, _MESSAGE, facts), *of_the_way]).cte("messages")
    return made


def _instances(facts: Facts, dialect: str, own_run: Mapping[str, Any] | None) -> CTE:
    kept = _SQLITES_INSTANCES if dialect == "sqlite" else rows.instances
    whose = {"id": _NOBODY, "contact_id": facts.id or _NOBODY}
    imagined = [] if own_run is None else [_row(rows.instances, {**dict.fromkeys(_RUN), **whose, **own_run})]
    made: CTE = rows.together([_own(kept, _RUN, facts), *imagined]).cte("instances")
    return made


def _own(table: Table, names: Sequence[str], facts: Facts) -> Select[Any]:
    """What is on record of the contact; nothing where it is imagined."""
    return select(*(table.c[name] for name in names)).where(table.c.contact_id == (facts.id or _NOBODY))


def _row(table: Table, values: Mapping[str, Any]) -> Select[Any]:
    """One row that is in no table, with the columns' own types."""
    return select(*(literal(value, table.c[name].type).label(name) for name, value in values.items()))


async def resolve(connection: AsyncConnection, reference: str) -> Facts | None:
    """The facts of the contact that a person names; None: nobody."""
    contact_id = await contacts.resolve(connection, reference)
    return None if contact_id is None else await facts_of(connection, contact_id)
