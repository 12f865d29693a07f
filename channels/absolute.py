"""Links and images of a template that would lead nowhere from an inbox: those that are not absolute."""

from collections.abc import Iterator
from typing import Final

from channels.markup import MarkupParser

_ATTRIBUTES: Final = {"href": "link", "src": "image", "background-url": "image", "background": "image"}
_GOOD: Final = (
    "https://",
    "http://",
    "mailto:",
    "tel:",
    "sms:",
    "cid:",
    "data:image/",
    "#",
    "*|",
    "{{",
    "{%",
)
"""What a mail program can follow; `{{` and `{%` are known only with a recipient, `*|` is a merge tag."""


def relative_addresses(source: str) -> Iterator[tuple[int, str]]:
    """The line and a description of every literal address in HTML or MJML that is not absolute."""
    found = _Addresses()
    found.feed(source)
    found.close()
    return iter(found.problems)


class _Addresses(MarkupParser):
    def __init__(self) -> None:
        super().__init__()
        self.problems: list[tuple[int, str]] = []

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        for name, value in attrs:
            what = _ATTRIBUTES.get(name)
            if what is None or value is None or (name == "background" and tag.startswith("mj-")):
                continue
            address = value.strip()
            if address and not address.lower().startswith(_GOOD):
                line, _ = self.getpos()
                self.problems.append((line, f"the {what} «{address[:100]}» is not absolute"))
