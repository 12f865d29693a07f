"""Parts on databases of both kinds, with Temporal away."""

from collections.abc import AsyncIterator

import pytest

from tests.operations.crowd import Crowd
from tests.support.away import temporal_away


@pytest.fixture
async def crowd(database_url: str) -> AsyncIterator[Crowd]:
    """Operations on an empty database, once on SQLite and once on PostgreSQL."""
    async with temporal_away(database_url, temporal_start_timeout=0.01) as services:
        yield Crowd(services)
