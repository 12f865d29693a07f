"""The order of visits: by time, and by the graph where steps were passed in one moment."""

from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import ClassVar

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
