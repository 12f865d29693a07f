"""Messages that were refused lately because of our sending: nothing of it can be mended from here."""

from collections.abc import AsyncIterator
from datetime import UTC, datetime, timedelta
from typing import Final

from intake.doctor.context import Context, ago
from intake.doctor.findings import SENDING_REFUSED, Check, Finding
from processes.refusals import REMEDIES
from store.refusals import Refused, refused_because_of_us

LATELY: Final = timedelta(days=1)


class SendingRefused(Check):
    """One finding for each channel and cause."""

    title = "refusals"

    def __init__(self, context: Context) -> None:
        self._context = context

    async def find(self) -> AsyncIterator[list[Finding]]:
        """On one page: there are as many findings as causes."""
        async with self._context.database.read() as connection:
            found = await refused_because_of_us(connection, datetime.now(UTC) - LATELY)
        yield [
            Finding(SENDING_REFUSED, f"{one.channel} {one.cause}", _says(one), mendable=False)
            for one in found
        ]

    async def mend(self, finding: Finding) -> str | None:
        """Only a person can."""
        return None


def _says(one: Refused) -> str:
    messages = "1 message" if one.number == 1 else f"{one.number} messages"
    newest = f"{one.newest:%Y-%m-%d %H:%M} UTC, {ago(one.newest)} ago"
    return f"{messages} within a day, the newest {newest}; {REMEDIES[one.cause]}"
