"""Definitions for tests of the language: the smallest that is right, and ways to spoil it."""

from copy import deepcopy
from typing import Any

SMALLEST: dict[str, Any] = {
    "key": "p", "name": "P", "recurrence": "once",
    "steps": [{"id": "a", "type": "add_tag", "tag": "x"}],
}  # fmt: skip


def process(**changes: Any) -> dict[str, Any]:
    """The smallest process with these changes; one that is None is left out."""
    return {name: value for name, value in (deepcopy(SMALLEST) | changes).items() if value is not None}


def steps(*found: dict[str, Any], **changes: Any) -> dict[str, Any]:
    """A process of these steps."""
    return process(steps=list(found), **changes)


def tag(id: str, next: str | None = None) -> dict[str, Any]:
    """A step with an effect."""
    return {"id": id, "type": "add_tag", "tag": id} | ({"next": next} if next is not None else {})


def wait(id: str = "w", **more: Any) -> dict[str, Any]:
    """A wait."""
    return {"id": id, "type": "wait", **(more or {"for": "1d"})}
