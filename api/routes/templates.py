"""Message templates: written, checked, and shown as they would be sent (S1)."""

import secrets
from collections.abc import Mapping
from datetime import UTC, datetime
from typing import Annotated, Any, Literal

from fastapi import APIRouter, Path
from pydantic import BaseModel, Field, StringConstraints, model_validator
from sqlalchemy import select
from sqlalchemy.ext.asyncio import AsyncConnection

from api.access import ActorDep, Caller, CallerDep, must, needs
from api.bodies import JsonRoute
from api.deps import ServicesDep
from api.documentation import problems
from api.errors import Conflict, Unavailable
from api.models import Body, Name
from channels.errors import MessageRefused, OutcomeUnknown, RecipientRefused, SenderRefused, TryLater
from channels.mail import Draft, Mail
from channels.message_links import untracked
from channels.rendering import checked, rendered
from channels.templates import TemplateSource
from intake import audit
from intake.refusals import Missing
from processes.addresses import why_no_sender
from processes.problems import DocumentInvalid, Problem
from processes.values import Json, Key
from store import contacts, definitions, event_history, reading, rows
from store.suppressions import EMAIL, is_suppressed

router = APIRouter(prefix="/v1/templates", tags=["templates"], route_class=JsonRoute)

KeyPath = Annotated[Key, Path()]
Source = Annotated[str, StringConstraints(min_length=1, max_length=500_000)]
Address = Annotated[str, StringConstraints(strip_whitespace=True, min_length=3, max_length=320)]


class TemplatePut(Body):
    """A template as it is written: a subject, MJML or HTML, and a text that is made from them where it is missing."""

    name: Name | None = Field(default=None, description="The key where it is not given.")
    subject: Annotated[str, StringConstraints(min_length=1, max_length=2000)]
    mjml: Source | None = None
    html: Source | None = None
    text: Source | None = None
    sender: Address | None = Field(default=None, examples=["Shop <shop@example.com>"])
    reply_to: Address | None = None

    @model_validator(mode="after")
    def _whole(self) -> "TemplatePut":
        self.source()
        return self

    def source(self) -> TemplateSource:
        """What is rendered."""
        return TemplateSource(subject=self.subject, mjml=self.mjml, html=self.html, text=self.text)


class TemplateRow(BaseModel):
    """A template of a list."""

    key: str
    name: str
    subject: str
    revision: int
    updated_at: datetime


class TemplateDetail(TemplateRow):
    """A template with its parts."""

    mjml: str | None = None
    html: str | None = None
    text: str | None = None
    sender: str | None = None
    reply_to: str | None = None


class PreviewWanted(Body):
    """For whom, and with what: a contact's reference, the id of an event, params in their place or beside them."""

    contact: str | None = Field(default=None, max_length=320)
    event: str | None = Field(default=None, max_length=500)
    params: dict[str, Json] = Field(default_factory=dict)
    data: dict[str, Json] = Field(
        default_factory=dict, description="What steps put aside, such as `order` by «get order»."
    )


class TestWanted(PreviewWanted):
    """For whom it is rendered, and the address that gets it."""

    __test__ = False  # no test of pytest's

    to: Address = Field(examples=["jane.doe@example.com"])


class TestSent(BaseModel):
    """What became of a test."""

    __test__ = False

    to: str
    subject: str
    state: str = Field(description="sent, or unknown where the line was cut after it had left.")
    detail: str | None = None


class Preview(BaseModel):
    """The message as it would be sent."""

    subject: str
    html: str | None = None
    text: str


@router.get("", dependencies=[needs("reports:read")], summary="Templates", responses=problems())
async def list_templates(services: ServicesDep) -> dict[Literal["items"], list[TemplateRow]]:
    """All, by key."""
    async with services.database.read() as connection:
        found = await connection.execute(select(rows.templates).order_by(rows.templates.c.key))
    return {"items": [TemplateRow(**_picked(row, TemplateRow)) for row in found]}


@router.get("/{key}", dependencies=[needs("reports:read")], summary="A template", responses=problems(404))
async def get_template(key: KeyPath, services: ServicesDep) -> TemplateDetail:
    """With its parts."""
    async with services.database.read() as connection:
        return TemplateDetail(**_picked(await _row(connection, key), TemplateDetail))


@router.put(
    "/{key}",
    dependencies=[needs("processes:edit")],
    summary="Make or change a template",
    responses=problems(415),
)
async def put_template(
    key: KeyPath, body: TemplatePut, services: ServicesDep, actor: ActorDep
) -> TemplateDetail:
    """What does not render is refused, with the part and the line."""
    async with services.database.read() as connection:
        templates = (await services.catalog.view(connection)).templates
    found = await template_problems(body, templates)
    if found:
        raise DocumentInvalid(found)
    values = {"key": key, **template_columns(key, body)}
    now = datetime.now(UTC)
    async with services.database.write() as connection:
        if await audit.record_put(connection, actor, "template", rows.templates, values, now):
            await definitions.put_template(connection, values, now)
    return await get_template(key, services)


@router.post(
    "/{key}/preview",
    dependencies=[needs("processes:edit")],
    summary="Render a template",
    responses=problems(404, 415),
)
async def preview(
    key: KeyPath, services: ServicesDep, caller: CallerDep, body: PreviewWanted | None = None
) -> Preview:
    """Nothing is sent. 422 where it does not render with these values."""
    wanted = body or PreviewWanted()
    _may_see(caller, wanted)
    async with services.database.read() as connection:
        row = await _row(connection, key)
        context = {**wanted.data, **await _context(connection, wanted)}
        templates = (await services.catalog.view(connection)).templates
    shown = untracked(await rendered(TemplateSource.of(row), context, templates))
    return Preview(subject=shown.subject, html=shown.html, text=shown.text)


@router.post(
    "/{key}/test",
    dependencies=[needs("processes:edit")],
    summary="Send a template to an address, as a test",
    responses=problems(404, 409, 415, 503),
)
async def send_test(key: KeyPath, body: TestWanted, services: ServicesDep, caller: CallerDep) -> TestSent:
    """Rendered as the preview is, with «[Test]» before the subject. Nothing is recorded, nobody is written to but the
    address given, and its unsubscribe link does nothing. 409 where the mail settings are wrong.
    """
    _may_see(caller, body)
    async with services.database.read() as connection:
        reason = await is_suppressed(connection, EMAIL, body.to)
        if reason is not None:
            raise DocumentInvalid([Problem(pointer="/to", message=f"is suppressed: {reason}")])
        row = await _row(connection, key)
        links = {"unsubscribe_url": "#test", "preferences_url": "#test"}
        context = {**body.data, **await _context(connection, body), **links}
        templates = (await services.catalog.view(connection)).templates
    shown = untracked(await rendered(TemplateSource.of(row), context, templates))
    shown = shown.model_copy(update={"subject": f"[Test] {shown.subject}"})
    mail, own_id = services.settings, f"test{secrets.token_hex(12)}"
    draft = Draft(
        message_id=f"{own_id}@{mail.mail_domain}",
        sender=row.sender or mail.mail_from,
        recipient=body.to,
        reply_to=row.reply_to,
        rendered=shown,
        unsubscribe_url=None,
        unsubscribe_mailto=None,
        date=datetime.now(UTC),
        headers={},
    )
    state, detail = "sent", None
    try:
        content = services.mailer.compose(draft)
        await services.mailer.deliver(Mail(own_id, draft.sender, body.to, content), _go_ahead)
    except RecipientRefused as error:
        raise DocumentInvalid([Problem(pointer="/to", message=str(error))]) from error
    except (SenderRefused, MessageRefused) as error:
        raise Conflict(str(error), name="mail-refused") from error
    except TryLater as error:
        raise Unavailable(str(error)) from error
    except OutcomeUnknown as error:
        state, detail = "unknown", str(error)
    return TestSent(to=body.to, subject=shown.subject, state=state, detail=detail)


def _may_see(caller: Caller, wanted: PreviewWanted) -> None:
    """A template shows whatever it is made with: who names a contact or an event may read contacts."""
    if wanted.contact is not None or wanted.event is not None:
        must(caller, "contacts:read")


async def _go_ahead() -> bool:
    return True


async def _context(connection: AsyncConnection, wanted: PreviewWanted) -> dict[str, Json]:
    contact: dict[str, Json] = {}
    if wanted.contact is not None:
        contact_id = await contacts.resolve(connection, wanted.contact)
        if contact_id is None:
            raise Missing("contact", wanted.contact)
        row = await reading.contact(connection, contact_id)
        contact = {
            **row.fields,
            "id": row.external_id or row.id,
            "email": row.email,
            "phone": row.phone,
            "language": row.language,
            "time_zone": row.time_zone,
        }
    event: dict[str, Json] = {"id": None, "type": None, "key": None, "params": wanted.params}
    if wanted.event is not None:
        found = await event_history.event(connection, wanted.event)
        if found is None:
            raise Missing("event", wanted.event)
        event = {
            "id": found.id,
            "type": found.type,
            "key": found.key,
            "params": {**found.params, **wanted.params},
        }
    return {"contact": contact, "event": event, "process": {"key": "preview", "name": "Preview"}}


async def _row(connection: AsyncConnection, key: str) -> Any:
    row = (await connection.execute(select(rows.templates).where(rows.templates.c.key == key))).one_or_none()
    if row is None:
        raise Missing("template", key)
    return row


def _picked(row: Any, model: type[BaseModel]) -> dict[str, Any]:
    return {name: getattr(row, name) for name in model.model_fields}


async def template_problems(body: TemplatePut, templates: Mapping[str, Any]) -> list[Problem]:
    """What keeps a template from being sent, each with its part and line. `templates` are all, by key."""
    found = [
        Problem(pointer=f"/{p.part}", message=f"line {p.line}: {p.message}" if p.line else p.message)
        for p in await checked(body.source(), templates)
    ]
    for name in ("sender", "reply_to"):
        value: str | None = getattr(body, name)
        why = None if value is None else why_no_sender(value, smtputf8=True)
        if why is not None:
            found.append(Problem(pointer=f"/{name}", message=why))
    return found


def template_columns(key: str, body: TemplatePut) -> dict[str, Any]:
    """What is kept of it under its key."""
    return {**body.model_dump(), "name": body.name or key}
