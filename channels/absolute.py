"""Links and images that would lead nowhere from an inbox, or that no message may have.

`relative_addresses` reads what an author wrote. `forbidden_addresses` reads what became of it: a value of the contact
or the event may be an address too.
"""

import re
from collections.abc import Iterator
from html import unescape
from typing import Final

from channels.markup import MarkupParser

_LINK, _IMAGE = "link", "image"
_ATTRIBUTES: Final = {
    "href": _LINK,
    "action": _LINK,
    "formaction": _LINK,
    "src": _IMAGE,
    "poster": _IMAGE,
    "background-url": _IMAGE,
    "background": _IMAGE,
}
_FORBIDDEN: Final = frozenset(
    {
        "javascript",
        "vbscript",
        "data",
        "file",
        "blob",
        "about",
        "filesystem",
        "view-source",
        "jar",
        "livescript",
    }
)
"""What runs as a script, reads the reader's own files, or is shown as if it were a page of ours."""
_OF_IMAGES: Final = ("https://", "http://", "cid:", "data:image/")
_LATER: Final = ("*|", "{{", "{%")
"""What is known only with a recipient, or is a merge tag."""
_ANY_ADDRESS = re.compile(
    rf"""(?<![\w-])(?:{"|".join(_ATTRIBUTES)})\s*=\s*(?:"([^"]*)"|'([^']*)'|([^\s>"'][^\s>]*))""",
    re.IGNORECASE,
)
"""Whatever looks like an address in HTML, comments for Outlook included."""
_USUAL: Final = ("https://", "http://", "mailto:", "tel:", "#", "cid:")
_SCHEME = re.compile(r"(?P<scheme>[A-Za-z][A-Za-z0-9+.-]*):(?P<rest>.*)", re.DOTALL)
_HOST_AND_PORT = re.compile(r"(localhost|[^/:]*\.[^/:]*):\d{1,5}(/.*)?", re.DOTALL)
_IGNORED = re.compile(r"[\x00-\x20\x7f-\x9f\u200b-\u200f\u2028\u2029\ufeff]")
"""What browsers drop from a scheme, and what hides in one."""
SHARING: Final = frozenset({"facebook", "twitter", "x", "google", "pinterest", "linkedin", "tumblr", "xing"})
"""Networks that `mj-social-element` puts an address of their own before the author's."""


def relative_addresses(source: str) -> Iterator[tuple[int, str]]:
    """The line and a description of every literal address in HTML or MJML that is not absolute, or is forbidden."""
    found = _Addresses()
    found.feed(source)
    found.close()
    return iter(found.problems)


def forbidden_addresses(html: str) -> Iterator[str]:
    """A description of every address in finished HTML whose scheme no message may have, however it is spelled."""
    values = ("".join(found.groups("")) for found in _ANY_ADDRESS.finditer(html))
    if not any(_is_suspicious(value) for value in values):
        return iter(())
    found = _Forbidden()
    found.feed(html)
    found.close()
    return iter(found.problems)


def _is_suspicious(raw: str) -> bool:
    """Whether it may be a forbidden address. Reading a whole document takes a hundred times as long."""
    return not raw.startswith(_USUAL) and _scheme(unescape(raw)) in _FORBIDDEN


def _scheme(address: str) -> str | None:
    found = _SCHEME.match(_IGNORED.sub("", address))
    return found["scheme"].lower() if found else None


def forbidden(what: str, address: str) -> str | None:
    """What is wrong with an address whose scheme no message may have; None for any other."""
    name = _scheme(address)
    if name not in _FORBIDDEN:
        return None
    if what == _IMAGE and _IGNORED.sub("", address).lower().startswith(_OF_IMAGES):
        return None
    return f"the {what} «{address.strip()[:100]}» has the scheme «{name}:», which no message may have"


def fault(what: str, address: str) -> str | None:
    """What is wrong with a literal address, or None. A link may have any app's scheme: `tel:`, `whatsapp:`."""
    written = address.strip()
    if not written or written.startswith(_LATER):
        return None
    shown = written[:100]
    plain = _IGNORED.sub("", written)
    scheme = _SCHEME.match(plain)
    wrong = forbidden(what, written)
    if wrong is not None:
        return wrong
    if what == _IMAGE:
        known = plain.lower().startswith((*_OF_IMAGES, "#"))
        return None if known else f"the image «{shown}» is not absolute"
    if plain.startswith("#"):
        return None
    if scheme is None or _HOST_AND_PORT.fullmatch(plain):
        return f"the link «{shown}» is not absolute"
    if scheme["scheme"].lower() in ("http", "https") and not scheme["rest"].startswith("//"):
        return f"the link «{shown}» is not absolute"
    return None


class _Forbidden(MarkupParser):
    """Reads finished HTML, and in it what is for Outlook alone."""

    def __init__(self) -> None:
        super().__init__()
        self.problems: list[str] = []

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        """Every address, also one that a browser would overlook because the attribute stands twice."""
        for name, value in attrs:
            what = _ATTRIBUTES.get(name.rpartition(":")[2])
            if what is not None and value is not None and (wrong := forbidden(what, value)) is not None:
                self.problems.append(wrong)

    def handle_comment(self, data: str) -> None:
        """Conditional comments are HTML for Outlook."""
        if data.startswith("[if "):
            self.problems += forbidden_addresses(data)


class _Addresses(MarkupParser):
    def __init__(self) -> None:
        super().__init__()
        self.problems: list[tuple[int, str]] = []
        self._in_attributes = False
        self._usual_base = ""
        self._base = ""

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        given = {name: value for name, value in reversed(attrs) if value is not None}
        if tag == "mj-attributes":
            self._in_attributes = True
        elif tag == "mj-navbar":
            if self._in_attributes:
                self._usual_base = given.get("base-url", "")
            self._base = given.get("base-url", self._usual_base)
        for name, value in given.items():
            what = _ATTRIBUTES.get(name)
            if what is None or (name == "background" and tag.startswith("mj-")):
                continue
            if tag == "mj-social-element" and name == "href" and given.get("name", "").lower() in SHARING:
                continue
            wrong = fault(what, f"{self._base}{value}" if tag == "mj-navbar-link" else value)
            if wrong is not None:
                self.problems.append((self.getpos()[0], wrong))
        base = given.get("base-url", "") if tag == "mj-navbar" else ""
        if base and (wrong := fault(_LINK, base)) is not None:
            self.problems.append((self.getpos()[0], wrong))

    def handle_endtag(self, tag: str) -> None:
        if tag == "mj-attributes":
            self._in_attributes = False
        elif tag == "mj-navbar":
            self._base = ""
