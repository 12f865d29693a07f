"""Erasing a person from the tables, as `store/personal_data.py` says for each column. The caller brings the
transaction; what Temporal holds is `intake/erasure.py`'s part.

It is done in two steps. `wipe` empties what no running workflow needs, in the transaction that deletes the contact.
Once an instance has ended and Temporal holds nothing of it any more, `forget_instances` empties the rest and gives the
instance an opaque id. Each step can be repeated.
"""

import secrets
from collections.abc import Collection, Mapping, Sequence
from datetime import datetime, timedelta
from typing import Any, Final

from sqlalchemy import (
    ColumnElement,
    Table,
    Text,
    and_,
    bindparam,
    cast,
    delete,
    func,
    insert,
    literal,
    or_,
    select,
    update,
)
from sqlalchemy.ext.asyncio import AsyncConnection

from processes import names
from store import rows
from store.personal_data import emptied, wiped_tables
from store.suppressions import CHANNELS, address_hash

PAGE: Final = 200
"""Instances, or events, of one transaction."""
LONGEST_ERROR: Final = 500
_MANY: Final = ("process.stop", "process.start-many", "process.test_run")
"""Audit entries of a process that may name some of its contacts."""

_c, _i, _m, _e = rows.contacts.c, rows.instances.c, rows.messages.c, rows.events.c
_r, _o, _a, _x = rows.operation_results.c, rows.operations.c, rows.audit.c, rows.erasures.c

_BY_CONTACT: Final = tuple(
    table
    for name in wiped_tables()
    if name not in {"outbox", "erasures"} and "contact_id" in (table := getattr(rows, name)).c
)


def opaque_id(process: str) -> str:
    """The id that an instance gets when its contact is erased. No other id has a tilde there."""
    return f"{process}/~{secrets.token_hex(8)}"


def _is_opaque(column: ColumnElement[str], process: ColumnElement[str]) -> ColumnElement[bool]:
    return column.startswith(process.concat("/~"))


# What is asked


async def people(connection: AsyncConnection, contact_id: str) -> list[str]:
    """Our ids of a contact and of all that were merged into it, one after another."""
    found, new = [contact_id], [contact_id]
    while new:
        merged = await connection.execute(select(_c.id).where(_c.merged_into.in_(new)).order_by(_c.id))
        new = [one for one in merged.scalars() if one not in found]
        found += new
    return found


async def identities(connection: AsyncConnection, ids: Sequence[str]) -> list[str]:
    """What these contacts were known by: ContactId, e-mail, phone, token, and addresses that messages went to."""
    found: set[str] = set(ids)
    known = select(_c.external_id, _c.email, _c.phone, _c.token).where(_c.id.in_(ids))
    for row in await connection.execute(known):
        found |= {value for value in row if value}
    sent = select(_m.recipient).where(_m.contact_id.in_(ids), _m.recipient != "").distinct()
    found |= set((await connection.execute(sent)).scalars())
    return sorted(found)


async def request(
    connection: AsyncConnection, contact_id: str, known: Sequence[str], now: datetime, first_look: datetime
) -> None:
    """Have the erasure finished by a worker, from `first_look` on."""
    await connection.execute(
        insert(rows.erasures).values(
            contact_id=contact_id,
            identities=list(known),
            requested_at=now,
            attempts=0,
            lease_until=first_look,
        )
    )


async def lease(
    connection: AsyncConnection, now: datetime, until: datetime, limit: int, *, whatever: bool = False
) -> Sequence[Any]:
    """Erasures that are to be gone on with, leased until then; `whatever` takes those that others lease too."""
    due = select(_x.contact_id).order_by(_x.lease_until).limit(limit).with_for_update(skip_locked=True)
    if not whatever:
        due = due.where(_x.lease_until <= now)
    leased = update(rows.erasures).where(_x.contact_id.in_(due)).values(lease_until=until)
    found = await connection.execute(leased.returning(*rows.erasures.c))
    return found.all()


async def put_off(
    connection: AsyncConnection, contact_id: str, now: datetime, pause: timedelta, error: str | None
) -> None:
    """Go on after a pause; `error` is what kept it from being finished."""
    await connection.execute(
        update(rows.erasures)
        .where(_x.contact_id == contact_id)
        .values(
            attempts=_x.attempts + 1,
            last_error=error[:LONGEST_ERROR] if error else None,
            lease_until=now + pause,
        )
    )


async def pending(connection: AsyncConnection) -> int:
    """How many erasures are not finished."""
    return int((await connection.execute(select(func.count()).select_from(rows.erasures))).scalar_one())


async def end(connection: AsyncConnection, contact_id: str) -> bool:
    """The erasure is finished. False if another worker has finished it."""
    done = delete(rows.erasures).where(_x.contact_id == contact_id).returning(_x.contact_id)
    return (await connection.execute(done)).first() is not None


# What is wiped with the deletion


async def wipe(
    connection: AsyncConnection, ids: Sequence[str], known: Collection[str], now: datetime
) -> None:
    """Empty all that no running workflow needs. `known` is what the contacts were known by."""
    for table in _BY_CONTACT:
        await connection.execute(delete(table).where(table.c.contact_id.in_(ids)))
    await connection.execute(
        update(rows.contacts)
        .where(_c.id.in_(ids))
        .values(
            emptied("contacts")
            | {
                "deleted_at": func.coalesce(_c.deleted_at, literal(now, _c.deleted_at.type)),
                "updated_at": now,
            }
        )
    )
    for table in (rows.messages, rows.events, rows.import_rows):
        values = emptied(table.name)
        values.pop("claim", None)  # who sends it at this moment closes it by its claim
        await connection.execute(update(table).where(table.c.contact_id.in_(ids)).values(values))
    await _wipe_refused_rows(connection, known)
    await _wipe_suppressions(connection, known)
    await _wipe_results(connection, or_(_r.subject.in_(ids), _r.subject.in_(known)))
    await _empty_audit(connection, [f"contact/{one}" for one in ids], now)
    await _rename_subjects(connection, known, ids)


async def _wipe_refused_rows(connection: AsyncConnection, known: Collection[str]) -> None:
    """Rows of imports that were refused belong to nobody, and may quote a cell."""
    p = rows.import_rows.c
    quoted = [cast(p.problems, Text).contains(one, autoescape=True) for one in _telling(known)]
    if quoted:
        await connection.execute(
            update(rows.import_rows)
            .where(p.contact_id.is_(None), p.problems.is_not(None), or_(*quoted))
            .values(emptied("import_rows"))
        )


def _telling(known: Collection[str]) -> list[str]:
    """Identities that are found in a text only if they are meant: not a ContactId such as 7."""
    return [one for one in known if "@" in one or len(one) >= 6]


async def _wipe_suppressions(connection: AsyncConnection, known: Collection[str]) -> None:
    s = rows.suppressions.c
    mine = [(channel, address_hash(channel, one)) for channel in CHANNELS for one in known]
    meant = [and_(s.channel == channel, s.address == address) for channel, address in mine]
    if meant:
        await connection.execute(update(rows.suppressions).where(or_(*meant)).values(emptied("suppressions")))


async def _wipe_results(connection: AsyncConnection, meant: ColumnElement[bool]) -> None:
    await connection.execute(update(rows.operation_results).where(meant).values(emptied("operation_results")))


async def _rename_subjects(connection: AsyncConnection, known: Collection[str], ids: Collection[str]) -> None:
    """Results of operations under what a person was called by, instead of an id of ours."""
    called = [one for one in known if one not in ids]
    found = await connection.execute(select(_r.operation_id, _r.subject).where(_r.subject.in_(called)))
    await _replace(
        connection,
        rows.operation_results,
        [{"of": row.operation_id, "was": row.subject, "to": f"~{secrets.token_hex(8)}"} for row in found],
        and_(_r.operation_id == bindparam("of"), _r.subject == bindparam("was")),
        "subject",
    )


async def _empty_audit(connection: AsyncConnection, subjects: Sequence[str], now: datetime) -> None:
    holds = or_(_a.before.is_not(None), _a.after.is_not(None), _a.reason.is_not(None))
    await connection.execute(
        update(rows.audit)
        .where(_a.subject.in_(subjects), _a.erased_at.is_(None), holds)
        .values(emptied("audit") | {"erased_at": now})
    )


async def drop_signals(connection: AsyncConnection, ids: Sequence[str], cancel: str) -> None:
    """Events on their way to workflows that are to be stopped: nobody waits for them any more."""
    own = select(_i.id).where(_i.contact_id.in_(ids))
    await connection.execute(
        delete(rows.outbox).where(rows.outbox.c.instance_id.in_(own), rows.outbox.c.kind != cancel)
    )


# What is left


async def next_instances(
    connection: AsyncConnection, ids: Sequence[str], after: str, limit: int = PAGE
) -> Sequence[Any]:
    """The next instances that have ended and whose ids are not opaque yet, `id` and `process_key`; also those that
    retention has deleted, of which the messages are left.
    """
    ended = select(_i.id, _i.process_key).where(
        _i.contact_id.in_(ids), ~_i.open, _i.id > after, ~_is_opaque(_i.id, _i.process_key)
    )
    there = select(_i.id).where(_i.id == _m.instance_id).exists()
    deleted = (
        select(_m.instance_id.label("id"), _m.process_key)
        .where(
            _m.contact_id.in_(ids),
            _m.instance_id > after,
            ~there,
            ~_is_opaque(_m.instance_id, _m.process_key),
        )
        .distinct()
    )
    both = rows.together([ended, deleted]).subquery()
    found = await connection.execute(select(both).order_by(both.c.id).limit(limit))
    return found.all()


async def any_open(connection: AsyncConnection, ids: Sequence[str]) -> bool:
    """Whether an instance of theirs has not ended."""
    found = await connection.execute(select(_i.id).where(_i.contact_id.in_(ids), _i.open).limit(1))
    return found.first() is not None


async def others(connection: AsyncConnection, instances: Sequence[str], ids: Sequence[str]) -> set[str]:
    """Those of the instances that belong to somebody else."""
    found = await connection.execute(select(_i.id).where(_i.id.in_(instances), _i.contact_id.not_in(ids)))
    return set(found.scalars())


async def forget_instances(
    connection: AsyncConnection, instances: Mapping[str, str], known: Collection[str], now: datetime
) -> None:
    """Empty instances that have ended, by id, each with its process; they get opaque ids in every table."""
    olds = list(instances)
    if not olds:
        return
    opaque = {old: opaque_id(process) for old, process in instances.items()}
    for table in (rows.waits, rows.outbox):
        await connection.execute(delete(table).where(table.c.instance_id.in_(olds)))
    await connection.execute(
        update(rows.visits).where(rows.visits.c.instance_id.in_(olds)).values(emptied("visits"))
    )
    await connection.execute(
        update(rows.messages).where(_m.instance_id.in_(olds)).values(emptied("messages"))
    )
    await connection.execute(update(rows.instances).where(_i.id.in_(olds)).values(emptied("instances")))
    await _forget_operations(connection, opaque, known, now)
    sent = (await connection.execute(select(_m.id).where(_m.instance_id.in_(olds)))).scalars().all()
    pairs = [{"was": old, "to": new} for old, new in opaque.items()]
    for table, name in (
        (rows.visits, "instance_id"),
        (rows.messages, "instance_id"),
        (rows.operation_results, "subject"),
        (rows.operation_results, "instance_id"),
        (rows.instances, "id"),
    ):
        await _replace(connection, table, pairs, table.c[name] == bindparam("was"), name)
    await _replace(
        connection,
        rows.messages,
        [{"was": message, "to": "m~" + secrets.token_hex(12)} for message in sent],
        _m.id == bindparam("was"),
        "id",
    )
    await connection.execute(
        update(rows.audit)
        .where(_a.subject == bindparam("was"), _a.erased_at.is_(None))
        .values(emptied("audit") | {"erased_at": now, "subject": bindparam("to")}),
        [{"was": f"instance/{old}", "to": f"instance/{new}"} for old, new in opaque.items()],
    )


async def _replace(
    connection: AsyncConnection,
    table: Table,
    pairs: Sequence[Mapping[str, str]],
    where: ColumnElement[bool],
    name: str,
) -> None:
    if pairs:
        await connection.execute(
            update(table).where(where).values({name: bindparam("to")}), [dict(pair) for pair in pairs]
        )


async def _forget_operations(
    connection: AsyncConnection, opaque: Mapping[str, str], known: Collection[str], now: datetime
) -> None:
    """What operations say of these instances: their results' reasons, the ids among their params, and for an
    operation that was for this person alone what was asked for.
    """
    mine = or_(_r.instance_id.in_(opaque), _r.subject.in_(opaque), _r.subject.in_(known))
    await _wipe_results(connection, mine)
    counted = await connection.execute(
        select(_r.operation_id, func.count().label("mine")).where(mine).group_by(_r.operation_id)
    )
    of_mine = {row.operation_id: row.mine for row in counted}
    whole = await connection.execute(
        select(_r.operation_id, func.count().label("all"))
        .where(_r.operation_id.in_(of_mine))
        .group_by(_r.operation_id)
    )
    alone = {row.operation_id for row in whole if row.all == of_mine[row.operation_id]}
    found = await connection.execute(
        select(_o.id, _o.process_key, _o.params, _o.reason)
        .where(_o.id.in_(of_mine))
        .order_by(_o.id)
        .with_for_update()
    )
    operations = found.all()
    for row in operations:
        params = dict(row.params)
        if "instances" in params:
            params["instances"] = sorted(opaque.get(one, one) for one in params["instances"])
        values: dict[str, Any] = {"params": params}
        if row.id in alone:
            values = {
                "params": {n: v for n, v in params.items() if n not in {"params", "key"}},
                "reason": None,
            }
        await connection.execute(update(rows.operations).where(_o.id == row.id).values(values))
    processes = {row.process_key for row in operations} | {old.partition("/")[0] for old in opaque}
    naming = [*opaque, *alone]
    for first in range(0, len(naming), PAGE):
        told = cast(_a.after, Text)
        named = [told.contains(f'"{one}"', autoescape=True) for one in naming[first : first + PAGE]]
        await connection.execute(
            update(rows.audit)
            .where(
                _a.subject.in_([f"process/{process}" for process in processes]),
                _a.action.in_(_MANY),
                _a.erased_at.is_(None),
                or_(*named),
            )
            .values(emptied("audit") | {"erased_at": now})
        )


async def forget_events(connection: AsyncConnection, ids: Sequence[str], limit: int = PAGE) -> bool:
    """Replace the ids of the next events by their hashes. False if there was none left."""
    found = await connection.execute(
        select(_e.id)
        .where(_e.contact_id.in_(ids), ~_e.id.startswith(names.ERASED_EVENT))
        .limit(limit)
        .with_for_update()
    )
    pairs = [{"was": one, "to": names.erased_event_id(one)} for one in found.scalars()]
    await _replace(connection, rows.events, pairs, _e.id == bindparam("was"), "id")
    return bool(pairs)
