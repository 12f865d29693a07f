"""MJML as HTML, and what is wrong with it, with its element and its line in the template as the author wrote it.

mrml compiles it (`channels/template_limits.py` bounds that). What mrml leaves out is done here: styles that are to be
inlined, and attributes for the finished HTML (`channels/mjml_attributes.py`). What it writes otherwise than the author
did is put right: the values of attributes. `mj-include` is refused by name.
"""

import re
from collections.abc import Iterator
from html import escape
from typing import Final

from css_inline import CSSInliner

from channels.markup import MarkupParser
from channels.mjml_attributes import BLOCK, BadAttributes, HtmlAttribute, attributes_of, with_attributes
from channels.template_limits import MOST_TAGS, compiled

MOST_NAMED: Final = 50
"""Problems that are named of one template."""
Problem = tuple[int | None, str]
"""A line, where it is known, and what is wrong there."""

_NAMES: Final = """
head body attributes all class html-attributes selector html-attribute breakpoint font preview style title raw accordion
accordion-element accordion-title accordion-text button carousel carousel-image column divider group hero image navbar
navbar-link section social social-element spacer table text wrapper
"""
ELEMENTS: Final = frozenset({"mjml", *(f"mj-{name}" for name in _NAMES.split())})
UNSUPPORTED: Final = {
    "mj-include": "no file is read: make a template of what is to be put in, and write {% render 'its-key' %}",
}
_INLINE_STYLE = re.compile(
    r"""<mj-style\b[^>]*?\binline\s*=\s*["']?inline\b["']?[^>]*>(?P<css>.*?)</mj-style\s*>""",
    re.DOTALL | re.IGNORECASE,
)
_POSITION = re.compile(
    r"^(?P<text>.*?)(?: in root template)?(?: at position (?P<start>\d+):\d+)?$", re.DOTALL
)
_ELEMENT = re.compile(r"\s*<?/?(?P<name>[A-Za-z][\w:-]*)")
_LIQUID = re.compile(r"\{\{.*?\}\}|\{%.*?%\}", re.DOTALL)
_AFTER_RULE = re.compile(r"\}\s*;")
"""A semicolon after a rule: to the letter of CSS it spoils the next one; authors write it, and MJML takes it."""
_NAME_OF_ATTRIBUTE = r"""\s+[^\s"'<>=/]+"""
_QUOTED = r"""\s*=\s*(?:"[^"]*"|'[^']*')"""
_TAG = re.compile(r"""<[A-Za-z][^\s/<>"]*(?:\s+[^\s=<>"]+(?:="[^"\\]*(?:\\.[^"\\]*)*")?)*\s*/?>""", re.DOTALL)
"""A start tag as mrml writes it."""
_ESCAPE = re.compile(r"\\(?:u\{(?P<code>[0-9a-f]{1,6})\}|(?P<one>.))", re.DOTALL)
_LETTERS: Final = {"n": "\n", "t": "\t", "r": "\r", "0": "\ufffd"}
_STRAY = re.compile(
    rf"<(?![A-Za-z/!?])|<[A-Za-z][\w-]*(?:{_NAME_OF_ATTRIBUTE}(?:{_QUOTED})?)*?"
    rf"{_NAME_OF_ATTRIBUTE}{_QUOTED}(?=[A-Za-z])"
)


class BadMjml(ValueError):
    """It does not compile.

    Attributes:
        start: the byte where the compiler stopped, or None where it does not say.
    """

    def __init__(self, words: str, start: int | None = None) -> None:
        super().__init__(words)
        self.words = words
        self.start = start


def html_of(mjml: str) -> str:
    """The HTML, with the styles of `<mj-style inline="inline">` in the elements that they are for, and with what
    `<mj-html-attributes>` gives to its elements.

    Raises BadMjml.
    """
    css: list[str] = []
    attributes: list[HtmlAttribute] = []

    def style_taken(found: re.Match[str]) -> str:
        css.append(found["css"])
        return _blank(found[0])

    def attributes_taken(found: re.Match[str]) -> str:
        try:
            attributes.extend(attributes_of(found[0]))
        except BadAttributes as bad:
            raise BadMjml(bad.words, len(mjml[: found.start() + bad.at].encode())) from bad
        return _blank(found[0])

    # First what raises: it counts the bytes of the whole.
    rest = BLOCK.sub(attributes_taken, mjml) if "mj-html-attributes" in mjml.lower() else mjml
    rest = _INLINE_STYLE.sub(style_taken, rest) if "inline" in rest else rest
    try:
        html = _as_written(compiled(rest))
    except ValueError as error:
        found = _POSITION.match(str(error))
        start = found["start"] if found else None
        raise BadMjml(
            found["text"] if found else str(error), None if start is None else int(start)
        ) from error
    if attributes:
        html = with_attributes(html, attributes)
    return _inlined(html, _AFTER_RULE.sub("}", "\n".join(css))) if css else html


def _as_written(html: str) -> str:
    """The HTML with the values of attributes as the author wrote them: mrml writes them as Rust shows a text (`\\"`,
    `\\u{200d}`), which a reader of mail sees, and which ends an attribute before its end.
    """
    if "\\" not in html:
        return html
    return _TAG.sub(lambda tag: _ESCAPE.sub(_character, tag[0]) if "\\" in tag[0] else tag[0], html)


def _character(found: re.Match[str]) -> str:
    meant = chr(int(found["code"], 16)) if found["code"] else _LETTERS.get(found["one"], found["one"])
    return escape(meant)


def _blank(taken: str) -> str:
    """As many bytes and lines as what was taken out: places that the compiler names stay right. It is a comment, since
    mrml takes no blanks between elements without a line break.
    """
    lines = taken.count("\n")
    rest = len(taken.encode()) - lines - len("<!---->")
    return "<!--" + "\n" * lines + " " * rest + "-->"


def structure(source: str) -> list[Problem]:
    """Elements that are not known, and those that are not closed or close nothing."""
    found = _Structure()
    found.feed(source)
    found.close()
    return sorted(found.problems, key=lambda problem: problem[0] or 0)


def unknown(source: str) -> list[Problem]:
    """Elements that are not known, each where it stands."""
    if source.count("<") > MOST_TAGS:
        return []
    return [problem for problem in structure(source) if "element" in problem[1]][:MOST_NAMED]


def faults(source: str, output: str, bad: BadMjml) -> list[Problem]:
    """Why a template does not compile: everything that can be named in what the author wrote, else what the compiler
    says of `output`, which is what Liquid made of it.
    """
    if source.count("<") > MOST_TAGS:
        return [(None, bad.words)]
    named = [*structure(source), *_strays(source)]
    if named:
        return named[:MOST_NAMED]
    masked = _masked(source)
    try:
        html_of(masked)
    except BadMjml as same:
        if same.words == bad.words and same.start is not None:
            return [_placed(masked, same)]
    return [_placed(output, bad, of_output=output != source)]


def _placed(text: str, bad: BadMjml, of_output: bool = False) -> Problem:
    if bad.start is None:
        return None, bad.words
    before = text.encode()[: bad.start].decode(errors="ignore")
    element = _ELEMENT.match(text, len(before))
    words = f"{bad.words} <{element['name']}>" if element else bad.words
    if not of_output:
        return before.count("\n") + 1, words
    return None, f"{words} (line {before.count(chr(10)) + 1} of what Liquid makes of it)"


def _strays(source: str) -> Iterator[Problem]:
    """A `<` that begins no tag, and attributes without a blank between them."""
    masked = _masked(source)
    for found in _STRAY.finditer(masked):
        line = masked.count("\n", 0, found.start()) + 1
        if found[0] == "<":
            yield line, "a < that begins no tag is written &lt;"
        else:
            yield line, f"a blank is missing between the attributes of {found[0][:60]}"


def _masked(source: str) -> str:
    """With blanks in the place of Liquid: every line stays where it is."""
    return _LIQUID.sub(lambda found: re.sub(r"[^\n]", " ", found[0]), source)


def _inlined(html: str, css: str) -> str:
    try:
        return _inliner(css).inline(html)
    except ValueError as error:
        raise BadMjml(f"the styles to be inlined cannot be read: {error}") from error


def _inliner(css: str) -> CSSInliner:
    """It reads no style but those given, and fetches nothing."""
    return CSSInliner(
        inline_style_tags=False,
        keep_style_tags=True,
        keep_link_tags=True,
        load_remote_stylesheets=False,
        extra_css=css,
    )


class _Structure(MarkupParser):
    def __init__(self) -> None:
        super().__init__()
        self.problems: list[Problem] = []
        self._open: list[tuple[str, int]] = []

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        """Only MJML's own elements must be closed."""
        if self._is_ours(tag):
            self._open.append((tag, self.getpos()[0]))

    def handle_startendtag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        """Closed at once."""
        self._is_ours(tag)

    def handle_endtag(self, tag: str) -> None:
        """What was opened since is not closed."""
        if tag != "mjml" and not tag.startswith("mj-"):
            return
        if tag not in (name for name, _ in self._open):
            self.problems.append((self.getpos()[0], f"</{tag}> closes nothing"))
            return
        while (opened := self._open.pop())[0] != tag:
            self._not_closed(*opened)

    def close(self) -> None:
        """What is open at the end is not closed."""
        super().close()
        for opened in self._open:
            self._not_closed(*opened)
        self._open.clear()

    def _not_closed(self, tag: str, line: int) -> None:
        self.problems.append((line, f"<{tag}> is not closed"))

    def _is_ours(self, tag: str) -> bool:
        if tag != "mjml" and not tag.startswith("mj-"):
            return False
        if tag in UNSUPPORTED:
            self.problems.append((self.getpos()[0], f"element <{tag}>: {UNSUPPORTED[tag]}"))
        elif tag not in ELEMENTS:
            self.problems.append((self.getpos()[0], f"unknown element <{tag}>"))
        return True
