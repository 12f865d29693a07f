"""Tables never break an id, on a terminal of any width, and values are words."""

import fcntl
import os
import pty
import struct
import subprocess
import sys
import termios
from typing import Any

import pytest
from rich.cells import cell_len

from console.tables import Words, rendered
from console.words import between, code, duration, of_definition, outcome, outcome_in_full, rule, written
from tests.cli.conftest import CLI, ROOT

HEADINGS = ["Instance", Words("Next"), "State"]
IDS = [
    "welcome/22222",
    "order-confirmation/anna.novakova-long@subdomain.example.com/0197c0de-0000-7000-8000-000000000001",
    "with blanks/and  two/東京/👩‍👧/" + "x" * 200,
]
LONG = "Three days: Wait 3 days · until 24 Nov 09:00 Prague, and what follows"


@pytest.mark.parametrize("width", [10, 40, 60, 80, 120, 400, None])
@pytest.mark.parametrize("id", IDS)
def test_an_id_stands_whole_in_one_line(id: str, width: int | None) -> None:
    table = rendered(HEADINGS, [[id, LONG, "waiting"], ["b", "", "holding"]], width)
    assert any(id in line for line in table.body)
    assert [line for line in table.head + table.body if line != line.rstrip()] == []


def test_sentences_are_wrapped_between_words_and_keep_their_column() -> None:
    table = rendered(HEADINGS, [["welcome/22222", LONG, "waiting"]], 50)
    assert table.head == ["Instance       Next                        State"]
    assert table.body == [
        "welcome/22222  Three days: Wait 3 days ·   waiting",
        "               until 24 Nov 09:00 Prague,",
        "               and what follows",
    ]
    assert max(map(cell_len, table.body)) <= 50


def test_columns_without_a_value_make_room() -> None:
    headings = ["Instance", "Outcome", Words("Why"), "State"]
    rows = [["welcome/22222", "", "", "waiting"]]
    assert rendered(headings, rows, 30).head == ["Instance       State"]
    assert rendered(headings, rows, None).head == ["Instance       Outcome  Why  State"]


def test_what_is_indented_stays_so() -> None:
    assert rendered([Words("What")], [["    holds: has the tag vip; or not"]], 20).body == [
        "    holds: has the",
        "    tag vip; or not",
    ]


@pytest.mark.parametrize("width", range(12, 130, 7))
def test_a_table_is_never_wider_than_the_terminal_or_is_made_of_paragraphs(width: int) -> None:
    table = rendered(HEADINGS, [["welcome/22222", LONG, "waiting"], ["東京", "a", "b"]], width)
    if table.head:
        assert max(map(cell_len, table.head + table.body)) <= width
    else:
        assert table.body[:3] == ["Instance  welcome/22222", f"Next      {LONG}", "State     waiting"]


def test_what_is_piped_has_a_line_for_each_row() -> None:
    rows = [[one, LONG * 20, "waiting"] for one in IDS]
    assert len(rendered(HEADINGS, rows, None).body) == len(rows)


@pytest.mark.parametrize(
    ("value", "words"),
    [
        (None, ""),
        (True, "yes"),
        ({"total": 990, "paid": False}, "total: 990, paid: no"),
        ({"items": [{"sku": "a", "n": 1}]}, "items: ((sku: a, n: 1))"),
        ({"note": None, "more": {}}, "note: nothing, more: none"),
        (["vip", 5], "vip, 5"),
        ("a\x1b[31mb\nc", "a [31mb c"),
        ("👩‍👧", "👩‍👧"),
    ],
)  # fmt: skip
def test_a_value_is_words_and_nothing_that_a_terminal_obeys(value: Any, words: str) -> None:
    assert written(value) == words


@pytest.mark.parametrize(
    ("seconds", "words"),
    [
        (0.4, "less than a second"),
        (61, "1 minute 1 second"),
        (3 * 86400 + 2 * 3600 + 59, "3 days 2 hours"),
        (7200, "2 hours"),
    ],
)
def test_a_length_of_time_is_words(seconds: float, words: str) -> None:
    assert duration(seconds) == words
    assert between("2026-12-01T00:00:00Z", None) == ""


def test_lengths_of_time_in_a_definition_are_words() -> None:
    assert of_definition("for", "P3D") == "3 days"
    assert (
        of_definition("recurrence", {"mode": "once_per", "period": "PT90M"})
        == "mode: once_per, period: 1 hour 30 minutes"
    )
    assert of_definition("date", {"offset": "-P3D", "field": "P3D"}) == "offset: -3 days, field: P3D"
    assert of_definition("caps", [{"messages": 3, "per": "P7D"}]) == "(messages: 3, per: 7 days)"
    assert of_definition("tag", "P3D") == "P3D"


def test_codes_outcomes_and_rules_are_words() -> None:
    assert code("sending_refused") == "sending refused"
    assert between("2026-12-01T00:00:00Z", "2026-12-04T02:00:00+00:00") == "3 days 2 hours"
    assert outcome("goal_reached") == "goal reached"
    assert outcome("own_outcome") == "own_outcome"
    assert outcome_in_full("completed") == "completed: it went to its end"
    assert rule({"any": [{"tag": f"tag-{n}"} for n in range(80)]}).endswith(" or has the tag tag-79")
    assert rule({"of": "a newer release"}) == "of: a newer release"


def test_on_a_narrow_terminal_a_table_is_wrapped_between_words() -> None:
    """The real command on a real terminal."""
    main, side = pty.openpty()
    fcntl.ioctl(side, termios.TIOCSWINSZ, struct.pack("HHHH", 40, 33, 0, 0))
    environment = {name: value for name, value in os.environ.items() if name not in {"COLUMNS", "LINES"}}
    done = subprocess.run(
        [sys.executable, CLI, "process", "new"], cwd=ROOT, stdout=side, env=environment, check=True
    )
    os.close(side)
    shown = os.read(main, 10_000).decode()
    os.close(main)
    assert done.returncode == 0
    lines = [line.rstrip() for line in shown.splitlines()]
    assert "\x1b[1mRecipe              Name\x1b[0m" in lines
    at = lines.index("click-followup      Follow-up of")
    assert lines[at + 1] == "                    a click"
