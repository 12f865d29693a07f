"""Keys of the API: who may do what (O12). Made, rotated, revoked, and recognised.

A key is `onw_<id>_<secret>`. Its id is public and names it in lists and in the audit log; of the secret, 32 random
bytes, only the SHA-256 is kept, so a key is shown once and can't be shown again. What is read of a key is kept for
`CACHE_SECONDS` in each process: that long, at most, a process that did not hear of a revocation lets it in.
"""

import asyncio
import hashlib
import hmac
import re
import secrets
import time
from collections.abc import Callable, Collection
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Annotated, Any, Literal, Self, get_args

import structlog
from pydantic import BaseModel, ConfigDict, Field, StringConstraints, model_validator
from sqlalchemy.ext.asyncio import AsyncConnection

from intake import audit
from intake.rates import Rates
from intake.refusals import Clash, Missing
from processes.clock import add
from processes.durations import Duration
from processes.values import Key
from store import api_keys
from store import audit as audit_log
from store.database import Database, DatabaseUnavailable

log = structlog.get_logger(__name__)

Scope = Literal[
    "events:write",
    "processes:start",
    "processes:edit",
    "processes:activate",
    "contacts:read",
    "contacts:write",
    "reports:read",
    "admin",
]
SCOPES: tuple[Scope, ...] = get_args(Scope)
ADMIN: Scope = "admin"

CACHE_SECONDS = 2.0
MOST_CACHED = 10_000
SECRET_BYTES = 32
PREFIX = "onw_"
MADE = "key.make"
_TOKEN = re.compile(r"onw_([0-9a-f]{12})_([A-Za-z0-9_-]{43})")


class KeyEnded(Clash):
    """The key was revoked, or has expired."""

    name = "key-ended"


class KeyWanted(BaseModel):
    """What a new key is to be."""

    model_config = ConfigDict(
        extra="forbid",
        json_schema_extra={
            "examples": [{"name": "Web shop", "scopes": ["events:write"], "expires_in": "1 year"}]
        },
    )

    name: Annotated[str, StringConstraints(strip_whitespace=True, min_length=1, max_length=200)] = Field(
        description="Who has it, for people."
    )
    scopes: list[Scope] = Field(min_length=1, max_length=len(SCOPES), description="`admin` has every other.")
    processes: list[Key] | None = Field(
        default=None, min_length=1, max_length=1000, description="Only these processes; null: all."
    )
    lists: list[Key] | None = Field(
        default=None, min_length=1, max_length=1000, description="Only these lists; null: all."
    )
    rate: int | None = Field(
        default=None, ge=1, le=10_000_000, description="Requests a minute; null: as the settings say."
    )
    expires_in: Duration | None = Field(default=None, description="How long it works; null: until revoked.")

    @model_validator(mode="after")
    def _an_admin_is_not_limited(self) -> Self:
        if ADMIN in self.scopes and (self.processes is not None or self.lists is not None):
            raise ValueError("a key that administers cannot be limited to some processes or lists")
        return self


@dataclass(frozen=True)
class Caller:
    """Who asks, and what they may do. `processes` and `lists` are None where all may be named."""

    actor: str
    scopes: frozenset[str]
    processes: frozenset[str] | None = None
    lists: frozenset[str] | None = None
    key_id: str | None = None
    rate: int = 0

    @property
    def limited(self) -> bool:
        """Whether they may name some processes or lists only."""
        return self.processes is not None or self.lists is not None

    def has(self, scope: Scope) -> bool:
        """Whether the scope is among theirs."""
        return scope in self.scopes or ADMIN in self.scopes

    def kept_from(self, processes: Collection[str] = (), lists: Collection[str] = ()) -> str | None:
        """The first of these that the key is not for, in words; None where it is for all of them."""
        for what, named, allowed in (("process", processes, self.processes), ("list", lists, self.lists)):
            if allowed is not None:
                for key in sorted(set(named) - allowed):
                    return f"{what} «{key}»"
        return None


LOCAL = Caller(audit.LOCAL, frozenset({ADMIN}))
"""Whoever asks where no key is needed."""


@dataclass(frozen=True)
class MadeKey:
    """A new key: its row, and the token, which nobody will see again."""

    row: Any
    token: str


def _utc_now() -> datetime:
    return datetime.now(UTC)


class Keys:
    """Makes keys and recognises them."""

    def __init__(
        self,
        database: Database,
        *,
        rate: int,
        clock: Callable[[], datetime] = _utc_now,
        monotonic: Callable[[], float] = time.monotonic,
    ) -> None:
        """`rate` is requests a minute for keys that have none of their own."""
        self._database = database
        self._rate = rate
        self._clock = clock
        self._monotonic = monotonic
        self._cache: dict[str, tuple[float, Any | None]] = {}
        self._noted: dict[str, float] = {}
        self._tasks: set[asyncio.Task[None]] = set()
        self.rates = Rates(monotonic)

    async def close(self) -> None:
        """Let what is being written finish."""
        await asyncio.gather(*self._tasks)

    async def make(self, wanted: KeyWanted, actor: str, reason: str | None = None) -> MadeKey:
        """A new key."""
        now = self._clock()
        values, token = _drawn(
            {
                **wanted.model_dump(include={"name", "processes", "lists", "rate"}),
                "scopes": [scope for scope in SCOPES if scope in wanted.scopes],
                "expires_at": None if wanted.expires_in is None else add(now, wanted.expires_in, "UTC"),
            },
            actor,
            now,
        )
        async with self._database.write() as connection:
            await _add(connection, values, actor, now, reason)
            return MadeKey(await api_keys.find(connection, values["id"]), token)

    async def rotate(self, key_id: str, keep: Duration | None, actor: str) -> MadeKey:
        """A successor: a key of the same name, scopes and limits, to work as long as this one was made for. This one
        works for `keep` from now on, or no more. Raises Missing and KeyEnded.
        """
        now = self._clock()
        async with self._database.write() as connection:
            row = await self._working(connection, key_id, now)
            values, token = _drawn(
                {
                    **{name: getattr(row, name) for name in ("name", "scopes", "processes", "lists", "rate")},
                    "expires_at": await _as_long(connection, row, now),
                },
                actor,
                now,
            )
            await _add(connection, values, actor, now, f"in the place of {key_id}")
            ends = now if keep is None else add(now, keep, "UTC")
            if row.expires_at is not None:
                ends = min(ends, row.expires_at)
            await api_keys.change(connection, key_id, expires_at=ends)
            await audit.record(
                connection,
                actor,
                "key.rotate",
                f"key/{key_id}",
                now,
                before={"expires_at": row.expires_at},
                after={"expires_at": ends, "successor": values["id"]},
            )
            made = MadeKey(await api_keys.find(connection, values["id"]), token)
        self._cache.pop(key_id, None)
        return made

    async def revoke(self, key_id: str, actor: str, reason: str | None) -> Any:
        """Let it in no more; returns its row. Raises Missing and KeyEnded."""
        now = self._clock()
        async with self._database.write() as connection:
            row = await self._working(connection, key_id, now)
            await api_keys.change(connection, key_id, revoked_at=now)
            await audit.record(
                connection,
                actor,
                "key.revoke",
                f"key/{key_id}",
                now,
                before={"revoked_at": row.revoked_at},
                after={"revoked_at": now},
                reason=reason,
            )
            revoked = await api_keys.find(connection, key_id)
        self._cache.pop(key_id, None)
        return revoked

    async def caller(self, token: str) -> Caller | None:
        """Who has this token; None for one that is not ours. Raises KeyEnded and DatabaseUnavailable."""
        given = _TOKEN.fullmatch(token)
        if given is None:
            return None
        row = await self._read(given[1])
        if row is None or not hmac.compare_digest(_hash(given[2]), row.hash):
            return None
        why = _why_ended(row, self._clock())
        if why is not None:
            raise KeyEnded(f"the key {row.id} {why}")
        self._note_use(row.id)
        return Caller(
            actor=f"key/{row.id}",
            scopes=frozenset(row.scopes),
            processes=None if row.processes is None else frozenset(row.processes),
            lists=None if row.lists is None else frozenset(row.lists),
            key_id=row.id,
            rate=row.rate or self._rate,
        )

    async def _read(self, key_id: str) -> Any | None:
        now = self._monotonic()
        read_at, row = self._cache.get(key_id, (-CACHE_SECONDS, None))
        if row is not None and now - read_at < CACHE_SECONDS:
            return row
        async with self._database.read() as connection:
            row = await api_keys.find(connection, key_id)
        if (
            row is not None
        ):  # an id that is not there is asked for again: nobody fills the memory with guesses
            if len(self._cache) >= MOST_CACHED:
                self._cache.clear()
            self._cache[key_id] = (now, row)
        return row

    async def _working(self, connection: AsyncConnection, key_id: str, now: datetime) -> Any:
        row = await api_keys.find(connection, key_id, lock=True)
        if row is None:
            raise Missing("key", key_id)
        why = _why_ended(row, now)
        if why is not None:
            raise KeyEnded(f"the key {key_id} {why}")
        return row

    def _note_use(self, key_id: str) -> None:
        """Have the last use written, at most once a minute; nobody waits for it."""
        now = self._monotonic()
        if now - self._noted.get(key_id, -api_keys.USE_SECONDS) < api_keys.USE_SECONDS:
            return
        self._noted[key_id] = now
        task = asyncio.create_task(self._write_use(key_id, self._clock()))
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)

    async def _write_use(self, key_id: str, now: datetime) -> None:
        try:
            async with self._database.write() as connection:
                await api_keys.note_use(connection, key_id, now)
        except DatabaseUnavailable as error:
            log.warning("last_use_not_written", key=key_id, error=str(error))


def _drawn(values: dict[str, Any], actor: str, now: datetime) -> tuple[dict[str, Any], str]:
    """The row of a new key, and its token."""
    key_id, secret = secrets.token_hex(6), secrets.token_urlsafe(SECRET_BYTES)
    row = {**values, "id": key_id, "hash": _hash(secret), "created_at": now, "created_by": actor}
    return row, f"onw_{key_id}_{secret}"


def _hash(secret: str) -> str:
    return hashlib.sha256(secret.encode()).hexdigest()


def _why_ended(row: Any, now: datetime) -> str | None:
    if row.revoked_at is not None:
        return "was revoked"
    if row.expires_at is not None and row.expires_at <= now:
        return f"expired at {row.expires_at:%Y-%m-%d %H:%M} UTC"
    return None


async def _as_long(connection: AsyncConnection, row: Any, now: datetime) -> datetime | None:
    """When a key ends that begins now and works as long as this one was made for: its row says when it ends, which an
    earlier rotation may have brought forward; the audit log says what it was made for.
    """
    made = await audit_log.first_of(connection, f"key/{row.id}", MADE)
    ends = row.expires_at if made is None else made.after["expires_at"]
    if isinstance(ends, str):
        ends = datetime.fromisoformat(ends)
    return None if ends is None else now + (ends - row.created_at)


async def _add(
    connection: AsyncConnection, values: dict[str, Any], actor: str, now: datetime, reason: str | None
) -> None:
    await api_keys.add(connection, values)
    told = ("name", "scopes", "processes", "lists", "rate", "expires_at")
    await audit.record(
        connection,
        actor,
        MADE,
        f"key/{values['id']}",
        now,
        after={name: values[name] for name in told},
        reason=reason,
    )
