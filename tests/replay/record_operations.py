"""Records the history of an operation: `python -m tests.replay.record_operations`.

As `tests.replay.record` does for everything else; what is said there holds here.
"""

import asyncio

from intake import operating
from tests.replay.record import FEW_EVENTS, closed, engine_of_its_own, finish
from tests.support.engine import Engine

PEOPLE = 24


async def group_start(engine: Engine) -> str:
    """A group start that goes through its contacts in four lanes, and continues as new."""
    parts = engine.services
    operating.SMALL, operating.CALL_SECONDS = 4, 0.05
    parts.operating._page, parts.operating._rate = 1, 100.0
    names = [str(22222 + number) for number in range(PEOPLE)]
    await parts.intake.take([engine.incoming("hello", name) for name in names])
    await engine.publish(
        {
            "key": "p", "name": "P", "recurrence": "once", "triggers": [],
            "steps": [{"id": "rest", "type": "wait", "for": "30 days"}],
        }
    )  # fmt: skip
    asked = await parts.operations.start("p", contacts=names, actor="local", operation="group-start")
    return await closed(engine, asked)


async def record() -> None:
    """Record it, on an engine of its own."""
    async with engine_of_its_own(limit__historyCount__suggestContinueAsNew=str(FEW_EVENTS)) as engine:
        await finish(engine, group_start)


if __name__ == "__main__":
    asyncio.run(record())
