"""Parts that the guarantees need beside the common ones: a second process's services."""

from collections.abc import AsyncIterator

import pytest

from runtime import Services, connect_services
from settings import Settings


@pytest.fixture
async def second(settings: Settings) -> AsyncIterator[Services]:
    """The parts of a second API process on the same database."""
    services = await connect_services(settings, lazy=False)
    yield services
    await services.close()
