"""Sets a letter on A4 for an envelope with a window (DIN 5008, form B), as a PDF.

The same letter gives the same bytes: the PDF holds no time of its making and no random id. The font is Roboto (Apache
2.0), embedded as far as it is used. It has the letters of all European languages in Latin, Greek and Cyrillic; a text
with others is refused, since on paper they would be boxes.
"""

import unicodedata
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from functools import cache
from html import escape
from pathlib import Path
from typing import Any, Final

import font_roboto
from fontTools.ttLib import TTFont
from fpdf import FPDF
from fpdf.enums import TableBordersLayout, WrapMode, XPos, YPos
from fpdf.errors import FPDFException
from fpdf.fonts import FontFace, TTFFont

from channels.errors import TemplateFailed
from channels.letter_html import Block, Item, Paragraph, Rule, Run, Table, blocks_of

LONGEST: Final = 60_000
"""Characters of a letter: about twenty pages. A longer one is a mistake that would be paid for by the sheet."""
MOST_PAGES: Final = 30
"""Short lines take more pages than characters tell."""

_FONT: Final = "letter"
_STYLES: Final = {"": "Regular", "B": "Bold", "I": "Italic", "BI": "BoldItalic"}
_SIZE: Final = 10.5
_SENDER_SIZE: Final = 7.0
_HEADINGS: Final = {1: 14.0, 2: 12.0, 3: _SIZE}
_POINT: Final = 0.3528
"""mm."""
_LINE: Final = 1.3
"""Lines are so many times as high as the letters."""
_GAP: Final = 3.0
"""mm between paragraphs."""
_LEFT, _RIGHT, _TOP, _BOTTOM = 25.0, 20.0, 20.0, 22.0
_SENDER_AT, _RECIPIENT_AT, _TEXT_AT = 57.7, 62.7, 98.5
"""mm from the top edge: in the window the sender's line, then the recipient; below the window the text."""
_WINDOW = 80.0
"""mm: how wide the window is."""
_EPOCH: Final = datetime(1970, 1, 1, tzinfo=UTC)


class Unprintable(Exception):
    """The letter's font lacks characters of the text.

    Attributes:
        characters: which.
    """

    def __init__(self, characters: str) -> None:
        super().__init__(f"the letter's font has no «{characters}»")
        self.characters = characters


@dataclass(frozen=True)
class Letter:
    """What stands on the paper. `sender` is one line, `recipient` one for each; `html` may be any."""

    sender: str
    recipient: tuple[str, ...]
    date: str
    subject: str
    html: str


def html_of(text: str) -> str:
    """Plain text as HTML: paragraphs at blank lines, and every line end."""
    paragraphs = (part.strip() for part in text.replace("\r\n", "\n").split("\n\n"))
    return "".join(f"<p>{escape(part).replace(chr(10), '<br>')}</p>" for part in paragraphs if part)


def letter_pdf(letter: Letter) -> bytes:
    """The letter as a PDF.

    Raises:
        TemplateFailed: there is nothing to read, it is too long, or it can't be set.
        Unprintable: the font lacks characters.
    """
    head, blocks = _readable(letter)
    try:
        return _set(head[0], head[1], head[2], head[3:], blocks)
    except FPDFException as error:
        raise TemplateFailed("html", f"the letter can't be set: {error}") from error


def check_letter(letter: Letter) -> None:
    """Raises what `letter_pdf` raises, as far as it is known before the letter is set."""
    _readable(letter)


def _readable(letter: Letter) -> tuple[list[str], list[Block]]:
    head = [_clean(line) for line in (letter.sender, letter.date, letter.subject, *letter.recipient)]
    blocks = blocks_of(_clean(letter.html))
    text = "".join(map(_text, blocks))
    if not text.strip():
        raise TemplateFailed("html", "the letter has nothing to read")
    if len(text) > LONGEST:
        raise TemplateFailed(
            "html", f"the letter has {len(text):,} characters; at most {LONGEST:,} are printed"
        )
    _check("".join([text, *head]))
    return head, blocks


class _Paper(FPDF):
    """A4 with our margins and fonts; the pages after the first are numbered."""

    def __init__(self, subject: str, styles: set[str]) -> None:
        super().__init__(format="A4")
        self.set_creation_date(_EPOCH)
        self.set_title(subject)
        for style in sorted(styles):
            self.add_font(_FONT, style, _file(style))
        self.set_margins(_LEFT, _TOP, _RIGHT)
        self.c_margin = 0
        self.set_auto_page_break(True, _BOTTOM)
        self.add_page()

    def close_fonts(self) -> None:
        """Close the files of the fonts: a letter that could not be set leaves them open."""
        for font in self.fonts.values():
            if isinstance(font, TTFFont):
                font.close()

    def header(self) -> None:
        """Nothing stands there; a letter that goes on and on is stopped here."""
        if self.page_no() > MOST_PAGES:
            raise FPDFException(f"it has more than {MOST_PAGES} pages")

    def footer(self) -> None:
        """The number of a page, where it is not the first."""
        if self.page_no() > 1:
            self.set_y(-15)
            self.set_font(_FONT, "", 8)
            self.cell(0, 4, str(self.page_no()), align="R")

    def write_window(self, sender: str, recipient: Sequence[str]) -> None:
        """Write what the envelope's window shows: the sender as small as one line wants, then the recipient."""
        size = _SENDER_SIZE
        self.set_font(_FONT, "", size)
        size *= min(1.0, _WINDOW / max(self.get_string_width(sender), 1))
        self.write_lines(_SENDER_AT, sender, size=size)
        self.write_lines(_RECIPIENT_AT, "\n".join(recipient), width=_WINDOW)

    def write_lines(
        self,
        top: float,
        text: str,
        *,
        size: float = _SIZE,
        style: str = "",
        align: str = "L",
        width: float = 0,
    ) -> None:
        """Write from the left margin, so far from the page's top edge; a width of 0 is to the right margin."""
        self.set_font(_FONT, style, size)
        self.set_xy(_LEFT, top)
        self.multi_cell(width, _height(size), text, align=align, new_x=XPos.LMARGIN, new_y=YPos.NEXT)

    def write_runs(
        self, runs: Sequence[Run], *, size: float = _SIZE, bold: bool = False, **paragraph: Any
    ) -> None:
        """Write a paragraph of runs."""
        self.set_font(_FONT, "", size)
        with (
            self.text_columns(line_height=_LINE, wrapmode=WrapMode.WORD) as column,
            column.paragraph(**paragraph) as written,
        ):
            for run in runs:
                style = "".join(sorted({*run.style, "B"})) if bold else run.style
                self.set_font(_FONT, style, size)
                written.write(run.text)

    def write_table(self, table: Table) -> None:
        """Write a table; a column is as wide as its longest text wants, within the page."""
        self.set_font(_FONT, "B", _SIZE)
        wants = [max(map(self.get_string_width, column)) for column in zip(*table.rows, strict=True)]
        wants = [min(max(want + 4, 12), self.epw / 2) for want in wants]
        self.set_font(_FONT, "", _SIZE)
        self.ln(1)
        with self.table(
            table.rows,
            align="L",
            borders_layout=TableBordersLayout.HORIZONTAL_LINES,
            col_widths=tuple(wants),
            first_row_as_headings=table.has_head,
            headings_style=FontFace(emphasis="BOLD"),
            line_height=_height(_SIZE),
            padding=(0.5, 4, 0.5, 0),
            text_align="L",
            width=min(sum(wants), self.epw),
        ):
            pass
        self.ln(3)

    def draw_rule(self) -> None:
        """Draw a thin line from margin to margin."""
        y = self.get_y() + 1
        self.set_line_width(0.2)
        self.line(_LEFT, y, self.w - _RIGHT, y)
        self.set_y(y + _GAP)


def _set(sender: str, date: str, subject: str, recipient: Sequence[str], blocks: Sequence[Block]) -> bytes:
    paper = _Paper(subject, _styles(blocks))
    try:
        _write(paper, sender, date, subject, recipient, blocks)
        return bytes(paper.output())
    finally:
        paper.close_fonts()


def _write(
    paper: _Paper, sender: str, date: str, subject: str, recipient: Sequence[str], blocks: Sequence[Block]
) -> None:
    paper.write_window(sender, recipient)
    paper.write_lines(_TEXT_AT, date, align="R")
    if subject:
        paper.write_lines(paper.get_y() + 4, subject, style="B")
    paper.set_y(paper.get_y() + 4)
    for block in blocks:
        match block:
            case Paragraph(runs, 0):
                paper.write_runs(runs, bottom_margin=_GAP)
            case Paragraph(runs, level):
                paper.write_runs(
                    runs, size=_HEADINGS[level], bold=True, top_margin=_GAP, bottom_margin=_GAP / 2
                )
            case Item(runs, depth, marker):
                paper.write_runs(runs, indent=6 * depth, bullet_string=marker, bottom_margin=_GAP / 3)
            case Table():
                paper.write_table(block)
            case Rule():
                paper.draw_rule()


def _height(size: float) -> float:
    """Of a line, in mm."""
    return size * _POINT * _LINE


def _text(block: Block) -> str:
    match block:
        case Paragraph(runs) | Item(runs):
            return "".join(run.text for run in runs)
        case Table(rows):
            return "".join("".join(row) for row in rows)
    return ""


def _styles(blocks: Sequence[Block]) -> set[str]:
    """The font's styles that a letter needs: each costs a twentieth of a second."""
    styles = {"", "B"}
    for block in blocks:
        if isinstance(block, Paragraph | Item):
            heading = isinstance(block, Paragraph) and block.level > 0
            used = {run.style + "B" * heading for run in block.runs}
            styles |= {"".join(sorted(set(style) & {"B", "I"})) for style in used}
    return styles


def _clean(text: str) -> str:
    """Composed characters, none that only steer."""
    composed = unicodedata.normalize("NFC", text)
    return "".join(c for c in composed if c in "\n\t" or unicodedata.category(c) not in ("Cc", "Cf"))


def _check(text: str) -> None:
    missing = {c for c in text if ord(c) not in _printable() and c != "\n"}
    if missing:
        raise Unprintable("".join(sorted(missing))[:50])


@cache
def _printable() -> frozenset[int]:
    with TTFont(_file(""), lazy=True) as font:
        return frozenset(font.getBestCmap())


def _file(style: str) -> Path:
    return Path(font_roboto.font_directory) / f"Roboto-{_STYLES[style]}.ttf"
