"""Renders a message template: Liquid first, then MJML to HTML, then a plain text where there is none.

The rules of the language here, beyond Liquid's own (https://shopify.github.io/liquid/):

- A missing value renders as nothing and is false; `{{ contact.first_name | default: "friend" }}` names a
  stand-in.
- An unknown filter or tag, and a syntax error, is an error with its line. `check` finds all of them
  beforehand.
- In MJML and HTML every value is HTML-escaped, unless the template says `| safe`. Subject and text are not
  escaped.
- `{% render "footer" %}` puts in the same part (MJML, HTML or text) of the template with the key `footer`. It sees
  what the message sees, and its own arguments. `include` does not exist. No file is read.
- Loops, variables, output, partials inside each other and all work together are limited, so that no template can eat
  the worker (`channels/template_limits.py`).
- Money and dates: `channels/liquid_filters.py`.

This module sends nothing and reads nothing: the caller brings the context, and the other templates.
"""

import re
from collections.abc import Callable, Iterable, Iterator, Mapping
from contextlib import contextmanager
from contextvars import ContextVar
from functools import cache, lru_cache
from typing import Any, Literal, Self

from inscriptis import Inscriptis
from inscriptis.model.config import ParserConfig
from liquid import BoundTemplate, Environment, Mode, RenderContext, Token
from liquid.ast import Node
from liquid.builtin.tags.render_tag import RenderNode
from liquid.exceptions import LiquidError, LiquidSyntaxError, ResourceLimitError, TemplateNotFoundError
from liquid.loader import BaseLoader
from liquid.loader import TemplateSource as LoadedSource
from lxml.etree import ParserError
from lxml.html import document_fromstring
from pydantic import BaseModel, ConfigDict, model_validator

from channels import merge_tags, mjml
from channels.absolute import forbidden_addresses, relative_addresses
from channels.errors import TemplateFailed
from channels.liquid_dialect import mend, mended_tags, tokenizer
from channels.liquid_filters import local_date, local_time, money
from channels.liquid_standard import FILTERS
from channels.template_limits import MOST_HTML_TAGS, OUTPUT_LIMIT, CountedTemplate, unreadable
from processes.values import Json

Part = Literal["subject", "mjml", "html", "text"]

LOOP_LIMIT = 10_000
"""Iterations of a loop, inner loops multiplied in."""
COMPILED_LIMIT = 4_000_000
"""Characters of the HTML that MJML makes: it is several times as long."""
NAMESPACE_LIMIT = 1_000_000
"""Bytes of all variables that a template assigns."""
CACHED_TEMPLATES = 1024

_CONTROLS = re.compile(r"[\x00-\x1f\x7f-\x9f\u2028\u2029]+")
_BLANK_LINES = re.compile(r"\n{3,}")
_XML_DECLARATION = re.compile(r"^<\?xml.*?\?>", re.DOTALL)
_LIQUID = re.compile(r"\{[{%]")
_RENDERS = re.compile(r"""\brender\s*(?:'(?P<single>[^']*)'|"(?P<double>[^"]*)")""")


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

    @classmethod
    def of(cls, stored: Any) -> Self:
        """What is kept of a template under the same names."""
        return cls(subject=stored.subject, mjml=stored.mjml, html=stored.html, text=stored.text)

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


Partials = Mapping[str, TemplateSource]
"""The templates that `render` tags name, by their keys."""

NO_PARTIALS: Partials = {}


def partials_of(templates: Mapping[str, Any], source: TemplateSource) -> Partials:
    """Of all templates, as they are kept, those that `render` tags of this one may name, and theirs in turn."""
    found: dict[str, TemplateSource] = {}
    sources = [source]
    while sources:
        for _, text in sources.pop().parts():
            for named in _RENDERS.finditer(text):
                key = named["single"] if named["double"] is None else named["double"]
                if key in templates and key not in found:
                    found[key] = TemplateSource.of(templates[key])
                    sources.append(found[key])
    return found


def render(source: TemplateSource, context: Mapping[str, Json], partials: Partials = NO_PARTIALS) -> Rendered:
    """Render every part of a template for one recipient.

    Raises:
        TemplateFailed: a part does not parse, render or compile, names a partial that is not there, or exceeds a limit;
            or a value made an address of a link or an image that no message may have, such as `javascript:`.
    """
    with _naming(partials):
        return _render(source, context)


def _render(source: TemplateSource, context: Mapping[str, Json]) -> Rendered:
    subject = _one_line(_render_part("subject", source.subject, context))
    html = None
    if source.mjml is not None:
        html = _compile_mjml(source.mjml, _render_part("mjml", source.mjml, context))
    elif source.html is not None:
        html = _render_part("html", source.html, context)
    for wrong in forbidden_addresses(html or ""):
        raise TemplateFailed("html" if source.mjml is None else "mjml", wrong)
    text = text_of(html or "") if source.text is None else _render_part("text", source.text, context)
    return Rendered(subject=subject, html=html, text=text)


def render_text(source: str, context: Mapping[str, Json]) -> str:
    """Render a piece of plain text: a note, a field's value, a URL. Nothing is escaped.

    Raises:
        TemplateFailed: it does not parse or render, or exceeds a limit.
    """
    return _render_part("text", source, context)


def constant(source: str) -> str | None:
    """What a text says to everybody: without Liquid, or with Liquid that reads nothing. None if it depends on
    something, or cannot be rendered.
    """
    try:
        template = _parsed(False, source)
        if template.analyze(include_partials=False).globals:
            return None
        return _render_part("text", source, {})
    except (LiquidError, TemplateFailed, RecursionError, ValueError):
        return None


def render_texts(sources: Mapping[str, str], context: Mapping[str, Json]) -> dict[str, str]:
    """Render some pieces of plain text, by their names. Raises TemplateFailed."""
    return {name: render_text(source, context) for name, source in sources.items()}


def is_literal(source: str) -> bool:
    """Whether a text has no Liquid in it, and renders as it is written."""
    return _LIQUID.search(source) is None


def check(source: TemplateSource, partials: Partials = NO_PARTIALS) -> list[TemplateProblem]:
    """Everything that can be found wrong in a template without a recipient: each syntax error, each unknown
    tag, filter and partial, each link and image that is not absolute, each merge tag that names no tag, and MJML that
    does not compile when rendered with no values. An empty list means that it can be published, or be a partial of
    others.
    """
    liquid = [problem for part, text in source.parts() for problem in _syntax_problems(part, text, partials)]
    problems = list(liquid)
    for part, text in source.parts():
        if part in ("mjml", "html"):
            problems += [
                TemplateProblem(part=part, line=line, message=message)
                for line, message in relative_addresses(text)
            ]
            problems += [
                TemplateProblem(part=part, line=text.count("\n", 0, place) + 1, message=message)
                for place, message in merge_tags.problems(text)
            ]
    if source.mjml is not None:
        found = [
            TemplateProblem(part="mjml", line=line, message=message)
            for line, message in mjml.unknown(source.mjml)
        ]
        if not found and is_whole(source) and not any(problem.part == "mjml" for problem in liquid):
            with _naming(partials):
                found = _mjml_problems(source.mjml)
        problems += found
    return problems


def is_whole(source: TemplateSource) -> bool:
    """Whether it can be a message: MJML without an `<mjml>` around it is only a partial of others."""
    return source.mjml is None or "<mjml" in source.mjml


def text_of(html: str) -> str:
    """The plain text of an HTML document, links as `[text](address)`; hidden parts and styles are left
    out. A link that is only a picture has the picture's alternative text. Raises TemplateFailed if there are too many
    tags."""
    if html.count("<") > MOST_HTML_TAGS:
        raise TemplateFailed("text", f"there are more than {MOST_HTML_TAGS:,} tags: give a text part")
    tree = _tree(html)
    if tree is None:
        return "\n"
    for link in tree.iter("a"):
        _name_by_picture(link)
    laid_out = Inscriptis(tree, ParserConfig(display_links=True)).get_text()
    lines = "\n".join(line.strip() for line in laid_out.splitlines())
    return _BLANK_LINES.sub("\n\n", lines).strip() + "\n"


mend()


def _tree(html: str) -> Any:
    """The document, or None if there is nothing in it."""
    stripped = _XML_DECLARATION.sub("", html.strip(), count=1)
    if not stripped:
        return None
    try:
        return document_fromstring(stripped)
    except ParserError:
        return document_fromstring(f"<pre>{stripped}</pre>")


def _name_by_picture(link: Any) -> None:
    """Put the alternative texts of a link's pictures in, if there is no other text in it; else what it is titled, or
    its address.
    """
    address = link.get("href")
    if not address or "".join(link.itertext()).strip():
        return
    pictures = list(link.iter("img"))
    texts = [text for picture in pictures if (text := (picture.get("alt") or "").strip())]
    name = " ".join(texts) or (link.get("aria-label") or link.get("title") or "").strip() or address
    if pictures:
        pictures[-1].tail = name
    else:
        link.text = name


_partials: ContextVar[Partials] = ContextVar("partials", default=NO_PARTIALS)
_part: ContextVar[Part] = ContextVar("part", default="text")


@contextmanager
def _naming(partials: Partials) -> Iterator[None]:
    """With these templates for `render` tags."""
    token = _partials.set(partials)
    try:
        yield
    finally:
        _partials.reset(token)


class _PartialLoader(BaseLoader):
    """Finds the part of another template that fits the one being rendered."""

    def get_source(self, env: Environment, template_name: str, **_: object) -> LoadedSource:
        """Required by the base class; `load` does not come here."""
        return LoadedSource(_partial(template_name), template_name, None)

    def load(self, env: Environment, name: str, **_: object) -> BoundTemplate:
        """Parsed once for all messages. Its name is that of the value that `render … for` and `with` bind."""
        return _parsed(env.autoescape, _partial(name), name)


def _partial(name: str) -> str:
    found = _partials.get().get(name)
    if found is None:
        raise TemplateNotFoundError(f"there is no template «{name}»", token=None)
    part = "text" if _part.get() == "subject" else _part.get()
    source: str | None = getattr(found, part)
    if source is None:
        raise TemplateNotFoundError(f"the template «{name}» has no {part} part", token=None)
    return source


class _Environment(Environment):
    """Liquid with our limits, without files."""

    loop_iteration_limit = LOOP_LIMIT
    output_stream_limit = OUTPUT_LIMIT
    local_namespace_limit = NAMESPACE_LIMIT
    template_class = CountedTemplate
    string_first_and_last = True

    def tokenizer(self) -> Callable[[str], Iterator[Token]]:
        """The reader of sources."""
        return tokenizer()

    def setup_tags_and_filters(self, *, extra: bool = False) -> None:
        super().setup_tags_and_filters(extra=extra)
        del self.tags["include"]
        for tag in mended_tags():
            self.add_tag(tag)
        self.filters.update(FILTERS)
        for name, function in (("money", money), ("local_date", local_date), ("local_time", local_time)):
            self.add_filter(name, function)


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


@cache
def _environment(autoescape: bool) -> _Environment:
    return _Environment(autoescape=autoescape, loader=_PartialLoader())


@lru_cache(maxsize=CACHED_TEMPLATES)
def _parsed(autoescape: bool, source: str, name: str = "") -> BoundTemplate:
    _check_readable(source)
    return _environment(autoescape).from_string(source, name=name)


def _check_readable(source: str) -> None:
    found = unreadable(source)
    if found is not None:
        place, message = found
        token = Token(kind="markup", value="", start_index=place, source=source)
        raise LiquidSyntaxError(message, token=token)


def _render_part(part: Part, source: str, context: Mapping[str, Json]) -> str:
    _part.set(part)
    try:
        return _parsed(part in ("mjml", "html"), source).render(context)
    except LiquidError as error:
        raise TemplateFailed(part, _message(error), _line(error)) from error
    except (ArithmeticError, AttributeError, LookupError, RecursionError, TypeError, ValueError) as error:
        # A value that a filter did not expect; Liquid wraps only some of these.
        raise TemplateFailed(part, f"{type(error).__name__}: {error}") from error


def _syntax_problems(part: Part, source: str, partials: Partials) -> list[TemplateProblem]:
    environment = _ProblemCollector()
    try:
        _check_readable(source)
        template = environment.from_string(source)
    except LiquidError as error:
        environment.problems.append(error)
    except (RecursionError, ValueError) as error:
        environment.problems.append(LiquidError(f"cannot be read: {error}", token=None))
    else:
        for name, spans in template.analyze(include_partials=False).filters.items():
            if name not in environment.filters:
                for span in spans:
                    token = Token(kind="filter", value=name, start_index=span.index, source=source)
                    environment.problems.append(LiquidError(f"unknown filter '{name}'", token=token))
        environment.problems += _unknown_partials(part, template, partials)
    found = {(_line(error), _message(error)) for error in environment.problems}
    return [
        TemplateProblem(part=part, line=line, message=message)
        for line, message in sorted(found, key=lambda problem: (problem[0] or 0, problem[1]))
    ]


def _unknown_partials(part: Part, template: BoundTemplate, partials: Partials) -> Iterator[LiquidError]:
    names = _rendered(template.nodes, RenderContext(template))
    with _naming(partials):
        _part.set(part)
        for name, token in names:
            try:
                _partial(name)
            except TemplateNotFoundError as error:
                error.token = token
                yield error


def _rendered(nodes: Iterable[Node], context: RenderContext) -> Iterator[tuple[str, Token]]:
    """What `render` tags name, with their places."""
    for node in nodes:
        if isinstance(node, RenderNode):
            yield str(getattr(node.name, "value", node.name)), node.token
        yield from _rendered(node.children(context, include_partials=False), context)


def _mjml_problems(source: str) -> list[TemplateProblem]:
    try:
        _compile_mjml(source, _render_part("mjml", source, {}))
    except _NotCompiled as failure:
        return [TemplateProblem(part="mjml", line=line, message=message) for line, message in failure.all]
    except TemplateFailed as failure:
        cause = failure.__cause__
        if isinstance(cause, LiquidError) and not isinstance(cause, ResourceLimitError):
            return []  # it needs values to render (a division, say), which says nothing about the template
        return [TemplateProblem(part="mjml", line=failure.line, message=failure.text)]
    return []


class _NotCompiled(TemplateFailed):
    """MJML that does not compile, with all that is wrong with it."""

    def __init__(self, problems: list[mjml.Problem]) -> None:
        line, message = problems[0]
        super().__init__("mjml", message, line)
        self.all = problems

    def __reduce__(self) -> tuple[Any, tuple[str, str, int | None]]:
        return TemplateFailed, (self.part, self.text, self.line)


def _compile_mjml(source: str, output: str) -> str:
    try:
        html = mjml.html_of(output)
    except mjml.BadMjml as bad:
        raise _NotCompiled(mjml.faults(source, output, bad)) from bad
    if len(html) > COMPILED_LIMIT:
        raise TemplateFailed("mjml", f"it makes more than {COMPILED_LIMIT:,} characters of HTML")
    return html


def _message(error: LiquidError) -> str:
    return str(error.message) if error.message else type(error).__name__


def _line(error: LiquidError) -> int | None:
    token = error.token
    if token is None or token.start_index < 0:
        return None
    return token.source.count("\n", 0, token.start_index) + 1


def _one_line(subject: str) -> str:
    return " ".join(_CONTROLS.sub(" ", subject).split())
