"""Makes the opens and clicks of a rendered message known: its links lead through us, a picture of one pixel asks us.

Only the values of href attributes change, and the picture is added; every other byte stays as it was, and the same
input gives the same output. Links that are no http or https address (mailto, tel, an anchor), and our own (unsubscribe,
preferences), stay as they are. What HTML says to Outlook alone, in conditional comments, is read too.

This module signs nothing and sends nothing: the caller brings the addresses.
"""

import re
from collections.abc import Callable, Iterator
from html import unescape
from html.entities import html5
from urllib.parse import urlsplit

from channels import merge_tags
from channels.errors import TemplateFailed
from channels.markup import MarkupParser

LONGEST_URL = 2000
"""Longer addresses are left alone: with our token around them, some clients and proxies would cut them."""

_ATTRIBUTE = re.compile(
    r"""(?P<name>[^\s/>=]+)(?:\s*=\s*(?:"(?P<double>[^"]*)"|'(?P<single>[^']*)'|(?P<bare>[^\s>"'][^\s>]*)))?"""
)
_TAG_NAME = re.compile(r"<[^\s/>]+")
_REFERENCE = re.compile(r"&(?:#[0-9]+;?|#[xX][0-9a-fA-F]+;?|(?P<name>[A-Za-z][A-Za-z0-9]*)(?P<end>;|=)?)")
_LINE_BREAKS = re.compile(r"[\t\r\n]")
_CONDITIONAL = "[if "
_PIXEL = '<img src="{url}" width="1" height="1" alt="" style="display:block;width:1px;height:1px;border:0" />'

Edit = tuple[int, int, str]


def track(
    html: str,
    *,
    through: Callable[[str, tuple[str, ...]], str],
    own: str,
    clicks: bool = True,
    pixel: str | None = None,
) -> str:
    """The document with its links led through us and, where `pixel` is an address, a picture from there.

    `through` gives our address for a link's own (empty where the href is a merge tag alone) and the tags that a click
    adds. Addresses that begin with `own` are ours already. Without `clicks`, only links with a merge tag are led
    through us, since nothing else could add the tag.

    Raises:
        TemplateFailed: a merge tag names no tag, or stands beside an address that can't be led through us.
    """
    scanner = _Scanner(html)
    edits = [
        (start, end, address)
        for start, end, raw in scanner.links
        if (address := _led(raw, through, own, clicks)) is not None
    ]
    if pixel is not None:
        place = len(html) if scanner.body_end is None else scanner.body_end
        edits.append((place, place, _PIXEL.format(url=pixel)))
    return _edited(html, sorted(edits))


def _led(raw: str, through: Callable[[str, tuple[str, ...]], str], own: str, clicks: bool) -> str | None:
    """What is to stand in the href, or None where it stays."""
    written = _LINE_BREAKS.sub("", _unescaped(raw)).strip()
    try:
        url, tags = merge_tags.split(written)
    except merge_tags.BadMergeTag as bad:
        raise TemplateFailed("html", str(bad)) from bad
    if tags and (not url or _can_be_led(url)):
        return through(url, tags)
    if tags:
        raise TemplateFailed(
            "html", f"a merge tag stands alone or beside an http or https address, not {url[:200]}"
        )
    return through(url, ()) if clicks and _can_be_led(url) and not url.startswith(own) else None


def _can_be_led(url: str) -> bool:
    if len(url) > LONGEST_URL:
        return False
    try:
        parts = urlsplit(url)
        return parts.scheme in {"http", "https"} and bool(parts.hostname)
    except ValueError:
        return False


class _Scanner(MarkupParser):
    """Finds where in a document the links are, and where its body ends."""

    def __init__(self, html: str, offset: int = 0) -> None:
        super().__init__(convert_charrefs=False)
        self.links: list[tuple[int, int, str]] = []
        """Start, end and raw text of each href's value."""
        self.body_end: int | None = None
        self._offset = offset
        self._lines = [0, *(found.end() for found in re.finditer("\n", html))]
        self.feed(html)
        self.close()

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        """Note the first href of a link; `v:` are the shapes that Outlook draws buttons with."""
        if tag not in {"a", "area"} and not tag.startswith("v:"):
            return
        here, raw = self._here(), self.get_starttag_text() or ""
        for start, end in _href(raw):
            self.links.append((here + start, here + end, raw[start:end]))

    def handle_endtag(self, tag: str) -> None:
        """Note the last end of the body."""
        if tag == "body":
            self.body_end = self._here()

    def handle_comment(self, data: str) -> None:
        """Read what is for Outlook alone, where there is a link: MJML makes a score of such comments without one."""
        if data.startswith(_CONDITIONAL) and "href" in data.lower():
            self.links += _Scanner(data, self._here() + len("<!--")).links

    def _here(self) -> int:
        line, column = self.getpos()
        return self._offset + self._lines[line - 1] + column


def _href(tag: str) -> Iterator[tuple[int, int]]:
    """The place of the value of a start tag's first href; nothing where it has none."""
    name = _TAG_NAME.match(tag)
    for found in _ATTRIBUTE.finditer(tag, name.end() if name else 0):
        if found["name"].lower() == "href":
            part = next((part for part in ("double", "single", "bare") if found[part] is not None), None)
            if part is not None:
                yield found.span(part)
            return


def _unescaped(value: str) -> str:
    """An attribute's value as browsers read it: `&copy=2` is no reference there, `&copy;` is (WHATWG 13.2.5.73)."""

    def character(found: re.Match[str]) -> str:
        name, end = found["name"], found["end"]
        if name is None:
            return unescape(found[0])
        if end == ";":
            return html5.get(f"{name};", found[0])
        return found[0] if end == "=" else html5.get(name, found[0])

    return _REFERENCE.sub(character, value)


def _edited(text: str, edits: list[Edit]) -> str:
    pieces = []
    at = 0
    for start, end, new in edits:
        pieces += [text[at:start], new]
        at = end
    return "".join([*pieces, text[at:]])
