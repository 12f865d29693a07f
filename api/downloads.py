"""Rows of any number as CSV: they are read page after page while they are sent, and no transaction stays open."""

from collections.abc import AsyncIterator, Awaitable, Callable, Iterable
from typing import Any

from fastapi.responses import StreamingResponse
from sqlalchemy.ext.asyncio import AsyncConnection

from intake.csv_writing import csv_text
from store.database import Database
from store.reading import Rows

MEDIA_TYPE = "text/csv; charset=utf-8"
PAGE = 1000

Read = Callable[[AsyncConnection, int, str | None], Awaitable[Rows]]
"""Reads a page: so many rows, from a cursor on."""
Lines = Callable[[Any], Iterable[Iterable[str]]]
"""What is written of a row: a line, or more."""


def csv_download(database: Database, columns: Iterable[str], read: Read, lines: Lines) -> StreamingResponse:
    """The answer: a header, then all that `read` finds."""
    return StreamingResponse(_pages(database, columns, read, lines), media_type=MEDIA_TYPE)


async def _pages(database: Database, columns: Iterable[str], read: Read, lines: Lines) -> AsyncIterator[str]:
    yield csv_text([columns])
    cursor: str | None = None
    while True:
        async with database.read() as connection:
            page = await read(connection, PAGE, cursor)
        yield csv_text(line for row in page.items for line in lines(row))
        cursor = page.next_cursor
        if cursor is None:
            return
