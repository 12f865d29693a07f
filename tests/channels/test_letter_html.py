"""What of an HTML page can be set on paper, and what is left out of it."""

import pytest

from channels.letter_html import Block, Item, Paragraph, Rule, Run, Table, blocks_of


def paragraph(*runs: Run | str, level: int = 0) -> Paragraph:
    return Paragraph(tuple(Run(run) if isinstance(run, str) else run for run in runs), level)


@pytest.mark.parametrize(
    ("html", "blocks"),
    [
        ("Hello <b>you</b>", [paragraph("Hello ", Run("you", "B"))]),
        ("<p>a</p><p> b\n c </p>", [paragraph("a"), paragraph("b c")]),
        ("<div>a<div>b</div>c</div>", [paragraph("a"), paragraph("b"), paragraph("c")]),
        ("<p>one<br>two <br/> three<br></p>", [paragraph("one\ntwo\nthree")]),
        ("<h1>T</h1><h5>t</h5>", [paragraph("T", level=1), paragraph("t", level=3)]),
        ("<b>a<i>b</i></b><u>c</u>", [paragraph(Run("a", "B"), Run("b", "BI"), Run("c", "U"))]),
        (
            "<div><b>a<div>b</div></b>c</div>",
            [paragraph(Run("a", "B")), paragraph(Run("b", "B")), paragraph("c")],
        ),
        ("a<hr>b", [paragraph("a"), Rule(), paragraph("b")]),
        ("5 &lt; 6 &amp; 1&nbsp;Kč", [paragraph("5 < 6 & 1\xa0Kč")]),
        ('<?xml version="1.0" encoding="utf-8"?><p>Žluťoučký</p>', [paragraph("Žluťoučký")]),
    ],
)
def test_text_keeps_its_paragraphs_and_its_styles(html: str, blocks: list[Block]) -> None:
    assert blocks_of(html) == blocks


def test_lists_keep_their_depth_and_their_numbers() -> None:
    html = "<ul><li>a <b>b</b><ul><li>c</ul>d<li><p>e</p><p>f</p></ul><ol><li>x<li>y</ol>"
    assert blocks_of(html) == [
        Item((Run("a "), Run("b", "B")), 1, "•"),
        Item((Run("c"),), 2, "•"),
        Item((Run("d"),), 1, ""),
        Item((Run("e"),), 1, "•"),
        Item((Run("f"),), 1, ""),
        Item((Run("x"),), 1, "1."),
        Item((Run("y"),), 1, "2."),
    ]


def test_a_table_of_data_stays_one_and_its_rows_are_of_one_width() -> None:
    html = "<table><tr><th>What</th><th>Kč</th></tr><tr><td><b>Tea</b> leaves</td></tr><tr></tr></table>"
    assert blocks_of(html) == [Table((("What", "Kč"), ("Tea leaves", "")), has_head=True)]


@pytest.mark.parametrize(
    "html",
    [
        '<table role="presentation"><tr><td>a</td><td>b</td></tr></table>',
        "<table><tr><td>a</td></tr><tr><td>b</td></tr></table>",
        "<table><tr><td><table><tr><td>a</td></tr></table></td><td>b</td></tr></table>",
    ],
    ids=["presentation", "one column", "nested"],
)
def test_a_table_for_the_look_of_a_screen_is_paragraphs(html: str) -> None:
    assert blocks_of(html) == [paragraph("a"), paragraph("b")]


def test_a_link_says_where_it_leads_unless_it_shows_it() -> None:
    html = (
        '<a href="https://shop.example.com/a?b=1&amp;c=2">here</a>, '
        '<a href="https://shop.example.com/">shop.example.com</a>, <a href="mailto:a@example.com">mail</a>'
    )
    assert blocks_of(html) == [paragraph("here (shop.example.com/a?b=1&c=2), shop.example.com, mail")]


def test_a_picture_is_its_alternative_text_and_is_never_fetched() -> None:
    html = '<img src="file:///etc/passwd" alt="Our logo"><img src="http://169.254.169.254/">'
    assert blocks_of(html) == [paragraph("Our logo")]


@pytest.mark.parametrize(
    "html",
    [
        "",
        "   ",
        "<p></p><ul></ul><table></table>",
        "<style>p {}</style><script>x</script><title>t</title><!-- c -->",
        '<p style="color: red; display: NONE">x</p><p hidden>y</p>',
        "<svg><text>x</text></svg><textarea>y</textarea>",
    ],
)
def test_what_nobody_reads_gives_nothing(html: str) -> None:
    assert blocks_of(html) == []
