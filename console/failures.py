"""What a command says when it was not done."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any


@dataclass(frozen=True)
class Problem:
    """One thing that is wrong: where (a JSON Pointer), in which step, on which line of which file, as far as known."""

    pointer: str
    message: str
    step: str | None = None
    line: int | None = None
    file: str | None = None

    @classmethod
    def read(cls, answer: Mapping[str, Any]) -> "Problem":
        """As the API says it."""
        step, line = answer.get("step"), answer.get("line")
        return cls(
            str(answer.get("pointer", "")),
            str(answer.get("message", "")),
            step if isinstance(step, str) else None,
            line if isinstance(line, int) else None,
        )

    def document(self) -> dict[str, Any]:
        """For programs: what is known."""
        known = {"file": self.file, "line": self.line, "step": self.step}
        return {"pointer": self.pointer, "message": self.message} | {
            name: value for name, value in known.items() if value is not None
        }

    def __str__(self) -> str:
        where = [f"step {self.step}"] if self.step is not None else []
        where += [f"line {self.line}"] if self.line is not None else []
        file = f"{self.file}: " if self.file is not None else ""
        return f"{file}{self.pointer or '/'}: {self.message}" + (f" ({', '.join(where)})" if where else "")


class Failure(Exception):
    """What was asked for was not done."""

    def __init__(self, title: str, detail: str | None = None, problems: Sequence[Problem] = ()) -> None:
        super().__init__(title)
        self.title = title
        self.detail = detail
        self.problems = problems


def why_not_read(error: OSError | UnicodeDecodeError) -> str:
    """Why a file could not be read, or written, in a few words."""
    if isinstance(error, UnicodeDecodeError):
        line = error.object.count(b"\n", 0, error.start) + 1
        return f"It is not UTF-8 text: the byte 0x{error.object[error.start]:02x} on line {line}."
    return error.strerror or type(error).__name__


class Unreachable(Failure):
    """The API does not answer."""


class Refused(Failure):
    """The API answered with a problem."""

    def __init__(self, problem: Mapping[str, Any], status: int) -> None:
        errors = problem.get("errors") or []
        found = [Problem.read(e) for e in errors if isinstance(e, dict)]
        super().__init__(
            str(problem.get("title") or f"The API answered {status}."), problem.get("detail"), found
        )
        self.status = status
