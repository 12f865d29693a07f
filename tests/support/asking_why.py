"""Asking `why` of a database, and what is unclear in the answers."""

from datetime import UTC, datetime

from intake.why.service import Why, why
from store.catalog import CatalogCache
from store.database import Database
from tests.oracle.clarity import Told, unclear
from tests.oracle.outcome import ContactOutcome


async def ask(database: Database, contact: str, process: str) -> Why:
    """The answer for a contact, by any reference, and a process."""
    async with database.read() as connection:
        return await why(connection, CatalogCache(), process, contact, datetime.now(UTC))


def told(answer: Why) -> list[Told]:
    """Its lines in the oracle's words."""
    return [
        Told(line.what, line.code, line.says, line.instance, line.event, line.step) for line in answer.lines
    ]


async def unclear_in(database: Database, outcome: ContactOutcome, processes: list[str]) -> list[str]:
    """What is unclear of one contact."""
    found: list[str] = []
    for process in processes:
        found += unclear(outcome, process, told(await ask(database, outcome.contact, process)))
    return found
