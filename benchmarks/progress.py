"""What a bench does now, for the person who waits: on the error stream, so that the tables stay clean."""

import sys
import time

_BEGAN = time.monotonic()


def say(text: str) -> None:
    """One line, with the seconds since the start."""
    print(f"[{time.monotonic() - _BEGAN:6.0f} s] {text}", file=sys.stderr, flush=True)
