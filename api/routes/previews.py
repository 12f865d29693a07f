"""Previews: what a process would do to a contact, and when (O8). Nothing is written and nothing is sent."""

from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import Annotated, Any, Literal
from zoneinfo import ZoneInfo

from fastapi import APIRouter, Path
from pydantic import AwareDatetime, BaseModel, Field, StringConstraints, model_validator

from api.access import CallerDep, allow_document, needs
from api.bodies import JsonRoute
from api.deps import PartsDep
from api.documentation import problems
from api.models import Body, ContactBrief, JsonObject
from intake.events import check_json
from intake.previews import Imagined, Preview, PreviewWanted
from processes.builtin_events import PROCESS_REQUESTED
from processes.problems import DocumentInvalid, Problem
from processes.rule_values import ListStatus
from processes.rule_words import words
from processes.timeline import Message, Moment, Timeline
from processes.values import EventTypeKey, Json, Key, Tag
from processes.verdicts import Verdict
from processes.ways import LAST

router = APIRouter(prefix="/v1/processes", tags=["processes"], route_class=JsonRoute)

KeyPath = Annotated[Key, Path()]
MOST_CONTENT = 4_000_000
"""Characters of all texts and HTML together; what is beyond is left out."""
EARLIEST = datetime(1970, 1, 1, tzinfo=UTC)


class ImaginedContact(Body):
    """A contact that is not there, as a sender of events writes one, with what it would have."""

    external_id: Json = None
    email: Json = None
    phone: Json = None
    language: Json = None
    time_zone: Json = Field(default=None, description="IANA name.")
    fields: Json = Field(default_factory=dict)
    tags: list[Tag] = Field(default_factory=list, max_length=200)
    lists: dict[Key, ListStatus] = Field(default_factory=dict, max_length=200)
    segments: list[Key] = Field(
        default_factory=list, max_length=200, description="Those made by hand that it is in."
    )
    email_state: Literal["ok", "unsubscribed", "bounced", "complained"] = "ok"


class StartingEvent(Body):
    """The event that starts it, as if it came now."""

    type: EventTypeKey
    key: Annotated[str, StringConstraints(min_length=1, max_length=255)] | None = None
    params: dict[str, Json] = Field(default_factory=dict, max_length=200)


class PreviewBody(Body):
    """For whom (exactly one of `contact` and `imagine`), by which event, of which state, as if it were when."""

    contact: Annotated[str, StringConstraints(min_length=1, max_length=320)] | None = Field(
        default=None, description="Our id, ContactId, e-mail address, phone number or token."
    )
    imagine: ImaginedContact | None = None
    event: StartingEvent | None = Field(
        default=None, description="Without one the process is asked for by name, as by hand."
    )
    state: Literal["draft", "published"] | Annotated[int, Field(ge=1, le=2**31 - 1)] | None = Field(
        default=None, description="The draft where there is one, if not given; or the number of a version."
    )
    document: JsonObject | None = Field(
        default=None, description="A definition to look at in its place; it is not kept."
    )
    at: AwareDatetime | None = Field(default=None, description="As if it were then; now if not given.")
    content: bool = Field(default=True, description="With the texts and the HTML of messages.")

    @model_validator(mode="after")
    def _one_of_each(self) -> "PreviewBody":
        if (self.contact is None) == (self.imagine is None):
            raise ValueError("give exactly one of «contact» and «imagine»")
        if self.document is not None and self.state is not None:
            raise ValueError("give «document» or «state», not both")
        return self


class RulePart(BaseModel):
    """A rule with its answer as things stand, and its parts. `open`: what is still to come decides."""

    rule: JsonObject
    words: str
    holds: bool
    open: bool = False
    value: Json = None
    parts: list["RulePart"] = Field(default_factory=list)


class MessageShown(BaseModel):
    """A message as it would go; with `skipped`, why it would not. Its links lead nowhere."""

    channel: str
    recipient: str
    skipped: str | None = None
    sender: str | None = None
    subject: str | None = None
    text: str | None = None
    html: str | None = None
    left_out: bool = Field(default=False, description="The content is not shown: there is too much of it.")


class MomentShown(BaseModel):
    """A visit of a step: when, in whose zone, what it does, and why."""

    at: datetime
    local: datetime = Field(description="The same in `zone`.")
    zone: str
    earliest: bool = Field(default=False, description="Then, or later: it hangs on when something comes.")
    step: str
    visit: int
    kind: str
    name: str | None = None
    does: str
    until: datetime | None = Field(default=None, description="Of a wait: how long at most.")
    result: JsonObject
    why: list[RulePart] = Field(default_factory=list)
    assumed: str | None = Field(default=None, description="What the future must bring for this way.")
    message: MessageShown | None = None


class EndingShown(BaseModel):
    """How a way ends: with an outcome, held for a person to mend, or cut where no more is shown."""

    how: Literal["end", "held", "cut"]
    at: datetime
    outcome: str | None = None
    reason: str | None = None


class TimelineShown(BaseModel):
    """Steps one after another; then either how it ends, or the ways that it may go on."""

    moments: list[MomentShown]
    ending: EndingShown | None = None
    ways: list["WayShown"] = Field(default_factory=list)


class WayShown(BaseModel):
    """One of the ways that it may go on: what decides, and for chance the share of all contacts."""

    when: str
    share: float | None = None
    timeline: TimelineShown


class GoalShown(BaseModel):
    """A goal, what meets it, and where it leads, as if it were met at once."""

    name: str
    when: str
    then: str
    timeline: TimelineShown


class EntranceShown(BaseModel):
    """What admission would say now: the timeline is of a contact that is let in."""

    admitted: bool
    reason: str | None = None
    why: list[RulePart] = Field(default_factory=list)


class PreviewAnswer(BaseModel):
    """What the process would do to the contact."""

    process: str
    name: str
    version: int | None = Field(default=None, description="None: a draft, or a document.")
    status: str
    contact: ContactBrief | None = Field(default=None, description="None: an imagined one.")
    zone: str
    event: str
    entrance: EntranceShown
    timeline: TimelineShown
    goals: list[GoalShown]


@router.post(
    "/{key}/preview",
    dependencies=[needs("contacts:read", process="key")],
    summary="Preview a process for a contact",
    response_model_exclude_none=True,
    responses=problems(404, 415),
)
async def preview(key: KeyPath, body: PreviewBody, parts: PartsDep, caller: CallerDep) -> PreviewAnswer:
    """When it would do what, with each message rendered, each branch explained, and both ways where the future
    decides. Nothing is written, nothing is sent.
    """
    found = await parts.previews.preview(_wanted(key, body))
    if body.document is not None:  # one that cannot be read was refused with its places
        allow_document(caller, key, body.document)
    return _answer(found, _Room(body.content))


@dataclass
class _Room:
    """How much content may still be shown."""

    wanted: bool
    left: int = field(default_factory=lambda: MOST_CONTENT)

    def take(self, characters: int) -> bool:
        """Whether so many are shown."""
        if not self.wanted or characters > self.left:
            return False
        self.left -= characters
        return True


def _wanted(key: str, body: PreviewBody) -> PreviewWanted:
    found: list[Problem] = []
    event = body.event
    if event is not None:
        check_json(
            event.params,
            "/event/params",
            lambda place, message: found.append(Problem(pointer=place, message=message)),
        )
    at = body.at or datetime.now(UTC)
    if not EARLIEST <= at <= LAST:
        found.append(Problem(pointer="/at", message="is outside the years that processes run in"))
    if found:
        raise DocumentInvalid(found)
    return PreviewWanted(
        process=key,
        contact=body.contact if body.contact is not None else _imagined(body.imagine),
        at=at.astimezone(UTC),
        state=body.state,
        document=body.document,
        event_type=PROCESS_REQUESTED if event is None else event.type,
        event_key=None if event is None else event.key,
        params={} if event is None else event.params,
    )


def _imagined(given: ImaginedContact | None) -> Imagined:
    one = given or ImaginedContact()
    own = one.model_dump(include={"external_id", "email", "phone", "language", "time_zone", "fields"})
    return Imagined(
        properties=own,
        tags=frozenset(one.tags),
        lists=dict(one.lists),
        segments=frozenset(one.segments),
        email_state=one.email_state,
    )


def _answer(found: Preview, room: _Room) -> PreviewAnswer:
    facts, entrance = found.facts, found.entrance
    brief = ContactBrief(id=facts.id, external_id=facts.external_id, email=facts.email)
    return PreviewAnswer(
        process=found.definition.key,
        name=found.definition.name,
        version=found.version,
        status=found.status,
        contact=brief if facts.id else None,
        zone=facts.time_zone or found.definition.time_zone,
        event=found.event.type,
        entrance=EntranceShown(
            admitted=entrance.admitted, reason=entrance.reason, why=[_part(one) for one in entrance.why]
        ),
        timeline=_timeline(found.foresight.timeline, room),
        goals=[
            GoalShown(name=goal.name, when=goal.when, then=goal.then, timeline=_timeline(goal.timeline, room))
            for goal in found.foresight.goals
        ],
    )


def _timeline(timeline: Timeline, room: _Room) -> TimelineShown:
    ending = timeline.ending
    return TimelineShown(
        moments=[_moment(one, room) for one in timeline.moments],
        ending=None
        if ending is None
        else EndingShown(how=ending.how, at=ending.at, outcome=ending.outcome, reason=ending.reason),
        ways=[
            WayShown(when=way.when, share=way.share, timeline=_timeline(way.timeline, room))
            for way in timeline.ways
        ],
    )


def _moment(moment: Moment, room: _Room) -> MomentShown:
    return MomentShown(
        at=moment.at,
        local=moment.at.astimezone(ZoneInfo(moment.zone)),
        zone=moment.zone,
        earliest=moment.earliest,
        step=moment.step,
        visit=moment.visit,
        kind=moment.kind,
        name=moment.name,
        does=moment.does,
        until=moment.until,
        result=moment.result,
        why=[_part(one) for one in moment.why],
        assumed=moment.assumed,
        message=_message(moment.message, room),
    )


def _message(message: Any, room: _Room) -> MessageShown | None:
    if message is None:
        return None
    if not isinstance(message, Message):
        return MessageShown(channel=message.channel, recipient=message.recipient, skipped=message.reason)
    shown = room.take(len(message.text or "") + len(message.html or ""))
    return MessageShown(
        channel=message.channel,
        recipient=message.recipient,
        sender=message.sender,
        subject=message.subject,
        text=message.text if shown else None,
        html=message.html if shown else None,
        left_out=room.wanted and not shown,
    )


def _part(verdict: Verdict) -> RulePart:
    return RulePart(
        rule=verdict.rule.model_dump(mode="json"),
        words=words(verdict.rule),
        holds=verdict.holds,
        open=verdict.is_open,
        value=verdict.value,
        parts=[_part(one) for one in verdict.parts],
    )
