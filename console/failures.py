"""What a command says when it was not done."""

from collections.abc import Mapping, Sequence
from typing import Any


class Failure(Exception):
    """What was asked for was not done. `problems` are (pointer, message)."""

    def __init__(
        self, title: str, detail: str | None = None, problems: Sequence[tuple[str, str]] = ()
    ) -> None:
        super().__init__(title)
        self.title = title
        self.detail = detail
        self.problems = problems


class Unreachable(Failure):
    """The API does not answer."""


class Refused(Failure):
    """The API answered with a problem."""

    def __init__(self, problem: Mapping[str, Any], status: int) -> None:
        errors = problem.get("errors") or []
        found = [
            (str(e.get("pointer", "")), str(e.get("message", ""))) for e in errors if isinstance(e, dict)
        ]
        super().__init__(
            str(problem.get("title") or f"The API answered {status}."), problem.get("detail"), found
        )
        self.status = status
