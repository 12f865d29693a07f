"""Where python-liquid is mended: what it does otherwise than Shopify's Liquid, and what it lets grow without a bound.

Its grammar is made of functions that import each other, so a subclass can't reach most of it: what is wrong is replaced
here, in one place, when the first environment is made. Nothing else in this process uses python-liquid.
"""

from typing import Any

from liquid.builtin.expressions.primitive import RangeLiteral
from liquid.exceptions import ResourceLimitError

LONGEST_RANGE = 10_000
"""Items of a range. It is refused where it is made: `contains`, `size`, `first` and loops would walk all of it."""

_make_range = RangeLiteral._make_range


def mend() -> None:
    """Replace what is wrong. Calling it again changes nothing."""
    RangeLiteral._make_range = _bounded_range  # type: ignore[method-assign,assignment]


def _bounded_range(literal: RangeLiteral, start: Any, stop: Any) -> range:
    made = _make_range(literal, start, stop)
    if made.stop - made.start > LONGEST_RANGE:
        raise ResourceLimitError(f"the range has more than {LONGEST_RANGE:,} items", token=literal.token)
    return made
