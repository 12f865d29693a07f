"""What is wrong with a document: every problem at once, each with its place."""

import re
from collections.abc import Collection, Iterable, Sequence
from typing import Any

from pydantic import BaseModel, Field, ValidationError

from processes.known_keys import keys_at
from processes.wording import worded


def _is_none(value: object) -> bool:
    return value is None


class Problem(BaseModel):
    """One thing that is wrong. `pointer` is a JSON Pointer (RFC 6901) into the document; `step` is the id of the step
    that it is in, `line` the line of a YAML text, where these are known.
    """

    pointer: str
    message: str
    step: str | None = Field(default=None, exclude_if=_is_none)
    line: int | None = Field(default=None, exclude_if=_is_none)

    def under(self, place: str) -> "Problem":
        """The same, in a document around this one: `place` is the pointer of this one in it."""
        return self.model_copy(update={"pointer": place + self.pointer})


_IN_STEP = re.compile(r"/steps/([0-9]{1,4})(?:/|$)")


class DocumentInvalid(Exception):
    """The document has problems; all of them are in `problems`."""

    def __init__(self, problems: Sequence[Problem]) -> None:
        super().__init__("; ".join(f"{p.pointer or '/'}: {p.message}" for p in problems))
        self.problems = list(problems)


def pointer(parts: Iterable[Any]) -> str:
    """The JSON Pointer of a path of keys and indexes."""
    return "".join("/" + str(part).replace("~", "~0").replace("/", "~1") for part in parts)


def with_steps(problems: Iterable[Problem], document: Any) -> list[Problem]:
    """The problems of a process's document, each with the id of the step that it is in."""
    steps = document.get("steps") if isinstance(document, dict) else None
    return [_with_step(problem, steps if isinstance(steps, list) else []) for problem in problems]


def _with_step(problem: Problem, steps: Sequence[Any]) -> Problem:
    found = _IN_STEP.match(problem.pointer)
    step = steps[int(found[1])] if found is not None and int(found[1]) < len(steps) else None
    name = step.get("id") if isinstance(step, dict) else None
    return problem.model_copy(update={"step": name}) if isinstance(name, str) and name else problem


def problems_of(
    error: ValidationError,
    document: Any,
    *,
    under: Sequence[Any] = (),
    model: type[BaseModel] | None = None,
) -> list[Problem]:
    """Pydantic's errors as problems of `document`, which was to be a `model` (for suggestions of its keys).

    Parts of a location that are no key of it (a union's tag) are left out, so that the pointer always names a place
    that exists, or one that is missing.
    """
    return [_problem(e, document, under, model) for e in error.errors(include_url=False)]


def _problem(error: Any, document: Any, under: Sequence[Any], model: type[BaseModel] | None) -> Problem:
    location, kind = tuple(error["loc"]), error["type"]
    place = _place(location, document, missing=kind == "missing")
    known = keys_at(model, location[:-1]) if model is not None and kind == "extra_forbidden" else ()
    return Problem(pointer=pointer([*under, *place]), message=message_of(error, known))


def _place(location: tuple[int | str, ...], document: Any, *, missing: bool) -> list[int | str]:
    place: list[int | str] = []
    here = document
    for index, part in enumerate(location):
        following = None if index == len(location) - 1 else location[index + 1]
        if _is_tag(part, following, here):
            continue
        if (
            isinstance(here, dict)
            and isinstance(part, str)
            and (part in here or (following is None and missing))
        ):
            place.append(part)
            here = here.get(part)
        elif isinstance(here, list) and isinstance(part, int) and part < len(here):
            place.append(part)
            here = here[part]
    return place


def _is_tag(part: int | str, following: int | str | None, here: Any) -> bool:
    """Whether a part names a union's member although `here` has a key of the same name: the next part tells."""
    if not isinstance(here, dict) or part not in here or following is None or following not in here:
        return False
    inner = here[part]
    return not (isinstance(inner, dict) and following in inner) and not (
        isinstance(inner, list) and isinstance(following, int)
    )


def message_of(error: Any, known: Collection[str] = ()) -> str:
    """One of pydantic's errors in words that say what is right; `known` are the keys that may stand there."""
    return worded(error, known)


def in_a_line(error: ValidationError, document: Any, model: type[BaseModel]) -> str:
    """Everything that is wrong with an input that was to be a `model`, each with its field: `to: this field is
    required; why: unknown field`.
    """
    found = problems_of(error, document, model=model)
    return "; ".join(f"{p.pointer[1:].replace('/', '.') or 'the input'}: {p.message}" for p in found)
