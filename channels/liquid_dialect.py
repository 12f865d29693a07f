"""Where python-liquid is mended: what it does otherwise than Shopify's Liquid, and what it lets grow without a bound.

Its grammar is made of functions that import each other, so a subclass can't reach most of it: what is wrong is replaced
by `mend`, in one place, when `channels/templates.py` is loaded. Nothing else in the process uses python-liquid. The
filters are in `channels/liquid_standard.py`, the reader of expressions and tags in `channels/liquid_syntax.py`.

The reference is Shopify's liquid-spec and golden-liquid. What differs on purpose is in docs/templates.md: errors stop
the message, `include` doesn't exist.
"""

import re
import sys
from collections.abc import Callable, Iterator
from functools import cache, partial
from typing import Any

from liquid import RenderContext, Token, escape
from liquid.builtin.expressions import Path, logical, primitive, tokenize
from liquid.builtin.expressions.loop import LoopExpression
from liquid.builtin.expressions.primitive import Blank, Empty, Literal, RangeLiteral
from liquid.builtin.tags.cycle_tag import CycleNode
from liquid.builtin.tags.tablerow_tag import TablerowNode
from liquid.exceptions import ResourceLimitError
from liquid.lex import _tokenize_template, compile_liquid_rules
from liquid.output import LimitedStringIO
from liquid.stringify import to_liquid_string
from liquid.tag import Tag
from liquid.undefined import is_undefined
from markupsafe import Markup

from channels.liquid_syntax import (
    AnyEchoTag,
    AnyOutputTag,
    AnyRenderTag,
    BracketKey,
    item,
    path_value,
    tokens_of,
)
from channels.liquid_values import integer, is_blank, is_nil, printed

LONGEST_RANGE = 10_000
"""Items of a range. It is refused where it is made: `contains`, `size`, `first` and loops would walk all of it."""

_equal = logical._eq
_less = logical._lt
_slice = LoopExpression._slice
_tablerow = TablerowNode.render_to_output
_cycle = CycleNode.render_to_output
_get_item = RenderContext.get_item


def mend() -> None:
    """Replace what is wrong, once."""
    if logical._eq is _mended_equal:
        return
    _replace("_eq", _equal, _mended_equal)
    _replace("_lt", _less, _mended_less)
    _replace("to_liquid_string", to_liquid_string, _output)
    _replace("tokenize", tokenize, tokens_of)
    for owner, name, mended in (
        (RangeLiteral, "_make_range", _make_range),
        (LoopExpression, "evaluate", _evaluated),
        (TablerowNode, "_int_or_zero", lambda _, value: integer(value)),
        (TablerowNode, "render_to_output", _mended_tablerow),
        (CycleNode, "render_to_output", _mended_cycle),
        (Path, "evaluate", path_value),
        (RenderContext, "get_item", _mended_item),
    ):
        setattr(owner, name, mended)


def mended_tags() -> tuple[type[Tag], ...]:
    """The tags that are read otherwise."""
    return AnyOutputTag, AnyEchoTag, AnyRenderTag


@cache
def tokenizer() -> Callable[[str], Iterator[Token]]:
    """The reader of templates. python-liquid's ends a text before a last line break, which it then takes for another
    text that a `-%}` strips.
    """
    rules = compile_liquid_rules().pattern
    return partial(_tokenize_template, rules=re.compile(rules.replace("|$)", r"|\Z)"), re.DOTALL))


def output_buffer(limit: int) -> LimitedStringIO:
    """Where output is written to. python-liquid's makes one line break of `\\r\\n`."""
    return LimitedStringIO(limit, newline="")


def _replace(name: str, old: object, new: object) -> None:
    """In every module of python-liquid that has imported it."""
    for module_name, module in list(sys.modules.items()):
        if module_name.partition(".")[0] == "liquid" and getattr(module, name, None) is old:
            setattr(module, name, new)


def _mended_item(context: RenderContext, obj: Any, key: Any) -> Any:
    return item(obj, key) if isinstance(key, BracketKey) else _get_item(context, obj, key)


def _make_range(literal: RangeLiteral, start: Any, stop: Any) -> range:
    """`("2a".."6b")` is `(2..6)`, and what is no number is 0."""
    first, last = integer(start), integer(stop)
    if last - first >= LONGEST_RANGE:
        raise ResourceLimitError(f"the range has more than {LONGEST_RANGE:,} items", token=literal.token)
    return range(first, last + 1) if first <= last else range(0)


def _mended_equal(left: object, right: object) -> bool:
    """`nil`, `false` and blanks are blank. No literal `blank` or `empty` equals itself."""
    for one, other in ((left, right), (right, left)):
        if isinstance(one, Blank):
            return not isinstance(other, (Blank, Empty)) and is_blank(other)
        if isinstance(one, Empty):
            return (
                not isinstance(other, (Blank, Empty))
                and not is_undefined(other)
                and primitive.is_empty(other)
            )
    return _equal(left, right)


def _mended_less(token: Token, left: object, right: object) -> bool:
    """A boolean is neither more nor less than anything."""
    if isinstance(left, bool) or isinstance(right, bool):
        return False
    return _less(token, left, right)


def _output(value: Any, autoescape: bool) -> str:
    """A value where it is put out: lists without brackets, however deep."""
    if autoescape:
        return (
            escape(value) if isinstance(value, str) or hasattr(value, "__html__") else escape(_joined(value))
        )
    return value if isinstance(value, str) else str(_joined(value))


def _joined(value: Any) -> Any:
    if not isinstance(value, (list, tuple)):
        return printed(value)
    parts = [item if isinstance(item, str) else _joined(item) for item in value]
    return Markup("").join(parts) if any(isinstance(part, Markup) for part in parts) else "".join(parts)


def _evaluated(loop: LoopExpression, context: RenderContext) -> tuple[Iterator[object], int]:
    """What is looped over. A limit or an offset that is missing is none."""
    items, length = loop._to_iter(loop.iterable.evaluate(context), context)
    limit = None if loop.limit is None else loop.limit.evaluate(context)
    offset: Any = None if loop.offset is None else loop.offset.evaluate(context)
    if isinstance(loop.offset, primitive.StringLiteral) and loop.offset.value == "continue":
        offset = "continue"
    return _mended_slice(
        loop,
        items,
        length,
        context,
        limit=None if is_nil(limit) else loop._to_int(limit, token=loop.token),
        offset=offset if is_nil(offset) or offset == "continue" else loop._to_int(offset, token=loop.token),
    )


def _mended_slice(
    loop: LoopExpression,
    items: Iterator[object],
    length: int,
    context: RenderContext,
    *,
    limit: int | None,
    offset: int | str | None,
) -> tuple[Iterator[object], int]:
    """A limit of 0 or below leaves nothing, an offset below 0 is none."""
    if isinstance(offset, int):
        offset = max(offset, 0)
    if limit is not None and limit <= 0:
        return iter(()), 0
    return _slice(loop, items, length, context, limit=limit, offset=offset)


def _mended_tablerow(node: TablerowNode, context: RenderContext, buffer: Any) -> int:
    """A list without items still gives the one empty row. A limit that is missing is 0."""
    if is_nil(over := node.expression.iterable.evaluate(context)) or isinstance(over, bool):
        return 0
    limit = node.expression.limit
    none = limit is not None and is_nil(limit.evaluate(context))
    if not none and node.expression.evaluate(context)[1]:
        return _tablerow(node, context, buffer)
    return int(buffer.write('<tr class="row1">\n</tr>\n'))


def _mended_cycle(node: CycleNode, context: RenderContext, buffer: Any) -> int:
    """A cycle without a name that has variables counts by itself; those of the same literals count together."""
    if node.group or all(isinstance(argument, Literal) for argument in node.args):
        return _cycle(node, context, buffer)
    values = [argument.evaluate(context) for argument in node.args]
    index = context.cycle(id(node), len(values))
    return int(buffer.write(_output(values[index], context.autoescape)))
