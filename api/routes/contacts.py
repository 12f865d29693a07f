"""Contacts: who they are, their tags, notes and lists; a stop of what runs for them (C1-C3, O3)."""

from collections.abc import Mapping
from datetime import UTC, datetime
from typing import Annotated, Any

from fastapi import APIRouter, Path, Query, Response
from pydantic import BaseModel, ConfigDict, Field, StringConstraints
from sqlalchemy.ext.asyncio import AsyncConnection

from api.access import ActorDep, CallerDep, allow, needs
from api.bodies import JsonRoute
from api.deps import ContactDep, CursorQuery, LimitQuery, OriginDep, PartsDep, ServicesDep, WaitQuery
from api.documentation import problems
from api.models import Body, Changed, Page, StopAnswer
from intake.effects import Effects
from intake.identity import NotAttached
from intake.refusals import Missing
from intake.service import retried
from processes.facts import SUBSCRIBED, UNSUBSCRIBED
from processes.problems import DocumentInvalid, Problem
from processes.rule_values import ListStatus
from processes.values import Json, Key, Tag
from store import contacts, definitions, reading
from store.rules import UnknownSegment

router = APIRouter(prefix="/v1/contacts", tags=["contacts"], route_class=JsonRoute)

TagPath = Annotated[Tag, Path()]
KeyPath = Annotated[Key, Path()]


EXAMPLE: dict[str, Any] = {
    "id": "22222",
    "email": "anna@example.com",
    "time_zone": "Europe/Prague",
    "fields": {"city": "Brno"},
}


class ContactWrite(BaseModel):
    """What can be said of a contact. Texts are normalised as in events: e-mail to lower case, phone to E.164."""

    id: Json = Field(default=None, description="ContactId, as `external_id`.")
    external_id: Json = None
    email: Json = None
    phone: Json = None
    token: Json = None
    time_zone: Json = Field(default=None, description="IANA name.")
    language: Json = Field(default=None, description="A language tag, such as `cs`.")
    fields: Json = Field(
        default=None, description="Any JSON; in a change merged, and a null removes the field."
    )

    model_config = ConfigDict(extra="allow", json_schema_extra={"examples": [EXAMPLE]})


class TagRow(BaseModel):
    """A tag with the time it was added, and by what."""

    tag: str
    added_at: datetime
    source: str


class SubscriptionRow(BaseModel):
    """A status in a list."""

    list: str
    status: str
    since: datetime


class SubscriptionChangeRow(BaseModel):
    """A change of a status."""

    list: str
    before: str | None = None
    after: str
    at: datetime
    source: str


class ContactRow(BaseModel):
    """A contact."""

    id: str = Field(description="Our id.")
    external_id: str | None = Field(default=None, description="ContactId.")
    email: str | None = None
    phone: str | None = None
    token: str | None = None
    language: str | None = None
    time_zone: str | None = None
    fields: dict[str, Json]
    email_state: str = Field(description="ok, unsubscribed, bounced or complained")
    email_state_reason: str | None = None
    created_at: datetime
    updated_at: datetime
    tags: list[TagRow] = Field(description="By name.")


class ContactDetail(ContactRow):
    """A contact with its lists."""

    lists: list[SubscriptionRow]


class ContactMade(ContactDetail):
    """A contact that was made, and what it did not get."""

    not_attached: list[NotAttached] = Field(
        description="Weaker identities that belong to somebody else, and stay theirs."
    )


class ContactLists(BaseModel):
    """A contact's lists, and what changed when."""

    items: list[SubscriptionRow]
    history: list[SubscriptionChangeRow]


class NoteWrite(Body):
    """A note."""

    text: Annotated[str, StringConstraints(strip_whitespace=True, min_length=1, max_length=10_000)]


class NoteRow(BaseModel):
    """A note with its time and author."""

    id: int
    text: str
    added_at: datetime
    source: str


class SubscriptionWrite(Body):
    """A status to be set."""

    status: ListStatus


class ListMove(Body):
    """From one list to another, in one change."""

    from_list: Key = Field(alias="from")
    to_list: Key = Field(alias="to")


class MoveAnswer(BaseModel):
    """Whether the contact was moved, and the lists as they are now."""

    moved: bool
    reason: str | None = None
    lists: list[SubscriptionRow]


class MergeInto(Body):
    """The contact that stays."""

    into: Annotated[str, StringConstraints(min_length=1, max_length=320)]


class MergeAnswer(BaseModel):
    """What was merged."""

    survivor: ContactDetail
    instances_moved: int


class StopReason(Body):
    """Why it is stopped, for who looks later."""

    reason: str | None = Field(default=None, max_length=500)


@router.post(
    "",
    dependencies=[needs("contacts:write")],
    status_code=201,
    summary="Create a contact",
    responses=problems(409, 415),
)
async def create_contact(body: ContactWrite, parts: PartsDep, origin: OriginDep) -> ContactMade:
    """409 names the contact where the ContactId or the e-mail address is taken, or all that is given. A phone number or
    token of somebody else stays theirs beside a stronger identity, and stands in `not_attached`.
    """
    contact_id, left = await parts.people.create(body.model_dump(exclude_unset=True), origin)
    made = await _detail(parts.services, contact_id)
    return ContactMade(**dict(made), not_attached=left)


@router.get(
    "", dependencies=[needs("contacts:read", list="list")], summary="Contacts", responses=problems(404)
)
async def list_contacts(
    services: ServicesDep,
    segment: Annotated[Key | None, Query(description="In this segment now.")] = None,
    tag: Annotated[str | None, Query(max_length=100, description="With this tag.")] = None,
    list_key: Annotated[Key | None, Query(alias="list", description="Subscribed to this list.")] = None,
    email: Annotated[str | None, Query(max_length=320, description="With exactly this address.")] = None,
    q: Annotated[
        str | None, Query(min_length=1, max_length=100, description="Part of ContactId, e-mail or phone.")
    ] = None,
    search: Annotated[
        str | None,
        Query(
            min_length=1,
            max_length=200,
            description="Parts of a name, an address, a phone number or a ContactId: each word is in one of them.",
        ),
    ] = None,
    limit: LimitQuery = 50,
    cursor: CursorQuery = None,
) -> Page[ContactRow]:
    """The newest first."""
    async with services.database.read() as connection:
        view = await services.catalog.view(connection)
        wanted = reading.ContactFilter(
            segment=segment, tag=tag, list_key=list_key, email=email, q=q, search=search
        )
        try:
            found = await reading.contacts(
                connection, wanted, view, datetime.now(UTC), limit=limit, cursor=cursor
            )
        except UnknownSegment as error:
            raise Missing("segment", error.key) from error
        tags = await reading.tags_of(connection, [row.id for row in found.items])
    return Page(
        items=[ContactRow(**_contact(row, tags)) for row in found.items], next_cursor=found.next_cursor
    )


@router.get("/{ref}", dependencies=[needs("contacts:read")], summary="A contact", responses=problems(404))
async def get_contact(contact_id: ContactDep, services: ServicesDep) -> ContactDetail:
    """With its tags and lists."""
    return await _detail(services, contact_id)


@router.patch(
    "/{ref}",
    dependencies=[needs("contacts:write")],
    summary="Change a contact",
    responses=problems(404, 409, 415),
)
async def change_contact(
    contact_id: ContactDep, body: ContactWrite, parts: PartsDep, origin: OriginDep
) -> ContactDetail:
    """Only what is named changes; null empties it; fields are merged. Triggers on a field see it."""
    await parts.people.change(contact_id, body.model_dump(exclude_unset=True), origin)
    return await _detail(parts.services, contact_id)


@router.delete(
    "/{ref}",
    dependencies=[needs("contacts:write")],
    status_code=204,
    summary="Delete a contact",
    responses=problems(404),
)
async def delete_contact(contact_id: ContactDep, parts: PartsDep, actor: ActorDep) -> Response:
    """Its instances end with the outcome `contact_deleted`; what says who it was is wiped."""
    await parts.people.delete(contact_id, actor)
    return Response(status_code=204)


@router.put(
    "/{ref}/tags/{tag}", dependencies=[needs("contacts:write")], summary="Add a tag", responses=problems(404)
)
async def add_tag(contact_id: ContactDep, tag: TagPath, services: ServicesDep, origin: OriginDep) -> Changed:
    """Nothing happens where the contact has it."""

    async def work(connection: AsyncConnection) -> tuple[bool, Effects]:
        return await services.changes.add_tag(connection, contact_id, tag, datetime.now(UTC), origin)

    changed, effects = await retried(services.database, work)
    await services.dispatcher.send(effects)
    return Changed(changed=changed)


@router.delete(
    "/{ref}/tags/{tag}",
    dependencies=[needs("contacts:write")],
    summary="Remove a tag",
    responses=problems(404),
)
async def remove_tag(
    contact_id: ContactDep, tag: TagPath, services: ServicesDep, origin: OriginDep
) -> Changed:
    """Nothing happens where the contact does not have it."""

    async def work(connection: AsyncConnection) -> tuple[bool, Effects]:
        return await services.changes.remove_tag(connection, contact_id, tag, datetime.now(UTC), origin)

    changed, effects = await retried(services.database, work)
    await services.dispatcher.send(effects)
    return Changed(changed=changed)


@router.get(
    "/{ref}/notes",
    dependencies=[needs("contacts:read")],
    summary="A contact's notes",
    responses=problems(404),
)
async def list_notes(
    contact_id: ContactDep, services: ServicesDep, limit: LimitQuery = 50, cursor: CursorQuery = None
) -> Page[NoteRow]:
    """The newest first."""
    async with services.database.read() as connection:
        found = await reading.notes_of(connection, contact_id, limit=limit, cursor=cursor)
    return Page(items=[NoteRow(**row._mapping) for row in found.items], next_cursor=found.next_cursor)


@router.post(
    "/{ref}/notes",
    dependencies=[needs("contacts:write")],
    status_code=201,
    summary="Add a note",
    responses=problems(404, 415),
)
async def add_note(
    contact_id: ContactDep, body: NoteWrite, services: ServicesDep, origin: OriginDep
) -> NoteRow:
    """Kept with its time. Triggers on notes see it."""

    async def work(connection: AsyncConnection) -> tuple[NoteRow, Effects]:
        effects = await services.changes.add_note(
            connection, contact_id, body.text, datetime.now(UTC), origin
        )
        newest = await reading.notes_of(connection, contact_id, limit=1, cursor=None)
        return NoteRow(**newest.items[0]._mapping), effects

    note, effects = await retried(services.database, work)
    await services.dispatcher.send(effects)
    return note


@router.get(
    "/{ref}/lists",
    dependencies=[needs("contacts:read")],
    summary="A contact's lists",
    responses=problems(404),
)
async def list_lists(contact_id: ContactDep, services: ServicesDep) -> ContactLists:
    """Its status in each, and the history."""
    async with services.database.read() as connection:
        history = await reading.subscription_history(connection, contact_id)
        items = await _lists(connection, contact_id)
    changes = [
        SubscriptionChangeRow(list=r.list_key, before=r.before, after=r.after, at=r.at, source=r.source)
        for r in history
    ]
    return ContactLists(items=items, history=changes)


@router.post(
    "/{ref}/lists/move",
    dependencies=[needs("contacts:write")],
    summary="Move between lists",
    responses=problems(404, 415),
)
async def move(
    contact_id: ContactDep,
    body: ListMove,
    services: ServicesDep,
    origin: OriginDep,
    caller: CallerDep,
) -> MoveAnswer:
    """One atomic change. A contact that is not subscribed to the first list stays where it is."""
    allow(caller, lists=(body.from_list, body.to_list))
    if body.from_list == body.to_list:
        raise DocumentInvalid([Problem(pointer="/to", message="is the same list as from")])

    async def work(connection: AsyncConnection) -> tuple[bool, Effects, list[SubscriptionRow]]:
        known = (await services.catalog.view(connection)).lists
        for key in (body.from_list, body.to_list):
            if key not in known:
                raise Missing("list", key)
        moved, effects = False, Effects()
        if await contacts.subscription(connection, contact_id, body.from_list) == SUBSCRIBED:
            now = datetime.now(UTC)
            for key, status in ((body.from_list, UNSUBSCRIBED), (body.to_list, SUBSCRIBED)):
                _, more = await services.changes.set_subscription(
                    connection, contact_id, key, status, now, origin
                )
                effects.add(more)
            moved = True
        return moved, effects, await _lists(connection, contact_id)

    moved, effects, lists = await retried(services.database, work)
    await services.dispatcher.send(effects)
    reason = None if moved else f"not subscribed to the list {body.from_list}"
    return MoveAnswer(moved=moved, reason=reason, lists=lists)


@router.put(
    "/{ref}/lists/{list}",
    dependencies=[needs("contacts:write", list="list")],
    summary="Set a contact's status in a list",
    responses=problems(404, 415),
)
async def set_status(
    contact_id: ContactDep,
    list_key: Annotated[Key, Path(alias="list")],
    body: SubscriptionWrite,
    services: ServicesDep,
    origin: OriginDep,
) -> Changed:
    """Triggers on the list see it. The same status again changes nothing."""

    async def work(connection: AsyncConnection) -> tuple[str | None, Effects]:
        if list_key not in (await services.catalog.view(connection)).lists:
            raise Missing("list", list_key)
        return await services.changes.set_subscription(
            connection, contact_id, list_key, body.status, datetime.now(UTC), origin
        )

    before, effects = await retried(services.database, work)
    await services.dispatcher.send(effects)
    return Changed(changed=before != body.status)


@router.post(
    "/{ref}/merge",
    dependencies=[needs("contacts:write")],
    summary="Merge a contact into another",
    responses=problems(404, 409, 415),
)
async def merge(contact_id: ContactDep, body: MergeInto, parts: PartsDep, actor: ActorDep) -> MergeAnswer:
    """History and instances move to the survivor; nothing is started. The survivor's values count."""
    survivor, moved = await parts.people.merge(contact_id, body.into, actor)
    return MergeAnswer(survivor=await _detail(parts.services, survivor), instances_moved=moved)


@router.post(
    "/{ref}/processes/{key}/stop",
    dependencies=[needs("processes:start", process="key")],
    summary="Stop a process for a contact",
    response_model=StopAnswer,
    responses={
        202: {"model": StopAnswer, "description": "Stopped; a message was leaving already"},
        **problems(404, 415),
    },
)
async def stop_process(
    contact_id: ContactDep,
    key: KeyPath,
    parts: PartsDep,
    response: Response,
    actor: ActorDep,
    body: StopReason | None = None,
    wait: WaitQuery = 10,
) -> StopAnswer:
    """Every open instance of this process; other processes go on (O3)."""
    async with parts.services.database.read() as connection:
        if await definitions.published_and_draft(connection, key) is None:
            raise Missing("process", key)
    reason = (body.reason if body is not None else None) or "stopped by API"
    done = await parts.stops.stop_process(contact_id, key, reason, wait=wait, actor=actor)
    if done.in_flight:
        response.status_code = 202
    return StopAnswer(stopped=bool(done.instances), instances=done.instances, in_flight=done.in_flight)


def _contact(row: Any, tags: Mapping[str, list[Any]]) -> dict[str, Any]:
    own = {name: getattr(row, name) for name in ContactRow.model_fields if name != "tags"}
    return {
        **own,
        "tags": [TagRow(tag=t.tag, added_at=t.added_at, source=t.source) for t in tags.get(row.id, [])],
    }


async def _lists(connection: AsyncConnection, contact_id: str) -> list[SubscriptionRow]:
    found = await reading.lists_of(connection, contact_id)
    return [SubscriptionRow(list=row.list_key, status=row.status, since=row.since) for row in found]


async def _detail(services: ServicesDep, contact_id: str) -> ContactDetail:
    async with services.database.read() as connection:
        row = await reading.contact(connection, contact_id)
        tags = await reading.tags_of(connection, [contact_id])
        lists = await _lists(connection, contact_id)
    return ContactDetail(**_contact(row, tags), lists=lists)
