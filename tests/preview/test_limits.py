"""What a preview does not show: whatever the process is, it ends soon, and says where it was cut."""

from collections.abc import Sequence
from typing import Any

import pytest

from intake import previews
from intake.previews import Imagined
from processes.timeline import Timeline, Way
from processes.ways import MOST_ANSWERS, MOST_MOMENTS
from store.imagined import judge
from tests.preview.playing import all_ways
from tests.preview.small import DAY, in_turn, only_way, preview, process, told
from tests.support.engine import Engine

pytestmark = pytest.mark.parametrize("database_url", ["sqlite"], indirect=True)


async def test_a_loop_and_many_ways_are_cut_with_the_reason(idle: Engine) -> None:
    turning = process(
        {"id": "w", "type": "wait", "for": "1 day", "next": "t"},
        {"id": "t", "type": "add_tag", "tag": "x", "next": "w"},
    )
    moments, ending = await only_way(idle, turning)
    assert ending.how == "cut"
    assert ending.reason == "it comes to step w again and again: no more rounds are shown"
    assert len(moments) < MOST_MOMENTS
    parting = process(
        {"id": "w", "type": "wait_for_event", "event": "e", "within": "1 day", "next": "w2", "on_timeout": "w2"},
        *({"id": f"w{n}", "type": "wait_for_event", "event": "e", "within": "1 day", "next": f"w{n + 1}",
           "on_timeout": f"w{n + 1}"} for n in range(2, 14)),
        {"id": "w14", "type": "end"},
    )  # fmt: skip
    found = (await preview(idle, parting)).foresight.timeline
    ways = list(all_ways(found))
    assert sum(len(way.timeline.moments) for way in every(found)) <= MOST_MOMENTS + 1
    assert {ending.reason for _, ending, _ in ways if ending.how == "cut"} == {
        f"more than {MOST_MOMENTS} steps: no more are shown"
    }


def every(timeline: Timeline) -> list[Way]:
    """All ways of a timeline, and theirs."""
    return [way for one in timeline.ways for way in (one, *every(one.timeline))]


CHANCE = [{"name": name, "share": 0.5} for name in ("x", "y")]


@pytest.mark.parametrize("kind", ["split", "condition"])
async def test_steps_that_take_no_time_part_the_way_so_often_and_no_more(idle: Engine, kind: str) -> None:
    """Forty in a row, each of which may go two ways, would make more ways than there are atoms in a person."""
    number = 40

    def step(n: int) -> dict[str, Any]:
        to = {"next": f"s{n + 1}"}
        if kind == "split":
            return {"branches": [one | to for one in CHANCE]}
        return {"branches": [{"when": {"happened": f"e{n}"}} | to], "else": to["next"]}

    document = process(
        {**DAY, "id": "w", "next": "s0"},
        *({"id": f"s{n}", "type": kind, **step(n)} for n in range(number)),
        {"id": f"s{number}", "type": "end"},
    )
    found = (await preview(idle, document)).foresight.timeline
    ways = told(found)
    assert len(ways) == MOST_ANSWERS
    assert {ending.reason for _, ending, _ in all_ways(found)} == {
        f"more than {MOST_ANSWERS} ways part at this moment: no more are shown"
    }
    first, last = (
        ("chance says x", "chance says y") if kind == "split" else ("e0 happened", "not: e0 happened")
    )
    assert [sum(when.startswith(one) for when, _, _ in ways) for one in (first, last)] == [64, 36]


async def test_a_rule_is_asked_once_of_a_moment_however_many_ways_lead_past_it(
    idle: Engine, monkeypatch: pytest.MonkeyPatch
) -> None:
    asked: list[int] = []

    async def counted(connection: Any, rules: Sequence[Any], **more: Any) -> Any:
        asked.append(len(rules))
        return await judge(connection, rules, **more)

    monkeypatch.setattr(previews, "judge", counted)
    same = {"branches": [{"when": {"tag": "x"}, "next": "z"}], "else": "z"}
    document = process(
        {"id": "a", "type": "split", "branches": [one | {"next": "b"} for one in CHANCE]},
        {"id": "b", "type": "split", "branches": [one | {"next": "c"} for one in CHANCE]},
        {"id": "c", "type": "condition", **same},
        {"id": "z", "type": "end"},
    )
    assert len(told((await preview(idle, document)).foresight.timeline)) == 4
    assert asked == [1]


async def test_nothing_is_shown_where_the_calendar_ends(idle: Engine) -> None:
    late = {"type": "wait", "until": "9999-12-31T23:00"}
    moments, ending = await only_way(idle, process(*in_turn(late, DAY)))
    assert [moment.step for moment in moments] == ["a"]
    assert (ending.how, ending.reason) == ("cut", "after the year 9000: no more is shown")
    overseas = Imagined({"email": "ann@example.com", "time_zone": "America/New_York", "fields": {}})
    moments, ending = await only_way(idle, process(*in_turn({"type": "add_tag", "tag": "x"}, late)), overseas)
    assert [moment.step for moment in moments] == ["a"]
    assert ending.how == "held"
    assert "falls outside the years 1 to 9999" in str(ending.reason)
