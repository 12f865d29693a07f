"""A contact's history: their instances, running and ended, and their opens, clicks and goals."""

from datetime import datetime
from typing import Annotated, Literal

from fastapi import APIRouter, Query
from pydantic import BaseModel, Field

from api.access import CallerDep, needs
from api.bodies import JsonRoute
from api.deps import ContactDep, CursorQuery, LimitQuery, ServicesDep
from api.documentation import problems
from api.models import InstanceRow, Page
from api.rows import instance_row
from processes.builtin_events import MESSAGE_CLICKED, MESSAGE_OPENED
from store import activity, reading, where

router = APIRouter(prefix="/v1/contacts", tags=["contacts"], route_class=JsonRoute)


class InstanceCounts(BaseModel):
    """How many instances a contact has; test runs count in `test_runs` alone."""

    open: int
    ended: int
    test_runs: int


class ContactInstances(Page[InstanceRow]):
    """A page of a contact's instances."""

    counts: InstanceCounts = Field(description="Of all, whatever the page and `open` leave out.")


class Did(BaseModel):
    """How often something was done with a message, by people and by machines as far as can be told."""

    people: int
    machines: int = Field(description="Scanners of mail and programs that fetch pictures: docs/tracking.md.")
    last_at: datetime | None = Field(default=None, description="The last time, by a person.")


class ActivityMessage(BaseModel):
    """A message, as the send ledger has it, and what was done with it."""

    id: str
    channel: str
    recipient: str
    subject: str | None = None
    state: str
    detail: str | None = None
    closed_at: datetime | None = None
    opened_at: datetime | None = Field(default=None, description="First, by a person as far as can be told.")
    clicked_at: datetime | None = Field(default=None, description="First, by a person.")
    opens: Did
    clicks: Did


class ActivityRow(BaseModel):
    """A message with its opens and clicks, or a goal that was reached."""

    kind: Literal["message", "goal"]
    at: datetime = Field(description="When the step came to send it; when the goal was reached.")
    process: str
    instance: str
    step: str | None = Field(default=None, description="Of a message.")
    test: bool = Field(description="Of a test run: it counts nowhere.")
    goal: str | None = Field(default=None, description="The goal's name.")
    message: ActivityMessage | None = None


class ContactActivity(Page[ActivityRow]):
    """A page of a contact's activity."""

    last_opened_at: datetime | None = Field(description="When they last opened a message themselves.")
    last_clicked_at: datetime | None = Field(description="When they last clicked in one themselves.")


@router.get(
    "/{ref}/instances",
    dependencies=[needs("contacts:read")],
    summary="A contact's instances",
    responses=problems(404),
)
async def list_instances(
    contact_id: ContactDep,
    services: ServicesDep,
    caller: CallerDep,
    open: Annotated[
        bool | None, Query(description="True: only running instances; false: only ended ones.")
    ] = None,
    limit: LimitQuery = 50,
    cursor: CursorQuery = None,
) -> ContactInstances:
    """The newest first: where each stands, what comes next and when (O6); and how many there are."""
    async with services.database.read() as connection:
        wanted = reading.InstanceFilter(contact_id=contact_id, open=open, processes=caller.processes)
        found = await reading.instances(connection, wanted, limit=limit, cursor=cursor)
        known = await reading.definitions_of(connection, services.catalog, found.items)
        counted = await where.of_contact(connection, contact_id, caller.processes)
    return ContactInstances(
        items=[instance_row(row, known) for row in found.items],
        next_cursor=found.next_cursor,
        counts=InstanceCounts(open=counted.open, ended=counted.ended, test_runs=counted.test_runs),
    )


@router.get(
    "/{ref}/activity",
    dependencies=[needs("contacts:read")],
    summary="A contact's activity",
    responses=problems(404),
)
async def list_activity(
    contact_id: ContactDep,
    services: ServicesDep,
    caller: CallerDep,
    limit: LimitQuery = 50,
    cursor: CursorQuery = None,
) -> ContactActivity:
    """Messages with their opens and clicks, and goals that were reached: the newest first."""
    async with services.database.read() as connection:
        found = await activity.activity(
            connection, contact_id, processes=caller.processes, limit=limit, cursor=cursor
        )
        last = await activity.last_times(connection, contact_id, caller.processes)
    return ContactActivity(
        items=[_entry(entry) for entry in found.items],
        next_cursor=found.next_cursor,
        last_opened_at=last.get(MESSAGE_OPENED),
        last_clicked_at=last.get(MESSAGE_CLICKED),
    )


def _entry(entry: activity.Entry) -> ActivityRow:
    return ActivityRow(
        kind=entry.kind,
        at=entry.at,
        process=entry.process,
        instance=entry.instance,
        step=entry.step,
        test=entry.test,
        goal=entry.goal,
        message=None if entry.message is None else _message(entry.message),
    )


def _message(sent: activity.SentMessage) -> ActivityMessage:
    return ActivityMessage(
        id=sent.id,
        channel=sent.channel,
        recipient=sent.recipient,
        subject=sent.subject,
        state=sent.state,
        detail=sent.detail,
        closed_at=sent.closed_at,
        opened_at=sent.opened_at,
        clicked_at=sent.clicked_at,
        opens=_did(sent.opens),
        clicks=_did(sent.clicks),
    )


def _did(tally: activity.Tally) -> Did:
    return Did(people=tally.people, machines=tally.machines, last_at=tally.last_at)
