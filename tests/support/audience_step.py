"""What holds for both steps of Custom Audiences, and the audience that they change."""

from collections.abc import AsyncIterator
from typing import Any, ClassVar

import pytest
from pydantic import SecretStr

from settings import Settings
from tests.support.audience_server import AudienceServer
from tests.support.engine import Engine
from tests.support.sending import (
    is_held_by_a_pause_and_sent_once_after_it,
    is_not_sent_to_a_deleted_contact,
    is_recorded_as_sent_where_a_stop_comes_in_the_middle,
)
from tests.support.validating import problems_of_step

ON_SQLITE = pytest.mark.parametrize("database_url", ["sqlite"], indirect=True)
"""For what does not lie with the database."""


class AudienceStep:
    """Tests of a step of this kind: a subclass says which."""

    STEP: ClassVar[dict[str, Any]]

    @pytest.fixture
    async def server(self) -> AsyncIterator[AudienceServer]:
        async with AudienceServer() as server:
            yield server

    @pytest.fixture
    def settings(self, settings: Settings, server: AudienceServer) -> Settings:
        changed = {
            "meta_graph_url": server.url,
            "meta_ads_token": SecretStr(AudienceServer.TOKEN),
            "provider_timeout": 5,
        }
        return settings.model_copy(update=changed)

    @ON_SQLITE
    async def test_it_is_held_by_a_pause_and_sent_once_after_it(
        self, engine: Engine, server: AudienceServer
    ) -> None:
        await is_held_by_a_pause_and_sent_once_after_it(engine, self.STEP, server)

    @ON_SQLITE
    async def test_it_is_not_sent_for_a_contact_deleted_before_it(
        self, engine: Engine, server: AudienceServer
    ) -> None:
        await is_not_sent_to_a_deleted_contact(engine, self.STEP, server)

    @ON_SQLITE
    async def test_it_is_recorded_as_sent_where_a_stop_comes_in_the_middle(
        self, engine: Engine, server: AudienceServer
    ) -> None:
        await is_recorded_as_sent_where_a_stop_comes_in_the_middle(engine, self.STEP, server)

    @pytest.mark.parametrize("audience", ["", "my-audience", "1/../2", "1" * 26])
    def test_what_is_no_audiences_id_is_refused_by_its_field(self, audience: str) -> None:
        (problem,) = problems_of_step({**self.STEP, "audience": audience})
        assert problem.pointer == "/steps/0/audience"

    def test_without_a_token_it_keeps_its_process_from_being_published(self) -> None:
        found = problems_of_step(self.STEP, channels={"audience": "ONWARD_META_ADS_TOKEN"})
        assert [(problem.pointer, problem.message) for problem in found] == [
            ("/steps/0/type", "the channel «audience» is not configured: set ONWARD_META_ADS_TOKEN")
        ]
