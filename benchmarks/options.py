"""What a person may choose on the command line for one bench."""

from dataclasses import dataclass


@dataclass(frozen=True)
class Options:
    """`count` is the number of pieces in a round; the bench says what a piece is."""

    rounds: int
    count: int
    postgres: bool
