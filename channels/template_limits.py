"""How much a template may do, whoever wrote it and whatever fills it: no template keeps a worker busy, fills its
memory, or brings its process down.

Liquid's own limits (`channels/templates.py`) count what one loop does and what was put out. What is counted here is
what they do not see: everything that is done on the way, in all loops and partials together, how large a value may
grow inside one expression, and how long it takes to read what was never closed. MJML is compiled by a library that
calls itself once for each level of nesting: beyond a few thousand it would overrun the stack, and nothing could catch
that.
"""

import re
import threading
import time
from collections.abc import Callable, Sequence, Sized
from concurrent.futures import ThreadPoolExecutor
from functools import cache
from io import StringIO
from typing import Any, TextIO

from liquid import BoundTemplate, RenderContext, Token
from liquid.exceptions import FilterValueError, ResourceLimitError
from liquid.output import LimitedStringIO
from mjml import mjml2html

from channels.liquid_dialect import output_buffer

OUTPUT_LIMIT = 1_000_000
"""Bytes of one rendered part. Gmail clips a message at 102 kB, so an honest template is far below."""
MOST_WORK = 250_000
"""Nodes that one part renders, with their filters' work. A message of a thousand products takes some 30,000."""
SECONDS = 2.0
"""Processor time of one part, for what is dear in one node. An honest part takes some milliseconds."""
LONGEST_VALUE = 1_000_000
"""Characters of one value."""
MOST_ITEMS = 10_000
"""Items of a list or a range that a filter takes or gives."""
LONGEST_NUMBER = 4096
"""Bits of an integer."""
MOST_BLANKS = 200
"""Blanks in a row inside `{{ }}` and `{% %}`."""
MOST_PARENTHESES = 100
"""Opening parentheses inside one `{{ }}` or `{% %}`."""
MOST_TAGS = 20_000
"""Tags in MJML, closing ones included."""
MOST_HTML_TAGS = 60_000
"""Tags in HTML that a text is made from."""

_WORK_OF_CHARACTERS = 1000
"""So many characters are as much work as one node."""
_LOOK_AT_THE_CLOCK = 64
_STACK = 256 * 1024 * 1024
"""Bytes of address space, of which what is needed is taken: a level of nesting needs up to 6 kB."""

_OPENING = re.compile(r"\{\{|\{%")
_VERBATIM = re.compile(r"\{%-?\s*(raw|doc)\s*-?%\}")
_VERBATIM_END = {name: re.compile(rf"\{{%-?\s*end{name}\s*-?%\}}") for name in ("raw", "doc")}
_BLANKS = re.compile(rf"\s{{{MOST_BLANKS + 1}}}")


def unreadable(source: str) -> tuple[int, str] | None:
    """The place and the fault of what Liquid's reader would look at again and again: its time grows with the square of
    what is not closed, and of blanks in a row. None where there is nothing of the kind.
    """
    at = 0
    while (opening := _OPENING.search(source, at)) is not None:
        start = opening.start()
        verbatim = _VERBATIM.match(source, start)
        if verbatim is not None:
            end = _VERBATIM_END[verbatim[1]].search(source, verbatim.end())
            if end is None:
                return start, f"{verbatim[1]} tag was never closed"
            at = end.end()
            continue
        closing = "}}" if opening[0] == "{{" else "%}"
        found = source.find(closing, start)
        if found < 0:
            return start, f"expected '{closing}', found end of file"
        if _BLANKS.search(source, start, found):
            return start, f"more than {MOST_BLANKS} blanks in a row"
        if source.count("(", start, found) > MOST_PARENTHESES:
            return start, f"more than {MOST_PARENTHESES} parentheses"
        at = found + len(closing)
    return None


class CountedContext(RenderContext):
    """A context that counts what is rendered in it and in the contexts of its partials."""

    __slots__ = ("_disabled", "_work")

    def __init__(
        self, template: BoundTemplate, *, parent_context: RenderContext | None = None, **more: Any
    ) -> None:
        parent = parent_context if isinstance(parent_context, CountedContext) else None
        self._work: _Work = _Work() if parent is None else parent._work
        super().__init__(template, parent_context=parent_context, **more)

    @property
    def disabled_tags(self) -> list[str]:
        """The tags that may not stand here. Every node asks for them before it is rendered: there it is counted."""
        self._work.spend(1)
        return self._disabled

    @disabled_tags.setter
    def disabled_tags(self, tags: list[str]) -> None:
        self._disabled = tags

    def filter(self, name: str, token: Token | None) -> Callable[..., object]:
        """The filter, with its work counted and its value held to its size."""
        function = super().filter(name, token)

        def limited(*args: Any, **named: Any) -> object:
            given = (*args, *named.values())
            self._work.spend(_work_of(name, given))
            _check_growth(name, given)
            return _checked(function(*args, **named))

        return limited

    def get_buffer(self, buf: TextIO | None = None) -> StringIO:
        """What a tag such as `capture` writes to. It counts with what was written before it."""
        carried = buf.size if isinstance(buf, LimitedStringIO) else 0
        return output_buffer((self.env.output_stream_limit or OUTPUT_LIMIT) - carried)


class CountedTemplate(BoundTemplate):
    """A template that is rendered in a context that counts."""

    context_class = CountedContext

    def _get_buffer(self) -> StringIO:
        return output_buffer(self.env.output_stream_limit or OUTPUT_LIMIT)


class _Work:
    """What one part may still do."""

    __slots__ = ("_began", "_left", "_looks")

    def __init__(self) -> None:
        self._left = MOST_WORK
        self._looks = 0
        self._began = time.thread_time()

    def spend(self, units: int) -> None:
        self._left -= units
        self._looks += 1
        if self._left < 0:
            raise ResourceLimitError("the template does too much", token=None)
        if self._looks % _LOOK_AT_THE_CLOCK == 0 and time.thread_time() - self._began > SECONDS:
            raise ResourceLimitError(f"the template takes more than {SECONDS:g} seconds", token=None)


def compiled(mjml: str) -> str:
    """The HTML of MJML. Raises ValueError where it does not compile, or has too many tags for any stack."""
    if mjml.count("<") > MOST_TAGS:
        raise ValueError(f"there are more than {MOST_TAGS:,} tags")
    html: str = _deep_thread().submit(mjml2html, mjml).result()
    return html


@cache
def _deep_thread() -> ThreadPoolExecutor:
    """A thread whose stack holds as many levels as there can be tags. It is started here, while the size is set."""
    usual = threading.stack_size(_STACK)
    try:
        executor = ThreadPoolExecutor(1, thread_name_prefix="mjml")
        executor.submit(threading.get_ident).result()
    finally:
        threading.stack_size(usual)
    return executor


def _work_of(name: str, values: Sequence[Any]) -> int:
    work = 1
    for value in values:
        if isinstance(value, str):
            work += len(value) // _WORK_OF_CHARACTERS
        elif isinstance(value, (list, tuple, range)):
            if len(value) > MOST_ITEMS:
                raise _too_many(value)
            work += len(value) // 10
            if name == "uniq":  # it compares each item with all that came before
                work += len(value) ** 2 // 200
    return work


def _check_growth(name: str, values: Sequence[Any]) -> None:
    """The two filters by which a value grows to the product of two others are asked before they do it."""
    if name == "replace" and len(values) > 2 and isinstance(values[0], str):
        text, old, new = values[0], str(values[1]), str(values[2])
        grown = len(text) + text.count(old) * len(new)
    elif name == "join" and len(values) > 1 and isinstance(values[0], (list, tuple)):
        grown = len(values[0]) * len(str(values[1]))
        grown += sum(len(item) for item in values[0] if isinstance(item, str))
    else:
        return
    if grown > LONGEST_VALUE:
        raise _too_long()


def _checked(value: object) -> object:
    if isinstance(value, str):
        if len(value) > LONGEST_VALUE:
            raise _too_long()
    elif isinstance(value, (list, tuple)):
        if len(value) > MOST_ITEMS:
            raise _too_many(value)
    elif isinstance(value, int) and value.bit_length() > LONGEST_NUMBER:
        raise FilterValueError("a number grows too long", token=None)
    return value


def _too_long() -> FilterValueError:
    return FilterValueError(f"a value grows longer than {LONGEST_VALUE:,} characters", token=None)


def _too_many(value: Sized) -> FilterValueError:
    what = "range" if isinstance(value, range) else "list"
    return FilterValueError(f"the {what} has more than {MOST_ITEMS:,} items", token=None)
