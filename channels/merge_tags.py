"""Ecomail's merge tag that adds a tag when a link is clicked: `*|ADDTAG_mytag|*`, or `*|ECM_ADDTAG_mytag|*`.

It stands in an href, alone or beside a URL. Editors that percent-encode an address encode the merge tag with it, so
both forms are read. Pure; `channels/tracking.py` says what becomes of the link.
"""

import re
from collections.abc import Iterator
from urllib.parse import unquote

from pydantic import TypeAdapter, ValidationError

from processes.values import Tag

_MERGE_TAG = re.compile(
    r"(?:\*|%2[Aa])(?:\||%7[Cc])(?:ECM_)?ADDTAG_(?P<tag>(?:(?!%7[Cc])[^|]){0,1500})(?:\||%7[Cc])(?:\*|%2[Aa])"
)
_LIQUID = re.compile(r"\{[{%]")
_TAG: TypeAdapter[str] = TypeAdapter(Tag)


class BadMergeTag(ValueError):
    """A merge tag names no tag that a contact can have."""

    def __init__(self, written: str) -> None:
        super().__init__(
            f"{written[:120]} names no tag: a tag has 1 to 100 characters, none a control character"
        )


def split(address: str) -> tuple[str, tuple[str, ...]]:
    """An href's address without its merge tags, and the tags that they name, each once, in their order.

    Raises BadMergeTag.
    """
    tags = tuple(dict.fromkeys(_tag(found) for found in _MERGE_TAG.finditer(address)))
    if not tags:
        return address, ()
    return removed(address).strip().replace("?&", "?").rstrip("?&"), tags


def removed(text: str) -> str:
    """The text without merge tags: what a part shows in which nothing can be clicked through us."""
    return _MERGE_TAG.sub("", text) if "ADDTAG_" in text else text


def problems(source: str) -> Iterator[tuple[int, str]]:
    """The place and the fault of each merge tag in a template's source that names no tag, Liquid left aside."""
    for found in _MERGE_TAG.finditer(source):
        if _LIQUID.search(found["tag"]):
            continue
        try:
            _tag(found)
        except BadMergeTag as bad:
            yield found.start(), str(bad)


def _tag(found: re.Match[str]) -> str:
    try:
        tag = _TAG.validate_python(unquote(found["tag"]))
    except ValidationError as error:
        raise BadMergeTag(found[0]) from error
    if not tag.isprintable():
        raise BadMergeTag(found[0])
    return tag
