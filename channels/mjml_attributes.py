"""`<mj-html-attributes>`: attributes that MJML's author gives to elements of the finished HTML, by CSS selectors.

    <mj-html-attributes>
      <mj-selector path=".offer td">
        <mj-html-attribute name="data-offer">spring</mj-html-attribute>
      </mj-selector>
    </mj-html-attributes>

mrml knows none of it. Which elements a selector means is asked of css-inline, the one reader of selectors here: each
attribute is a mark that it puts into the `style` of those elements, and that is taken out again.
"""

import re
from collections.abc import Sequence
from dataclasses import dataclass
from html import escape
from typing import Final

from css_inline import CSSInliner

from channels.markup import MarkupParser

BLOCK: Final = re.compile(
    r"<mj-html-attributes\b[^>]*>.*?</mj-html-attributes\s*>", re.DOTALL | re.IGNORECASE
)
MOST_ATTRIBUTES: Final = 200
_MARK: Final = "--onward-attribute-"
_MARKED = re.compile(rf"{_MARK}(?P<number>\d+):\s*1;?\s*")
_TAG = re.compile(r"<[A-Za-z][^\s/<>]*(?:\s+[^\s=<>/]+(?:=\"[^\"]*\")?)*\s*/?>")
_ATTRIBUTE = re.compile(r"\s+(?P<name>[^\s=>/]+)(?:=\"(?P<value>[^\"]*)\")?")
_NAME = re.compile(r"[A-Za-z_:][\w:.-]*", re.ASCII)
_NO_SELECTOR = re.compile(r"[{}<;@\\]|/\*")


class BadAttributes(ValueError):
    """They cannot be read.

    Attributes:
        at: the character of the block where the fault is.
    """

    def __init__(self, words: str, at: int) -> None:
        super().__init__(words)
        self.words = words
        self.at = at


@dataclass(frozen=True, slots=True)
class HtmlAttribute:
    """An attribute, its value, and the selector of the elements that get it."""

    selector: str
    name: str
    value: str


def attributes_of(block: str) -> list[HtmlAttribute]:
    """What a whole `<mj-html-attributes>` asks for. Raises BadAttributes."""
    found = _Block(block)
    found.feed(block)
    found.close()
    return found.attributes


def with_attributes(html: str, attributes: Sequence[HtmlAttribute]) -> str:
    """The HTML with the attributes on the elements that they are for; one that stands there already is replaced. Of
    two for one element the later one counts. A selector that nothing matches changes nothing.
    """
    css = "\n".join(f"{one.selector} {{ {_MARK}{n}: 1 }}" for n, one in enumerate(attributes))
    return _TAG.sub(lambda tag: _given(tag[0], attributes), _marked(html, css))


def _marked(html: str, css: str) -> str:
    inliner = CSSInliner(
        inline_style_tags=False,
        keep_style_tags=True,
        keep_link_tags=True,
        load_remote_stylesheets=False,
        extra_css=css,
    )
    return inliner.inline(html)


def _is_whole(selector: str) -> bool:
    """Whether a rule can begin with it, and the rules after it are still read: an open bracket swallows them."""
    if not selector or _NO_SELECTOR.search(selector):
        return False
    return _MARK in _marked("<p></p>", f"{selector}, p {{ {_MARK}0: 1 }}")


def _given(tag: str, attributes: Sequence[HtmlAttribute]) -> str:
    """A start tag with the attributes that its marks name, without the marks."""
    if _MARK not in tag:
        return tag
    numbers = sorted({int(found["number"]) for found in _MARKED.finditer(tag)})
    name = re.match(r"<[^\s/>]+", tag)
    own = {found["name"]: found["value"] for found in _ATTRIBUTE.finditer(tag, name.end() if name else 0)}
    style = _MARKED.sub("", own.get("style") or "").strip()
    own = {key: style if key == "style" else value for key, value in own.items() if key != "style" or style}
    own |= {attributes[n].name: escape(attributes[n].value) for n in numbers if n < len(attributes)}
    written = "".join(f" {key}" if value is None else f' {key}="{value}"' for key, value in own.items())
    return f"{name[0] if name else ''}{written}{' /' if tag.endswith('/>') else ''}>"


class _Block(MarkupParser):
    def __init__(self, block: str) -> None:
        super().__init__()
        self.attributes: list[HtmlAttribute] = []
        self._starts = [0, *(found.end() for found in re.finditer("\n", block))]
        self._selector: str | None = None
        self._name: str | None = None
        self._value = ""

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        """The selector that counts from here, or the attribute whose value follows."""
        given = dict(attrs)
        if tag == "mj-selector":
            self._selector = (given.get("path") or "").strip()
            if not _is_whole(self._selector):
                raise self._bad(f"the path {self._selector!r} is no CSS selector")
        elif tag == "mj-html-attribute":
            self._name, self._value = (given.get("name") or "").lower(), ""
            if self._selector is None:
                raise self._bad("an attribute stands outside of <mj-selector path=…>")
            if not _NAME.fullmatch(self._name):
                raise self._bad(f"the name {self._name!r} is no name of an attribute")
        elif tag != "mj-html-attributes":
            raise self._bad(f"<{tag}> has no place here")

    def handle_data(self, data: str) -> None:
        """The value, in pieces."""
        self._value += data

    def handle_endtag(self, tag: str) -> None:
        """The attribute is whole."""
        if tag == "mj-selector":
            self._selector = None
        if tag != "mj-html-attribute" or self._name is None or self._selector is None:
            return
        if len(self.attributes) == MOST_ATTRIBUTES:
            raise self._bad(f"there are more than {MOST_ATTRIBUTES} attributes")
        self.attributes.append(HtmlAttribute(self._selector, self._name, self._value.strip()))
        self._name = None

    def _bad(self, words: str) -> BadAttributes:
        line, column = self.getpos()
        return BadAttributes(words, self._starts[line - 1] + column)
