"""Renders a message template: Liquid first, then MJML to HTML, then a plain text where there is none.

The rules of the language here, beyond Liquid's own (https://shopify.github.io/liquid/):

- A missing value renders as nothing and is false; `{{ contact.first_name | default: "friend" }}` names a
  stand-in.
- An unknown filter or tag, and a syntax error, is an error with its line. `check` finds all of them
  beforehand.
- In MJML and HTML every value is HTML-escaped, unless the template says `| safe`. Subject and text are not
  escaped.
- `include` and `render` do not exist, since a template is one document and reads no files.
- Loops, variables and output are limited, so that no template can eat the worker.
- `{{ 1299 | money: "CZK" }}` gives `1,299.00 CZK`.

This module sends nothing and reads nothing: the caller brings the context.
"""

import re
from collections.abc import Callable, Iterator, Mapping
from decimal import Decimal, InvalidOperation
from functools import cache, lru_cache, wraps
from typing import Any, Literal, Self

from inscriptis import get_text
from inscriptis.model.config import ParserConfig
from liquid import BoundTemplate, Environment, Mode, Token
from liquid.exceptions import FilterArgumentError, FilterValueError, LiquidError, ResourceLimitError
from liquid.undefined import Undefined
from mjml import mjml2html
from pydantic import BaseModel, ConfigDict, model_validator

from channels.errors import TemplateFailed
from processes.values import Json

Part = Literal["subject", "mjml", "html", "text"]

LOOP_LIMIT = 10_000
"""Iterations of a loop, inner loops multiplied in."""
OUTPUT_LIMIT = 1_000_000
"""Bytes of one rendered part. Gmail clips a message at 102 kB, so an honest template is far below."""
NAMESPACE_LIMIT = 1_000_000
"""Bytes of all variables that a template assigns."""
CACHED_TEMPLATES = 1024

_CONTROLS = re.compile(r"[\x00-\x1f\x7f-\x9f\u2028\u2029]+")
_MJML_POSITION = re.compile(
    r"^(?P<text>.*?)(?: in root template)?(?: at position (?P<start>\d+):\d+)?$", re.DOTALL
)
_MJML_ELEMENT = re.compile(r"<(mj-[a-z-]+)")
_BLANK_LINES = re.compile(r"\n{3,}")


class TemplateSource(BaseModel):
    """A template as its author wrote it: a subject, at most one of MJML and HTML, and a text, which may be
    left out where there is MJML or HTML to make it from."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    subject: str
    mjml: str | None = None
    html: str | None = None
    text: str | None = None

    @model_validator(mode="after")
    def _has_one_body(self) -> Self:
        if self.mjml is not None and self.html is not None:
            raise ValueError("give mjml or html, not both")
        if self.mjml is None and self.html is None and self.text is None:
            raise ValueError("give a body: mjml, html or text")
        return self

    def parts(self) -> Iterator[tuple[Part, str]]:
        """The parts that are there, each with its source."""
        parts: tuple[Part, ...] = ("subject", "mjml", "html", "text")
        for part in parts:
            source = getattr(self, part)
            if source is not None:
                yield part, source


class Rendered(BaseModel):
    """A message's content for one recipient. The subject is one line."""

    model_config = ConfigDict(frozen=True)

    subject: str
    html: str | None
    text: str


class TemplateProblem(BaseModel):
    """One thing to mend in a template. For MJML that does not compile, the line counts in Liquid's output
    for an empty context."""

    part: Part
    line: int | None
    message: str


def render(source: TemplateSource, context: Mapping[str, Json]) -> Rendered:
    """Render every part of a template for one recipient.

    Raises:
        TemplateFailed: a part does not parse, render or compile, or exceeds a limit.
    """
    subject = _one_line(_render_part("subject", source.subject, context))
    html = None
    if source.mjml is not None:
        html = _compile_mjml(_render_part("mjml", source.mjml, context))
    elif source.html is not None:
        html = _render_part("html", source.html, context)
    text = text_of(html or "") if source.text is None else _render_part("text", source.text, context)
    return Rendered(subject=subject, html=html, text=text)


def render_text(source: str, context: Mapping[str, Json]) -> str:
    """Render a piece of plain text: a note, a field's value, a URL. Nothing is escaped.

    Raises:
        TemplateFailed: it does not parse or render, or exceeds a limit.
    """
    return _render_part("text", source, context)


def check(source: TemplateSource) -> list[TemplateProblem]:
    """Everything that can be found wrong in a template without a recipient: each syntax error, each unknown
    tag and filter, and MJML that does not compile when rendered with no values. An empty list means that it
    can be published.
    """
    problems = [problem for part, text in source.parts() for problem in _syntax_problems(part, text)]
    if source.mjml is not None and not any(problem.part == "mjml" for problem in problems):
        problems.extend(_mjml_problems(source.mjml))
    return problems


def text_of(html: str) -> str:
    """The plain text of an HTML document, links as `[text](address)`; hidden parts and styles are left
    out."""
    laid_out = get_text(html, ParserConfig(display_links=True))
    lines = "\n".join(line.strip() for line in laid_out.splitlines())
    return _BLANK_LINES.sub("\n\n", lines).strip() + "\n"


class _Environment(Environment):
    """Liquid with our limits, without files."""

    loop_iteration_limit = LOOP_LIMIT
    output_stream_limit = OUTPUT_LIMIT
    local_namespace_limit = NAMESPACE_LIMIT

    def setup_tags_and_filters(self, *, extra: bool = False) -> None:
        super().setup_tags_and_filters(extra=extra)
        del self.tags["include"], self.tags["render"]
        self.add_filter("money", _money)

    def add_filter(self, name: str, func: Callable[..., Any]) -> None:
        super().add_filter(name, _limited(func))


class _ProblemCollector(_Environment):
    """Goes on parsing after an error, and keeps them all. It is used for one source and thrown away."""

    def __init__(self) -> None:
        super().__init__(tolerance=Mode.LAX)
        self.problems: list[LiquidError] = []

    def error(
        self, exc: type[LiquidError] | LiquidError, msg: str | None = None, token: Token | None = None
    ) -> None:
        if not isinstance(exc, LiquidError):
            exc = exc(msg, token=token)
        exc.token = exc.token or token
        self.problems.append(exc)


def _limited(func: Callable[..., Any]) -> Callable[..., Any]:
    """A filter that does not unroll a range longer than any loop may be: `(1..999999999) | join` would."""

    @wraps(func)
    def limited(*args: Any, **kwargs: Any) -> Any:
        for value in args:
            if isinstance(value, range) and len(value) > LOOP_LIMIT:
                raise FilterValueError(f"the range has more than {LOOP_LIMIT:,} items", token=None)
        return func(*args, **kwargs)

    return limited


def _money(value: object, currency: object = "") -> str:
    """A number with two decimals, thousands marked, and its currency. Nothing for a missing number."""
    if value is None or value == "" or isinstance(value, Undefined):
        return ""
    try:
        amount = Decimal(str(value))
    except InvalidOperation:
        amount = Decimal("NaN")
    if isinstance(value, bool) or not amount.is_finite() or abs(amount) >= Decimal(10) ** 24:
        raise FilterArgumentError(f"money: {str(value)[:40]!r} is not an amount", token=None)
    code = "" if currency is None else str(currency)
    return f"{amount:,.2f} {code}".strip()


@cache
def _environment(autoescape: bool) -> _Environment:
    return _Environment(autoescape=autoescape)


@lru_cache(maxsize=CACHED_TEMPLATES)
def _parsed(autoescape: bool, source: str) -> BoundTemplate:
    return _environment(autoescape).from_string(source)


def _render_part(part: Part, source: str, context: Mapping[str, Json]) -> str:
    try:
        return _parsed(part in ("mjml", "html"), source).render(context)
    except LiquidError as error:
        raise TemplateFailed(part, _message(error), _line(error)) from error
    except (ArithmeticError, AttributeError, LookupError, RecursionError, TypeError, ValueError) as error:
        # A value that a filter did not expect; Liquid wraps only some of these.
        raise TemplateFailed(part, f"{type(error).__name__}: {error}") from error


def _syntax_problems(part: Part, source: str) -> list[TemplateProblem]:
    environment = _ProblemCollector()
    try:
        template = environment.from_string(source)
    except LiquidError as error:
        environment.problems.append(error)
    else:
        for name, spans in template.analyze().filters.items():
            if name not in environment.filters:
                for span in spans:
                    token = Token(kind="filter", value=name, start_index=span.index, source=source)
                    environment.problems.append(LiquidError(f"unknown filter '{name}'", token=token))
    found = {(_line(error), _message(error)) for error in environment.problems}
    return [
        TemplateProblem(part=part, line=line, message=message)
        for line, message in sorted(found, key=lambda problem: (problem[0] or 0, problem[1]))
    ]


def _mjml_problems(source: str) -> list[TemplateProblem]:
    try:
        html = _compile_mjml(_render_part("mjml", source, {}))
    except TemplateFailed as failure:
        cause = failure.__cause__
        if isinstance(cause, LiquidError) and not isinstance(cause, ResourceLimitError):
            return []  # it needs values to render (a division, say), which says nothing about the template
        return [TemplateProblem(part="mjml", line=failure.line, message=failure.text)]
    unknown = sorted(set(_MJML_ELEMENT.findall(html)))  # the compiler passes what it does not know through
    return [
        TemplateProblem(part="mjml", line=_line_of(source, f"<{name}"), message=f"unknown element <{name}>")
        for name in unknown
    ]


def _compile_mjml(mjml: str) -> str:
    try:
        return mjml2html(mjml)
    except ValueError as error:
        found = _MJML_POSITION.match(str(error))
        start = found["start"] if found else None
        line = None if start is None else mjml.encode()[: int(start)].count(b"\n") + 1
        raise TemplateFailed("mjml", found["text"] if found else str(error), line) from error


def _message(error: LiquidError) -> str:
    return str(error.message) if error.message else type(error).__name__


def _line(error: LiquidError) -> int | None:
    token = error.token
    if token is None or token.start_index < 0:
        return None
    return token.source.count("\n", 0, token.start_index) + 1


def _line_of(source: str, text: str) -> int | None:
    index = source.find(text)
    return None if index < 0 else source.count("\n", 0, index) + 1


def _one_line(subject: str) -> str:
    return " ".join(_CONTROLS.sub(" ", subject).split())
