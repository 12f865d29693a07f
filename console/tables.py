"""Tables for people that never break a value: an id can be copied from any of them, on a terminal of any width.

A column is as wide as its longest value. If the terminal is too narrow, columns without any value are left out, and
those of `Words` are wrapped between words. If that isn't enough, each row is a paragraph with a line for each value,
which the terminal wraps itself, so that it is still copied whole. What is piped is never wrapped.
"""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

GAP = "  "


class Words(str):
    """The heading of a column with sentences: those may be wrapped."""

    __slots__ = ()


@dataclass(frozen=True)
class Rendered:
    """The lines of a table: its headings, and what stands below them."""

    head: list[str]
    body: list[str]


def rendered(headings: Sequence[str], rows: Sequence[Sequence[str]], width: int | None) -> Rendered:
    """A table in `width` columns of a terminal; None: in as many as it takes. Rows have a text for each heading."""
    if width is not None and sum(_natural(headings, rows)) + len(GAP) * (len(headings) - 1) > width:
        told = [index for index in range(len(headings)) if any(row[index] for row in rows)]
        headings = [headings[index] for index in told]
        rows = [[row[index] for index in told] for row in rows]
    widths = _widths(headings, rows, width)
    if widths is None:
        return Rendered([], list(_paragraphs(headings, rows)))
    wrapped = [isinstance(heading, Words) for heading in headings]
    body = [line for row in rows for line in _lines(row, widths, wrapped)]
    return Rendered(list(_lines(headings, widths, wrapped)), body)


def _lines(row: Sequence[str], widths: Sequence[int], wrapped: Sequence[bool]) -> Iterator[str]:
    cells = [_wrapped(text, widths[index]) if wrapped[index] else [text] for index, text in enumerate(row)]
    for number in range(max(map(len, cells), default=0)):
        parts = [cell[number] if number < len(cell) else "" for cell in cells]
        yield GAP.join(_padded(part, widths[index]) for index, part in enumerate(parts)).rstrip()


def _widths(headings: Sequence[str], rows: Sequence[Sequence[str]], width: int | None) -> list[int] | None:
    """How wide each column is; None if the table can't be that narrow."""
    natural = _natural(headings, rows)
    room = None if width is None else width - len(GAP) * (len(headings) - 1)
    if room is None or sum(natural) <= room:
        return natural
    least = [
        max(map(_longest_word, column)) if isinstance(column[0], Words) else _widest(column)
        for column in _columns(headings, rows)
    ]
    left = room - sum(least)
    if left < 0:
        return None
    while left > 0:
        narrow = [index for index, one in enumerate(least) if one < natural[index]]
        for index in narrow[:left]:
            least[index] += 1
        left -= len(narrow)
    return least


def _columns(headings: Sequence[str], rows: Sequence[Sequence[str]]) -> list[list[str]]:
    return [[heading, *(row[index] for row in rows)] for index, heading in enumerate(headings)]


def _natural(headings: Sequence[str], rows: Sequence[Sequence[str]]) -> list[int]:
    """How wide each column is if nothing is wrapped."""
    return [_widest(column) for column in _columns(headings, rows)]


def _widest(column: Sequence[str]) -> int:
    return max(map(_length, column))


def _paragraphs(headings: Sequence[str], rows: Sequence[Sequence[str]]) -> Iterator[str]:
    widest = _widest(headings)
    for number, row in enumerate(rows):
        if number:
            yield ""
        for heading, text in zip(headings, row, strict=True):
            if text.strip():
                yield f"{_padded(heading, widest)}{GAP}{text}"


def _wrapped(text: str, width: int) -> list[str]:
    """The text in lines of at most `width` columns; a longer word has a line of its own. It keeps its indentation."""
    if _length(text) <= width:
        return [text]
    indent = text[: len(text) - len(text.lstrip(" "))]
    lines, line = [], indent
    for word in text.split():
        longer = f"{line}{word}" if line == indent else f"{line} {word}"
        if line != indent and _length(longer) > width:
            lines.append(line)
            line = indent + word
        else:
            line = longer
    return [*lines, line]


def _longest_word(text: str) -> int:
    indent = len(text) - len(text.lstrip(" "))
    return indent + max(map(_length, text.split()), default=0)


def _padded(text: str, width: int) -> str:
    return text + " " * (width - _length(text))


def _length(text: str) -> int:
    """The columns that a text takes on a terminal: a Chinese character or an emoji takes two."""
    from rich.cells import cell_len

    return cell_len(text)
