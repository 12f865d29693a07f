"""Workflows that a stopping worker leaves behind: they are thrown away without a word and without an effect."""

import gc
import sys
from typing import Any

import pytest

from runtime import Services
from tests.support.engine import Engine
from tests.support.visits import pass_through


async def test_a_waiting_instance_is_thrown_away_quietly_when_its_worker_stops(
    services: Services, monkeypatch: pytest.MonkeyPatch
) -> None:
    noise: list[Any] = []
    monkeypatch.setattr(sys, "unraisablehook", lambda unraisable: noise.append(unraisable.exc_value))
    async with Engine.running(services) as engine:
        await pass_through(engine, {"id": "tag", "type": "add_tag", "tag": "vip"})
        await engine.services.intake.take([engine.incoming("go_journey", f"{engine.contact}-{n}") for n in range(20)])
    gc.collect()
    assert noise == []
