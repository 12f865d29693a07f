"""A page is visited (T4)."""

from collections.abc import Mapping
from typing import Annotated, ClassVar, Literal

from pydantic import AfterValidator

from processes import builtin_events
from processes.pages import check_pattern, page_matches
from processes.triggers.base import ReportedTrigger
from processes.values import Json


class PageVisitedTrigger(ReportedTrigger):
    """A contact visits a page (T4), as the site reports it. `url` is host/path, with `*` for any text."""

    kind: ClassVar[str] = "page_visited"

    type: Literal["page_visited"]
    url: Annotated[str, AfterValidator(check_pattern)]

    def listens_to(self) -> tuple[str, dict[str, str]]:
        """The event that the site sends."""
        return builtin_events.PAGE_VISITED, {}

    def matches(self, params: Mapping[str, Json]) -> bool:
        """A page that the pattern means."""
        return page_matches(self.url, params.get("url"))
