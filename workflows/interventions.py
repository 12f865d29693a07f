"""What persons ask of one instance by updates, from the validator to the answer: a desk where they queue.

The desk knows where the instance stands, and no definition: what needs the definition or rows is refused by the
activity `intervene`. Deterministic; it issues no command of its own.
"""

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

from pydantic import ValidationError
from temporalio import workflow
from temporalio.exceptions import ApplicationError

from processes.instructions import (
    NAMES_A_STEP,
    REFUSED,
    SKIP_WAIT,
    WISHES,
    End,
    Hold,
    Instruction,
    Intervention,
    MoveWish,
    Perform,
    Wait,
    Wish,
)
from processes.problems import in_a_line

REMEMBERED = 100
"""So many interventions are known after a continue-as-new, whose server does not know the ids of updates any more."""

Place = tuple[str, int]


class Desk:
    """Takes wishes, hands them to the loop one by one, and gives its answers back."""

    def __init__(self) -> None:
        self.done: list[str] = []
        self._asked: list[Intervention] = []
        self._unanswered: dict[str, Intervention] = {}
        self._answers: dict[str, dict[str, Any] | str] = {}
        self._closed: str | None = None
        self._over: str | None = None

    @property
    def is_asked(self) -> bool:
        """Whether somebody waits."""
        return bool(self._asked)

    def check(self, kind: str, wish: Any, here: Instruction | None) -> None:
        """Raise the refusal of a wish that makes no sense now."""
        reason = self._why_not(kind, read_wish(kind, wish), here)
        if reason is not None:
            raise ApplicationError(reason, type=REFUSED)

    async def take(self, kind: str, wish: Any, here: Instruction | None) -> dict[str, Any]:
        """Queue a wish that was checked, and wait for its answer. Raises the refusal."""
        wanted, at, update = read_wish(kind, wish), place(here), _update_id()
        if at is None:
            raise ApplicationError("it stands at no step", type=REFUSED)
        asked = self._unanswered[update] = _intervention(kind, update, wanted, at)
        self._asked.append(asked)
        await workflow.wait_condition(lambda: update in self._answers)
        del self._unanswered[update]
        answer = self._answers.pop(update)
        if isinstance(answer, str):
            raise ApplicationError(answer, type=REFUSED)
        return answer

    def next(self) -> Intervention:
        """The one who has waited longest."""
        return self._asked.pop(0)

    def answer(self, asked: Intervention, facts: dict[str, Any]) -> None:
        """Say that it was done."""
        self.done = [*self.done, asked.id][-REMEMBERED:]
        self._answers[asked.id] = facts

    def refuse(self, asked: Intervention, reason: str) -> None:
        """Say that it was not done, and why."""
        self._answers[asked.id] = reason

    async def heard(self, asked: Intervention) -> None:
        """Return once the answer was taken: an instance continues as new only where no handler is left behind."""
        await workflow.wait_condition(lambda: asked.id not in self._unanswered)

    def refuse_the_late(self, here: Instruction) -> None:
        """Refuse those who asked for something at a place that the instance has left meanwhile."""
        late = [asked for asked in self._asked if place(here) != (asked.step, asked.visit)]
        for asked in late:
            self._asked.remove(asked)
            self.refuse(asked, f"it has left step {asked.step} meanwhile")

    async def shut(self, reason: str) -> None:
        """Refuse everyone who has no answer, whoever was being served included; return once all have theirs."""
        self._over, self._asked = reason, []
        for asked in self._unanswered.values():
            if asked.id not in self._answers:
                self.refuse(asked, reason)
        await workflow.wait_condition(workflow.all_handlers_finished)

    @contextmanager
    def closed(self, reason: str) -> Iterator[None]:
        """Take no wish while something else is under way."""
        self._closed = reason
        try:
            yield
        finally:
            self._closed = None

    def _why_not(self, kind: str, wish: Wish, here: Instruction | None) -> str | None:
        if workflow.cancellation_reason() is not None:
            return "it is being stopped"
        if self._over is not None:
            return self._over
        if self._closed is not None:
            return f"{self._closed}; ask again when that is over"
        if _update_id() in self.done:
            return "this was done already"
        if isinstance(here, End):
            return f"it has ended: {here.outcome}"
        at = place(here)
        if at is None:
            return "it has not come to its first step"
        if self._asked:
            return "another intervention is under way; ask again when that is over"
        if kind == SKIP_WAIT and not isinstance(here, Wait):
            return f"it does not wait: it holds at step {at[0]}"
        if kind not in NAMES_A_STEP and not _means(wish, at):
            return f"it stands at step {at[0]}, visit {at[1]}"
        return None


def place(here: Instruction | None) -> Place | None:
    """The step and the visit at which an instance stands; None before its first step and after its last."""
    match here:
        case Wait(step=step, visit=visit) | Perform(step=step, visit=visit):
            return step, visit
        case Hold(again=Perform(step=step, visit=visit)):
            return step, visit
    return None


def read_wish(kind: str, wish: Any) -> Wish:
    """A wish as it came. Raises the refusal of one that cannot be read, with each wrong field."""
    given, model = {} if wish is None else wish, WISHES[kind]
    try:
        return model.model_validate(given)
    except ValidationError as error:
        raise ApplicationError(f"bad input: {in_a_line(error, given, model)}", type=REFUSED) from None


def _means(wish: Wish, at: Place) -> bool:
    return wish.step in {None, at[0]} and wish.visit in {None, at[1]}


def _intervention(kind: str, update: str, wish: Wish, at: Place) -> Intervention:
    target = wish.to if isinstance(wish, MoveWish) else wish.step if kind in NAMES_A_STEP else None
    return Intervention(
        kind=kind,
        id=update,
        now=workflow.now(),
        step=at[0],
        visit=at[1],
        actor=wish.actor,
        **({"reason": wish.reason} if wish.reason is not None else {}),
        **({"target": target} if target is not None else {}),
    )


def _update_id() -> str:
    info = workflow.current_update_info()
    return "" if info is None else info.id
