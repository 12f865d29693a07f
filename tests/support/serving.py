"""The API over real HTTP in a test: uvicorn in the test's own loop, on a free port."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, nullcontext
from unittest.mock import patch

import uvicorn

from api.app import create_app
from api.server import server_config
from runtime import Services
from tests.support.temporal import free_port
from tests.support.waiting import eventually


@asynccontextmanager
async def serving(services: Services) -> AsyncIterator[str]:
    """The API's URL; it answers until the block ends."""
    port = free_port()
    settings = services.settings.model_copy(
        update={"api_host": "127.0.0.1", "api_port": port, "log_level": "ERROR"}
    )
    server = uvicorn.Server(server_config(create_app(services), settings))
    with patch.object(server, "capture_signals", nullcontext):
        running = asyncio.create_task(server.serve())
        try:
            await eventually(lambda: asyncio.sleep(0, server.started))
            yield f"http://127.0.0.1:{port}"
        finally:
            server.should_exit = True
            await running
