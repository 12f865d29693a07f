"""Imports of contacts (C5): rows taken in chunks, each chunk one transaction with the record of what became of them.

A row that was taken is never taken again, so whatever breaks off is sent once more. How CSV is read is in
`intake/csv_records.py`, what a column means in `intake/import_columns.py`, whose a row is in
`intake/import_people.py`, what it does in `intake/import_chunk.py`.
"""

import asyncio
import secrets
from collections.abc import AsyncIterator, Callable
from datetime import UTC, datetime
from typing import Any

from sqlalchemy.ext.asyncio import AsyncConnection

from intake import audit
from intake.audit import LOCAL
from intake.changes import Changes
from intake.csv_records import BadCsv, Records
from intake.date_waits import tell_date_waits
from intake.dispatch import Dispatcher
from intake.effects import Effects
from intake.import_chunk import MOST_COLUMNS, Chunk, ImportOptions, Summary
from intake.import_columns import Column, Row, read_columns, read_row
from intake.refusals import Clash, Missing
from intake.service import retried
from processes.addresses import STRICT, AddressRules
from processes.problems import DocumentInvalid, Problem
from store import imports, presences
from store.catalog import CatalogCache
from store.database import Database

CHUNK = 250
"""Rows of one transaction."""


def _utc_now() -> datetime:
    return datetime.now(UTC)


class Imports:
    """Makes imports and takes their rows."""

    def __init__(
        self,
        database: Database,
        catalog: CatalogCache,
        changes: Changes,
        dispatcher: Dispatcher,
        *,
        clock: Callable[[], datetime] = _utc_now,
        addresses: AddressRules = STRICT,
    ) -> None:
        """`addresses` says which e-mail addresses are taken."""
        self._addresses = addresses
        self._database = database
        self._catalog = catalog
        self._changes = changes
        self._dispatcher = dispatcher
        self._clock = clock

    async def create(self, options: ImportOptions, actor: str = LOCAL) -> str:
        """A new import; returns its id. Raises DocumentInvalid."""
        import_id = "i" + secrets.token_hex(8)
        if options.header is not None:
            read_columns(options.header, options.columns, options.rest)
        elif not options.has_header:
            raise DocumentInvalid([Problem(pointer="/header", message="is needed where the file has none")])
        async with self._database.write() as connection:
            known = (await self._catalog.view(connection)).lists
            if options.list_key is not None and options.list_key not in known:
                raise DocumentInvalid(
                    [Problem(pointer="/list", message=f"there is no list «{options.list_key}»")]
                )
            now = self._clock()
            await imports.create(connection, import_id, _document(options), now)
            await audit.record(
                connection, actor, "import.begin", f"import/{import_id}", now, after=_document(options)
            )
        return import_id

    async def take(
        self,
        import_id: str,
        pieces: AsyncIterator[bytes],
        *,
        encoding: str = "utf-8",
        first: int = 1,
    ) -> Summary:
        """Take rows from CSV that comes in pieces, of any size. `first` is the number of the first row that comes:
        row 1 is the header, unless the options say that the file has none.

        Raises Missing, Clash, DocumentInvalid (the header), and BadCsv; what came before the fault was taken.
        """
        options = await self._options(import_id)
        if options.header is None and first > 1:
            raise Clash("the header is not known: give it in the options, or send the file's first row first")
        records = Records(encoding=encoding, delimiter=options.delimiter, first=first)
        total = Summary()
        reading = _Reading(options, expects_header=options.has_header and first == 1)
        async for piece in pieces:
            await self._feed(import_id, records, reading, piece, total)
        await self._feed(import_id, records, reading, b"", total, last=True)
        return total

    async def finish(self, import_id: str, actor: str = LOCAL) -> None:
        """Close an import: all rows are in. Again: nothing. Raises Missing, and Clash where it was stopped."""
        await self._end(import_id, imports.DONE, actor)

    async def stop(self, import_id: str, actor: str = LOCAL) -> None:
        """Close an import that is to take no more rows. What it has taken stays. Raises Missing and Clash."""
        await self._end(import_id, imports.STOPPED, actor)

    async def _end(self, import_id: str, state: str, actor: str) -> None:
        async with self._database.write() as connection:
            found = await imports.find(connection, import_id, lock=True)
            if found is None:
                raise Missing("import", import_id)
            if found.state not in {imports.OPEN, state}:
                raise Clash(f"the import is {found.state}")
            if found.state == imports.OPEN:
                now = self._clock()
                await imports.end(connection, import_id, state, now)
                counts = {name: getattr(found, name) for name in ("created", "updated", "refused")}
                await audit.record(
                    connection,
                    actor,
                    "import.end",
                    f"import/{import_id}",
                    now,
                    after={"state": state, **counts},
                )

    async def _options(self, import_id: str) -> ImportOptions:
        async with self._database.read() as connection:
            found = await imports.find(connection, import_id)
        if found is None:
            raise Missing("import", import_id)
        _must_be_open(found)
        return ImportOptions.model_validate(found.options)

    async def _feed(
        self,
        import_id: str,
        records: Records,
        reading: "_Reading",
        piece: bytes,
        total: Summary,
        *,
        last: bool = False,
    ) -> None:
        try:
            for line, cells in records.feed(piece, last=last):
                if reading.expects_header:
                    await self._take_header(import_id, reading, cells, records.delimiter)
                    continue
                country = reading.options.country
                row = read_row(line, cells, reading.columns, country=country, addresses=self._addresses)
                reading.rows.append(row)
                if len(reading.rows) == CHUNK:
                    await self._take_rows(import_id, reading, total)
        except BadCsv:
            await self._take_rows(import_id, reading, total)
            raise
        if last:
            await self._take_rows(import_id, reading, total)

    async def _take_header(
        self, import_id: str, reading: "_Reading", cells: list[str], delimiter: str | None
    ) -> None:
        """The file's own header: kept, so that rows may be sent without it later. It must not change."""
        reading.header(cells, delimiter)
        async with self._database.write() as connection:
            found = await imports.find(connection, import_id, lock=True)
            if found is None:
                raise Missing("import", import_id)
            before = found.options.get("header")
            if before is not None and before != cells:
                raise Clash("the header is another one than before: this is not the file that was begun")
            await imports.set_options(connection, import_id, _document(reading.options))

    async def _take_rows(self, import_id: str, reading: "_Reading", total: Summary) -> None:
        rows, reading.rows = reading.rows, []
        if not rows:
            return

        async def work(connection: AsyncConnection) -> tuple[Summary, Effects]:
            found = await imports.find(connection, import_id, lock=True)
            if found is None:
                raise Missing("import", import_id)
            _must_be_open(found)
            view, now = await self._catalog.view(connection), self._clock()
            chunk = Chunk(connection, import_id, reading.options, view, now)
            summary, events = await chunk.take(rows)
            if not reading.options.trigger:
                await presences.settle_quietly(connection, view, chunk.touched, now)
            effects = await self._changes.tell(connection, events, now)
            effects.outbox += await tell_date_waits(connection, self._catalog, chunk.changed, now)
            return summary, effects

        summary, effects = await retried(self._database, work)
        total.add(summary)
        await self._dispatcher.send(effects)
        await asyncio.sleep(0)


class _Reading:
    """What is known of a CSV while it comes."""

    def __init__(self, options: ImportOptions, *, expects_header: bool) -> None:
        self.options = options
        self.expects_header = expects_header
        self.rows: list[Row] = []
        self.columns: list[Column | None] = []
        if not expects_header:
            self.columns = read_columns(options.header or [], options.columns, options.rest)

    def header(self, cells: list[str], delimiter: str | None) -> None:
        """Take the header. Raises DocumentInvalid."""
        if len(cells) > MOST_COLUMNS:
            raise DocumentInvalid([Problem(pointer="/columns", message=f"more than {MOST_COLUMNS} columns")])
        self.columns = read_columns(cells, self.options.columns, self.options.rest)
        self.options = self.options.model_copy(update={"header": cells, "delimiter": delimiter})
        self.expects_header = False


def _must_be_open(found: Any) -> None:
    if found.state != imports.OPEN:
        raise Clash(f"the import is {found.state}: it takes no more rows")


def _document(options: ImportOptions) -> dict[str, Any]:
    return options.model_dump(mode="json", by_alias=True, exclude_none=True)
