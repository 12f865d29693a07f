"""How many requests a key may make: a token bucket for each, in this process alone.

A bucket holds a minute's requests and fills evenly. It may be drawn below nothing, by a batch of events, which counts
as many as it holds: whoever asks next waits until that is made good. With several API processes each has its own.
"""

import time
from collections.abc import Callable
from dataclasses import dataclass

MINUTE = 60.0


@dataclass(slots=True)
class _Bucket:
    left: float
    at: float


class Rates:
    """The buckets of all keys."""

    def __init__(self, clock: Callable[[], float] = time.monotonic) -> None:
        """`clock` is in seconds, and never goes back."""
        self._clock = clock
        self._buckets: dict[str, _Bucket] = {}

    def wait(self, key_id: str, rate: int, cost: int = 1) -> float:
        """Seconds until the key may ask again; 0 where it may now, and then `cost` is taken from its bucket.

        `rate` is requests a minute.
        """
        now = self._clock()
        bucket = self._buckets.setdefault(key_id, _Bucket(float(rate), now))
        bucket.left = min(float(rate), bucket.left + (now - bucket.at) * rate / MINUTE)
        bucket.at = now
        if bucket.left < 1:
            return (1 - bucket.left) * MINUTE / rate
        bucket.left -= cost
        return 0.0

    def take(self, key_id: str, rate: int, cost: int) -> float:
        """The same for what a request turns out to cost beyond the one that it has paid: refused only in debt."""
        bucket = self._buckets.get(key_id)
        if bucket is not None and bucket.left < 0:
            return self.wait(key_id, rate, 0)
        if bucket is not None:
            bucket.left -= cost
        return 0.0
