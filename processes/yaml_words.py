"""What is wrong with a text that is no YAML, in words for its writer: what stands there, and what to write instead.

Nothing of the library that found it is seen. Pure; `processes/yaml_text.py` reads the text.
"""

import re
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Final, Protocol

import yaml

_LINE_BREAK: Final = re.compile("\r\n|[\n\r\x85\u2028\u2029]")
_QUOTED: Final = re.compile(r"'(.*)'", re.DOTALL)
_FOUND: Final = re.compile(r" (?:found|got) ")
_KEY: Final = re.compile(r"\S.*?:(\s|$)")
NOT_ITS_TAG: Final = "the tag (!!…) does not fit its value: leave it out"
_IN_QUOTES: Final = "put it in quotes"


class Mark(Protocol):
    """The library's place: a line and a column, both from 0."""

    line: int
    column: int


@dataclass(frozen=True)
class Place:
    """A line and a column, both from 1."""

    line: int
    column: int

    @classmethod
    def of(cls, mark: Mark) -> "Place":
        """Where the library's mark stands."""
        return cls(mark.line + 1, mark.column + 1)


@dataclass(frozen=True)
class _Fault:
    """One of the library's errors: its words, where it stands, where what it is in began, and the text's lines."""

    problem: str
    context: str
    at: Place
    since: Place
    lines: Sequence[str]

    @property
    def found(self) -> str:
        """What the library found in place of what it expected."""
        quoted = _QUOTED.search(_FOUND.split(self.problem)[-1])
        return quoted[1] if quoted else ""

    @property
    def before(self) -> str:
        """The line up to the place."""
        return self.line(self.at.line)[: self.at.column - 1]

    def line(self, number: int) -> str:
        """A line of the text, from 1; empty beyond its end."""
        return self.lines[number - 1] if 0 < number <= len(self.lines) else ""

    def above(self) -> tuple[int, str]:
        """The last line above the place with anything in it but a comment, and its number; 0 if there is none."""
        for number in range(self.at.line - 1, 0, -1):
            if self.line(number).strip() and not self.line(number).lstrip().startswith("#"):
                return number, self.line(number)
        return 0, ""


Words = tuple[str, Place]


def explained(error: yaml.MarkedYAMLError, text: str) -> tuple[str, Place | None]:
    """What is wrong in words, and where it is best mended; None if that is not known."""
    mark = error.problem_mark or error.context_mark
    if mark is None:
        return "is not YAML", None
    fault = _Fault(
        problem=error.problem or "",
        context=error.context or "",
        at=Place.of(mark),
        since=Place.of(error.context_mark or mark),
        lines=_LINE_BREAK.split(text),
    )
    for begins, words in _WORDS:
        if fault.problem.startswith(begins) or fault.context.startswith(begins):
            return words(fault)
    return "something is missing or does not belong here", fault.at


def bad_character(error: yaml.reader.ReaderError, text: str) -> tuple[str, Place]:
    """Of a character that YAML does not have."""
    before = _LINE_BREAK.split(text[: error.position])
    code = error.character if isinstance(error.character, int) else ord(error.character)
    name = "a NUL character" if code == 0 else f"the character U+{code:04X}"
    return f"{name} cannot stand in YAML: leave it out", Place(len(before), len(before[-1]) + 1)


def bad_byte(error: UnicodeDecodeError) -> tuple[str, Place]:
    """Of bytes that are no text."""
    before = error.object[: error.start].split(b"\n")
    column = len(before[-1].decode("utf-8", "replace")) + 1
    words = (
        f"the byte 0x{error.object[error.start]:02x} is not {error.encoding.upper()}: save the text as UTF-8"
    )
    return words, Place(len(before), column)


def _unstarted(fault: _Fault) -> Words:
    if fault.found in {"\\t", "\t"}:
        return "a tab cannot indent a line: use spaces", fault.at
    return _begins_badly(fault.found)(fault)


def _begins_badly(sign: str) -> Callable[[_Fault], Words]:
    return lambda fault: (f'a value cannot begin with "{sign}": {_IN_QUOTES}', fault.at)


def _quote(fault: _Fault) -> Words:
    escaped = fault.found
    if fault.problem.startswith("found unknown escape"):
        written = f"write \\\\{escaped}, or use single quotes"
        return f"\\{escaped} is not known inside double quotes: {written}", fault.at
    if fault.problem.startswith("expected escape"):
        digits = re.search(r"[0-9]+", fault.problem)
        number = digits[0] if digits else "some"
        return f"the \\ before this is to be followed by {number} hexadecimal digits", fault.at
    return "the quote that opens here is never closed", fault.since


def _brackets(opening: str, closing: str) -> Callable[[_Fault], Words]:
    def say(fault: _Fault) -> Words:
        if fault.found == "<stream end>":
            return f'the "{opening}" that opens here is never closed', fault.since
        where = f"line {fault.since.line}, column {fault.since.column}"
        return f'"," or "{closing}" is missing: the "{opening}" opens at {where}', fault.at

    return say


def _second_colon(fault: _Fault) -> Words:
    """A `: ` where no key can be: a text with a colon, a key without one above it, or a line too far to the right."""
    if _KEY.search(fault.before):
        return f'a value with ": " in it is read as a key: {_IN_QUOTES}', fault.at
    number, above = fault.above()
    indent = len(fault.before) - len(fault.before.lstrip(" "))
    if number and not _KEY.search(above) and not above.lstrip().startswith("- "):
        return 'a key has no ": " after it', Place(number, len(above) - len(above.lstrip()) + 1)
    deeper = f"line {number} has a value already: keys of one object stand below each other"
    return f"this line is indented too far; {deeper}", Place(fault.at.line, indent + 1)


def _no_colon(fault: _Fault) -> Words:
    return 'there is no ":" after this key: write "key: value"', fault.since


def _block(fault: _Fault) -> Words:
    """Something that does not line up with the keys, or the items, of the object, or the list, that it is in."""
    what = "the keys" if "mapping" in fault.context else 'the items ("- …")'
    if fault.found in {"]", "}", ","}:
        return f'this "{fault.found}" closes nothing: if it is text, put it in quotes', fault.at
    if fault.before.strip():
        inside = "was an earlier quote not closed? A single quote inside single quotes is written twice"
        return f"there is text after the closing quote: {inside}", fault.at
    if fault.found == "?":
        return 'a key stands where a list goes on: indent it under an item, or begin it with "- "', fault.at
    if fault.found == "-":
        return "a list's item stands where keys go on: indent it under the key of its list", fault.at
    number = f"the {what.removeprefix('the ')} from line {fault.since.line} on"
    return f"this line does not line up with {number}: check its indentation", fault.at


def _opened(fault: _Fault) -> tuple[str, Place] | None:
    """The bracket that was opened last, and is open still at the place."""
    open_ones: list[tuple[str, Place]] = []
    quote = ""
    for number, line in enumerate(fault.lines[: fault.at.line], 1):
        for column, character in enumerate(line, 1):
            if quote or character in "'\"":
                quote = "" if character == quote else quote or character
            elif character in "[{":
                open_ones.append((character, Place(number, column)))
            elif character in "]}" and open_ones:
                open_ones.pop()
    return open_ones[-1] if open_ones else None


def _no_value(fault: _Fault) -> Words:
    opened = _opened(fault) if fault.found == "<stream end>" else None
    if opened is not None:
        return f'the "{opened[0]}" that opens here is never closed', opened[1]
    if len(fault.found) == 1:
        return _begins_badly(fault.found)(fault)
    return "a value is missing here", fault.at


def _said(words: str) -> Callable[[_Fault], Words]:
    return lambda fault: (words, fault.at)


def _no_document(fault: _Fault) -> Words:
    if any(line.startswith("%") for line in fault.lines[: fault.at.line]):
        return _begins_badly("%")(fault)
    return _ONE_DOCUMENT(fault)


_ONE_DOCUMENT: Final = _said('there is more than one document: leave out the rest, and the "---" before it')
_WORDS: Final[Sequence[tuple[str, Callable[[_Fault], Words]]]] = (
    ("found character", _unstarted),
    ("while scanning a quoted scalar", _quote),
    ("while scanning a double-quoted scalar", _quote),
    ("while parsing a flow sequence", _brackets("[", "]")),
    ("while parsing a flow mapping", _brackets("{", "}")),
    ("mapping values are not allowed", _second_colon),
    ("mapping keys are not allowed", _begins_badly("? ")),
    ("sequence entries are not allowed", _said('a list begins on a line of its own, below its key: move "- " there')),
    ("could not find expected ':'", _no_colon),
    ("while parsing a block mapping", _block),
    ("while parsing a block collection", _block),
    ("expected the node content", _no_value),
    ("while scanning a block scalar", _said('the text after "|" or ">" begins on the next line')),
    ("while scanning an anchor", _begins_badly("&")),
    ("while scanning an alias", _begins_badly("*")),
    ("found duplicate anchor", _said("an anchor (&…) is given twice, and none is needed: leave it out")),
    ("while scanning a tag", _begins_badly("!")),
    ("while parsing a tag", _begins_badly("!")),
    ("while parsing a node", _begins_badly("!")),
    ("while scanning a directive", _begins_badly("%")),
    ("found duplicate YAML directive", _said("%YAML stands twice: leave it out")),
    ("found incompatible YAML document", _said("only YAML 1 is read: leave %YAML out")),
    ("expected a single document", _ONE_DOCUMENT),
    ("expected '<document start>'", _no_document),
    ("expected a ", _said(NOT_ITS_TAG)),
)  # fmt: skip
"""By how the library's problem begins, or its context; the first that fits says it."""
