"""Which tests take turns between SQLite and PostgreSQL, instead of running on each.

With `--databases=sql`, as in the gate, those where SQL is not what is tested; with `--databases=one`, as in
`make test`, all but the store's own. `make test DATABASES=both` runs each on both. A race is marked `each_database`:
it never takes turns.
"""

import re
from binascii import crc32
from collections import defaultdict
from collections.abc import Iterable

TAKE_TURNS = (
    *("api/", "channels/", "cli/", "faults/", "steps/", "time/", "tracking/"),
    *(
        f"guarantees/test_{module}.py"
        for module in ("model", "moving", "recovery", "upgrade", "worker_killed", "worker_versions")
    ),
)
"""Folders and modules of `tests/`. Not those of the store, rules, schedules, triggers, caps and other guarantees: they
live by their SQL. These modules ask what becomes of instances between processes and releases, for many seconds each.
"""
NEVER = "tests/store/"

_KIND = re.compile(r"(?<=[\[-])(sqlite|postgres|postgresql)(?=[\]-])")


def left_out(names: Iterable[str], databases: str) -> set[str]:
    """Of the tests (by pytest's ids) that are there for both databases, those whose turn it is not: half, the same
    half in every run and in every process. `databases` is `sql` or `one`.
    """
    same = defaultdict(list)
    for name in names:
        if _takes_turns(name, databases) and _KIND.search(name):
            same[_KIND.sub("", name, count=1)].append(name)
    return {
        name
        for test, twins in same.items()
        if len(twins) == 2
        for name in twins
        if name != sorted(twins)[crc32(test.encode()) % 2]
    }


def _takes_turns(name: str, databases: str) -> bool:
    if databases == "one":
        return not name.startswith(NEVER)
    return name.startswith(tuple(f"tests/{one}" for one in TAKE_TURNS))
