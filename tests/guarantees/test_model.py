"""Random sequences of events, stops, restarts, clock moves and pauses: whatever their order, the oracle agrees.

`pytest --hypothesis-profile=deep` runs hundreds of other examples; by default the same few run each time.
"""

import asyncio

import pytest
from hypothesis import HealthCheck, Phase, settings
from hypothesis.stateful import run_state_machine_as_test

from settings import Settings
from tests.guarantees.model_machine import Machine
from tests.guarantees.model_system import System, hurry
from tests.support.smtp_server import RecordingSmtpServer

QUICK = settings(
    max_examples=25,
    stateful_step_count=20,
    derandomize=True,
    database=None,
    report_multiple_bugs=False,
    deadline=None,
    phases=(Phase.generate, Phase.shrink),
    suppress_health_check=list(HealthCheck),
)
DEEP = settings(QUICK, max_examples=300, stateful_step_count=40, derandomize=False)


@pytest.mark.timeout(3600)
async def test_whatever_happens_in_whatever_order_the_oracle_agrees(
    settings: Settings, smtp: RecordingSmtpServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    hurry(monkeypatch)
    own = settings.model_copy(
        update={"worker_sandbox": False, "worker_graceful_shutdown": 0.001, "smtp_timeout": 120}
    )
    async with System.running(own, smtp) as system:

        class OfThisSystem(Machine):
            def __init__(self) -> None:
                super().__init__(system)

        await asyncio.to_thread(run_state_machine_as_test, OfThisSystem, settings=chosen())


def chosen() -> settings:
    """By the profile that pytest was started with."""
    return DEEP if settings.get_current_profile_name() == "deep" else QUICK
