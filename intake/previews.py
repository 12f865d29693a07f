"""Previews (O8): what a process would do to a contact, worked out from what is known and without any effect.

The walk is pure (`processes/preview.py`); here its questions are answered from the database, in one connection that
only reads. How a message is rendered, the caller brings: this module knows no channel.
"""

from collections.abc import Callable, Generator, Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import datetime
from typing import Any, Protocol

from sqlalchemy import select
from sqlalchemy.ext.asyncio import AsyncConnection

from intake.events import read_contact
from intake.foreseen import Door, Entrance
from intake.refusals import Missing
from processes.addresses import ANY
from processes.builtin_events import PROCESS_REQUESTED
from processes.definition import ProcessDefinition, parse
from processes.facts import Facts, Told
from processes.hearing import heard_by
from processes.preview import Foresight, Surroundings, foresee
from processes.problems import DocumentInvalid, Problem
from processes.rules import references
from processes.steps.wait_for_event import WaitForEvent
from processes.steps.wait_for_rule import WaitForRule
from processes.timeline import (
    Asked,
    CannotRender,
    Compose,
    Judge,
    Latest,
    Message,
    Recall,
    Render,
    Unsent,
    Went,
)
from processes.values import Json
from processes.windows import Cap
from store import definitions, rows
from store.catalog import CatalogCache, CatalogView, TemplateView
from store.database import Database
from store.imagined import event_before, judge, latest_event, resolve, suppressed
from store.messages import newest
from store.rules import RuleError

BEGAN_WITH = "(the event that starts it)"
"""The id of the event that starts what is previewed: there is none yet."""


class Composer(Protocol):
    """Renders for one process."""

    async def compose(self, asked: Compose) -> Message | Unsent | CannotRender:
        """A step's message."""

    async def render(self, asked: Render) -> dict[str, str] | CannotRender:
        """A step's own texts, by their place."""


Composers = Callable[[ProcessDefinition, Mapping[str, TemplateView]], Composer]


@dataclass(frozen=True)
class Imagined:
    """A contact that is not there: `properties` as a sender of events writes it, and what it would have."""

    properties: Mapping[str, Json]
    tags: frozenset[str] = frozenset()
    lists: Mapping[str, str] | None = None
    segments: frozenset[str] = frozenset()
    email_state: str = "ok"


@dataclass(frozen=True)
class PreviewWanted:
    """Of which process, for whom, by which event, and as if it were when (UTC).

    `state` is `draft`, `published` (None: the draft where there is one) or a number of a version; a `document` stands
    in its place. Without an event the process is asked for by name.
    """

    process: str
    contact: str | Imagined
    at: datetime
    state: str | int | None = None
    document: Any = None
    event_type: str = PROCESS_REQUESTED
    event_key: str | None = None
    params: Mapping[str, Json] | None = None


@dataclass(frozen=True)
class Preview:
    """What would happen. `version` is None where it is no published one; `entrance` is what admission would say."""

    definition: ProcessDefinition
    version: int | None
    status: str
    facts: Facts
    event: Told
    entrance: Entrance
    foresight: Foresight


class Previews:
    """Makes previews."""

    def __init__(
        self, database: Database, catalog: CatalogCache, composers: Composers, caps: Sequence[Cap]
    ) -> None:
        """`caps` are those of the settings."""
        self._database = database
        self._catalog = catalog
        self._composers = composers
        self._caps = caps

    async def preview(self, wanted: PreviewWanted) -> Preview:
        """Work it out. Raises Missing for a process, version or contact that is not there, DocumentInvalid."""
        async with self._database.read() as connection:
            view = await self._catalog.view(connection)
            definition, version, status = await self._definition(connection, wanted)
            facts = await _facts(connection, wanted.contact, wanted.at, view)
            unknown = _unknown_segments(definition, view)
            if unknown:
                raise DocumentInvalid(unknown if wanted.document is None else _of_the_document(unknown))
            params = dict(wanted.params or {})
            if wanted.event_type == PROCESS_REQUESTED:
                params["process"] = definition.key
            event = Told(BEGAN_WITH, wanted.event_type, params, wanted.at, wanted.event_key)
            try:
                entrance = await Door(definition, status, facts, event, wanted.at, view.segments).entrance(
                    connection
                )
                answers = _Answers(
                    connection, definition, view, self._composers(definition, view.templates), event
                )
                around = Surroundings(
                    event=event,
                    ruled={key: rule is not None for key, rule in view.segments.items()},
                    hears=_hearing(definition, view),
                    caps=self._caps,
                )
                foresight = await answers.drive(foresee(definition, facts, around, wanted.at))
            except RuleError as error:
                raise DocumentInvalid([Problem(pointer="", message=str(error))]) from error
        return Preview(definition, version, status, facts, event, entrance, foresight)

    async def _definition(
        self, connection: AsyncConnection, wanted: PreviewWanted
    ) -> tuple[ProcessDefinition, int | None, str]:
        """The definition, its version's number where it is published, and the process's status."""
        p = rows.processes.c
        row = (
            await connection.execute(select(p.status, p.version, p.draft).where(p.key == wanted.process))
        ).one_or_none()
        if wanted.document is not None:
            document = wanted.document
            if isinstance(document, dict):
                document = {"key": wanted.process, **document}
            try:
                definition = parse(document)
            except DocumentInvalid as invalid:
                raise DocumentInvalid(_of_the_document(invalid.problems)) from None
            if definition.key != wanted.process:
                problem = Problem(pointer="/key", message=f"the address says «{wanted.process}»")
                raise DocumentInvalid(_of_the_document([problem]))
            return definition, None, "draft" if row is None else row.status
        if row is None:
            raise Missing("process", wanted.process)
        state = wanted.state
        if state is None:
            state = "published" if row.draft is None else "draft"
        if state == "draft":
            if row.draft is None:
                raise Missing("draft of process", wanted.process)
            return parse(row.draft), None, row.status
        number = row.version if state == "published" else int(state)
        if number is None:
            raise Missing("published version of process", wanted.process)
        stored = await definitions.version(connection, wanted.process, number)
        if stored is None:
            raise Missing("version", f"{wanted.process} {number}")
        definition = await self._catalog.definition(connection, wanted.process, number)
        return definition, number, row.status


@dataclass(frozen=True)
class _Answers:
    """Answers what a walk asks, in one connection."""

    connection: AsyncConnection
    definition: ProcessDefinition
    view: CatalogView
    composer: Composer
    event: Told

    async def drive(self, walking: Generator[Asked, Any, Foresight]) -> Foresight:
        """Walk to the end."""
        try:
            asked = next(walking)
            while True:
                asked = walking.send(await self._answer(asked))
        except StopIteration as finished:
            foresight: Foresight = finished.value
            return foresight

    async def _answer(self, asked: Asked) -> Any:
        match asked:
            case Judge():
                return await judge(
                    self.connection,
                    asked.rules,
                    facts=asked.facts,
                    event=asked.event,
                    now=asked.now,
                    segments=self.view.segments,
                    later=asked.later,
                    inside=self.definition.key,
                )
            case Recall():
                return await self._recalled(asked)
            case Latest():
                return await latest_event(self.connection, asked.facts, asked.event_type)
            case Render():
                return await self.composer.render(asked)
            case Compose():
                return await self.composer.compose(asked)
            case Went():
                return await newest(self.connection, asked.contact, asked.channel, asked.number, besides="")

    async def _recalled(self, asked: Recall) -> str | None:
        own = self.definition.key_of(self.event.key, self.event.params)

        def accepts(key: str | None, params: Mapping[str, Any]) -> bool:
            return self.definition.key_of(key, params) == own

        return await event_before(
            self.connection,
            asked.asked,
            facts=asked.facts,
            besides=asked.besides,
            accepts=accepts,
            now=asked.now,
            segments=self.view.segments,
        )


async def _facts(
    connection: AsyncConnection, contact: str | Imagined, now: datetime, view: CatalogView
) -> Facts:
    if isinstance(contact, Imagined):
        facts = _imagined(contact, now, view)
        addresses = {"email": facts.email, "sms": facts.phone}
        return replace(facts, suppressed=await suppressed(connection, addresses))
    found = await resolve(connection, contact)
    if found is None:
        raise Missing("contact", contact)
    return found


def _imagined(contact: Imagined, now: datetime, view: CatalogView) -> Facts:
    """Raises DocumentInvalid with everything that is wrong with it, each in its place under `/imagine`."""
    problems: list[Problem] = []

    def problem(place: str, message: str) -> None:
        problems.append(Problem(pointer=place.replace("/contact", "/imagine", 1), message=message))

    identities, extra = read_contact(contact.properties, problem, ANY)
    for key in sorted(set(contact.lists or {}) - view.lists):
        problem(f"/contact/lists/{key}", f"there is no list «{key}»")
    for key in sorted(contact.segments):
        if key not in view.segments:
            problem("/contact/segments", f"there is no segment «{key}»")
        elif view.segments[key] is not None:
            problem("/contact/segments", f"segment «{key}» has a rule: who is in it follows from the rest")
    if problems:
        raise DocumentInvalid(problems)
    fields = extra.get("fields")
    return Facts(
        external_id=identities.external_id,
        email=identities.email,
        phone=identities.phone,
        token=identities.token,
        language=_text(extra.get("language")),
        time_zone=_text(extra.get("time_zone")),
        email_state=contact.email_state,
        created_at=now,
        fields={} if not isinstance(fields, dict) else {n: v for n, v in fields.items() if v is not None},
        tags=contact.tags,
        lists=dict(contact.lists or {}),
        segments=contact.segments,
    )


def _text(value: Json) -> str | None:
    return value if isinstance(value, str) else None


def _unknown_segments(definition: ProcessDefinition, view: CatalogView) -> list[Problem]:
    """Each place of a rule that names a segment that there is not: it has no answer."""
    return [
        Problem(pointer=place, message=f"there is no segment «{segment}»")
        for place, rule in definition.rules()
        for segment in sorted(references(rule).segments - view.segments.keys())
    ]


def _of_the_document(problems: Sequence[Problem]) -> list[Problem]:
    """With their places in the request."""
    return [Problem(pointer=f"/document{one.pointer}", message=one.message) for one in problems]


def _hearing(definition: ProcessDefinition, view: CatalogView) -> Callable[[str, Mapping[str, Json]], bool]:
    """Whether anybody listens to a built-in event, with the definition taken for published."""
    own = {step.event for step in definition.steps if isinstance(step, WaitForEvent)}
    own |= {goal.event for goal in definition.goals if goal.event is not None}
    for step in definition.steps:
        if isinstance(step, WaitForRule):
            own |= heard_by(step.when, view.segments)

    def hears(event_type: str, params: Mapping[str, Json]) -> bool:
        return (
            event_type in own
            or view.hears(event_type, params)
            or any(
                trigger.listens_to()[0] == event_type and trigger.matches(params)
                for trigger in definition.triggers
            )
        )

    return hears
