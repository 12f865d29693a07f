"""Parts on databases of both kinds, with Temporal away."""

from collections.abc import AsyncIterator

import pytest

from runtime import connect_services
from settings import Settings
from tests.operations.crowd import Crowd
from tests.support.temporal import free_port


@pytest.fixture
async def crowd(database_url: str) -> AsyncIterator[Crowd]:
    """Operations on an empty database, once on SQLite and once on PostgreSQL."""
    settings = Settings(
        database_url=database_url,
        temporal_address=f"127.0.0.1:{free_port()}",
        temporal_start_timeout=0.01,
        _env_file=None,
    )
    services = await connect_services(settings)
    yield Crowd(services)
    await services.close()
