"""A bench's answer as text that goes into `docs/performance.md` as it is."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

from benchmarks.machine import Memory


@dataclass(frozen=True)
class Table:
    """A title, and rows of texts: a name, then values; a bar that must be met stands last, in brackets."""

    title: str
    rows: Sequence[tuple[str, ...]]
    columns: tuple[str, ...] = field(default=())
    """What stands above the values, where there is more than one column of them."""

    def __str__(self) -> str:
        lines = [("", *self.columns), *self.rows] if self.columns else list(self.rows)
        widths = [0] * max(len(line) for line in lines)
        for line in lines:
            cells = line if line[0] == "" else line[:-1]  # a long last value widens no column, a heading does
            for place, text in enumerate(cells):
                widths[place] = max(widths[place], len(text))
        body = (
            "  " + "  ".join(text.ljust(widths[place]) for place, text in enumerate(line)).rstrip()
            for line in lines
        )
        return "\n".join([self.title, *body])


def bar(text: str) -> str:
    """A requirement, as it stands beside the value."""
    return f"({text})"


def split(cpu: Mapping[str, float]) -> str:
    """Milliseconds by process, the dearest first; what is too little to matter is left out."""
    return ", ".join(
        f"{name} {ms:.2f}" for name, ms in sorted(cpu.items(), key=lambda item: -item[1]) if ms >= 0.01
    )


def ratios(values: Sequence[float]) -> str:
    """Round by round."""
    return " ".join(f"{value:.2f}" for value in values)


def megabytes(held: Memory) -> str:
    """Shared pages shared out (PSS), and counted whole (RSS)."""
    return f"{held.pss / 2**20:.0f} MB ({held.rss / 2**20:.0f} MB RSS)"
