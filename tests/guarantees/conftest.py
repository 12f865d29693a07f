"""Parts that the guarantees need beside the common ones: a second process's services, an engine without a worker."""

from collections.abc import AsyncIterator

import pytest

from intake.sweeper import Sweeper
from runtime import Services, connect_services
from settings import Settings
from tests.support.engine import Engine


@pytest.fixture
async def second(settings: Settings) -> AsyncIterator[Services]:
    """The parts of a second API process on the same database."""
    services = await connect_services(settings, lazy=False)
    yield services
    await services.close()


@pytest.fixture
def idle(services: Services) -> Engine:
    """All parts and no worker: what is started stays pending."""
    return Engine(
        services,
        Sweeper(services.database, services.catalog, services.dispatcher, services.client, seconds=0.2),
    )
