"""Where python-liquid's reader of expressions and tags is mended: it refuses, or takes otherwise, what Shopify's takes.

- Its keywords (`limit`, `for`, `if` …) are names wherever a value is expected, and after a dot.
- `nil.foo` and `empty[0]` are paths that begin with a name.
- `self["name"]` is the variable `name`.
- `array["first"]` has the key `first` of a list, and so nothing; only `array.first` is the first item.
- `{{ }}` and `{% echo %}` put nothing out.
- `render … for` and `with` take any value: a range, a text, a number.

Pure: `channels/liquid_dialect.py` puts it in place.
"""

from collections.abc import Iterator, Mapping
from typing import Any, TextIO

from liquid import RenderContext, Token, TokenStream
from liquid.ast import Node
from liquid.builtin.expressions import (
    Identifier,
    KeywordArgument,
    Nil,
    Path,
    StringLiteral,
    parse_identifier,
    parse_primitive,
    tokenize,
)
from liquid.builtin.output import Output
from liquid.builtin.tags.echo_tag import EchoTag
from liquid.builtin.tags.render_tag import RenderNode, RenderTag
from liquid.exceptions import LiquidSyntaxError
from liquid.expression import Expression
from liquid.token import (
    TOKEN_AND,
    TOKEN_AS,
    TOKEN_ASSIGN,
    TOKEN_BLANK,
    TOKEN_COLON,
    TOKEN_COLS,
    TOKEN_COMMA,
    TOKEN_CONTAINS,
    TOKEN_CONTINUE,
    TOKEN_DOT,
    TOKEN_ELSE,
    TOKEN_EMPTY,
    TOKEN_EOF,
    TOKEN_EQ,
    TOKEN_EXPRESSION,
    TOKEN_FALSE,
    TOKEN_FOR,
    TOKEN_GE,
    TOKEN_GT,
    TOKEN_IDENTINDEX,
    TOKEN_IDENTSTRING,
    TOKEN_IF,
    TOKEN_IN,
    TOKEN_LBRACKET,
    TOKEN_LE,
    TOKEN_LG,
    TOKEN_LIMIT,
    TOKEN_LT,
    TOKEN_NE,
    TOKEN_NIL,
    TOKEN_NOT,
    TOKEN_NULL,
    TOKEN_OFFSET,
    TOKEN_OR,
    TOKEN_OUTPUT,
    TOKEN_PIPE,
    TOKEN_RANGE,
    TOKEN_RANGE_LITERAL,
    TOKEN_REQUIRED,
    TOKEN_REVERSED,
    TOKEN_TAG,
    TOKEN_TRUE,
    TOKEN_WITH,
    TOKEN_WORD,
)

from channels.liquid_values import is_nil

_LITERALS = frozenset({TOKEN_NIL, TOKEN_NULL, TOKEN_TRUE, TOKEN_FALSE, TOKEN_EMPTY, TOKEN_BLANK})
_MODIFIERS = frozenset(
    {TOKEN_IN, TOKEN_OFFSET, TOKEN_LIMIT, TOKEN_REVERSED, TOKEN_COLS, TOKEN_CONTINUE, TOKEN_WITH, TOKEN_FOR}
    | {TOKEN_AS, TOKEN_IF, TOKEN_ELSE, TOKEN_REQUIRED}
)
"""Words that mean something in some places of some tags, and are names in all others."""
_KEYWORDS = _LITERALS | _MODIFIERS | {TOKEN_AND, TOKEN_OR, TOKEN_CONTAINS, TOKEN_NOT}
_OPENING = frozenset({TOKEN_LBRACKET, TOKEN_IDENTSTRING, TOKEN_IDENTINDEX})
_BEFORE_A_VALUE = frozenset(
    {
        TOKEN_EQ,
        TOKEN_NE,
        TOKEN_LG,
        TOKEN_LT,
        TOKEN_GT,
        TOKEN_LE,
        TOKEN_GE,
        TOKEN_AND,
        TOKEN_OR,
        TOKEN_CONTAINS,
    }
    | {TOKEN_COLON, TOKEN_COMMA, TOKEN_PIPE, TOKEN_ASSIGN, TOKEN_LBRACKET, TOKEN_RANGE_LITERAL, TOKEN_RANGE}
    | {TOKEN_IN, TOKEN_WITH, TOKEN_FOR}
)


class BracketKey(str):
    """A text in brackets: the key of a hash, and never a method such as `.size`."""

    __slots__ = ()


def tokens_of(source: str, parent_token: Token) -> Iterator[Token]:
    """The tokens of an expression, with names for keywords wherever Shopify's Liquid reads a name."""
    found = list(tokenize(source, parent_token))
    is_loop = len(found) > 1 and found[1].kind == TOKEN_IN
    before = None
    for index, token in enumerate(found):
        after = found[index + 1].kind if index + 1 < len(found) else None
        if token.kind == TOKEN_IDENTSTRING:
            token = token._replace(value=BracketKey(token.value))
        elif token.kind in _KEYWORDS and _is_name(token.kind, before, after, is_loop=is_loop):
            token = token._replace(kind=TOKEN_WORD)
        yield token
        before = token.kind


def _is_name(kind: str, before: str | None, after: str | None, *, is_loop: bool) -> bool:
    if before == TOKEN_DOT:
        return True
    if kind in _LITERALS:
        return after == TOKEN_DOT or after in _OPENING
    if kind not in _MODIFIERS:
        return False
    if is_loop and (before == TOKEN_COMMA or (before == TOKEN_COLON and kind == TOKEN_CONTINUE)):
        return False  # what a loop has of its own: `, limit: 2` and `offset: continue`
    is_argument = not is_loop and after == TOKEN_COLON
    return is_argument or before is None or before in _BEFORE_A_VALUE


def path_value(path: Path, context: RenderContext) -> object:
    """What a path leads to. A text that a path in brackets has is a key. `self` has all names, unless it is one."""
    segments = [_segment(one, context) for one in path.path]
    if len(segments) > 1 and segments[0] == "self" and context.resolve("self", default=None) is None:
        segments = segments[1:]
    return context.get(segments, token=path.token)


def _segment(segment: str | int | Path, context: RenderContext) -> object:
    if not isinstance(segment, Path):
        return segment
    value = segment.evaluate(context)
    return BracketKey(value) if isinstance(value, str) else value


def item(obj: Any, key: BracketKey) -> Any:
    """What a value has under a key in brackets. Raises KeyError where there is none."""
    if isinstance(obj, Mapping):
        return obj[key]
    raise KeyError(key)


class AnyOutputTag(Output):
    """`{{ … }}`, also with nothing in it."""

    def parse(self, stream: TokenStream) -> Any:
        """Read it."""
        if stream.peek.kind == TOKEN_EXPRESSION and not stream.peek.value.strip():
            token = stream.eat(TOKEN_OUTPUT)
            return self.node_class(token, Nil(token))
        return super().parse(stream)


class AnyEchoTag(EchoTag):
    """`{% echo … %}`, also with nothing in it."""

    def parse(self, stream: TokenStream) -> Node:
        """Read it."""
        if stream.peek.kind != TOKEN_EXPRESSION:
            return self.node_class(stream.current, Nil(stream.current))
        return super().parse(stream)


class _Items(Expression):
    """What `render … for` walks through: a range as a list."""

    __slots__ = ("inner",)

    def __init__(self, inner: Expression) -> None:
        super().__init__(inner.token)
        self.inner = inner

    def __str__(self) -> str:
        return str(self.inner)

    def evaluate(self, context: RenderContext) -> object:
        """The value."""
        value = self.inner.evaluate(context)
        return list(value) if isinstance(value, range) else value

    def children(self) -> list[Expression]:
        """Its expression."""
        return [self.inner]


class _AnyRenderNode(RenderNode):
    """A value that is nothing hides no argument of its name."""

    def render_to_output(self, context: RenderContext, buffer: TextIO) -> int:
        """Render it."""
        if self.var is None or not is_nil(self.var.evaluate(context)):
            return super().render_to_output(context, buffer)
        return RenderNode(self.token, self.name, args=self.args).render_to_output(context, buffer)


class AnyRenderTag(RenderTag):
    """`{% render "name" for VALUE as item, argument: value %}`, with or without commas."""

    node_class = _AnyRenderNode

    def parse(self, stream: TokenStream) -> Node:
        """Read it. Raises LiquidSyntaxError."""
        token = stream.eat(TOKEN_TAG)
        tokens = stream.into_inner(tag=token, eat=False)
        name = parse_primitive(self.env, tokens)
        if not isinstance(name, StringLiteral):
            raise LiquidSyntaxError("expected the name of a template in quotes", token=name.token)
        loop = tokens.current.kind == TOKEN_FOR
        var: Expression | None = None
        alias: Identifier | None = None
        if tokens.current.kind in (TOKEN_FOR, TOKEN_WITH):
            next(tokens)
            var = parse_primitive(self.env, tokens)
            var = _Items(var) if loop else var
            if tokens.current.kind == TOKEN_AS:
                next(tokens)
                alias = parse_identifier(self.env, tokens)
        args = list(self._arguments(tokens))
        return self.node_class(token, name, var=var, loop=loop, alias=alias, args=args)

    def _arguments(self, tokens: TokenStream) -> Iterator[KeywordArgument]:
        while tokens.current.kind != TOKEN_EOF:
            if tokens.current.kind == TOKEN_COMMA:
                next(tokens)
                continue
            name = tokens.eat(TOKEN_WORD)
            tokens.eat(TOKEN_COLON)
            yield KeywordArgument(name, name.value, parse_primitive(self.env, tokens))
