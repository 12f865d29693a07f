"""Parts on databases of both kinds, with Temporal away."""

from collections.abc import AsyncIterator

import pytest

from tests.schedules.scanner import Scanner
from tests.support.away import temporal_away


@pytest.fixture
async def scanner(database_url: str) -> AsyncIterator[Scanner]:
    """Scans on an empty database, once on SQLite and once on PostgreSQL."""
    async with temporal_away(database_url, temporal_start_timeout=0.01) as services:
        yield Scanner(services)
