"""CSV that comes in pieces, cut into records: of any size, in constant memory. What the cells mean is not asked here.

A record's number is the row that a spreadsheet shows: the first record of the file is 1, whatever line breaks stand
inside quotes.
"""

import codecs
import csv
import io
import re
from collections.abc import Iterator

LARGEST_RECORD = 1_000_000
"""Characters of one record. More is taken for a quote that was never closed."""
DELIMITERS = (",", ";", "\t", "|")
ENCODINGS = {
    "utf-8": "utf-8-sig",
    "utf8": "utf-8-sig",
    "utf-8-sig": "utf-8-sig",
    "us-ascii": "utf-8-sig",
    "utf-16": "utf-16",
    "utf-16le": "utf-16-le",
    "utf-16be": "utf-16-be",
    "windows-1250": "cp1250",
    "cp1250": "cp1250",
    "windows-1252": "cp1252",
    "cp1252": "cp1252",
    "iso-8859-1": "iso-8859-1",
    "iso-8859-2": "iso-8859-2",
    "iso-8859-15": "iso-8859-15",
    "windows-1251": "cp1251",
    "cp1251": "cp1251",
    "macintosh": "mac-roman",
}
"""The encodings that are read, by the names that senders use, and Python's codec for each. What is called UTF-8 or
UTF-16 is looked at: UTF-16 is known by its byte order mark, or by the zero bytes of its first letters.
"""
_LOOKED_AT = frozenset({"utf-8-sig", "utf-16"})
_SEP = re.compile(r'"?sep=(.)"?[\t;,]*\r?\n?', re.IGNORECASE)


class BadCsv(Exception):
    """The text is not CSV from record `line` on. What came before it was read."""

    def __init__(self, line: int, message: str) -> None:
        super().__init__(f"row {line}: {message}")
        self.line = line


class Records:
    """Reads one text. Feed it piece by piece; each piece gives the records that it completes."""

    def __init__(self, *, encoding: str = "utf-8", delimiter: str | None = None, first: int = 1) -> None:
        """`encoding` is a key of ENCODINGS; without a `delimiter` the first record tells; `first` is its number."""
        self.delimiter = delimiter
        self._encoding = encoding
        self._decoder: codecs.IncrementalDecoder | None = None
        self._begun = b""
        self._may_say_sep = first == 1
        self._newlines = io.IncrementalNewlineDecoder(None, translate=False)
        self._number = first
        self._rest = ""
        self._lines = _Lines()
        self._reader: Iterator[list[str]] | None = None

    def feed(self, data: bytes, *, last: bool = False) -> Iterator[tuple[int, list[str]]]:
        """The records that are complete now, each with its number; empty rows are counted and left out.

        `last` says that nothing follows. Raises BadCsv.
        """
        self._split(data, last)
        if self._reader is None and self._lines.waiting:
            self.delimiter = self.delimiter or _sniffed(self._lines.first)
            self._reader = csv.reader(self._lines, delimiter=self.delimiter, strict=True)
        while self._reader is not None:
            self._lines.mark()
            try:
                cells = next(self._reader)
            except (_MoreNeeded, StopIteration):
                break
            except csv.Error as error:
                raise BadCsv(self._number, _words(str(error))) from None
            number = self._number
            self._number += 1
            if cells:
                yield number, cells
        if self._lines.go_back() + len(self._rest) > LARGEST_RECORD:
            raise BadCsv(self._number, f"longer than {LARGEST_RECORD} characters: is a quote not closed?")

    def _split(self, data: bytes, last: bool) -> None:
        if self._decoder is None:
            self._begun += data
            if len(self._begun) < 4 and not last:
                return
            data, self._begun = self._begun, b""
            codec = ENCODINGS[self._encoding]
            self._decoder = codecs.getincrementaldecoder(
                _seen(data) or codec if codec in _LOOKED_AT else codec
            )()
        try:
            text = self._decoder.decode(data, last)
        except UnicodeDecodeError as error:
            byte = error.object[error.start]
            raise BadCsv(
                self._number,
                f"or one soon after it: the byte 0x{byte:02x} is not {self._encoding}; "
                "name the file's encoding, such as cp1250",
            ) from None
        text = self._rest + self._newlines.decode(text, last)
        lines = io.StringIO(text, newline="").readlines()
        self._rest = ""
        if lines and not last and not lines[-1].endswith(("\n", "\r")):
            self._rest = lines.pop()
        if lines and self._may_say_sep:
            self._may_say_sep = False
            said = _SEP.fullmatch(lines[0].removeprefix("\ufeff"))
            if said is not None:
                del lines[0]
                self.delimiter = self.delimiter or said[1]
        self._lines.add(lines, last)


class _MoreNeeded(Exception):
    """The lines that are here end inside a record."""


class _Lines:
    """The lines that a csv.reader draws from. A record that is not whole yet is read again with what follows."""

    def __init__(self) -> None:
        self.waiting: list[str] = []
        self._position = 0
        self._marked = 0
        self._last = False

    @property
    def first(self) -> str:
        return next((line for line in self.waiting if line.strip()), self.waiting[0])

    def add(self, lines: list[str], last: bool) -> None:
        self.waiting = self.waiting[self._position :] + lines
        self._position = 0
        self._last = last

    def mark(self) -> None:
        self._marked = self._position

    def go_back(self) -> int:
        """Let the record that was begun be read again; returns the characters that wait."""
        self._position = self._marked
        return sum(len(line) for line in self.waiting[self._position :])

    def __iter__(self) -> "_Lines":
        return self

    def __next__(self) -> str:
        if self._position < len(self.waiting):
            self._position += 1
            return self.waiting[self._position - 1]
        if self._last:
            raise StopIteration
        raise _MoreNeeded


def _words(said: str) -> str:
    """What Python's reader of CSV found wrong."""
    if "unexpected end of data" in said:
        return "a quote is opened and never closed"
    if "expected after" in said:
        return "there is text after a closing quote: a quote inside quotes is written twice"
    if "field limit" in said:
        return f"a cell is longer than {csv.field_size_limit()} characters: is a quote not closed?"
    return "is not CSV"


def _seen(begun: bytes) -> str | None:
    """The codec that the first bytes show; None if they show nothing."""
    if begun.startswith((codecs.BOM_UTF16_LE, codecs.BOM_UTF16_BE)):
        return "utf-16"
    odd, even = begun[1:4:2], begun[0:4:2]
    if len(begun) >= 4 and not any(odd) and all(even):
        return "utf-16-le"
    if len(begun) >= 4 and not any(even) and all(odd):
        return "utf-16-be"
    return None


def _sniffed(line: str) -> str:
    """The delimiter that stands most often outside quotes; the comma where none does."""
    outside = "".join(line.split('"')[::2])
    return max(DELIMITERS, key=outside.count)
