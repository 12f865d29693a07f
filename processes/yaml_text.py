"""YAML as Onward reads it everywhere: in the API, on the command line, in bundles and recipes.

It is the YAML of configuration files, and its values are those of JSON. A plain scalar is a number, true, false or null
only if it is written as JSON has it; everything else is text as it stands: `09:00` (base 60 to YAML 1.1), `0123`
(octal), `yes`, `on`, `1_000`, `2026-12-01`, `+420601234567`. A key is always text. Refused are aliases and merge keys,
by which a few lines grow to gigabytes, a key that stands twice, tags other than those of JSON's types, and what is
nested too deep. What is wrong with a text is said in our own words (`processes/yaml_words.py`).
"""

import re
from codecs import BOM_UTF16_BE, BOM_UTF16_LE
from collections.abc import Callable, Hashable
from typing import Any

import yaml

from processes.values import Json
from processes.yaml_words import NOT_ITS_TAG, Mark, Place, bad_byte, bad_character, explained

MOST_NESTING = 64
LONGEST_LINE = 110
"""Characters of a line that is written; longer texts are broken where YAML joins them again."""

_PREFIX = "tag:yaml.org,2002:"
_RESOLVERS: tuple[tuple[str, str, str], ...] = (
    ("null", r"~|null|Null|NULL|", "~nN\0"),
    ("bool", r"true|True|TRUE|false|False|FALSE", "tTfF"),
    ("int", r"-?(?:0|[1-9][0-9]*)", "-0123456789"),
    (
        "float",
        r"-?(?:0|[1-9][0-9]*)?\.[0-9]+(?:[eE][-+]?[0-9]+)?|-?\.(?:inf|Inf|INF)|\.(?:nan|NaN|NAN)",
        "-.0123456789",
    ),
)
_SPECIAL = re.compile(r"\.(inf|Inf|INF|nan|NaN|NAN)\Z")
_ESCAPED = re.compile("[^\t\n -~\xa0-\u2027\u202a-\ufefe\uff00-\U0010ffff]")
"""What is written as an escape: control characters, and line breaks other than the line feed."""
_TAGS = frozenset(_PREFIX + name for name in ("null", "bool", "int", "float", "str", "seq", "map"))


class YamlUnreadable(ValueError):
    """The text is not YAML, or uses what is not supported. `line` and `column` count from 1."""

    def __init__(self, problem: str, line: int | None = None, column: int | None = None) -> None:
        where = f" (line {line}, column {column})" if line is not None else ""
        super().__init__(f"{problem}{where}")
        self.line = line
        self.column = column


class YamlTooDeep(YamlUnreadable):
    """Nested deeper than anything that we read."""


def read_yaml_text(text: str | bytes) -> Any:
    """The value of a document. Raises YamlUnreadable."""
    return _loaded(text, lambda loader: loader.get_single_data())


def compose_yaml_text(text: str | bytes) -> yaml.Node | None:
    """The tree of a document as `read_yaml_text` reads it, with the place of each value; None for an empty one.

    Raises YamlUnreadable.
    """
    node: yaml.Node | None = _loaded(text, lambda loader: loader.get_single_node())
    return node


def write_yaml_text(value: Json, *, longest_line: int = LONGEST_LINE) -> str:
    """A value of JSON as a YAML text, which `read_yaml_text` reads as the same value; keys stay in their order."""
    written: str = yaml.dump(
        value,
        Dumper=_Dumper,
        allow_unicode=True,
        sort_keys=False,
        width=longest_line,
        default_flow_style=False,
    )
    return written


def _loaded(text: str | bytes, wanted: Callable[["_Loader"], Any]) -> Any:
    whole = _decoded(text)
    try:
        loader = _Loader(whole)
        try:
            return wanted(loader)
        finally:
            loader.dispose()
    except yaml.reader.ReaderError as error:
        raise _unreadable(*bad_character(error, whole)) from None
    except _Refused as error:
        raise _unreadable(str(error), error.place) from None
    except yaml.MarkedYAMLError as error:
        raise _unreadable(*explained(error, whole)) from None
    except (yaml.YAMLError, TypeError):
        raise YamlUnreadable("is not YAML") from None


def _decoded(text: str | bytes) -> str:
    if isinstance(text, str):
        return text
    try:
        return text.decode("utf-16" if text.startswith((BOM_UTF16_LE, BOM_UTF16_BE)) else "utf-8")
    except UnicodeDecodeError as error:
        raise _unreadable(*bad_byte(error)) from None


def _unreadable(words: str, place: Place | None) -> YamlUnreadable:
    return YamlUnreadable(words) if place is None else YamlUnreadable(words, place.line, place.column)


class _Refused(yaml.YAMLError):
    """What YAML has, and is not taken here."""

    def __init__(self, problem: str, mark: Mark | None) -> None:
        super().__init__(problem)
        self.place = None if mark is None else Place.of(mark)


class _Loader(yaml.SafeLoader):
    """PyYAML's safe loader with our resolvers and refusals."""

    yaml_implicit_resolvers: dict[str, list[tuple[str, re.Pattern[str]]]] = {}  # noqa: RUF012 (PyYAML's own)

    def __init__(self, stream: str | bytes) -> None:
        super().__init__(stream)
        self._depth = 0

    def compose_node(self, parent: Any, index: Any) -> Any:
        event = self.peek_event()  # type: ignore[no-untyped-call]
        if isinstance(event, yaml.AliasEvent):
            raise _Refused("aliases are not supported: write the value out", event.start_mark)
        if getattr(event, "tag", None) not in {None, "!", *_TAGS}:
            raise _Refused(f"the tag {event.tag} is not supported", event.start_mark)
        if self._depth > MOST_NESTING:
            mark = event.start_mark
            raise YamlTooDeep(f"nested deeper than {MOST_NESTING} levels", mark.line + 1, mark.column + 1)
        self._depth += 1
        node = super().compose_node(parent, index)
        self._depth -= 1
        return node

    def construct_mapping(self, node: yaml.MappingNode, deep: bool = False) -> dict[Hashable, Any]:
        if not isinstance(node, yaml.MappingNode):
            raise _Refused(NOT_ITS_TAG, node.start_mark)
        found: dict[Hashable, Any] = {}
        places: dict[str, int] = {}
        for key, value in node.value:
            if not isinstance(key, yaml.ScalarNode):
                raise _Refused(
                    'a key must be a text; if a value begins with "{" or "[", put it in quotes',
                    key.start_mark,
                )
            if key.value == "<<" and key.style is None:
                raise _Refused("merge keys are not supported: write the fields out", key.start_mark)
            if key.value in found:
                first = f"the first time at line {places[key.value]}"
                raise _Refused(f'the key "{key.value[:60]}" stands twice, {first}', key.start_mark)
            places[key.value] = key.start_mark.line + 1
            found[key.value] = self.construct_object(value, deep=deep)
        return found

    def construct_decimal(self, node: yaml.ScalarNode) -> int | float:
        if not isinstance(node, yaml.ScalarNode):
            raise _Refused(NOT_ITS_TAG, node.start_mark)
        text = node.value.strip()
        try:
            return int(text) if node.tag == f"{_PREFIX}int" else float(_SPECIAL.sub(r"\1", text))
        except ValueError:
            raise _Refused(f'"{text[:40]}" is not a number', node.start_mark) from None

    def construct_truth(self, node: yaml.ScalarNode) -> bool:
        word = node.value.lower() if isinstance(node, yaml.ScalarNode) else ""
        if word not in {"true", "false"}:
            raise _Refused(f'"{word[:40]}" is not true or false', node.start_mark)
        return bool(word == "true")


class _Dumper(yaml.SafeDumper):
    """PyYAML's safe dumper; what we, or YAML 1.1, would read as something else than text is put in quotes."""

    def ignore_aliases(self, data: Any) -> bool:
        return True

    def increase_indent(self, flow: bool = False, indentless: bool = False) -> None:
        super().increase_indent(flow, False)

    def represent_text(self, text: str) -> yaml.Node:
        style = '"' if _ESCAPED.search(text) else "|" if "\n" in text else None
        node: yaml.Node = self.represent_scalar(f"{_PREFIX}str", text, style)
        return node


for _name, _pattern, _first in _RESOLVERS:
    _compiled = re.compile(rf"(?:{_pattern})\Z")
    for _letter in (_character.replace("\0", "") for _character in _first):
        _Loader.yaml_implicit_resolvers.setdefault(_letter, []).append((_PREFIX + _name, _compiled))
_Dumper.yaml_implicit_resolvers = {
    letter: [
        *_Loader.yaml_implicit_resolvers.get(letter, []),
        *yaml.SafeDumper.yaml_implicit_resolvers.get(letter, []),
    ]
    for letter in _Loader.yaml_implicit_resolvers.keys() | yaml.SafeDumper.yaml_implicit_resolvers.keys()
}
_Dumper.add_representer(str, _Dumper.represent_text)
_Loader.add_constructor(f"{_PREFIX}int", _Loader.construct_decimal)
_Loader.add_constructor(f"{_PREFIX}float", _Loader.construct_decimal)
_Loader.add_constructor(f"{_PREFIX}bool", _Loader.construct_truth)
