"""Segments: contact groups by a rule, or by hand (C4)."""

from datetime import UTC, datetime
from typing import Annotated, Any, Literal

from fastapi import APIRouter, Path
from pydantic import BaseModel, Field, ValidationError
from sqlalchemy import select
from sqlalchemy.ext.asyncio import AsyncConnection

from api.access import CallerDep, allow, needs
from api.bodies import JsonRoute
from api.deps import ContactDep, CursorQuery, LimitQuery, OriginDep, ServicesDep
from api.documentation import problems
from api.models import Body, Changed, ContactBrief, JsonObject, Name, Page
from api.rows import contact_brief
from intake import audit
from intake.bundles import rule_problems
from intake.effects import Effects
from intake.refusals import Clash, Missing
from intake.service import retried
from processes.problems import DocumentInvalid, problems_of
from processes.rules import InSegment, Rule, dump_rule, parse_rule, references
from processes.values import Json, Key
from processes.verdicts import Verdict
from store import definitions, reading, rows
from store.explanations import explain
from store.rules import count_members

router = APIRouter(prefix="/v1/segments", tags=["segments"], route_class=JsonRoute)

KeyPath = Annotated[Key, Path()]


class SegmentPut(Body):
    """A segment as it is written."""

    name: Name
    rule: JsonObject | None = Field(
        default=None,
        description="The rule that members meet, in the rule language; null: members are put in by hand.",
        examples=[{"all": [{"tag": "customer"}, {"contact": "city", "equals": "Brno"}]}],
    )


class SegmentRow(BaseModel):
    """A segment."""

    key: str
    name: str
    rule: JsonObject | None = None
    created_at: datetime


class SegmentDetail(SegmentRow):
    """A segment with the number of its members now."""

    count: int


class Explained(BaseModel):
    """A rule with its answer for a contact, and what it is made of."""

    rule: JsonObject
    holds: bool
    value: Json = Field(default=None, description="What a rule about a field or a param found there.")
    parts: list["Explained"] = Field(
        default_factory=list, description="A segment's part is the rule that makes it."
    )


@router.get("", dependencies=[needs("reports:read")], summary="Segments", responses=problems())
async def list_segments(services: ServicesDep) -> dict[Literal["items"], list[SegmentRow]]:
    """All, by key."""
    async with services.database.read() as connection:
        found = await connection.execute(select(rows.segments).order_by(rows.segments.c.key))
    return {"items": [SegmentRow(**row._mapping) for row in found]}


@router.get("/{key}", dependencies=[needs("reports:read")], summary="A segment", responses=problems(404))
async def get_segment(key: KeyPath, services: ServicesDep) -> SegmentDetail:
    """With the number of its members now."""
    async with services.database.read() as connection:
        row = await _row(connection, key)
        view = await services.catalog.view(connection)
        count = await count_members(
            connection, InSegment(segment=key), now=datetime.now(UTC), segments=view.segments
        )
    return SegmentDetail(**row._mapping, count=count)


@router.put(
    "/{key}",
    dependencies=[needs("processes:edit")],
    summary="Make or change a segment",
    responses=problems(415),
)
async def put_segment(
    key: KeyPath, body: SegmentPut, services: ServicesDep, caller: CallerDep
) -> SegmentDetail:
    """A rule is checked with the segments and lists that it names."""
    rule = None if body.rule is None else parsed_rule(body.rule)
    if rule is not None:
        named = references(rule)
        allow(caller, processes=named.processes, lists=named.lists)
    stored = None if rule is None else dump_rule(rule)
    now, values = datetime.now(UTC), {"key": key, "name": body.name, "rule": stored}
    async with services.database.write() as connection:
        if await audit.record_put(connection, caller.actor, "segment", rows.segments, values, now):
            view = await services.catalog.view(connection)
            found = [] if rule is None else await rule_problems(connection, key, rule, view)
            if found:
                raise DocumentInvalid(found)
            await definitions.put_segment(connection, key, body.name, stored, now)
    return await get_segment(key, services)


@router.get(
    "/{key}/members",
    dependencies=[needs("contacts:read")],
    summary="A segment's members",
    responses=problems(404),
)
async def list_members(
    key: KeyPath, services: ServicesDep, limit: LimitQuery = 50, cursor: CursorQuery = None
) -> Page[ContactBrief]:
    """The contacts in it now."""
    async with services.database.read() as connection:
        await _row(connection, key)
        view = await services.catalog.view(connection)
        found = await reading.segment_members(
            connection, key, view.segments, datetime.now(UTC), limit=limit, cursor=cursor
        )
    return Page(items=[contact_brief(row, row.id) for row in found.items], next_cursor=found.next_cursor)


@router.get(
    "/{key}/explain/{ref}",
    dependencies=[needs("contacts:read")],
    summary="Why a contact is in a segment, or not",
    responses=problems(404),
)
async def explain_member(key: KeyPath, contact_id: ContactDep, services: ServicesDep) -> Explained:
    """Each part of the rule with its answer for the contact now."""
    async with services.database.read() as connection:
        await _row(connection, key)
        view = await services.catalog.view(connection)
        found = await explain(
            connection,
            InSegment(segment=key),
            contact_id=contact_id,
            event=None,
            now=datetime.now(UTC),
            segments=view.segments,
        )
    return explained(found)


def explained(part: Verdict) -> Explained:
    """As the API says it."""
    return Explained(
        rule=part.rule.model_dump(mode="json"),
        holds=part.holds,
        value=part.value,
        parts=[explained(inner) for inner in part.parts],
    )


@router.put(
    "/{key}/members/{ref}",
    dependencies=[needs("contacts:write")],
    summary="Put a contact into a segment",
    responses=problems(404, 409),
)
async def add_member(
    key: KeyPath, contact_id: ContactDep, services: ServicesDep, origin: OriginDep
) -> Changed:
    """Only where the segment is made by hand. Triggers on the segment see it."""

    async def work(connection: AsyncConnection) -> tuple[bool, Effects]:
        await _by_hand(connection, key)
        return await services.changes.add_to_segment(connection, contact_id, key, datetime.now(UTC), origin)

    changed, effects = await retried(services.database, work)
    await services.dispatcher.send(effects)
    return Changed(changed=changed)


@router.delete(
    "/{key}/members/{ref}",
    dependencies=[needs("contacts:write")],
    summary="Take a contact out of a segment",
    responses=problems(404, 409),
)
async def remove_member(
    key: KeyPath, contact_id: ContactDep, services: ServicesDep, origin: OriginDep
) -> Changed:
    """Only where the segment is made by hand. Triggers on the segment see it."""

    async def work(connection: AsyncConnection) -> tuple[bool, Effects]:
        await _by_hand(connection, key)
        return await services.changes.remove_from_segment(
            connection, contact_id, key, datetime.now(UTC), origin
        )

    changed, effects = await retried(services.database, work)
    await services.dispatcher.send(effects)
    return Changed(changed=changed)


async def _row(connection: AsyncConnection, key: str) -> Any:
    row = (await connection.execute(select(rows.segments).where(rows.segments.c.key == key))).one_or_none()
    if row is None:
        raise Missing("segment", key)
    return row


async def _by_hand(connection: AsyncConnection, key: str) -> None:
    if (await _row(connection, key)).rule is not None:
        raise Clash(f"segment «{key}» has a rule: its members cannot be changed by hand")


def parsed_rule(document: JsonObject) -> Rule:
    try:
        return parse_rule(document)
    except ValidationError as error:
        raise DocumentInvalid(problems_of(error, document, under=["rule"])) from None
