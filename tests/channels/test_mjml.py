"""MJML: styles that are inlined, and what is wrong with it by its element and line."""

import re

import pytest

from channels.errors import TemplateFailed
from channels.mjml import html_of
from channels.templates import TemplateSource, check, render

PAGE = (
    "<mjml><mj-head>{}</mj-head><mj-body><mj-section><mj-column>{}</mj-column></mj-section></mj-body></mjml>"
)


def problems(mjml: str, **parts: str) -> list[tuple[str, int | None, str]]:
    found = check(TemplateSource(subject=parts.pop("subject", "s"), mjml=mjml, **parts))
    return [(problem.part, problem.line, problem.message) for problem in found]


def style_of(html: str, tag: str) -> dict[str, str]:
    """The declarations in the first such element's style."""
    found = re.search(rf'<{tag}\b[^>]*style="([^"]*)"', html)
    assert found is not None, html
    pairs = (one.partition(":")[::2] for one in found[1].split(";") if one.strip())
    return {name.strip(): value.strip() for name, value in pairs}


@pytest.mark.parametrize("inline", ['inline="inline"', "inline='inline'", 'css-class="x" inline = "inline"'])
def test_a_style_to_be_inlined_is_in_its_elements_and_not_in_a_sheet(inline: str) -> None:
    html = html_of(
        PAGE.format(
            f"<mj-style {inline}>.red {{ color: #ff0000 }}</mj-style>",
            '<mj-text><p class="red">x</p></mj-text>',
        )
    )

    assert style_of(html, "p") == {"color": "#ff0000"}
    assert ".red" not in html


def test_the_more_specific_and_the_important_win_and_a_media_query_stays_in_its_sheet() -> None:
    css = """
    p { color: red; margin: 1px } .a p { color: blue } p.b { margin: 2px !important } p { margin: 3px };
    p { padding: 4px }
    """
    html = html_of(
        PAGE.format(
            f'<mj-style inline="inline">{css}</mj-style>'
            "<mj-style>@media (max-width: 9px) { p { color: lime } }</mj-style>",
            '<mj-text css-class="a"><p class="b" style="font-size: 5px">x</p></mj-text>',
        )
    )

    style = style_of(html, "p")
    assert (style["color"], style["padding"], style["font-size"]) == ("blue", "4px", "5px")
    assert style["margin"].startswith("2px")
    assert "@media (max-width: 9px)" in html


def test_what_outlook_alone_reads_stays_where_styles_are_inlined() -> None:
    body = (
        '<mj-text><p class="red">x</p></mj-text><mj-button href="https://x.test/?a=1&amp;b=2">y</mj-button>'
    )
    plain = html_of(PAGE.format("", body))

    html = html_of(PAGE.format('<mj-style inline="inline">.red { color: red }</mj-style>', body))

    comments = re.compile(r"<!--.*?-->", re.DOTALL)
    assert comments.findall(html) == comments.findall(plain)
    assert 'href="https://x.test/?a=1&amp;b=2"' in html


def test_a_style_fetches_nothing_and_a_template_without_one_is_not_touched() -> None:
    linked = '<mj-raw><link rel="stylesheet" href="file:///etc/passwd"></mj-raw><mj-text><p class="red">x</p></mj-text>'
    html = html_of(PAGE.format('<mj-style inline="inline">.red { color: red }</mj-style>', linked))

    assert 'href="file:///etc/passwd"' in html
    assert "root:" not in html


def test_a_value_in_a_style_is_the_recipients() -> None:
    mjml = PAGE.format(
        '<mj-style inline="inline">p { color: {{ colour }} }</mj-style>', "<mj-text><p>x</p></mj-text>"
    )

    html = render(TemplateSource(subject="s", mjml=mjml), {"colour": "#123456"}).html or ""

    assert style_of(html, "p") == {"color": "#123456"}


def test_the_links_of_a_navbar_begin_with_its_base() -> None:
    mjml = (
        '<mjml><mj-body><mj-section><mj-column><mj-navbar base-url="https://shop.example.com">'
        '<mj-navbar-link href="/tea">Tea</mj-navbar-link></mj-navbar></mj-column></mj-section></mj-body></mjml>'
    )

    assert problems(mjml) == []
    assert 'href="https://shop.example.com/tea"' in html_of(mjml)


def test_every_element_that_is_unknown_or_not_closed_is_named_with_its_line() -> None:
    mjml = """<mjml>
<mj-body>
<mj-section>
<mj-column>
<mj-txt>a</mj-txt>
<mj-text>b
</mj-column>
<mj-foo />
</mj-section></mj-body></mjml>"""

    assert problems(mjml) == [
        ("mjml", 5, "unknown element <mj-txt>"),
        ("mjml", 8, "unknown element <mj-foo>"),
    ]
    assert problems(mjml.replace("mj-txt", "mj-text").replace("<mj-foo />", "<mj-spacer />")) == [
        ("mjml", 6, "<mj-text> is not closed")
    ]


@pytest.mark.parametrize(
    ("inner", "line", "message"),
    [
        ("\n<mj-text>a < b</mj-text>", 3, "a < that begins no tag is written &lt;"),
        (
            '\n<mj-button href="https://x.test"color="red">a</mj-button>',
            3,
            "a blank is missing between the attributes",
        ),
        ('\n<mj-button href="https://x.test?a=1">', 3, "<mj-button> is not closed"),
        ("</mj-group>", 2, "</mj-group> closes nothing"),
        (
            "<mj-include path='x' />",
            2,
            "element <mj-include>: no file is read: make a template of what is to be put in, and write {% render",
        ),
    ],
)
def test_what_does_not_compile_says_which_element_on_which_line_of_the_template(
    inner: str, line: int, message: str
) -> None:
    mjml = f"<mjml><mj-body><mj-section><mj-column>\n{inner}\n</mj-column></mj-section></mj-body></mjml>"
    ((part, found, words),) = problems(mjml)

    assert (part, found) == ("mjml", line)
    assert message in words
    with pytest.raises(TemplateFailed, match=f"mjml, line {line}"):
        render(TemplateSource(subject="s", mjml=mjml), {})


def test_an_element_in_the_wrong_place_is_named_whatever_liquid_stands_before_it() -> None:
    loop = "{% for i in (1..3) %}\n{% endfor %}"

    assert problems(f"<mjml>{loop}\n<mj-text>x</mj-text></mjml>") == [
        ("mjml", 3, "unexpected element <mj-text>")
    ]


def test_all_that_is_wrong_is_said_at_once() -> None:
    links = '<a href="/x">x</a>\n<a href="*|ADDTAG_|*">y</a>'
    mjml = f"<mjml>\n{{{{ a | nope }}}}\n<mj-txt>\n{links}</mj-txt>\n{{% frob %}}</mjml>"

    found = problems(mjml, subject="{{ a b }}", text="\n{% for %}{% endfor %}")

    assert [(part, line) for part, line, _ in found] == [
        ("subject", 1), ("mjml", 2), ("mjml", 6), ("text", 2), ("mjml", 4), ("mjml", 5), ("mjml", 3),
    ]  # fmt: skip


def test_a_link_of_pictures_is_named_by_them_in_the_text() -> None:
    html = (
        '<a href="https://shop.example.com/buy"><img src="https://shop.example.com/i.png" alt="Buy now"></a> '
        '<a href="https://x.test/1"><img src="https://x.test/1.png" alt="One">'
        '<img src="https://x.test/2.png" alt="two"></a> '
        '<a href="https://x.test/2"><img src="https://x.test/3.png" alt="no"> words</a> '
        '<a href="https://x.test/3"><img src="https://x.test/4.png"></a>'
    )

    text = render(TemplateSource(subject="s", html=html), {}).text

    assert "[Buy now](https://shop.example.com/buy)" in text
    assert "[One two](https://x.test/1)" in text
    assert "words](https://x.test/2)" in text
    assert "[https://x.test/3](https://x.test/3)" in text


GIVEN = (
    '<mj-html-attributes><mj-selector path="{}"><mj-html-attribute name="{}">{}</mj-html-attribute></mj-selector>'
    "</mj-html-attributes>"
)


def tag_of(html: str, tag: str) -> str:
    """The first such start tag."""
    found = re.search(rf"<{tag}\b[^>]*>", html)
    assert found is not None, html
    return found[0]


def test_attributes_are_given_to_the_elements_that_a_selector_means() -> None:
    body = '<mj-text css-class="offer"><p>x</p></mj-text><mj-text><p>y</p></mj-text>'

    html = html_of(PAGE.format(GIVEN.format(".offer > div p", "data-id", 'a &amp; "b"'), body))

    assert html.count("data-id") == 1
    assert '<p data-id="a &amp; &quot;b&quot;">x</p>' in html
    assert "onward" not in html


def test_an_attribute_replaces_the_one_that_is_there_and_a_class_is_styled() -> None:
    body = '<mj-text><p class="a" style="margin: 1px" title="old">x</p></mj-text>'
    given = (
        GIVEN.format("p.a", "title", "new")
        + GIVEN.format("p", "class", "b")
        + GIVEN.format("p", "title", "newer")
    )
    style = '<mj-style inline="inline">.b { color: red }</mj-style>'

    html = html_of(PAGE.format(given + style, body))

    assert 'title="newer"' in tag_of(html, "p")
    assert "old" not in tag_of(html, "p")
    assert style_of(html, "p") == {"margin": "1px", "color": "red"}


def test_attributes_leave_what_outlook_alone_reads() -> None:
    body = '<mj-text><p>a &lt; b</p></mj-text><mj-button href="https://x.test/?a=1&amp;b=2">y</mj-button>'
    comments = re.compile(r"<!--.*?-->", re.DOTALL)

    html = html_of(PAGE.format(GIVEN.format("a", "data-x", "1"), body))

    assert comments.findall(html) == comments.findall(html_of(PAGE.format("", body)))
    assert 'href="https://x.test/?a=1&amp;b=2"' in tag_of(html, "a")
    assert "a &lt; b" in html


def test_a_value_as_an_attribute_stays_a_value() -> None:
    mjml = PAGE.format(GIVEN.format("p", "data-x", "{{ said }}"), "<mj-text><p>x</p></mj-text>")

    html = render(TemplateSource(subject="s", mjml=mjml), {"said": '"><script>1</script>&'}).html or ""

    assert tag_of(html, "p").startswith('<p data-x="&quot;&gt;&lt;script&gt;1&lt;/script&gt;&amp;"')


@pytest.mark.parametrize(
    ("given", "message"),
    [
        (GIVEN.format("p[title=", "data-x", "1"), "the path 'p[title=' is no CSS selector <mj-selector>"),
        (GIVEN.format("p } *", "data-x", "1"), "the path 'p } *' is no CSS selector <mj-selector>"),
        (GIVEN.format("", "data-x", "1"), "the path '' is no CSS selector <mj-selector>"),
        (GIVEN.format("p", "on x", "1"), "the name 'on x' is no name of an attribute <mj-html-attribute>"),
        (
            "<mj-html-attributes><mj-html-attribute name='x'>1</mj-html-attribute></mj-html-attributes>",
            "an attribute stands outside of <mj-selector path=…> <mj-html-attribute>",
        ),
        ("<mj-html-attributes><p></p></mj-html-attributes>", "<p> has no place here <p>"),
    ],
)
def test_attributes_that_cannot_be_given_are_named_with_their_line(given: str, message: str) -> None:
    style = '<mj-style inline="inline">p { color: red }\n</mj-style>'

    assert problems(PAGE.format(f"{style}\n{given}", "<mj-text>x</mj-text>")) == [("mjml", 3, message)]


def test_places_after_what_is_taken_out_stay_right() -> None:
    head = '<mj-style inline="inline">p { color: red }\n\n</mj-style>' + GIVEN.format("p", "data-x", "ř")
    mjml = f"<mjml><mj-head>{head}</mj-head>\n<mj-text>x</mj-text></mjml>"

    assert problems(mjml) == [("mjml", 4, "unexpected element <mj-text>")]


def test_two_carousels_in_one_message_share_no_id() -> None:
    pictures = "".join(f'<mj-carousel-image src="https://x.test/{n}.png" />' for n in range(3))
    carousel = f"<mj-carousel>{pictures}</mj-carousel>"

    ids = re.findall(r' id="([^"]*)"', html_of(PAGE.format("", carousel + carousel)))

    assert len(ids) == 6
    assert len(set(ids)) == 6


ODD = "a\\b\\n\\u{22} \U0001f469\u200d\U0001f467 co\u00adop e\u0301"
"""A backslash, an emoji of two, a soft hyphen, an accent of its own: what a name of a product may have in it."""


@pytest.mark.parametrize(
    "inner",
    [
        '<mj-image src="https://x.test/a.png" alt="{{ name }}" title="{{ name }}" />',
        '<mj-text><img src="https://x.test/a.png" alt="{{ name }}" title="{{ name }}"></mj-text>',
        '<mj-raw><img src="https://x.test/a.png" alt="{{ name }}" title="{{ name }}"></mj-raw>',
    ],
)
def test_the_value_of_an_attribute_stays_as_it_is(inner: str) -> None:
    html = render(TemplateSource(subject="s", mjml=PAGE.format("", inner)), {"name": ODD}).html or ""

    assert f'alt="{ODD}"' in tag_of(html, "img")
    assert f'title="{ODD}"' in tag_of(html, "img")


def test_an_attribute_in_single_quotes_may_have_double_ones() -> None:
    link = """<mj-text><a href='https://x.test/?q="tea"' title='say "hi" & go'>x</a></mj-text>"""

    html = html_of(PAGE.format("", link))

    assert 'href="https://x.test/?q=&quot;tea&quot;"' in tag_of(html, "a")
    assert 'title="say &quot;hi&quot; & go"' in tag_of(html, "a")


def test_a_backslash_in_a_text_and_in_a_style_sheet_stays() -> None:
    html = html_of(
        PAGE.format('<mj-style>.a::before { content: "\\201C" }</mj-style>', "<mj-text>C:\\new</mj-text>")
    )

    assert 'content: "\\201C"' in html
    assert "C:\\new" in html
