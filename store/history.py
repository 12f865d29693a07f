"""What a contact went through in one process, as rows: what `why` is told from. Nothing is written or decided here.

Each list has an end; the newest are taken, and come in the order of time.
"""

from collections.abc import Collection, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any, Final

from sqlalchemy import ColumnElement, String, and_, cast, exists, false, func, literal, or_, select
from sqlalchemy.dialects.postgresql import JSONB
from sqlalchemy.ext.asyncio import AsyncConnection

from processes.definition import ProcessDefinition
from store import reading, rows
from store.reading import InstanceFilter, in_order

EVENTS: Final = 300
INSTANCES: Final = 50
VISITS: Final = 300
"""Of one instance."""
CHANGES: Final = 300

_e, _v, _m, _a, _r = rows.events.c, rows.visits.c, rows.messages.c, rows.audit.c, rows.operation_results.c


async def events(connection: AsyncConnection, contact_id: str, process: str) -> list[Any]:
    """The contact's events that a decision about the process was kept with."""
    found = await connection.execute(
        select(_e.id, _e.type, _e.key, _e.occurred_at, _e.received_at, _e.source, _e.outcome)
        .where(_e.contact_id == contact_id, _decided(connection.dialect.name, process))
        .order_by(_e.received_at.desc(), _e.id.desc())
        .limit(EVENTS)
    )
    return list(reversed(found.all()))


def _decided(dialect: str, process: str) -> ColumnElement[bool]:
    """Whether an event's outcome names the process: looked for among the contact's own events only."""
    if dialect == "postgresql":
        return _e.outcome.op("@>")(cast([{"process": process}], JSONB))
    each = func.json_each(_e.outcome).table_valued("value", name="said")
    named = func.json_extract(each.c.value, "$.process", type_=String())
    return select(literal(1)).select_from(each).where(named == process).exists()


async def instances(connection: AsyncConnection, contact_id: str, process: str) -> list[Any]:
    """The contact's runs of the process."""
    wanted = InstanceFilter(process=process, contact_id=contact_id)
    found = await reading.instances(connection, wanted, limit=INSTANCES, cursor=None)
    return list(reversed(found.items))


async def visits(connection: AsyncConnection, instance: str, definition: ProcessDefinition) -> list[Any]:
    """What a run did at its steps."""
    found = await connection.execute(
        select(_v.step, _v.visit, _v.kind, _v.at, _v.result)
        .where(_v.instance_id == instance, _v.step != "")
        .order_by(_v.at.desc(), _v.step.desc(), _v.visit.desc())
        .limit(VISITS)
    )
    return in_order(list(reversed(found.all())), definition)


async def messages(connection: AsyncConnection, contact_id: str, process: str) -> list[Any]:
    """What the process sent to the contact, or did not; of runs too that retention has deleted."""
    found = await connection.execute(
        select(rows.messages)
        .where(_m.contact_id == contact_id, _m.process_key == process)
        .order_by(_m.claimed_at.desc(), _m.id.desc())
        .limit(EVENTS)
    )
    return list(reversed(found.all()))


@dataclass(frozen=True)
class Meant:
    """Whom an operation on many, or a test run, would have to be about: a contact, by our id, and its instances.

    `operations` are known to have been about it: an event of the contact's came from them.
    """

    contact: str
    instances: Collection[str]
    operations: Collection[str] = ()


async def changes(
    connection: AsyncConnection, subjects: Collection[str], process: str, since: datetime | None, meant: Meant
) -> list[Any]:
    """What people did: to these subjects, to the process itself since an instant (UTC; None: never), and to some of
    its contacts where the one who is meant was among them, whenever that was.
    """
    wanted: list[ColumnElement[bool]] = [_a.subject.in_(subjects)]
    about = _about(connection.dialect.name, meant)
    if since is not None:
        about |= _of_all() & (_a.at >= since) & _a.erased_at.is_(None)
    wanted.append((_a.subject == f"process/{process}") & about)
    found = await connection.execute(
        select(rows.audit).where(or_(*wanted)).order_by(_a.id.desc()).limit(CHANGES)
    )
    return list(reversed(found.all()))


def _of_all() -> ColumnElement[bool]:
    """Whether an entry names neither an operation nor an instance: a change of the process itself."""
    named = [_a.after[name].as_string() for name in ("operation", "instance")]
    return _a.after.is_(None) | and_(*(one.is_(None) for one in named))


def _about(dialect: str, meant: Meant) -> ColumnElement[bool]:
    """Whether an entry is about who is meant: by whom was asked for, or by whom the operation has a result for."""
    operation = _a.after["operation"].as_string()
    names = {meant.contact, *meant.instances}
    result = exists().where(_r.operation_id == operation, _r.subject.in_(names))
    return or_(
        operation.in_(meant.operations),
        _a.after["instance"].as_string().in_(meant.instances),
        _lists(dialect, "contacts", [meant.contact]),
        _lists(dialect, "instances", meant.instances),
        _lists(dialect, "stopped", meant.instances),
        result,
    )


def _lists(dialect: str, name: str, wanted: Collection[str]) -> ColumnElement[bool]:
    """Whether what an entry keeps under a name is a list with one of these in it; a number is none."""
    if dialect == "postgresql":
        return or_(false(), *(_a.after.op("@>")(cast({name: [one]}, JSONB)) for one in wanted))
    each = func.json_each(_a.after, f"$.{name}").table_valued("value", name=f"of_{name}")
    return select(literal(1)).select_from(each).where(each.c.value.in_(wanted)).exists()


async def types_of(connection: AsyncConnection, events: Sequence[str]) -> dict[str, str]:
    """The types of events, by their ids."""
    found = await connection.execute(select(_e.id, _e.type).where(_e.id.in_(events)))
    return {row.id: row.type for row in found}
