"""An edit of a process with contacts at each of its steps: everyone is where the preview said, a killed worker or not.
`ONWARD_TEST_EDITED=1000 pytest tests/edits/test_everyone.py` does it with so many (docs/editing.md).
"""

import os
from collections import Counter
from typing import Any

import pytest

from api.lifecycle import process_lifecycle
from processes.differences import Inside
from settings import Settings
from store import rows
from tests.edits.test_moving import LAST
from tests.guarantees.processes import wait
from tests.guarantees.test_worker_killed import HASTY
from tests.support.engine import Engine
from tests.support.waiting import eventually
from tests.support.worker_process import worker_process

COUNT = int(os.environ.get("ONWARD_TEST_EDITED", "24"))
PATIENCE = 60 + COUNT / 4
GROUPS = ("shorter", "longer", "gone", "lost", "same", "held")
CHOICES = [Inside(), Inside(inside="move", removed={"gone": "last"})]
ONE = pytest.mark.parametrize(
    "database_url", [os.environ.get("ONWARD_TEST_DATABASE", "sqlite")], indirect=True
)


def document(*steps: dict[str, Any]) -> dict[str, Any]:
    """Contacts are sent to the step that their event names."""
    branches = [{"when": {"event": "group", "equals": group}, "next": group} for group in GROUPS]
    known = {step["id"] for step in steps}
    sort = {
        "id": "sort", "type": "condition", "else": "last",
        "branches": [branch for branch in branches if branch["next"] in known],
    }  # fmt: skip
    return {
        "key": "p", "name": "p", "recurrence": "each_time", "triggers": [{"type": "event", "event": "go"}],
        "steps": [sort, *({**step, "next": "last"} for step in steps), LAST],
    }  # fmt: skip


def held(tag: str) -> list[dict[str, Any]]:
    """Who holds: the event that they wait for comes in the pause."""
    return [
        {
            "id": "held",
            "type": "wait_for_event",
            "event": "on",
            "within": "30d",
            "on_timeout": "last",
            "next": "tag",
        },
        {"id": "tag", "type": "add_tag", "tag": tag},
    ]


def before() -> dict[str, Any]:
    made = document(*(wait(group, "30d") for group in GROUPS[:-1]), *held("old"))
    made["steps"] = [{**one, "next": "tag"} if one["id"] == "held" else one for one in made["steps"]]
    return made


def after() -> dict[str, Any]:
    made = document(wait("shorter", "1s"), wait("longer", "60d"), wait("same", "30d"), *held("new"))
    made["steps"] = [{**one, "next": "tag"} if one["id"] == "held" else one for one in made["steps"]]
    return made


async def places(engine: Engine) -> Counter[tuple[str | None, str]]:
    """How many instances are at each step, in each state."""
    return Counter((row.step, row.state) for row in await engine.rows(rows.instances))


@ONE
@pytest.mark.timeout(PATIENCE * 4)
@pytest.mark.parametrize("inside", CHOICES, ids=["stay", "move"])
async def test_everyone_is_where_the_preview_said_though_the_worker_was_killed(
    idle: Engine, settings: Settings, inside: Inside
) -> None:
    lifecycle, each = process_lifecycle(idle.services), COUNT // len(GROUPS)
    await idle.publish(before())
    people = {group: [f"{idle.contact}-{group}-{number}" for number in range(each)] for group in GROUPS}
    async with worker_process(settings, *HASTY) as worker:
        for group, members in people.items():
            await idle.services.intake.take(
                [idle.incoming("go", one, params={"group": group}) for one in members]
            )
        await _are(idle, Counter({(group, "waiting"): each for group in GROUPS}))
        await lifecycle.pause("p")
        await idle.services.intake.take([idle.incoming("on", one) for one in people["held"]])
        await _are(
            idle, Counter({(group, "waiting"): each for group in GROUPS[:-1]} | {("held", "holding"): each})
        )
        await lifecycle.put("p", after())
        said = await lifecycle.preview_edit("p", inside)
        assert {(row.step, row.count) for row in said.standing} == {(group, each) for group in GROUPS}
        await lifecycle.publish("p", inside)
        await lifecycle.activate("p")
        await worker.kill()
    expected: Counter[tuple[str | None, str]] = Counter()
    for row in said.standing:
        # A wait that is over by its new length, and the event that came in the pause, lead on to the last step.
        leads_on = row.to == "held" or (inside.inside == "move" and row.to == "shorter")
        there = "last" if leads_on else row.to
        expected[(there, "waiting") if there is not None else (None, "ended")] += row.count
    async with worker_process(settings, *HASTY):
        await _are(idle, expected)
    tags = Counter(row.tag for row in await idle.rows(rows.contact_tags))
    assert tags == {"old" if inside.inside == "stay" else "new": each}
    lost = [row.outcome for row in await idle.rows(rows.instances) if row.state == "ended"]
    assert lost == ["step_removed"] * (each if inside.inside == "move" else 0)


async def _are(engine: Engine, expected: Counter[tuple[str | None, str]]) -> None:
    async def there() -> bool:
        return await places(engine) == expected

    try:
        await eventually(there, PATIENCE, every=0.2)
    except AssertionError:
        assert await places(engine) == expected
        raise
