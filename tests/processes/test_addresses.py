"""An address has one spelling here, and one on the wire; neither changes whose it is."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from processes.addresses import (
    ANY,
    STRICT,
    AddressRules,
    ascii_domain,
    known_as,
    on_the_wire,
    part_known_as,
    read_address,
    unicode_domain,
)

SAME = [
    (
        "info@straße.example",
        "Info@XN--STRAE-OQA.example",
        "info@straße.example",
        "info@xn--strae-oqa.example",
    ),
    ("x@βόλος.com", "X@ΒΌΛΟς.com", "x@βόλος.com", "x@xn--nxasmm1c.com"),
    ("a@例え.テスト", "a@例え。テスト", "a@例え.テスト", "a@xn--r8jz45g.xn--zckzah"),
    ("jana@žluťoučký.cz", "Jana@ŽLUŤOUČKÝ.CZ", "jana@žluťoučký.cz", "jana@xn--luouk-uva4it5a4g.cz"),
    (
        "o'neil+tag@example.com",
        " O'Neil+Tag@Example.COM ",
        "o'neil+tag@example.com",
        "o'neil+tag@example.com",
    ),
]


@pytest.mark.parametrize(("one", "other", "known", "wire"), SAME)
def test_each_spelling_of_an_address_is_known_as_one_and_written_to_as_one(
    one: str, other: str, known: str, wire: str
) -> None:
    for spelling in (one, other, wire, known):
        assert read_address(spelling, STRICT) == known
        assert known_as(spelling) == known
        assert on_the_wire(read_address(spelling, STRICT)) == wire


@pytest.mark.parametrize("other", ["info@strasse.example", "x@βόλοσ.com", "a@fass.de"])
def test_what_idna_2003_takes_for_the_same_is_another_domain(other: str) -> None:
    """Python's own codec says that they are one."""
    of_2008 = {
        "info@strasse.example": "info@straße.example",
        "x@βόλοσ.com": "x@βόλος.com",
        "a@fass.de": "a@faß.de",
    }
    mine = of_2008[other]
    assert mine.rpartition("@")[2].encode("idna") == other.rpartition("@")[2].encode("idna")
    assert known_as(mine) != known_as(other)
    assert on_the_wire(mine) != on_the_wire(other)


@pytest.mark.parametrize(
    "address", ["jörg@example.org", "ＡＢ@example.com", "用户@例子.example", "josé@example.com"]
)
def test_letters_beyond_ascii_before_the_at_are_taken_where_the_setting_says_so(address: str) -> None:
    with pytest.raises(ValueError, match="ONWARD_SMTP_SMTPUTF8"):
        read_address(address, STRICT)
    with pytest.raises(ValueError, match="SMTPUTF8"):
        read_address(address, AddressRules(irregular_dots=True))
    taken = read_address(address, AddressRules(smtputf8=True))
    assert known_as(address) == taken
    assert not on_the_wire(taken).isascii()


def test_composed_and_decomposed_letters_are_one_address() -> None:
    assert read_address("Jo\u0308rg@example.org", ANY) == read_address("j\u00f6rg@example.org", ANY)


@pytest.mark.parametrize("local", ["a..b", "ab.", ".ab", "a...b..", "da.me.", "!.."])
def test_irregular_dots_are_taken_where_the_setting_says_so_and_quoted_on_the_wire(local: str) -> None:
    address = f"{local}@docomo.example"
    with pytest.raises(ValueError, match="is not an e-mail address"):
        read_address(address, STRICT)
    for spelling in (address, f'"{local}"@DOCOMO.example'):
        taken = read_address(spelling, AddressRules(irregular_dots=True))
        assert taken == address == known_as(spelling)
    assert on_the_wire(address) == f'"{local}"@docomo.example'


@pytest.mark.parametrize(
    "address",
    [
        "",
        "nobody",
        "@example.com",
        "a@",
        "..@example.com",
        '"a b"@example.com',
        "a b@example.com",
        "a@[192.0.2.1]",
        "a@[IPv6:2001:db8::1]",
        "a@example",
        "a@exa mple.com",
        "a@-example.com",
        "a@xn--a.com",
        "a@☃.com",
        "a@example.com\r\nRCPT TO:<eve@example.com>",
        "a@b@example.com",
        f"{'a' * 250}@example.com",
        f"{'ä' * 125}@example.com",
        f"a@{'b.' * 200}com",
        f"a@{'b' * 64}.com",
        "a" * 100_000,
    ],
)
def test_what_nobody_can_be_written_to_at_is_refused_whatever_is_allowed(address: str) -> None:
    with pytest.raises(ValueError, match="e-mail address"):
        read_address(address, ANY)
    known_as(address)


@pytest.mark.parametrize(
    ("part", "known"),
    [
        ("@xn--strae-oqa.example", "@straße.example"),
        ("xn--strae-oqa", "straße"),
        ("STRAẞE.example", "straße.example"),
        ("anna", "anna"),
        ("@Example", "@Example"),
        ("xn--", "xn--"),
        (".xn--p1ai", ".рф"),
    ],
)
def test_a_part_of_an_address_is_spelled_as_contacts_have_it(part: str, known: str) -> None:
    assert part_known_as(part) == known


LETTERS = st.text(
    st.characters(codec="utf-8", categories=("L", "Nd", "Mn", "Pd", "Po", "Sm")), min_size=1, max_size=20
)


@given(LETTERS, st.lists(LETTERS, min_size=1, max_size=3))
def test_no_address_changes_by_being_read_again_or_sent_and_read(local: str, labels: list[str]) -> None:
    address = f"{local}@{'.'.join(labels)}.example"
    known = known_as(address)
    try:
        taken = read_address(address, ANY)
    except ValueError:
        return
    assert taken == known == known_as(taken) == read_address(taken, ANY)
    assert known_as(on_the_wire(taken)) == taken
    assert unicode_domain(ascii_domain(taken.rpartition("@")[2])) == taken.rpartition("@")[2]
