"""Rows of CSV a second through one API process over HTTP: new ones, the same again, and out. No process starts."""

import time
from collections.abc import AsyncIterator
from dataclasses import dataclass

import httpx

from benchmarks.machine import API
from benchmarks.options import Options
from benchmarks.progress import say
from benchmarks.stage import Bench
from benchmarks.tables import Table, megabytes, split

HEADER = "ContactId,E-mail,Phone,city,fields.age:number,Born\n"
ROWS_AT_ONCE = 1_000
QUERY = {"list": "news", "tag": ["fair", "2026"], "map": "Born=birthday:date"}
PATIENCE = 3600.0


@dataclass(frozen=True)
class _Run:
    seconds: float
    cpu: dict[str, float]


async def run(stage: Bench, options: Options) -> list[Table]:
    """The same file twice, and an export."""
    port, _ = await stage.api()
    async with httpx.AsyncClient(base_url=f"http://127.0.0.1:{port}/v1", timeout=PATIENCE) as client:
        (await client.put("/lists/news", json={"name": "News"})).raise_for_status()
        before = stage.memory()[API]
        found: dict[str, _Run] = {}
        for name, status in (("new contacts", "created"), ("the same again", "updated")):
            say(f"{options.count:,} rows: {name}")
            clock, began = stage.cpu(), time.perf_counter()
            answer = await client.post(
                "/imports/csv",
                params=QUERY,
                content=_file(options.count),
                headers={"content-type": "text/csv"},
            )
            found[name] = _Run(time.perf_counter() - began, clock.milliseconds(options.count))
            if answer.json().get(status) != options.count:
                raise RuntimeError(f"not as it should be: {answer.text[:500]}")
        after = stage.memory()[API]
        say("export")
        clock, began = stage.cpu(), time.perf_counter()
        lines = 0
        async with client.stream("GET", "/contacts.csv") as answer:
            async for piece in answer.aiter_bytes():
                lines += piece.count(b"\n")
        found["out again"] = _Run(time.perf_counter() - began, clock.milliseconds(options.count))
        if lines != options.count + 1:
            raise RuntimeError(f"{lines} lines went out")
    return [
        Table(
            f"{options.count:,} rows of CSV: six columns, a list and two tags",
            [
                (name, f"{options.count / one.seconds:,.0f} rows/s", split(one.cpu))
                for name, one in found.items()
            ],
            columns=("a second", "CPU ms a row"),
        ),
        Table("The API's memory", [("before", megabytes(before)), ("after both", megabytes(after))]),
    ]


async def _file(count: int) -> AsyncIterator[bytes]:
    yield HEADER.encode()
    for first in range(0, count, ROWS_AT_ONCE):
        yield "".join(
            f"c{n},person{n}@example.com,+4206{n:08d},Brno,{n % 90},{n % 28 + 1}.{n % 12 + 1}.{1940 + n % 70}\n"
            for n in range(first, min(first + ROWS_AT_ONCE, count))
        ).encode()
