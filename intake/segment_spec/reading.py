"""Segment's messages read: what each field means here is in `docs/segment.md`. No database.

The spec: https://segment.com/docs/connections/spec/ and …/connections/sources/catalog/libraries/server/http-api/
"""

import hashlib
import re
import unicodedata
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any, Final

from intake.events import IncomingEvent, check_event, check_json, read_contact
from intake.segment_spec.messages import (
    ALIASED,
    GROUPED,
    IDENTIFIED,
    KINDS,
    SOURCE,
    Kind,
    LeftOut,
    Message,
    relocated,
)
from intake.segment_spec.traits import FIELDS, placed, without, without_accents
from processes import dates
from processes.addresses import STRICT, AddressRules
from processes.builtin_events import BUILTIN, ORDER_CHANGED, PAGE_VISITED, SENT_BY_OTHERS
from processes.clock import check_zone
from processes.orders import order_state
from processes.problems import DocumentInvalid, Problem, pointer
from processes.values import Json

OWN_TYPES: Final = frozenset({IDENTIFIED, GROUPED, ALIASED})
PAGE_PARAMS: Final = ("url", "title", "referrer", "path", "search")
"""What `context.page` says where the properties do not."""
ORDER_STATES: Final = {
    "order_completed": "initialized",
    "order_updated": "in_progress",
    "order_cancelled": "cancelled",
    "order_canceled": "cancelled",
    "order_refunded": "refunded",
}
"""The state that an order came to, by the event type that the name of Segment's event would be here."""
UPDATED: Final = "order_updated"
"""The one whose properties may say another state, which counts where it is one of these or `delivered`."""
LONGEST_TYPE: Final = 100
"""Characters of an event type."""
_MARK_CHARACTERS: Final = 8
"""Hexadecimal digits of the hash that tells two names apart where their letters do not."""

_LANGUAGE = re.compile(r"[A-Za-z]{2,3}(-[A-Za-z0-9]{2,8})*")


@dataclass(frozen=True, slots=True)
class Envelope:
    """What holds for every message of a request: when it came (UTC), `sentAt` and `context` of a batch, and which
    e-mail addresses are taken.
    """

    received_at: datetime
    sent_at: datetime | None = None
    context: Any = None
    addresses: AddressRules = STRICT


def read_message(body: Any, kind: Any, envelope: Envelope) -> Message:
    """A message. Raises DocumentInvalid with every problem, each with its place in the message."""
    if not isinstance(body, dict):
        raise DocumentInvalid([Problem(pointer="", message="a message is an object")])
    if kind not in KINDS:
        raise DocumentInvalid([Problem(pointer="/type", message=f"must be one of {', '.join(KINDS)}")])
    return _Reader(body, kind, envelope).read()


def read_moment(value: Any) -> datetime | None:
    """A time of a message (UTC); one without an offset is UTC. None where there is none. Raises ValueError."""
    if value is None:
        return None
    try:
        moment = dates.read_time(value)
        if moment is None:
            raise ValueError(value)
        return (moment if moment.tzinfo is not None else moment.replace(tzinfo=UTC)).astimezone(UTC)
    except (TypeError, ValueError, OverflowError):
        raise ValueError("must be an ISO 8601 date and time, such as 2026-11-24T09:00:00.000Z") from None


def event_type(name: str) -> str:
    """The event type of a track event's name, in its own script: «Order Completed» is `order_completed`, «Заказ
    оформлен» is `заказ_оформлен`. A name without a letter, digit or symbol, and one that is too long, is told from
    others by a hash.
    """
    plain = without_accents(unicodedata.normalize("NFKC", name)).lower()
    marked = "".join(c if c in "_.:-" or _is_told(c) else " " for c in plain if not _is_invisible(c))
    key = "_".join(marked.split()).strip("_.:-")
    while unicodedata.category(key[:1] or "_")[0] == "M":
        key = key[1:]
    if key and len(key) <= LONGEST_TYPE:
        return key
    mark = hashlib.sha256(name.encode("utf-8", "replace")).hexdigest()[:_MARK_CHARACTERS]
    kept = key[: LONGEST_TYPE - 1 - len(mark)].rstrip("_.:-") or "event"
    return f"{kept}-{mark}"


def _is_told(character: str) -> bool:
    """Whether a character tells event types apart: letters, marks, digits and symbols such as emoji."""
    category = unicodedata.category(character)
    return category[0] in "LMN" or (category == "So" and not character.isascii())


def _is_invisible(character: str) -> bool:
    """Joiners, directions and such, which people do not see."""
    return unicodedata.category(character) == "Cf"


class _Reader:
    def __init__(self, body: Mapping[str, Any], kind: Kind, envelope: Envelope) -> None:
        self._body = body
        self._kind: Kind = kind
        self._envelope = envelope
        self._found: list[Problem] = []
        self._traits_at = "/traits"
        self._places = {
            "/id": "/messageId",
            "/occurred_at": "/timestamp",
            "/contact/external_id": "/userId",
            "/contact/token": "/anonymousId",
            "/contact": "/userId",
            "/type": "/event",
            "/key": "/previousId",
            "/params/traits": "/traits",
            "/params": "/properties",
        }

    def read(self) -> Message:
        match self._kind:
            case "track":
                return self._track()
            case "page" | "screen":
                return self._page()
            case "identify":
                return self._identify()
            case "group":
                return self._group()
        return self._alias()

    def _track(self) -> Message:
        name = self._text("event", needed=True)
        type_of = event_type(name) if name is not None else "unknown"
        if type_of in (BUILTIN.keys() - SENT_BY_OTHERS) | OWN_TYPES:
            self._problem("/event", f"«{type_of}» is an event that Onward itself sends")
        params = self._properties(self._object("properties"))
        if type_of in ORDER_STATES:
            event = self._order(type_of, {**params, "segment_event": name})
        else:
            event = self._event(type_of, params)
            event = event.model_copy(update={"type_name": (name or "").strip()[:200] or None})
        return Message(self._kind, event, places=self._places)

    def _order(self, type_of: str, params: Mapping[str, Json]) -> IncomingEvent:
        """Segment's events of orders are `order.changed` here, with the order's number as the event's key."""
        state = ORDER_STATES[type_of]
        if type_of == UPDATED and (said := order_state(params)) in {*ORDER_STATES.values(), "delivered"}:
            state = said or state
        number = params.get("order_id")
        if isinstance(number, bool) or not isinstance(number, str | int | float | None):
            self._problem("/properties/order_id", "must be a text or a number")
        self._places["/key"] = "/properties/order_id"
        key = None if number in (None, "") else str(number)
        return self._event(ORDER_CHANGED, {**params, "state": state}, key=key)

    def _page(self) -> Message:
        context = self._context().get("page")
        page = context if isinstance(context, dict) else {}
        params = {name: page[name] for name in PAGE_PARAMS if page.get(name) is not None}
        params |= self._properties(self._object("properties"))
        for name in ("name", "category"):
            value = self._text(name)
            if value is not None:
                params[name] = value
        event = self._event(PAGE_VISITED, {**params, "kind": self._kind})
        return Message(self._kind, event, places=self._places)

    def _identify(self) -> Message:
        kept = self._traits()
        contact: dict[str, Json] = {}
        fields: dict[str, Json] = {}
        left: list[LeftOut] = []
        for place, trait in placed(kept).items():
            name = place.removeprefix(FIELDS)
            value = _language(trait.value) if name == "language" else trait.value
            found = self._wrong(place, value)
            if found is not None:
                left.append(LeftOut(f"{self._traits_at}{pointer(trait.path)}", "invalid", found))
                kept = without(kept, trait.path)
                continue
            self._places[f"/contact/{place}"] = f"{self._traits_at}{pointer(trait.path)}"
            if place.startswith(FIELDS):
                fields[name] = value
            elif value != "":
                contact[name] = value
        event = self._event(IDENTIFIED, {"traits": kept}, {**contact, "fields": fields})
        given = event.identities
        return Message(
            self._kind,
            event,
            identities={name: getattr(given, name) for name in ("email", "phone") if name in contact},
            columns={
                name: str(event.extra[name]) if event.extra.get(name) is not None else None
                for name in ("language", "time_zone")
                if name in contact
            },
            fields=fields,
            defaults=self._defaults(contact),
            places=self._places,
            left_out=tuple(left),
        )

    def _traits(self) -> dict[str, Json]:
        """The traits of the message: its own, and those that look-alikes of Segment put into its context."""
        own = self._object("traits")
        context = self._body.get("context")
        inside = context.get("traits") if isinstance(context, dict) else None
        if not isinstance(inside, dict) or not inside:
            return own
        if not own:
            self._traits_at = "/context/traits"
        return {**inside, **own}

    def _wrong(self, place: str, value: Json) -> str | None:
        """Why a trait cannot be kept in its place; None where it can."""
        name = place.removeprefix(FIELDS)
        if not name:
            return "is named in letters other than a to z, which a field's name is made of"
        found: list[str] = []
        contact: dict[str, Json] = {"fields": {name: value}} if place.startswith(FIELDS) else {name: value}
        read_contact(contact, lambda _, message: found.append(message), self._envelope.addresses)
        check_json(value, "", lambda _, message: found.append(message), depth=3)
        return found[0] if found else None

    def _group(self) -> Message:
        group = self._id("groupId")
        traits: dict[str, Json] = {}
        left: list[LeftOut] = []
        for name, value in self._traits_of_a_group().items():
            found: list[str] = []
            check_json({name: value}, "", lambda _, message, found=found: found.append(message), depth=3)
            if found:
                left.append(LeftOut(f"{self._traits_at}{pointer([name])}", "invalid", found[0]))
            else:
                traits[name] = value
        event = self._event(GROUPED, {"groupId": group, "traits": traits})
        return Message(
            self._kind, event, fields=traits, target=group, places=self._places, left_out=tuple(left)
        )

    def _traits_of_a_group(self) -> dict[str, Json]:
        """Those of the group: what stands in the context are the person's."""
        return self._object("traits")

    def _alias(self) -> Message:
        previous, user = self._id("previousId"), self._id("userId")
        if previous and previous == user:
            self._problem("/previousId", "is the userId itself")
        event = self._event(ALIASED, {"previousId": previous, "userId": user}, key=previous or None)
        return Message(self._kind, event, target=user, places=self._places)

    def _event(
        self,
        type_of: str,
        params: Mapping[str, Json],
        contact: Mapping[str, Json] | None = None,
        *,
        key: str | None = None,
    ) -> IncomingEvent:
        """The event that the message is kept as. Raises DocumentInvalid with all that was found."""
        who = {"external_id": self._body.get("userId"), "token": self._body.get("anonymousId")}
        if all(value in (None, "") for value in who.values()):
            self._problem("/userId", "is needed, or an anonymousId")
        try:
            event = check_event(
                id=self._text("messageId") or None,
                type=type_of,
                key=key,
                contact={**who, **(contact or {})},
                occurred_at=self._occurred(),
                params=params,
                received_at=self._envelope.received_at,
                source=SOURCE,
                addresses=self._envelope.addresses,
            )
        except DocumentInvalid as invalid:
            self._found += relocated(invalid.problems, self._places)
        if self._found:
            raise DocumentInvalid(relocated(self._found, {}))
        return event

    def _occurred(self) -> datetime | None:
        """When it happened (UTC): the sender's clock is corrected by what it showed when the message was sent.

        A message with an originalTimestamp was corrected before, by who has passed it on.
        """
        received = self._envelope.received_at
        said = self._moment("timestamp")
        original = self._moment("originalTimestamp")
        sent = self._moment("sentAt") or self._envelope.sent_at
        if said is not None and original is not None:
            return min(said, received)
        moment = said or original
        if moment is None:
            return None
        try:
            return min(moment if sent is None else received - (sent - moment), received)
        except OverflowError:
            self._problem("/timestamp", "is outside the calendar")
            return None

    def _moment(self, name: str) -> datetime | None:
        try:
            return read_moment(self._body.get(name))
        except ValueError as error:
            self._problem(f"/{name}", str(error))
            return None

    def _properties(self, properties: Mapping[str, Json]) -> dict[str, Json]:
        """Properties as params: a name has no dot and no blank in front. One that is right already comes first."""
        params: dict[str, Json] = {}
        for name, value in properties.items():
            ours = name.strip().replace(".", "_")
            if ours != name and (ours in properties or ours in params):
                continue
            params[ours] = value
            self._places[pointer(["params", ours])] = pointer(["properties", name])
        return params

    def _defaults(self, contact: Mapping[str, Json]) -> dict[str, str]:
        """The language and the zone of the device: they count where nobody has said another."""
        context = self._context()
        found: dict[str, str] = {}
        locale = _language(context.get("locale"))
        if "language" not in contact and isinstance(locale, str) and _LANGUAGE.fullmatch(locale):
            found["language"] = locale
        if "time_zone" not in contact and isinstance(context.get("timezone"), str):
            try:
                found["time_zone"] = check_zone(context["timezone"])
            except ValueError:
                return found
        return found

    def _context(self) -> dict[str, Any]:
        both = (self._envelope.context, self._body.get("context"))
        return {name: value for one in both if isinstance(one, dict) for name, value in one.items()}

    def _object(self, name: str) -> dict[str, Json]:
        value = self._body.get(name)
        if value is None:
            return {}
        if not isinstance(value, dict):
            self._problem(f"/{name}", "must be an object")
            return {}
        return value

    def _text(self, name: str, *, needed: bool = False) -> str | None:
        value = self._body.get(name)
        if isinstance(value, str) and (value or not needed):
            return value
        if value is not None and value != "":
            self._problem(f"/{name}", "must be a text")
        elif needed:
            self._problem(f"/{name}", "this field is required")
        return None

    def _id(self, name: str) -> str:
        """An id that must be there; a number is one too. Empty where something is wrong."""
        value = self._body.get(name)
        if isinstance(value, int) and not isinstance(value, bool):
            return str(value)
        text = self._text(name, needed=True) or ""
        if len(text) > 255 or not text.isprintable():
            self._problem(f"/{name}", "has 1 to 255 characters and no control characters")
            return ""
        return text.strip()

    def _problem(self, place: str, message: str) -> None:
        self._found.append(Problem(pointer=place, message=message))


def _language(value: Any) -> Any:
    return value.replace("_", "-") if isinstance(value, str) else value
