"""All parts with Temporal and the mail server away: ports that nobody listens on, so what is let in stays `pending`."""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

from runtime import Services, connect_services
from settings import Settings
from tests.support.temporal import free_port


@asynccontextmanager
async def temporal_away(database_url: str, **more: Any) -> AsyncIterator[Services]:
    """Parts on a database for the block; `more` are settings. A start gives up after 0.1 s if they say nothing else."""
    settings = {
        "database_url": database_url,
        "temporal_address": f"127.0.0.1:{free_port()}",
        "temporal_start_timeout": 0.1,
        "smtp_port": free_port(),  # the usual one is that of a mail catcher which somebody may have running
        **more,
    }
    services = await connect_services(Settings(**settings, _env_file=None))
    try:
        yield services
    finally:
        await services.close()
