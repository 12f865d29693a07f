"""CSV in pieces of any size, in the encodings that people have."""

import csv
import io

import pytest
from hypothesis import given
from hypothesis import strategies as st

from intake.csv_records import LARGEST_RECORD, BadCsv, Records

TEXT = 'a;b;c\r\n1;"x\r\ny";3\r\n\r\n4;"q""q";5 "inch"\r6;ž;8\n9;10;=1'
CELLS = [
    (1, ["a", "b", "c"]),
    (2, ["1", "x\r\ny", "3"]),
    (4, ["4", 'q"q', '5 "inch"']),
    (5, ["6", "ž", "8"]),
    (6, ["9", "10", "=1"]),
]


def read(data: bytes, size: int, **options: object) -> list[tuple[int, list[str]]]:
    """All records of `data`, fed in pieces of `size` bytes."""
    records = Records(**options)  # type: ignore[arg-type]
    found: list[tuple[int, list[str]]] = []
    for start in range(0, len(data), size):
        found += records.feed(data[start : start + size])
    return found + list(records.feed(b"", last=True))


@pytest.mark.parametrize("size", [1, 2, 3, 7, 1000])
@pytest.mark.parametrize(
    ("encoding", "codec"),
    [("utf-8", "utf-8"), ("utf-8", "utf-8-sig"), ("windows-1250", "cp1250"), ("utf-16", "utf-16")],
)
def test_the_same_records_whatever_the_pieces_and_the_encoding(encoding: str, codec: str, size: int) -> None:
    assert read(TEXT.encode(codec), size, encoding=encoding) == CELLS


@given(
    st.lists(
        st.lists(st.text(st.characters(blacklist_categories=["Cs"], blacklist_characters="\0")), min_size=2),
        min_size=1,
    ),
    st.integers(1, 20),
)
def test_what_was_written_is_read(records: list[list[str]], size: int) -> None:
    text = io.StringIO()
    csv.writer(text).writerows(records)
    found = read(text.getvalue().encode(), size, delimiter=",")
    assert [cells for _, cells in found] == records
    assert [number for number, _ in found] == list(range(1, len(records) + 1))


@pytest.mark.parametrize(
    ("text", "delimiter"),
    [
        ("a,b;c,d", ","),
        ('"x,y,z";b', ";"),
        ("a\tb\tc", "\t"),
        ("a|b", "|"),
        ("alone", ","),
        ("\n\na;b", ";"),
    ],
)
def test_the_first_record_tells_the_delimiter(text: str, delimiter: str) -> None:
    records = Records()
    assert list(records.feed(text.encode(), last=True))
    assert records.delimiter == delimiter


def test_nothing_gives_nothing() -> None:
    assert read(b"", 1) == []
    assert read(b"\n\n", 1) == []


def test_numbers_go_on_from_the_first() -> None:
    assert read(b"1,2\n\n3,4\n", 4, first=501) == [(501, ["1", "2"]), (503, ["3", "4"])]


@pytest.mark.parametrize(
    ("data", "line", "words"),
    [
        (b'a,b\n1,"x', 2, "a quote is opened and never closed"),
        (b'a,b\n1,2\n1,"x"y\n', 3, "a quote inside quotes is written twice"),
        ("a,b\nž,2\n".encode("cp1250"), 1, "0x9e is not utf-8"),
        (b"a,b\n\xff\xfe", 1, "name the file's encoding"),
    ],
)
def test_what_is_no_csv_says_where(data: bytes, line: int, words: str) -> None:
    with pytest.raises(BadCsv, match=words) as error:
        read(data, 1000)
    assert error.value.line == line


def test_what_comes_before_the_fault_is_read() -> None:
    records = Records()
    found = records.feed(b'a,b\n1,2\n3,"x"y\n')
    assert [next(found), next(found)] == [(1, ["a", "b"]), (2, ["1", "2"])]
    with pytest.raises(BadCsv, match="row 3"):
        next(found)


def feed_on(records: Records, most: int) -> None:
    """Feed cells without a line's end, up to `most` characters."""
    for _ in range(most // 50_000):
        assert list(records.feed(b"x," * 25_000)) == []


@pytest.mark.parametrize("start", [b'"', b"a,"])
def test_a_record_without_an_end_is_not_waited_for(start: bytes) -> None:
    records = Records()
    list(records.feed(start))
    with pytest.raises(BadCsv, match="is a quote not closed"):
        feed_on(records, LARGEST_RECORD + 50_000)


@pytest.mark.parametrize("size", [1, 2, 3, 1000])
@pytest.mark.parametrize(
    ("data", "encoding"),
    [
        (TEXT.encode("utf-16"), "utf-8"),
        (b"\xfe\xff" + TEXT.encode("utf-16-be"), "utf-8"),
        (TEXT.encode("utf-16-le"), "utf-8"),
        (TEXT.encode("utf-16-be"), "utf-8"),
        (TEXT.encode("utf-16-be"), "utf-16"),
        (TEXT.encode("utf-16-le"), "utf-16le"),
    ],
    ids=["bom-le", "bom-be", "le", "be", "be-as-utf-16", "le-as-told"],
)
def test_utf_16_is_known_by_its_first_bytes(data: bytes, encoding: str, size: int) -> None:
    assert read(data, size, encoding=encoding) == CELLS


@pytest.mark.parametrize("size", [1, 2, 5, 1000])
@pytest.mark.parametrize(
    ("text", "cells"),
    [
        ("sep=;\r\nemail;name\r\nb@example.com;B, C\r\n", ["b@example.com", "B, C"]),
        ('"sep=|"\nemail|name\nb@example.com|B\n', ["b@example.com", "B"]),
        ("SEP=,\remail,name\rb@example.com,B\r", ["b@example.com", "B"]),
        ("\ufeffsep=\t\nemail\tname\nb@example.com\tB", ["b@example.com", "B"]),
    ],
)
def test_a_line_that_names_the_delimiter_is_no_header(text: str, cells: list[str], size: int) -> None:
    assert read(text.encode(), size) == [(1, ["email", "name"]), (2, cells)]


def test_a_part_that_comes_later_has_no_such_line() -> None:
    assert read(b"sep=;,x\n", 3, first=5, delimiter=",") == [(5, ["sep=;", "x"])]


def test_a_file_of_a_few_bytes_is_a_file() -> None:
    assert read(b"a", 1) == [(1, ["a"])]
    assert read(b"", 1) == []
