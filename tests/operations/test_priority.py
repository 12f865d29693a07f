"""Events are not starved by operations: where tasks queue up, Temporal hands out those of events first, and operations
take turns. A big start of many and a small one have queued what they let in, then events come, and only then a worker,
which does one thing at a time. A queue has partitions, so the order is not strict.
"""

from operator import attrgetter
from statistics import median

import pytest

from intake.operating import Operating
from processes.operating import PageCall
from store import rows
from tests.guarantees.processes import process, wait
from tests.operations.crowd import Crowd, going
from tests.support.engine import Engine
from tests.support.waiting import eventually
from worker import make_worker

pytestmark = pytest.mark.parametrize("database_url", ["sqlite"], indirect=True)
_i = rows.instances.c
BIG, SMALL, EVENTS = 40, 8, 4
ALL = BIG + SMALL + EVENTS


async def test_events_begin_before_what_operations_have_queued_and_operations_take_turns(
    idle: Engine,
) -> None:
    began = await order(idle)
    places = {
        key: median(n for n, one in enumerate(began) if one == key) for key in ("event", "small", "big")
    }
    assert places["event"] < ALL / 6, began
    assert places["small"] < ALL / 2, began
    assert places["big"] > ALL / 2, began


async def order(engine: Engine) -> list[str]:
    """The processes of all instances, in the order of their begins."""
    parts, crowd = engine.services, Crowd(engine.services)
    names = [f"{engine.contact}-{number:03}" for number in range(BIG)]
    await parts.intake.take([engine.incoming("hello", name) for name in names])
    await engine.publish(process(wait("rest", "30 days"), key="event"))
    operating = Operating(
        parts.database, parts.catalog, parts.admission, parts.dispatcher, rate=100_000, in_flight=100_000
    )
    for key, whom in (("big", names), ("small", names[:SMALL])):
        await engine.publish(process(wait("rest", "30 days"), key=key, triggers=[]))
        asked = await crowd.start(key, contacts=whom)
        for lane in await crowd.gather(asked):
            while not lane.done:
                lane = (await operating.carry_on(PageCall(operation=asked, lane=lane), going)).lane
    for name in names[:EVENTS]:
        await engine.event("go", name)

    async def all_have_begun() -> bool:
        return len(await crowd.rows(rows.instances, _i.started_at.is_not(None))) == ALL

    narrow = parts.settings.model_copy(update={"worker_max_workflow_tasks": 1, "worker_max_activities": 1})
    async with make_worker(parts.client, parts.tools(), narrow):
        await eventually(all_have_begun, 120)
    found = await crowd.rows(rows.instances)
    return [row.process_key for row in sorted(found, key=attrgetter("started_at"))]
