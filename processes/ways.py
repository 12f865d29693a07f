"""The ways of a preview: where each has come to, what was answered on it, and where they part. Pure values.

`processes/preview.py` walks them.
"""

from collections.abc import Generator, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime
from typing import Any, Final

from processes.facts import Facts
from processes.instructions import End, Perform, Wait
from processes.rule_words import words
from processes.rules import RuleNode
from processes.timeline import Asked, Ending, Timeline, Way
from processes.values import Json
from processes.verdicts import Verdict, stays_true

MOST_MOMENTS: Final = 500
"""So many visits are shown, of all ways together."""
MOST_ROUNDS: Final = 100
"""So often one way comes to a step; beyond, the loop is taken as understood."""
MOST_PARTINGS: Final = 3
"""So often one way parts at the same step: each round of a loop would double the ways."""
MOST_ANSWERS: Final = 100
"""So many ways part at one moment: steps that take no time may each double them. One question has 51 answers at the
most.
"""
MOST_LOOKS: Final = 2_000
"""Looks of waits for rules, of all ways together."""
LAST: Final = datetime(9000, 1, 1, tzinfo=UTC)
"""Nothing is shown beyond: the calendar of Python ends soon after."""


@dataclass(slots=True)
class Path:
    """Where a way has come to. `held` is what has kept this visit back so far; `late` since a wait was sat out."""

    facts: Facts
    now: datetime
    timeline: Timeline
    next: Perform | Wait | End | None = None
    loops: Mapping[str, int] = field(default_factory=dict)
    aside: Mapping[str, Json] = field(default_factory=dict)
    reached: frozenset[str] = frozenset()
    came: Mapping[str, str] = field(default_factory=dict)
    taken: frozenset[tuple[str, str]] = frozenset()
    true: tuple[RuleNode, ...] = ()
    limit: datetime | None = None
    stopped_by: str | None = None
    earliest: bool = False
    late: bool = False
    held: tuple[dict[str, str], ...] = ()
    rounds: Mapping[str, int] = field(default_factory=dict)
    partings: Mapping[str, int] = field(default_factory=dict)

    def parted(self, when: str, share: float | None, steps: Sequence[str]) -> "Path":
        """A way of its own from here, shown under what decides for it at these steps."""
        timeline = Timeline()
        self.timeline.ways.append(Way(when, timeline, share))
        partings = {**self.partings, **{step: self.partings.get(step, 0) + 1 for step in steps}}
        return replace(self, timeline=timeline, partings=partings)

    def end(self, ending: Ending) -> list["Path"]:
        """Nothing follows."""
        self.timeline.ending = ending
        return []


@dataclass(frozen=True, slots=True)
class Answered:
    """A question of a step with the answer that one way takes. `assumed` says in words what the future must bring for
    it, `holding` and `failing` are the rules that it assumes of, `share` what chance gives it.
    """

    step: str | None
    answer: Any
    verdicts: tuple[Verdict, ...] = ()
    assumed: str | None = None
    share: float | None = None
    holding: tuple[RuleNode, ...] = ()
    failing: tuple[RuleNode, ...] = ()

    @property
    def lasting(self) -> tuple[RuleNode, ...]:
        """What it assumes to hold and goes on holding: what was done is not undone."""
        return tuple(rule for rule in self.holding if stays_true(rule))


@dataclass(frozen=True, slots=True)
class Alternative:
    """One of the answers that the planner may give, and what was answered on the way to it. Where it ends here instead,
    `ending` says how.
    """

    answered: tuple[Answered, ...]
    outcome: Any = None
    ending: Ending | None = None

    def at(self, step: str) -> Answered | None:
        return next((one for one in self.answered if one.step == step), None)

    def parted(self, path: Path) -> Path:
        """The way that it takes."""
        open_ones = [one for one in self.answered if one.assumed is not None]
        shares = [one.share for one in open_ones if one.share is not None]
        share = None
        if shares:
            share = 1.0
            for one in shares:
                share *= one
        return path.parted(
            ", and ".join(one.assumed or "" for one in open_ones),
            None if share is None else round(share, 6),
            [one.step for one in open_ones if one.step is not None],
        )


def first_that_holds(step: str, verdicts: tuple[Verdict, ...]) -> Iterator[Answered]:
    """The answers that make each branch the first one that holds, as far as it may be."""
    chosen: list[tuple[int | None, list[Verdict]]] = []
    not_yet: list[Verdict] = []
    for index, verdict in enumerate(verdicts):
        if True in verdict.may:
            chosen.append((index, list(not_yet)))
        if False not in verdict.may:
            break
        if verdict.is_open:
            not_yet.append(verdict)
    else:
        chosen.append((None, not_yet))
    for first, before in chosen:
        answer = [number == first for number in range(len(verdicts))]
        if len(chosen) == 1:
            yield Answered(step, answer, verdicts)
            continue
        said = [f"not: {words(one.rule)}" for one in before]
        own = verdicts[first] if first is not None else None
        if own is not None and own.is_open:
            said.append(words(own.rule))
        holding = () if own is None or not own.is_open else (own.rule,)
        failing = tuple(one.rule for one in before)
        said_all = ", ".join(said) or "otherwise"
        yield Answered(step, answer, verdicts, said_all, None, holding, failing)


def as_assumed(verdict: Verdict, path: Path, given: Sequence[Answered]) -> Verdict:
    """A way goes on assuming what it assumed: for ever where that lasts, else in the same moment."""
    if verdict.rule in path.true or any(verdict.rule in one.holding for one in given):
        return replace(verdict, may=frozenset({True}), holds=True)
    if any(verdict.rule in one.failing for one in given):
        return replace(verdict, may=frozenset({False}), holds=False)
    return verdict


def going_round(path: Path, step: str) -> Ending:
    return Ending(
        "cut", path.now, reason=f"it comes to step {step} again and again: no more rounds are shown"
    )


Walking = Generator[Asked, Any, list[Path]]
"""Part of a walk: it asks, and returns the ways on which it goes on."""
