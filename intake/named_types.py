"""Event types by what people call them: the key, or the name as they write it.

In any script and either case, with spaces as they come: "Order Completed" is `order_completed`, as it is for the
senders of Segment's spec (`segment_spec/reading.py`), and also the type that has this name. Nothing is read or written
here.
"""

import unicodedata
from collections.abc import Callable, Collection

from intake.refusals import Missing
from intake.segment_spec.reading import event_type
from processes.suggestions import nearest
from store.catalog import CatalogView


def keys_of(view: CatalogView, text: str) -> Collection[str]:
    """The keys of the event types that are meant: of one, unless several have the same name. A key as it is written
    comes before every name. Raises Missing, with the key or name that is most like it.
    """
    types = view.event_types
    if text in types:
        return [text]
    for alike in (_folded, event_type):
        found = _alike(view, text, alike)
        if found:
            return found
    near = nearest(text, {*types, *(one.name for one in types.values())})
    raise Missing("event type", text, None if near is None else f"did you mean «{near}»?")


def name_of(view: CatalogView, key: str) -> str:
    """The name of an event type; its key if nobody has given it one."""
    known = view.event_types.get(key)
    return key if known is None else known.name


def _alike(view: CatalogView, text: str, alike: Callable[[str], str]) -> list[str]:
    wanted = alike(text)
    return [key for key, one in view.event_types.items() if wanted in {alike(key), alike(one.name)}]


def _folded(text: str) -> str:
    return " ".join(unicodedata.normalize("NFKC", text).casefold().split())
