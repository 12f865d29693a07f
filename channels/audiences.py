"""Facebook Custom Audiences: people put into one, and taken out, by Meta's Marketing API.

What identifies a person is normalised and hashed as the API demands (https://developers.facebook.com/docs/
marketing-api/audiences/guides/custom-audiences#hash) and leaves this machine only so. Adding whoever is in, and
removing whoever is not, changes nothing: every call may be repeated.
"""

import hashlib
import re
import unicodedata
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import timedelta
from typing import Literal

import orjson

from channels.errors import DeliveryError, MessageRefused, TryLater, Withdrawn
from channels.graph import GraphApi, graph_failure
from channels.http import HttpReply
from channels.protocol import Claim
from processes.values import Json

USAGE = "x-business-use-case-usage"
"""The header that says in how many minutes calls are let through again."""

_BRITISH = re.compile(r"([a-z]{1,2}[0-9][a-z0-9]?[0-9])[a-z]{2}")
"""A postcode down to its sector, and the unit, which is left out."""
_UNFOLDED = str.maketrans(
    {"ß": "ss", "æ": "ae", "ø": "o", "œ": "oe", "ł": "l", "đ": "d", "ð": "d", "þ": "th"}
)
"""Letters that have no plain letter inside as far as Unicode goes."""


@dataclass(frozen=True)
class Person:
    """What is known of somebody. Texts are as people write them; `phone` has its country code (`+420…`)."""

    email: str | None = None
    phone: str | None = None
    first_name: str | None = None
    last_name: str | None = None
    city: str | None = None
    postal_code: str | None = None
    country: str | None = None

    def normalised(self) -> Iterator[tuple[str, str]]:
        """Each key of the API's schema with its value, ready to be hashed. What is not known is left out."""
        country = _country(self.country)
        values = {
            "EMAIL": (self.email or "").strip().lower(),
            "PHONE": re.sub(r"[^0-9]", "", self.phone or "").lstrip("0"),
            "FN": _name(self.first_name),
            "LN": _name(self.last_name),
            "CT": _plain(self.city),
            "ZIP": _postal_code(self.postal_code, country),
            "COUNTRY": country,
        }
        return ((key, value) for key, value in values.items() if value)


@dataclass(frozen=True)
class AudienceChange:
    """A person to be put into an audience, or taken out. `payload` is made by `payload_of`."""

    audience: str
    does: Literal["add", "remove"]
    payload: bytes


class CustomAudiences:
    """Calls of the Marketing API."""

    remembers: timedelta | None = None
    """A second call changes nothing, however late."""

    def __init__(self, graph: GraphApi) -> None:
        """`graph` has the token of a system user that may manage the audiences."""
        self._graph = graph

    async def deliver(self, message: AudienceChange, claim: Claim) -> dict[str, Json]:
        """Put in or take out; returns how many entries Meta received.

        Raises:
            MessageRefused: there is no such audience, or Meta does not take the data.
            SenderRefused: the token, or what it may do.
            TryLater: a rate limit, or Meta is not there.
            OutcomeUnknown: no whole answer; a repeat is safe.
            Withdrawn: `claim` said no.
        """
        if not await claim():
            raise Withdrawn
        reply = await self._graph.call_form(
            "POST" if message.does == "add" else "DELETE",
            f"{message.audience}/users",
            {"payload": message.payload.decode()},
        )
        if not reply.is_success:
            raise _failure(reply)
        if reply.object.get("num_invalid_entries"):
            raise MessageRefused(reply.status, "Meta does not take the data: an entry is invalid")
        received = reply.object.get("num_received")
        return {"received": received if isinstance(received, int) else None}

    async def close(self) -> None:
        """Close what is open."""
        await self._graph.close()


def payload_of(person: Person) -> bytes | None:
    """The API's `payload` for one person, hashed; None where neither address nor phone number says who it is."""
    values = dict(person.normalised())
    if "EMAIL" not in values and "PHONE" not in values:
        return None
    hashes = [hashlib.sha256(value.encode()).hexdigest() for value in values.values()]
    return orjson.dumps({"schema": list(values), "data": [hashes]})


def _name(value: str | None) -> str:
    """Lower case, no punctuation, no blanks; letters of any alphabet stay."""
    text = unicodedata.normalize("NFC", value or "").lower()
    return "".join(c for c in text if unicodedata.category(c)[0] in "LM")


def _plain(value: str | None) -> str:
    """a to z only: accents fall, all else goes."""
    text = unicodedata.normalize("NFKD", (value or "").lower().translate(_UNFOLDED))
    return re.sub(r"[^a-z]", "", text)


def _postal_code(value: str | None, country: str) -> str:
    """Lower case, no blanks; five digits in the United States, down to the sector in the United Kingdom."""
    code = re.sub(r"\s", "", value or "").lower()
    if country == "us":
        return code[:5]
    if country == "gb" and (found := _BRITISH.fullmatch(code)):
        return found[1]
    return code


def _country(value: str | None) -> str:
    """ISO 3166-1 alpha-2 in lower case; nothing where it is written otherwise."""
    code = (value or "").strip().lower()
    return code if re.fullmatch("[a-z]{2}", code) else ""


def _failure(reply: HttpReply) -> DeliveryError:
    failure = graph_failure(reply)
    if isinstance(failure, TryLater) and failure.retry_after is None:
        return TryLater(failure.text, _regained_in(reply.headers.get(USAGE)), failure.cause)
    return failure


def _regained_in(usage: str | None) -> float | None:
    """Seconds until calls are let through again, as the usage header says in minutes."""
    try:
        businesses = orjson.loads(usage or "{}")
        minutes = [
            limit["estimated_time_to_regain_access"] for limits in businesses.values() for limit in limits
        ]
        return float(max(minutes)) * 60 or None
    except (AttributeError, KeyError, TypeError, ValueError):
        return None
