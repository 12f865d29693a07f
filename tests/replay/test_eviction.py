"""Workflows that a stopping worker leaves behind: they are thrown away without a word and without an effect."""

import gc
import sys
from typing import Any

import pytest

from runtime import Services
from tests.support.engine import Engine
from tests.support.visits import pass_through

MANY = 20


async def test_instances_in_all_states_are_thrown_away_quietly_when_their_worker_stops(
    services: Services, monkeypatch: pytest.MonkeyPatch
) -> None:
    noise: list[Any] = []
    monkeypatch.setattr(sys, "unraisablehook", lambda unraisable: noise.append(unraisable.exc_value))
    async with Engine.running(services) as engine:
        await pass_through(engine, {"id": "tag", "type": "add_tag", "tag": "vip"})
        crowd = [engine.incoming("go_journey", f"{engine.contact}-{number}") for number in range(MANY)]
        await services.intake.take(crowd)
    gc.collect()
    assert noise == []
