"""What the benches compute from what they measured: lags, groups of a profile, CPU that counts."""

from datetime import UTC, datetime

import pytest

from benchmarks.machine import DRIVER, SERVER, WORKER, total
from benchmarks.sampler import CONVERTER, DATABASE, OURS, ROOT, SDK, group, shares
from benchmarks.tables import Table
from benchmarks.wakes import lag

DUE = datetime(2026, 11, 24, 9, 0, tzinfo=UTC)
SITE = f"{ROOT}/.venv/lib/python3/site-packages"


def test_the_lag_is_what_passed_between_due_and_done() -> None:
    people = [f"p{number}@example.com" for number in range(100)]
    found = lag(
        dict.fromkeys(people, DUE),
        {person: DUE.timestamp() + number / 10 for number, person in enumerate(people)},
    )
    assert (found.p50, found.p99, found.longest) == pytest.approx((5.0, 9.9, 9.9))


def test_a_lag_of_somebody_who_was_never_served_is_an_error() -> None:
    with pytest.raises(RuntimeError, match=r"1 of 2 were not done, b@example\.com"):
        lag({"a@example.com": DUE, "b@example.com": DUE}, {"a@example.com": DUE.timestamp()})


@pytest.mark.parametrize(
    ("innermost", "expected"),
    [
        (f"add_tag ({ROOT}/activities/steps/add_tag.py:10)", OURS),
        (f"execute ({SITE}/sqlalchemy/engine/base.py:1)", DATABASE),
        (f"to_payload ({SITE}/temporalio/contrib/pydantic.py:1)", CONVERTER),
        (f"activate ({SITE}/temporalio/worker/_workflow_instance.py:1)", SDK),
        ("encode (/usr/lib/python3.11/json/encoder.py:1)", OURS),
    ],
)
def test_a_sample_belongs_to_the_innermost_frame_that_says_a_group(innermost: str, expected: str) -> None:
    assert group([f"main ({ROOT}/worker.py:1)", f"run ({ROOT}/activities/base.py:1)", innermost]) == expected


def test_shares_leave_imports_out() -> None:
    raw = "\n".join(
        [
            f"main ({ROOT}/worker.py:1);run ({ROOT}/activities/base.py:1) 3",
            f"main ({ROOT}/worker.py:1);execute ({SITE}/sqlalchemy/engine/base.py:1) 1",
            "<module> (worker.py:1);_find_and_load (<frozen importlib._bootstrap>:1) 96",
        ]
    )
    assert shares(raw) == {OURS: 0.75, DATABASE: 0.25}


def test_what_only_makes_the_load_is_on_nobodys_account() -> None:
    assert total({WORKER: 40.0, SERVER: 50.0, DRIVER: 3.0}) == 90.0
    assert total({WORKER: 40.0, DRIVER: 3.0}, without=()) == 43.0


def test_a_table_is_aligned() -> None:
    table = Table("Title", [("one", "1", "(at least 1)"), ("three", "300", "")], columns=("value",))
    assert str(table).splitlines() == [
        "Title",
        "         value",
        "  one    1      (at least 1)",
        "  three  300",
    ]
