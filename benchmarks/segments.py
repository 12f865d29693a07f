"""Segments of many contacts: how long a count and a page of members take for each kind of rule, by which indexes, and
what a look at one costs that processes watch: the first, one that finds nothing, and one that finds a fiftieth. A
filter keeps these out: what a start costs is measured elsewhere.
"""

import re
import time
from collections.abc import Awaitable, Callable, Iterator
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from functools import partial
from statistics import median
from typing import Any

from sqlalchemy import delete, text
from sqlalchemy.ext.asyncio import AsyncConnection

from benchmarks.machine import DRIVER, POSTGRESQL
from benchmarks.options import Options
from benchmarks.progress import say
from benchmarks.stage import Bench
from benchmarks.tables import Table, bar
from intake.segment_scans import SegmentScans
from processes.rules import Rule, parse_rule
from processes.scanning import ScanCall, ScanProgress
from store import definitions, reading, rows
from store.rules import count_members
from tests.support.plans import plan_of

Ask = Callable[[AsyncConnection], Awaitable[Any]]

NOW = datetime(2026, 11, 2, 8, tzinfo=UTC)
ORDER, VISIT = "order_created", "page.visited"
MOST = "at most 500"
PAGE = 50

RULES: dict[str, dict[str, Any]] = {
    "a field is": {"contact": "city", "equals": "city7"},
    "a field is at least": {"contact": "points", "at_least": 900},
    "the address has in it": {"contact": "email", "contains": "77"},
    "a tag": {"tag": "vip"},
    "a tag that half have": {"tag": "reader"},
    "not a tag": {"not": {"tag": "reader"}},
    "a list": {"list": "news"},
    "an event in 30 days": {"happened": ORDER, "within": "30d"},
    "no event in 90 days": {"not": {"happened": ORDER, "within": "90d"}},
    "two events": {"happened": ORDER, "at_least": 2},
    "an event with a param": {"happened": VISIT, "where": {"event": "url", "contains": "tea"}},
    "a message opened in 30 days": {"message": {"state": "opened"}, "within": "30d"},
    "put in by hand": {"segment": "hand"},
    "either of two segments": {"any": [{"segment": "hand"}, {"segment": "vips"}]},
    "all of list, field, no event": {
        "all": [{"list": "news"}, {"contact": "city", "equals": "city7"}, {"not": {"happened": ORDER, "within": "90d"}}]
    },
}  # fmt: skip
SEGMENTS: dict[str, dict[str, Any] | None] = {"hand": None, "vips": RULES["a tag"], "asked": None}
WATCHED = {
    "key": "watches",
    "name": "Watches",
    "recurrence": "each_time",
    "triggers": [
        {"type": f"segment_{what}", "segment": "watched", "filter": {"always": False}}
        for what in ("entered", "left")
    ],
    "steps": [{"id": "tag", "type": "add_tag", "tag": "greeted"}],
}
SHARE = 50
"""One of so many enters, and one leaves."""


async def run(stage: Bench, options: Options) -> list[Table]:
    """First the questions, then the looks."""
    say(f"{options.count:,} contacts")
    await _write(stage, options.count)
    return [await _questions(stage, options), await _looks(stage, options)]


async def _questions(stage: Bench, options: Options) -> Table:
    lines = []
    for name, document in RULES.items():
        segments = {key: None if rule is None else parse_rule(rule) for key, rule in SEGMENTS.items()}
        segments["asked"] = parse_rule(document)
        middle = await _cursor(stage, segments, options.count // 2)
        asked: list[Ask] = [
            partial(_count, segments=segments),
            partial(_page, segments=segments, cursor=None),
            partial(_page, segments=segments, cursor=middle),
        ]
        taken = [await _timed(stage, ask, options.rounds) for ask in asked]
        say(f"{name}: {'; '.join(taken)}")
        async with stage.services.database.read() as connection:
            number = await _count(connection, segments=segments)
        plan = await plan_of(stage.services.database, asked[0])
        lines.append((name, f"{number:,}", *taken, ", ".join(_indexes(plan)) or "none"))
    columns = ("members", "count", "page", "in the middle", "by the indexes")
    title = f"Segments of {options.count:,} contacts: milliseconds by the clock, of CPU {bar(MOST)}"
    return Table(title, lines, columns)


def _indexes(plan: str) -> list[str]:
    found = re.findall(r"\b((?:ix|uq|sqlite_autoindex)_\w+|\w+_pkey)\b", plan)
    return sorted({name for name in found if name != "contacts_pkey"})


async def _count(connection: AsyncConnection, *, segments: dict[str, Rule | None]) -> int:
    return await count_members(
        connection, segments["asked"] or parse_rule({"always": True}), now=NOW, segments=segments
    )


async def _page(
    connection: AsyncConnection, *, segments: dict[str, Rule | None], cursor: str | None
) -> reading.Rows:
    return await reading.segment_members(connection, "asked", segments, NOW, limit=PAGE, cursor=cursor)


async def _cursor(stage: Bench, segments: dict[str, Rule | None], number: int) -> str | None:
    """Where a page begins behind half of all contacts."""
    async with stage.services.database.read() as connection:
        everyone = {**segments, "asked": parse_rule({"always": True})}
        found = await reading.segment_members(connection, "asked", everyone, NOW, limit=number, cursor=None)
    return found.next_cursor


async def _timed(stage: Bench, ask: Ask, rounds: int) -> str:
    """Milliseconds by the clock and of CPU, ours and the database's; the first time warms up."""
    clock: list[float] = []
    spent: list[float] = []
    for _ in range(rounds + 1):
        async with stage.services.database.read() as connection:
            cpu, began = stage.cpu(), time.perf_counter()
            await ask(connection)
            clock.append(1000 * (time.perf_counter() - began))
            found = cpu.milliseconds(1)
            spent.append(found.get(DRIVER, 0.0) + found.get(POSTGRESQL, 0.0))
    return f"{median(clock[1:]):,.0f}, {median(spent[1:]):,.0f}"


async def _looks(stage: Bench, options: Options) -> Table:
    """Those with the tag are a fiftieth; of the others as many enter by another, and then leave again."""
    rule = {"any": [{"tag": "vip"}, {"tag": "new"}]}
    async with stage.services.database.write() as connection:
        await definitions.put_segment(connection, "watched", "watched", rule, NOW)
    await stage.publish(WATCHED)
    parts = stage.services
    scans = SegmentScans(
        parts.database, parts.catalog, parts.admission, parts.dispatcher, pages=options.count
    )
    seconds: dict[str, list[float]] = {"idle": [], "entered": [], "left": []}
    now = datetime.now(UTC)
    first, begun = await _look(scans, now)
    if begun.members is None:
        raise RuntimeError(f"not the first look: {begun}")
    new = len(range(1, options.count, SHARE))
    for number in range(options.rounds):
        say(f"look {number + 1} of {options.rounds}")
        now += timedelta(minutes=15)
        seconds["idle"].append((await _look(scans, now))[0])
        await _tag(stage, options.count)
        taken, entered = await _look(scans, now + timedelta(minutes=5))
        seconds["entered"].append(taken)
        async with stage.services.database.write() as connection:
            await connection.execute(delete(rows.contact_tags).where(rows.contact_tags.c.tag == "new"))
        taken, left = await _look(scans, now + timedelta(minutes=10))
        seconds["left"].append(taken)
        if entered.found != new or left.found != new:
            raise RuntimeError(f"not as it should be: {entered}, {left}")
    return Table(
        f"Looks at a segment of {options.count:,} contacts, {begun.members:,} of whom are in it",
        [
            ("the first, that writes them down, seconds", f"{first:.2f}", bar("at most 5")),
            ("nobody has entered or left, seconds", f"{median(seconds['idle']):.2f}", bar("at most 5")),
            (
                f"{new:,} have entered, and are told of, seconds",
                f"{median(seconds['entered']):.1f}",
                bar("at most 20"),
            ),
            (
                f"{new:,} have left, and are told of, seconds",
                f"{median(seconds['left']):.1f}",
                bar("at most 20"),
            ),
        ],
    )


async def _look(scans: SegmentScans, now: datetime) -> tuple[float, ScanProgress]:
    began = time.perf_counter()
    progress = await scans.look(ScanCall(segment="watched", until=now), lambda _: None)
    return time.perf_counter() - began, progress


# Who they are


@dataclass(frozen=True)
class _Words:
    """What the two databases say differently. `n` is the number of a contact."""

    numbers: str
    id: str
    object: str
    ago: Callable[[str], str]
    """The moment so many days ago."""


_WORDS = {
    "sqlite": _Words(
        "WITH RECURSIVE numbers(n) AS (SELECT 0 UNION ALL SELECT n + 1 FROM numbers WHERE n + 1 < {count})",
        "'c' || printf('%07d', n * 7919 % 1000003)",
        "json_object",
        lambda days: f"strftime('%Y-%m-%dT%H:%M:%S.000000', '2026-11-02 08:00:00', -({days}) || ' days')",
    ),
    "postgresql": _Words(
        "WITH numbers(n) AS (SELECT generate_series(0, {count} - 1))",
        "'c' || lpad((n::bigint * 7919 % 1000003)::text, 7, '0')",
        "jsonb_build_object",
        lambda days: f"timestamptz '2026-11-02T08:00:00Z' - ({days}) * interval '1 day'",
    ),
}
"""The ids have another order than the numbers."""


async def _write(stage: Bench, count: int) -> None:
    async with stage.services.database.write() as connection:
        await definitions.put_list(connection, "news", "news", NOW)
        for key, rule in SEGMENTS.items():
            await definitions.put_segment(connection, key, key, rule, NOW)
        for statement in _rows(_WORDS[connection.dialect.name], count):
            await connection.exec_driver_sql(statement)
    if not stage.services.database.is_sqlite:
        async with stage.services.database.write() as connection:
            await connection.execute(text("ANALYZE"))


async def _tag(stage: Bench, count: int) -> None:
    """Those who enter."""
    async with stage.services.database.write() as connection:
        words = _WORDS[connection.dialect.name]
        await connection.exec_driver_sql(_tagged(words, count, "'new'", f"n % {SHARE} = 1"))


def _rows(words: _Words, count: int) -> Iterator[str]:
    """Half are readers, a fiftieth VIPs; three of five are subscribed; a fifth have ordered, once to three times; all
    have visited a page; half got a message, and most of them opened it.
    """
    numbers, now = words.numbers.format(count=count), words.ago("0")
    fields = f"{words.object}('name', 's' || n, 'city', 'city' || (n / 3 % 20), 'points', n * 31 % 1000)"
    yield f"""INSERT INTO contacts (id, external_id, email, fields, consent, email_state, created_at, updated_at)
{numbers} SELECT {words.id}, 's' || n, 's' || n || '@example.com', {fields}, '{{}}', 'ok', {words.ago("n % 1000")},
{now} FROM numbers"""
    for tag, who in (
        ("'reader'", "n % 2 = 0"),
        ("'vip'", f"n % {SHARE} = 0"),
        ("'t' || (n % 100)", "n >= 0"),
    ):
        yield _tagged(words, count, tag, who)
    yield f"""INSERT INTO subscriptions (contact_id, list_key, status, since)
{numbers} SELECT {words.id}, 'news', CASE WHEN n % 5 < 3 THEN 'subscribed' ELSE 'unsubscribed' END, {now}
FROM numbers"""
    yield f"""INSERT INTO segment_members (segment_key, contact_id, added_at, source)
{numbers} SELECT 'hand', {words.id}, {now}, 'bench' FROM numbers WHERE n % 10 = 3"""
    for turn in range(3):
        days = words.ago(f"(n / 7 + {40 * turn}) % 200")
        yield _happened(
            words,
            count,
            f"'o{turn}-' || n",
            ORDER,
            days,
            "'total', n % 100",
            f"n % 5 = 0 AND n / 5 % 3 >= {turn}",
        )
    url = "'https://shop.example.com/' || CASE WHEN n % 8 = 0 THEN 'tea/' ELSE 'coffee/' END || n"
    yield _happened(words, count, "'v' || n", VISIT, words.ago("n % 60"), f"'url', {url}", "n >= 0")
    sent = words.ago("n % 90")
    yield f"""INSERT INTO messages (id, instance_id, step, visit, process_key, contact_id, channel, recipient, state,
attempts, claimed_at, closed_at, opened_at)
{numbers} SELECT 'm' || n, 'news/s' || n, 'mail', 1, 'news', {words.id}, 'email', 's' || n || '@example.com', 'sent', 1,
{sent}, {sent}, CASE WHEN n % 3 > 0 THEN {sent} END FROM numbers WHERE n % 2 = 1"""


def _tagged(words: _Words, count: int, tag: str, who: str) -> str:
    return f"""INSERT INTO contact_tags (contact_id, tag, added_at, source)
{words.numbers.format(count=count)} SELECT {words.id}, {tag}, {words.ago("0")}, 'bench' FROM numbers WHERE {who}"""


def _happened(words: _Words, count: int, key: str, event_type: str, when: str, params: str, who: str) -> str:
    return f"""INSERT INTO events (id, type, contact_id, occurred_at, received_at, params, source, depth, outcome)
{words.numbers.format(count=count)} SELECT {key}, '{event_type}', {words.id}, {when}, {when}, {words.object}({params}),
'bench', 0, '[]' FROM numbers WHERE {who}"""
