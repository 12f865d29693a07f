"""Contacts out as CSV, page by page, so that an import of it gives the same contacts back (`docs/imports.md`)."""

from collections.abc import AsyncIterator, Mapping
from datetime import datetime
from typing import Any, cast

import orjson
from sqlalchemy.ext.asyncio import AsyncConnection

from intake.csv_cells import Kind, write_lists, write_tags, write_value
from intake.csv_writing import csv_text
from intake.import_columns import FIELD_PREFIX, OWN
from intake.refusals import Missing
from store import exports, reading
from store.catalog import CatalogCache
from store.database import Database
from store.rules import UnknownSegment

PAGE = 1000


async def export_contacts(
    database: Database, catalog: CatalogCache, wanted: reading.ContactFilter, now: datetime
) -> AsyncIterator[str]:
    """The CSV in pieces. `now` (UTC) is what rules of segments are read at. Raises Missing before the first piece."""
    first = await _page(database, catalog, wanted, now, None)
    async with database.read() as connection:
        kinds = await exports.field_kinds(connection)
    return _pieces(database, catalog, wanted, now, cast(Mapping[str, Kind], kinds), first)


async def _pieces(
    database: Database,
    catalog: CatalogCache,
    wanted: reading.ContactFilter,
    now: datetime,
    kinds: Mapping[str, Kind],
    page: reading.Rows,
) -> AsyncIterator[str]:
    fields = [
        f"{FIELD_PREFIX}{name}" if kind == "text" else f"{FIELD_PREFIX}{name}:{kind}"
        for name, kind in kinds.items()
    ]
    yield csv_text([["onward_id", *OWN, *fields, "tags", "lists", "email_state", "consent", "created_at"]])
    while True:
        async with database.read() as connection:
            records = await _records(connection, page, kinds)
        yield csv_text(records)
        if page.next_cursor is None:
            return
        page = await _page(database, catalog, wanted, now, page.next_cursor)


async def _page(
    database: Database,
    catalog: CatalogCache,
    wanted: reading.ContactFilter,
    now: datetime,
    cursor: str | None,
) -> reading.Rows:
    async with database.read() as connection:
        view = await catalog.view(connection)
        try:
            return await reading.contacts(connection, wanted, view, now, limit=PAGE, cursor=cursor)
        except UnknownSegment as error:
            raise Missing("segment", error.key) from error


async def _records(
    connection: AsyncConnection, page: reading.Rows, kinds: Mapping[str, Kind]
) -> list[list[str]]:
    ids = [row.id for row in page.items]
    tags, lists = await exports.tags_of(connection, ids), await exports.lists_of(connection, ids)
    return [
        [
            row.id,
            *(getattr(row, name) or "" for name in OWN),
            *(write_value(row.fields.get(name), kind) for name, kind in kinds.items()),
            write_tags(tags.get(row.id, [])),
            write_lists(lists.get(row.id, {})),
            row.email_state,
            _consent(row.consent),
            row.created_at.isoformat(),
        ]
        for row in page.items
    ]


def _consent(value: Any) -> str:
    return orjson.dumps(value).decode() if value else ""
