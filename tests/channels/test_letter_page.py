"""Letters on paper: what can be read on the pages, where it stands, and always the same bytes."""

import gc
from io import BytesIO

import pytest
from pypdf import PdfReader
from pypdf.generic import DictionaryObject

from channels import letter_page
from channels.errors import TemplateFailed
from channels.letter_page import LONGEST, Letter, Unprintable, html_of, letter_pdf

PANGRAM = "Příliš žluťoučký kůň úpěl ďábelské ódy. Größe, Ärger, Übermaß. Łódź, Győr, Știri, Αθήνα, Київ."
JANA = ("Žofie Příšerná", "Náměstí Míru 12", "110 00 Praha", "CZECHIA")
MM = 72 / 25.4


def letter(html: str = "<p>Hello</p>", subject: str = "Vaše objednávka") -> Letter:
    return Letter("Obchod s.r.o. · Dlouhá 1 · Praha", JANA, "2026-11-22", subject, html)


def pages(pdf: bytes) -> list[str]:
    return [page.extract_text() for page in PdfReader(BytesIO(pdf)).pages]


def places(pdf: bytes) -> dict[str, tuple[float, float]]:
    """Where each text of the first page begins: mm from the left and from the top edge."""
    page = PdfReader(BytesIO(pdf)).pages[0]
    found: dict[str, tuple[float, float]] = {}

    def note(text: str, cm: list[float], tm: list[float], font: DictionaryObject | None, size: float) -> None:
        if text.strip():
            height = float(page.mediabox.height)
            found.setdefault(text.strip(), (tm[4] / MM, (height - tm[5]) / MM))

    page.extract_text(visitor_text=note)
    return found


def test_every_letter_of_europe_can_be_read_on_the_page() -> None:
    (page,) = pages(letter_pdf(letter(f"<p>{PANGRAM}</p><p><b>{PANGRAM}</b> <i>{PANGRAM}</i></p>")))
    assert " ".join(page.split()).count(PANGRAM) == 3
    for line in (*JANA, "2026-11-22", "Vaše objednávka", "Obchod s.r.o. · Dlouhá 1 · Praha"):
        assert line in page


def test_the_recipient_stands_in_the_window_of_the_envelope() -> None:
    """DIN 5008, form B: the address from 62.7 mm to 90 mm from the top, 20 mm to 105 mm from the left."""
    at = places(letter_pdf(letter()))
    for line in JANA:
        left, top = at[line]
        assert 20 <= left <= 30
        assert 62.7 <= top <= 90
    assert at["2026-11-22"][1] > 95


def test_the_font_is_embedded() -> None:
    page = PdfReader(BytesIO(letter_pdf(letter("<p>a <b>b</b> <i>c</i></p>")))).pages[0]
    fonts = [font.get_object() for font in page["/Resources"]["/Font"].values()]  # type: ignore[index]
    assert len(fonts) == 3
    for font in fonts:
        (descendant,) = font["/DescendantFonts"]
        assert "/FontFile2" in descendant.get_object()["/FontDescriptor"].get_object()


def test_the_same_letter_is_the_same_bytes() -> None:
    long = letter(f"<h1>T</h1><ul><li>a</ul><table><tr><th>A<th>B<tr><td>1<td>2</table>{'<p>x</p>' * 90}")
    assert letter_pdf(long) == letter_pdf(long)


def test_a_long_letter_goes_on_on_numbered_pages() -> None:
    text = "".join(f"<p>Paragraph {number}.</p>" for number in range(120))
    found = pages(letter_pdf(letter(text)))
    assert [page.split()[-1] for page in found[1:]] == [str(number) for number in range(2, len(found) + 1)]
    assert len(found) > 3
    assert all(f"Paragraph {number}." in "".join(found) for number in range(120))


def test_lists_tables_headings_and_rules_are_set() -> None:
    html = (
        "<h2>Items</h2><ol><li>one<li>two<ul><li>deep</ul></ol><hr>"
        "<table><tr><th>What</th><th>Price</th></tr><tr><td>Tea</td><td>1 299,00</td></tr></table>"
    )
    (page,) = pages(letter_pdf(letter(html)))
    for text in ("Items", "1. one", "2. two", "• deep", "What Price", "Tea 1 299,00"):
        assert text in page


def test_a_table_too_wide_for_the_page_is_made_to_fit() -> None:
    cell = "a word and another word " * 6
    (page,) = pages(letter_pdf(letter(f"<table><tr>{f'<td>{cell}</td>' * 4}</tr></table>")))
    assert page.split().count("another") == 24


def test_a_word_longer_than_the_line_is_broken() -> None:
    (page,) = pages(letter_pdf(letter(f"<p>{'x' * 300}</p>")))
    assert page.count("x") == 300


def test_plain_text_keeps_its_paragraphs_and_lines() -> None:
    assert html_of("Dear <you>,\nhello\r\n\r\n\n bye ") == "<p>Dear &lt;you&gt;,<br>hello</p><p>bye</p>"
    (page,) = pages(letter_pdf(letter(html_of("Dear <you>,\nhello\n\nbye"), subject="")))
    assert page.splitlines()[-3:] == ["Dear <you>,", "hello", "bye"]


@pytest.mark.parametrize("html", ["<p>你好 <b>x</b></p>", "<p>Hi 🐎</p>"])
def test_letters_that_the_font_lacks_are_refused_by_name(html: str) -> None:
    with pytest.raises(Unprintable, match=r"the letter's font has no «(你好|🐎)»"):
        letter_pdf(letter(html))


def test_characters_that_only_steer_are_left_out() -> None:
    (page,) = pages(letter_pdf(letter("<p>so\u00adft zero\u200bwidth \u202ebidi Z\u030cofie</p>")))
    assert "soft zerowidth bidi Žofie" in page


@pytest.mark.parametrize("html", ["", "<p> </p>", "<img src='x'>"])
def test_an_empty_letter_is_a_mistake(html: str) -> None:
    with pytest.raises(TemplateFailed, match="nothing to read"):
        letter_pdf(letter(html))


def test_a_letter_as_long_as_a_book_is_a_mistake() -> None:
    with pytest.raises(TemplateFailed, match="60,001 characters; at most 60,000"):
        letter_pdf(letter(f"<p>{'x' * (LONGEST + 1)}</p>"))


def test_a_letter_of_many_short_lines_is_a_mistake() -> None:
    with pytest.raises(TemplateFailed, match="can't be set: it has more than 30 pages"):
        letter_pdf(letter("<p>a</p>" * 2000))
    gc.collect()  # a file that was left open would warn now


def test_a_long_sender_stays_on_one_line_above_the_recipient() -> None:
    sender = "Velmi dlouhé jméno obchodní společnosti s.r.o. · Dlouhá třída 123/45 · 110 00 Praha 1 · Česko"
    page = Letter(sender, JANA, "2026-11-22", "", "<p>x</p>")
    at = places(letter_pdf(page))
    assert at[sender][1] < at[JANA[0]][1] - 3


def test_the_fonts_are_all_there() -> None:
    for style in letter_page._STYLES:
        assert letter_page._file(style).is_file()
