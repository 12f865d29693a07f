"""Who a message of Segment's is about: aliases followed, and an anonymousId only where it contradicts no userId.

A userId is a ContactId, an anonymousId a token. One device may serve two people, so a token that belongs to somebody
with another userId says nothing; and somebody has many devices, but one token is kept.
"""

from collections.abc import Collection
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any

from sqlalchemy import select
from sqlalchemy.ext.asyncio import AsyncConnection

from intake.segment_spec.messages import ALIASED, SOURCE, Message
from store import contacts, rows

MOST_ALIASES = 10
"""Aliases that are followed one after another."""

_e = rows.events.c


@dataclass(frozen=True, slots=True)
class _Alias:
    user_id: str
    at: datetime


@dataclass(slots=True)
class Aliases:
    """What became of ids: the latest alias of each."""

    known: dict[str, _Alias] = field(default_factory=dict)

    async def load(self, connection: AsyncConnection, ids: Collection[str]) -> None:
        """Look these ids up, and those that they lead to."""
        wanted = set(ids)
        for _ in range(MOST_ALIASES):
            if not wanted:
                return
            found = await connection.execute(
                select(_e.key, _e.params, _e.occurred_at)
                .where(_e.key.in_(wanted), _e.type == ALIASED, _e.source == SOURCE)
                .order_by(_e.occurred_at, _e.received_at, _e.id)
            )
            wanted = {self.add(row.key, str(row.params.get("userId")), row.occurred_at) for row in found}
            wanted -= self.known.keys()

    def add(self, previous_id: str, user_id: str, at: datetime) -> str:
        """Take an alias in, unless a later one of the same id is known; returns the userId."""
        known = self.known.get(previous_id)
        if known is None or known.at <= at:
            self.known[previous_id] = _Alias(user_id, at)
        return user_id

    def of(self, id_of: str) -> str:
        """The id that counts now. Where aliases go round in a circle, the latest of them has said it."""
        passed: dict[str, _Alias] = {}
        while (alias := self.known.get(id_of)) is not None:
            if id_of in passed:
                return max(passed.values(), key=lambda one: one.at).user_id
            passed[id_of] = alias
            id_of = alias.user_id
        return id_of


@dataclass(frozen=True, slots=True)
class Who:
    """Whom a message is about: identities to go by, and the contacts that have them now, or None."""

    user_id: str | None
    token: str | None
    user: Any | None
    device: Any | None

    @property
    def identities(self) -> dict[str, str]:
        """By our names: the token only where it is the user's own, nobody's yet, or where there is no userId."""
        given = {} if self.user_id is None else {"external_id": self.user_id}
        if self.token is not None and (not given or self._is_own):
            given["token"] = self.token
        return given

    @property
    def _is_own(self) -> bool:
        if self.device is None:
            return True
        if self.user is not None:
            return bool(self.user.id == self.device.id)
        return self.device.external_id is None


def is_anonymous(contact: Any) -> bool:
    """Whether a contact is known by its token alone."""
    return contact.external_id is None and contact.email is None and contact.phone is None


def names_of(messages: Collection[Message]) -> set[str]:
    """The ids of people that messages name."""
    targets = {m.target for m in messages if m.kind == "alias"}
    return targets | {one for m in messages for one in (m.user_id, m.anonymous_id) if one is not None}


async def who_it_is(connection: AsyncConnection, message: Message, aliases: Aliases) -> Who:
    """Look the message's ids up among the contacts."""
    user_id = aliases.of(message.user_id) if message.user_id is not None else None
    token = message.anonymous_id
    if user_id is None and token is not None and aliases.of(token) != token:
        user_id, token = aliases.of(token), None
    wanted = {
        name: {value} for name, value in (("external_id", user_id), ("token", token)) if value is not None
    }
    found = await contacts.find(connection, wanted, set())
    return Who(
        user_id,
        token,
        next((row for row in found if user_id is not None and row.external_id == user_id), None),
        next((row for row in found if token is not None and row.token == token), None),
    )
