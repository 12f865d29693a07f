"""Reads out of any HTML what can be set on paper: paragraphs, headings, lists, tables; bold, italic, underlined text.

What a screen needs and paper has no use for goes: styles, scripts, what is hidden, tables for layout. A picture gives
its alternative text, and nothing is fetched; a link gives its text and, in brackets, where it leads.
"""

import re
from dataclasses import dataclass

from lxml import etree
from lxml.html import HtmlElement, HTMLParser, document_fromstring

_STYLES = {
    "b": "B",
    "strong": "B",
    "i": "I",
    "em": "I",
    "cite": "I",
    "u": "U",
    "ins": "U",
    "s": "S",
    "del": "S",
}
_HEADINGS = {"h1": 1, "h2": 2, "h3": 3, "h4": 3, "h5": 3, "h6": 3}
_BLOCKS = frozenset(
    {"address", "article", "aside", "blockquote", "body", "center", "dd", "div", "dl", "dt", "fieldset"}
    | {"figcaption", "figure", "footer", "form", "header", "html", "li", "main", "nav", "p", "pre", "section"}
    | {"table", "tbody", "td", "tfoot", "th", "thead", "tr"}
)
_DROPPED = frozenset(
    {"audio", "base", "button", "canvas", "embed", "head", "iframe", "input", "link", "map", "math", "meta"}
    | {"noscript", "object", "script", "select", "style", "svg", "template", "textarea", "title", "video"}
)
_HIDDEN = re.compile(r"display\s*:\s*none|visibility\s*:\s*hidden", re.IGNORECASE)
_BLANKS = re.compile(r"[ \t\r\n\f]+")
_AROUND_LINE_END = re.compile(r" *\n *")


@dataclass(frozen=True)
class Run:
    """A piece of text in one style: the letters of B(old), I(talic), U(nderlined) and S(truck) that it has, sorted."""

    text: str
    style: str = ""


@dataclass(frozen=True)
class Paragraph:
    """A paragraph, or a heading of level 1 to 3. Line ends in its runs are meant."""

    runs: tuple[Run, ...]
    level: int = 0


@dataclass(frozen=True)
class Item:
    """An item of a list, so many lists deep. The marker is empty for what goes on in an item after its first lines."""

    runs: tuple[Run, ...]
    depth: int
    marker: str


@dataclass(frozen=True)
class Table:
    """Rows of as many texts each. The first row is the head where it is one."""

    rows: tuple[tuple[str, ...], ...]
    has_head: bool


@dataclass(frozen=True)
class Rule:
    """A line across the page."""


Block = Paragraph | Item | Table | Rule


def blocks_of(html: str) -> list[Block]:
    """What is to be read in an HTML document, or a piece of one. Empty where there is nothing."""
    try:
        document = document_fromstring(html.encode(), parser=HTMLParser(encoding="utf-8"))
    except etree.ParserError:
        return []
    reader = _Reader()
    reader.read(document)
    reader.end()
    return reader.blocks


class _Reader:
    """The blocks so far, and the line that is being read."""

    def __init__(self) -> None:
        self.blocks: list[Block] = []
        self._line: list[Run] = []
        self._style = ""
        self._depth = 0
        self._marker = ""

    def read(self, element: HtmlElement) -> None:
        """Read an element and what is in it, without what follows it."""
        tag = element.tag
        if not isinstance(tag, str) or tag in _DROPPED or _is_hidden(element):
            return
        if tag in _STYLES:
            before, self._style = self._style, "".join(sorted({*self._style, _STYLES[tag]}))
            self.inside(element)
            self._style = before
        elif tag in ("ul", "ol"):
            self._list(element, ordered=tag == "ol")
        elif tag == "table" and not self._depth and _is_data(element):
            self._table(element)
        elif tag in _BLOCKS or tag in _HEADINGS:
            self.end()
            self.inside(element)
            self.end(_HEADINGS.get(tag, 0))
        elif tag == "hr":
            self.end()
            self.blocks.append(Rule())
        elif tag == "br":
            self._line.append(Run("\n"))
        elif tag == "img":
            self._write(element.get("alt"))
        else:
            self.inside(element)
            self._write(_leads_to(element) if tag == "a" else None)

    def inside(self, element: HtmlElement) -> None:
        """Read what is in an element."""
        self._write(element.text)
        for child in element:
            self.read(child)
            self._write(child.tail)

    def end(self, level: int = 0) -> None:
        """Put the line down as a block. An empty one gives nothing."""
        runs = _tidy(self._line)
        self._line = []
        if not runs:
            return
        if self._depth:
            self.blocks.append(Item(runs, self._depth, self._marker))
            self._marker = ""
        else:
            self.blocks.append(Paragraph(runs, level))

    def _write(self, text: str | None) -> None:
        if text:
            self._line.append(Run(_BLANKS.sub(" ", text), self._style))

    def _list(self, element: HtmlElement, *, ordered: bool) -> None:
        self.end()
        self._depth += 1
        items = (item for item in element.iterchildren("li") if not _is_hidden(item))
        for number, item in enumerate(items, 1):
            self._marker = f"{number}." if ordered else "•"
            self.inside(item)
            self.end()
        self._depth -= 1
        self._marker = ""

    def _table(self, element: HtmlElement) -> None:
        self.end()
        rows = [cells for row in element.iter("tr") if (cells := _cells(row))]
        width = max(map(len, rows))
        texts = (tuple(map(_text, cells)) + ("",) * (width - len(cells)) for cells in rows)
        self.blocks.append(Table(tuple(texts), has_head=all(cell.tag == "th" for cell in rows[0])))


def _tidy(line: list[Run]) -> tuple[Run, ...]:
    """A line's runs: neighbours of one style joined, no blanks at its ends, around line ends and twice."""
    joined: list[Run] = []
    for run in line:
        so_far = joined[-1].text if joined else ""
        text = run.text.lstrip(" ") if not so_far or so_far[-1] in " \n" else run.text
        if joined and (joined[-1].style == run.style or not text.strip()):
            joined[-1] = Run(so_far + text, joined[-1].style)
        elif text:
            joined.append(Run(text, run.style))
    tidied = [Run(_AROUND_LINE_END.sub("\n", run.text), run.style) for run in joined]
    while tidied and not (end := tidied[-1].text.rstrip(" \n")):
        tidied.pop()
    if tidied:
        tidied[-1] = Run(end, tidied[-1].style)
        tidied[0] = Run(tidied[0].text.lstrip(" \n"), tidied[0].style)
    return tuple(run for run in tidied if run.text)


def _text(element: HtmlElement) -> str:
    """What is to be read in an element, on one line."""
    reader = _Reader()
    reader.inside(element)
    reader.end()
    lines = ("".join(run.text for run in getattr(block, "runs", ())) for block in reader.blocks)
    return " ".join(" ".join(lines).split())


def _cells(row: HtmlElement) -> list[HtmlElement]:
    return [cell for cell in row if cell.tag in ("td", "th") and not _is_hidden(cell)]


def _is_data(table: HtmlElement) -> bool:
    """Whether a table holds data, and is not there for the look of a screen."""
    if table.get("role") == "presentation" or table.find(".//table") is not None:
        return False
    return max((len(_cells(row)) for row in table.iter("tr")), default=0) > 1


def _is_hidden(element: HtmlElement) -> bool:
    return element.get("hidden") is not None or bool(_HIDDEN.search(element.get("style") or ""))


def _leads_to(link: HtmlElement) -> str | None:
    target = (link.get("href") or "").strip()
    shown = re.sub(r"^https?://|/$", "", target)
    if not target.startswith(("http://", "https://")) or shown in link.text_content():
        return None
    return f" ({shown})"
