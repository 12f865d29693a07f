"""Reads what became of contacts, for the oracle: from the rows, from Temporal, and from the mail server's list."""

from collections.abc import Mapping, Sequence
from datetime import datetime
from typing import Any

from sqlalchemy import select
from temporalio.client import Client
from temporalio.service import RPCError, RPCStatusCode

from intake.events import Decision
from store import rows
from store.database import Database
from tests.oracle.actions import Said
from tests.oracle.outcome import ContactOutcome, InstanceFound, LedgerRow, MailTaken, VisitMade

_c, _i, _v, _m, _e, _t = (
    rows.contacts.c,
    rows.instances.c,
    rows.visits.c,
    rows.messages.c,
    rows.events.c,
    rows.contact_tags.c,
)


def said(decisions: Sequence[Decision] | Sequence[Mapping[str, Any]]) -> tuple[Said, ...]:
    """Decisions in the oracle's words."""
    checked = [Decision.model_validate(d) for d in decisions]
    return tuple(Said(d.process, d.decision, d.reason or "", d.instance) for d in checked)


async def read_outcome(
    database: Database, client: Client, contact: str, mails: Sequence[MailTaken]
) -> ContactOutcome:
    """Everything of the contact with this ContactId; empty where there is no such contact."""
    async with database.read() as connection:
        contact_id = (await connection.execute(select(_c.id).where(_c.external_id == contact))).scalar()
        instances = (
            await connection.execute(
                select(rows.instances).where(_i.contact_id == contact_id).order_by(_i.created_at, _i.id)
            )
        ).all()
        ids = [row.id for row in instances]
        visits = (
            await connection.execute(
                select(rows.visits).where(_v.instance_id.in_(ids), _v.step != "").order_by(_v.at)
            )
        ).all()
        messages = (await connection.execute(select(rows.messages).where(_m.instance_id.in_(ids)))).all()
        events = (
            await connection.execute(
                select(_e.id, _e.outcome).where(_e.contact_id == contact_id, _e.source == "api")
            )
        ).all()
        tags = (await connection.execute(select(_t.tag).where(_t.contact_id == contact_id))).scalars().all()
    found = {
        row.id: instance_found(
            row,
            contact,
            await workflow_status(client, row.id),
            [visit_made(v) for v in visits if v.instance_id == row.id],
            [ledger_row(m) for m in messages if m.instance_id == row.id],
        )
        for row in instances
    }
    return ContactOutcome(
        contact, found, {row.id: said(row.outcome) for row in events}, list(mails), set(tags)
    )


async def workflow_status(client: Client, instance: str) -> str | None:
    """The status of an instance's workflow by its newest run; None where Temporal knows none."""
    try:
        status = (await client.get_workflow_handle(instance).describe()).status
    except RPCError as error:
        if error.status != RPCStatusCode.NOT_FOUND:
            raise
        return None
    return None if status is None else status.name


def instance_found(
    row: Any, contact: str, workflow: str | None, visits: list[VisitMade], messages: list[LedgerRow]
) -> InstanceFound:
    """An instance in the oracle's words. `workflow` is its newest run's status."""
    return InstanceFound(
        id=row.id,
        process=row.process_key,
        version=row.version,
        contact=contact,
        event_id=row.event_id,
        state=row.state,
        open=row.open,
        outcome=row.outcome,
        reason=row.reason,
        workflow=workflow,
        visits=visits,
        messages=messages,
    )


def visit_made(row: Any) -> VisitMade:
    """A visit of a step in the oracle's words."""
    return VisitMade(row.step, row.visit, row.result or {})


def ledger_row(row: Any) -> LedgerRow:
    """A message of the ledger in the oracle's words."""
    claimed: datetime = row.claimed_at
    return LedgerRow(
        row.id, row.step, row.state, row.recipient, claimed.timestamp(), row.attempts, row.detail or ""
    )
