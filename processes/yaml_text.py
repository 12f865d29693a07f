"""YAML as Onward reads it everywhere: in the API, on the command line, in bundles and recipes.

It is the YAML of configuration files, and its values are those of JSON. A plain scalar is a number, true, false or null
only if it is written as JSON has it; everything else is text as it stands: `09:00` (base 60 to YAML 1.1), `0123`
(octal), `yes`, `on`, `1_000`, `2026-12-01`, `+420601234567`. A key is always text. Refused are aliases and merge keys,
by which a few lines grow to gigabytes, a key that stands twice, tags other than those of JSON's types, and what is
nested too deep.
"""

import re
from collections.abc import Hashable
from typing import Any

import yaml

MOST_NESTING = 64

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
_TAGS = frozenset(_PREFIX + name for name in ("null", "bool", "int", "float", "str", "seq", "map"))


class YamlUnreadable(ValueError):
    """The text is not YAML, or uses what is not supported. `line` and `column` count from 1."""

    def __init__(self, problem: str, line: int | None = None, column: int | None = None) -> None:
        where = f" at line {line}, column {column}" if line is not None else ""
        super().__init__(f"{problem}{where}")
        self.line = line
        self.column = column


class YamlTooDeep(YamlUnreadable):
    """Nested deeper than anything that we read."""


def read_yaml_text(text: str | bytes) -> Any:
    """The value of a document. Raises YamlUnreadable."""
    try:
        return yaml.load(text, _Loader)  # noqa: S506 (a SafeLoader)
    except yaml.MarkedYAMLError as error:
        mark = error.problem_mark
        problem = ", ".join(filter(None, (error.context, error.problem))) or "cannot be read"
        raise YamlUnreadable(problem, *((mark.line + 1, mark.column + 1) if mark else ())) from None
    except (yaml.YAMLError, ValueError, TypeError) as error:
        if isinstance(error, YamlUnreadable):
            raise
        raise YamlUnreadable(" ".join(str(error).split())) from None


class _Loader(yaml.SafeLoader):
    """PyYAML's safe loader with our resolvers and refusals."""

    yaml_implicit_resolvers: dict[str, list[tuple[str, re.Pattern[str]]]] = {}  # noqa: RUF012 (PyYAML's own)

    def __init__(self, stream: str | bytes) -> None:
        super().__init__(stream)
        self._depth = 0

    def compose_node(self, parent: Any, index: Any) -> Any:
        event = self.peek_event()  # type: ignore[no-untyped-call]
        if isinstance(event, yaml.AliasEvent):
            raise _refused("aliases are not supported: write the value out", event.start_mark)
        if getattr(event, "tag", None) not in {None, "!", *_TAGS}:
            raise _refused(f"the tag {event.tag} is not supported", event.start_mark)
        if self._depth > MOST_NESTING:
            mark = event.start_mark
            raise YamlTooDeep(f"nested deeper than {MOST_NESTING} levels", mark.line + 1, mark.column + 1)
        self._depth += 1
        node = super().compose_node(parent, index)
        self._depth -= 1
        return node

    def construct_mapping(self, node: yaml.MappingNode, deep: bool = False) -> dict[Hashable, Any]:
        found: dict[Hashable, Any] = {}
        for key, value in node.value:
            if not isinstance(key, yaml.ScalarNode):
                raise _refused("a key must be a text", key.start_mark)
            if key.value == "<<" and key.style is None:
                raise _refused("merge keys are not supported: write the fields out", key.start_mark)
            if key.value in found:
                raise _refused(f'the key "{key.value}" stands twice', key.start_mark)
            found[key.value] = self.construct_object(value, deep=deep)
        return found

    def construct_decimal(self, node: yaml.ScalarNode) -> int | float:
        text = node.value.strip()
        try:
            return int(text) if node.tag == f"{_PREFIX}int" else float(_SPECIAL.sub(r"\1", text))
        except ValueError:
            raise _refused(f'"{text[:40]}" is not a number', node.start_mark) from None


def _refused(problem: str, mark: Any) -> yaml.MarkedYAMLError:
    return yaml.MarkedYAMLError(problem=problem, problem_mark=mark)


for _name, _pattern, _first in _RESOLVERS:
    _compiled = re.compile(rf"(?:{_pattern})\Z")
    for _letter in (_character.replace("\0", "") for _character in _first):
        _Loader.yaml_implicit_resolvers.setdefault(_letter, []).append((_PREFIX + _name, _compiled))
_Loader.add_constructor(f"{_PREFIX}int", _Loader.construct_decimal)
_Loader.add_constructor(f"{_PREFIX}float", _Loader.construct_decimal)
