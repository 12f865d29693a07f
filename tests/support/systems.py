"""Which test modules start processes of ours, and how pytest-xdist runs them: one after another, before the rest.

A worker or an API needs five seconds of processor time to begin. Two systems that start beside each other on two cores
are so slow that the tests which wait for them give up.
"""

import pytest
from xdist.scheduler import LoadFileScheduling

SYSTEMS = (
    *("cli/test_dev", "cli/test_worker_start"),
    *("deployment/test_listening", "deployment/test_monitoring", "deployment/test_secrets"),
    "edits/test_everyone",
    *("faults/test_infrastructure", "faults/test_short_run"),
    *(
        f"guarantees/test_{module}"
        for module in ("model", "moving", "recovery", "upgrade", "worker_killed", "worker_versions")
    ),
    "schedules/test_on_temporal",
)
"""Modules of `tests/`, without `.py`."""

_NAMES = tuple(f"tests/{module}.py" for module in SYSTEMS)


def starts_a_system(node_id: str) -> bool:
    """Whether a test, by pytest's id, is of such a module."""
    return node_id.startswith(_NAMES)


class SystemsInTurn(LoadFileScheduling):  # type: ignore[misc]
    """A file is run by one process, and all that start systems by the same one."""

    def _split_scope(self, nodeid: str) -> str:
        return "systems" if starts_a_system(nodeid) else nodeid.split("::", 1)[0]


def first(items: list[pytest.Item]) -> None:
    """Put the tests that start systems before the others. The order is otherwise kept."""
    items.sort(key=lambda item: not starts_a_system(item.nodeid))
