"""Short rounds of each side in turn: a noisy machine is as noisy for the one as for the other."""

from collections.abc import Awaitable, Callable, Mapping, Sequence
from statistics import median
from typing import TypeVar

from benchmarks.progress import say

T = TypeVar("T")
WARM_UP_SHARE = 5
FEWEST = 20


async def alternate(
    rounds: int, count: int, sides: Mapping[str, Callable[[int], Awaitable[T]]]
) -> dict[str, list[T]]:
    """Results of each side, round by round: A B, B A, A B … after a short round of each that warms up."""
    found: dict[str, list[T]] = {name: [] for name in sides}
    for side in sides.values():
        await side(max(count // WARM_UP_SHARE, FEWEST))
    for number in range(rounds):
        for name in sides if number % 2 == 0 else reversed(list(sides)):
            say(f"round {number + 1} of {rounds}: {name}")
            found[name].append(await sides[name](count))
    return found


def ratio_by_round(ours: Sequence[float], theirs: Sequence[float]) -> list[float]:
    """Each round's ratio."""
    return [a / b for a, b in zip(ours, theirs, strict=True)]


def median_ratio(ours: Sequence[float], theirs: Sequence[float]) -> float:
    """The median of the rounds' ratios."""
    return median(ratio_by_round(ours, theirs))
