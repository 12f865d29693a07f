"""What scans of both kinds share: their parts, and how a page of those who were found is let in (T6, T7, T11).

A page is one transaction. A contact for whom that fails keeps nobody else out. Whom a scan is for is not said here.
"""

from collections.abc import Awaitable, Callable, Sequence
from typing import TypeVar

import structlog

from intake.admission import Admission
from intake.dispatch import Dispatcher
from processes.scanning import ScanProgress
from store.catalog import CatalogCache
from store.database import Database, DatabaseUnavailable

log = structlog.get_logger(__name__)

F = TypeVar("F")

PAGE = 200
"""Contacts in one transaction: as many as intake takes at once."""
PAGES_AT_ONCE = 50


class PagedScans:
    """Goes through those whom it finds, page by page."""

    def __init__(
        self,
        database: Database,
        catalog: CatalogCache,
        admission: Admission,
        dispatcher: Dispatcher,
        *,
        page: int = PAGE,
        pages: int = PAGES_AT_ONCE,
    ) -> None:
        """`page` is the number of contacts in a transaction, `pages` how many of those one call does at once."""
        self._database = database
        self._catalog = catalog
        self._admission = admission
        self._dispatcher = dispatcher
        self._page = page
        self._pages = pages

    async def all_or_halves(
        self,
        progress: ScanProgress,
        found: Sequence[F],
        let_in: Callable[[ScanProgress, Sequence[F]], Awaitable[ScanProgress | None]],
        contact_of: Callable[[F], str],
    ) -> ScanProgress | None:
        """`let_in` with all at once; where that fails, with each half. One alone for whom it fails is counted, and the
        scan ends as failed. None where `let_in` says so: what was found counts no more. Raises DatabaseUnavailable.
        """
        try:
            return await let_in(progress, found)
        except DatabaseUnavailable:
            raise
        except Exception:
            if len(found) == 1:
                log.exception("scan_contact_failed", contact=contact_of(found[0]))
                return progress.model_copy(update={"failed": progress.failed + 1})
            middle = len(found) // 2
            first = await self.all_or_halves(progress, found[:middle], let_in, contact_of)
            return (
                None if first is None else await self.all_or_halves(first, found[middle:], let_in, contact_of)
            )


def over(progress: ScanProgress) -> ScanProgress:
    """The scan, at its end."""
    return progress.model_copy(update={"done": True})
