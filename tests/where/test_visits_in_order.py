"""The order of visits: by time, and by the graph where steps were passed in one moment."""

from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any, ClassVar

from processes.definition import parse
from store.reading import in_order
from tests.where.rows_made import NOW

LOOP = parse(
    {
        "key": "loop",
        "name": "Loop",
        "recurrence": "once",
        "steps": [
            {"id": "wait", "type": "wait", "for": "1h", "next": "tag"},
            {"id": "tag", "type": "add_tag", "tag": "x", "next": "again"},
            {"id": "again", "type": "remove_tag", "tag": "x", "next": "wait"},
        ],
    }
)


@dataclass
class Visit:
    """Counts how often it is looked at."""

    name: str
    visit: int
    time: datetime
    result: dict[str, Any] | None = None
    kind: str = "step"
    looks: ClassVar[int] = 0

    @property
    def at(self) -> datetime:
        Visit.looks += 1
        return self.time

    @property
    def step(self) -> str:
        Visit.looks += 1
        return self.name


def turns(number: int) -> list[Visit]:
    """So many turns, as the database has them: by time, then by the step's name."""
    return [
        Visit(step, turn + 1, NOW + timedelta(hours=turn))
        for turn in range(number)
        for step in ("again", "tag", "wait")
    ]


def test_steps_passed_in_one_moment_come_as_the_graph_has_them() -> None:
    found = in_order(turns(3), LOOP)
    assert [row.step for row in found] == ["wait", "tag", "again"] * 3
    assert [row.visit for row in found] == [1, 1, 1, 2, 2, 2, 3, 3, 3]
    assert in_order([], LOOP) == []


def test_a_long_loop_takes_no_longer_than_its_visits_are_many() -> None:
    visits = turns(1_000)
    Visit.looks = 0
    assert len(in_order(visits, LOOP)) == len(visits)
    assert Visit.looks <= 6 * len(visits)


FORK = parse(
    {
        "key": "fork",
        "name": "Fork",
        "recurrence": "once",
        "goals": [{"name": "bought", "event": "order", "then": "x-then"}],
        "steps": [
            {"id": "mail", "type": "add_tag", "tag": "m", "next": "wait"},
            {"id": "wait", "type": "wait", "for": "1h", "next": "which"},
            {
                "id": "which",
                "type": "condition",
                "branches": [{"when": {"tag": "m"}, "next": "b-then"}],
                "else": "a-else",
            },
            {"id": "b-then", "type": "wait", "for": "1h"},
            {"id": "a-else", "type": "wait", "for": "1h"},
            {
                "id": "x-then",
                "type": "condition",
                "branches": [{"when": {"tag": "m"}, "next": "a-else"}],
                "else": "b-then",
            },
        ],
    }
)
LATER = NOW + timedelta(hours=1)


def test_what_a_person_sent_again_does_not_stand_between_a_step_and_what_followed_it() -> None:
    """The wait, its end in a condition and the next wait bear one time; so does a message that was sent again."""
    found = in_order(
        [
            Visit("mail", 1, NOW),
            Visit("wait", 1, NOW),
            Visit("mail", 2, LATER, {"resent": True}),
            Visit("a-else", 1, LATER + timedelta(hours=1)),
            Visit("which", 1, LATER + timedelta(hours=1)),
        ],
        FORK,
    )
    assert [(row.step, row.visit) for row in found][2:] == [("mail", 2), ("which", 1), ("a-else", 1)]
    at_once = in_order(
        [Visit("mail", 1, NOW), Visit("mail", 2, NOW, {"resent": True}), Visit("wait", 1, NOW)], FORK
    )
    assert [(row.step, row.visit) for row in at_once] == [("mail", 1), ("wait", 1), ("mail", 2)]


def test_where_a_person_moved_the_run_comes_after_the_step_that_it_left() -> None:
    found = in_order(
        [
            Visit("a-else", 1, LATER),
            Visit("mail", 1, LATER, {"moved": {"to": "which"}}),
            Visit("which", 1, LATER),
        ],
        FORK,
    )
    assert [row.step for row in found] == ["mail", "which", "a-else"]


def test_where_a_goal_led_comes_after_the_goal() -> None:
    found = in_order(
        [
            Visit("wait", 1, NOW, {"goal": "bought"}),
            Visit("a-else", 1, LATER),
            Visit("goal:bought", 1, LATER, {"event": "e1", "to": "x-then"}, kind="goal"),
            Visit("x-then", 1, LATER),
        ],
        FORK,
    )
    assert [row.step for row in found] == ["wait", "goal:bought", "x-then", "a-else"]
