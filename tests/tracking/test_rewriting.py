"""Links of a rendered message lead through us and back to where they led; nothing else of the message changes."""

import html as standard
import re
from html.parser import HTMLParser

import pytest
from hypothesis import given
from hypothesis import strategies as st

from channels.errors import TemplateFailed
from channels.links import Click, LinkSigner, Sent
from channels.message_links import MessageLinks, untracked
from channels.templates import Rendered, TemplateSource, render
from channels.tracking import LONGEST_URL, track

OURS = "https://mail.shop.example/t/"
SENT = Sent("m1", "c1", "spring")
signer = LinkSigner("key")
links = MessageLinks(signer, "https://mail.shop.example", SENT)


def through(url: str, tags: tuple[str, ...]) -> str:
    """An address that shows what was asked for."""
    return f"<{url}|{','.join(tags)}>"


def tracked(html: str, *, clicks: bool = True) -> str:
    """The document with its links marked, without a pixel."""
    return track(html, through=through, own=OURS, clicks=clicks)


def a_click(address: str) -> Click:
    """What an address in a tracked message stands for."""
    assert address.startswith(f"{OURS}c/")
    return signer.read_click(address.removeprefix(f"{OURS}c/"))


def hrefs(html: str) -> list[str]:
    """The links of a document, as a reader of HTML sees them."""
    found: list[str] = []

    class Reader(HTMLParser):
        def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
            if tag != "link":
                found.extend(value or "" for name, value in attrs if name == "href")

    Reader().feed(html)
    return found


@pytest.mark.parametrize(
    ("html", "after"),
    [
        ('<a href="https://x.cz/?a=1&amp;b=2">go</a>', '<a href="<https://x.cz/?a=1&b=2|>">go</a>'),
        ("<A\n  HREF = 'HTTP://X.cz/' >go</A>", "<A\n  HREF = '<HTTP://X.cz/|>' >go</A>"),
        ("<a class=b href=http://x/y/>", "<a class=b href=<http://x/y/|>>"),
        ('<map><area href="http://x"></map>', '<map><area href="<http://x|>"></map>'),
        ('<a href=" http://x/\n y ">', '<a href="<http://x/ y|>">'),
        ('<a href="http://x" href="http://y">', '<a href="<http://x|>" href="http://y">'),
        (
            '<a title=\'href="http://no"\' href="http://x">',
            '<a title=\'href="http://no"\' href="<http://x|>">',
        ),
        ('<a href="http://x/?copy=1&copy=2&copy;&#38;z">', '<a href="<http://x/?copy=1&copy=2©&z|>">'),
        (
            '<!--[if mso]><v:roundrect href="http://x"></v:roundrect><![endif]-->',
            '<!--[if mso]><v:roundrect href="<http://x|>"></v:roundrect><![endif]-->',
        ),
        (
            "<!--[if !mso]><!--><a href='http://x'>y</a><!--<![endif]-->",
            "<!--[if !mso]><!--><a href='<http://x|>'>y</a><!--<![endif]-->",
        ),
        ("<![if !mso]><a href='http://x'><![endif]>", "<![if !mso]><a href='<http://x|>'><![endif]>"),
        ("<![odd thing]><a href='http://x'>", "<![odd thing]><a href='<http://x|>'>"),
        ("čeština 😀\r\n\n<a href=http://x>", "čeština 😀\r\n\n<a href=<http://x|>>"),
    ],
)
def test_a_link_leads_through_us(html: str, after: str) -> None:
    assert tracked(html) == after


@pytest.mark.parametrize(
    "html",
    [
        '<a href="mailto:shop@x.cz">',
        '<a href="tel:+420601234567">',
        '<a href="#top">',
        '<a href="">',
        "<a href>",
        "<a>",
        '<a href="//x.cz/">',
        '<a href="ftp://x.cz/">',
        '<a href="javascript:alert(1)">',
        '<a href="http://[x">',
        '<a href="http:///y">',
        f'<a href="{OURS}unsubscribe/abc">',
        f'<a href="{OURS}p/abc">',
        f'<a href="https://x.cz/{"y" * LONGEST_URL}">',
        '<link rel="stylesheet" href="https://x.cz/s.css">',
        '<base href="https://x.cz/">',
        '<img src="https://x.cz/i.png">',
        '<a data-href="https://x.cz/">',
        '<script>"<a href=http://x>"</script><style>a[href="http://x"]{}</style>',
        "<!-- <a href=http://x> -->",
        "<a href=http://x",
        "text <a",
        "",
    ],
)
def test_everything_else_stays_byte_for_byte(html: str) -> None:
    assert tracked(html) == html


@given(st.text(alphabet="<>/a!-[]\"'= hrefhttp:x&;\n\r\tČ*|ADTG_%", max_size=80))
def test_no_document_fails_and_without_a_link_none_changes(html: str) -> None:
    try:
        after = tracked(html)
    except TemplateFailed:
        assert "ADDTAG_" in html
    else:
        assert after == html or "href" in html.lower()


@given(st.text(max_size=60), st.text(max_size=60))
def test_what_stands_around_a_link_stays(before: str, after: str) -> None:
    first, last = standard.escape(before), standard.escape(after)
    assert tracked(f'{first}<a href="http://x">{last}') == f'{first}<a href="<http://x|>">{last}'


def test_a_link_leads_back_to_the_very_address_that_a_browser_would_have_read() -> None:
    addresses = [
        "https://x.cz/?a=1&b=2#c",
        "https://x.cz/č?q=ž \"'<>",
        "http://x/%C4%8D?%7C",
        "https://x/?copy=1&lt",
    ]
    html = "".join(f'<a href="{standard.escape(address)}">' for address in addresses)
    rendered = links.tracked(Rendered(subject="s", html=html, text="t"), opens=False, clicks=True)
    assert rendered.html is not None
    assert [a_click(address).url for address in hrefs(rendered.html)] == addresses
    assert {a_click(address).sent for address in hrefs(rendered.html)} == {SENT}


def test_the_same_message_gives_the_same_bytes() -> None:
    rendered = Rendered(subject="s", html='<body><a href="http://x">x</a></body>', text="t")
    first = links.tracked(rendered, opens=True, clicks=True)
    again = MessageLinks(LinkSigner("key"), "https://mail.shop.example", SENT)
    assert again.tracked(rendered, opens=True, clicks=True) == first


@pytest.mark.parametrize(
    ("html", "place"),
    [
        ("<html><body><p>x</p></body></html>", "<html><body><p>x</p>%s</body></html>"),
        ("<p>x</p>", "<p>x</p>%s"),
        ("<body><!-- </body> --><p></p></BODY >\n", "<body><!-- </body> --><p></p>%s</BODY >\n"),
    ],
)
def test_the_pixel_stands_at_the_end_of_the_body(html: str, place: str) -> None:
    after = links.tracked(Rendered(subject="s", html=html, text="t"), opens=True, clicks=False).html
    assert after is not None
    pixel = re.search(r'<img src="([^"]+)" width="1" height="1" alt=""[^>]*>', after)
    assert pixel is not None
    assert after == place % pixel[0]
    assert signer.read_open(pixel[1].removeprefix(f"{OURS}o/").removesuffix(".gif")) == SENT


def test_what_is_not_to_be_tracked_stays_as_it_was() -> None:
    rendered = Rendered(subject="s", html='<a href="http://x">x</a>', text="[x](http://x)")
    assert links.tracked(rendered, opens=False, clicks=False) == rendered
    plain = Rendered(subject="s", html=None, text="http://x")
    assert links.tracked(plain, opens=True, clicks=True) == plain


# Merge tags


@pytest.mark.parametrize(
    ("href", "url", "tags"),
    [
        ("*|ADDTAG_mytag|*", "", ("mytag",)),
        ("*|ECM_ADDTAG_mytag|*", "", ("mytag",)),
        ("https://x.cz/p?*|ADDTAG_a|*", "https://x.cz/p", ("a",)),
        ("https://x.cz/p?*|ADDTAG_a|*&amp;q=1", "https://x.cz/p?q=1", ("a",)),
        ("https://x.cz/p?q=1&*|ECM_ADDTAG_a|*", "https://x.cz/p?q=1", ("a",)),
        ("*|ADDTAG_a|*https://x.cz/", "https://x.cz/", ("a",)),
        ("https://x.cz/*|ADDTAG_a|**|ADDTAG_b|**|ADDTAG_a|*", "https://x.cz/", ("a", "b")),
        ("*|ADDTAG_má rád čaj|*", "", ("má rád čaj",)),
        ("https://x.cz/?*%7CADDTAG_m%C3%A1%20r%C3%A1d%7C*", "https://x.cz/", ("má rád",)),
        ("%2A%7CECM_ADDTAG_a%7C%2A", "", ("a",)),
        ("*|ADDTAG_ a |*", "", ("a",)),
    ],
)
@pytest.mark.parametrize("clicks", [True, False])
def test_a_merge_tag_in_an_href_adds_its_tag(
    href: str, url: str, tags: tuple[str, ...], clicks: bool
) -> None:
    rendered = Rendered(subject="s", html=f'<a href="{href}">x</a>', text="t")
    html = links.tracked(rendered, opens=False, clicks=clicks).html
    assert html is not None
    (address,) = hrefs(html)
    assert a_click(address) == Click(SENT, url, tags)


@pytest.mark.parametrize(
    ("href", "words"),
    [
        ("*|ADDTAG_|*", "names no tag"),
        (f"*|ADDTAG_{'x' * 101}|*", "names no tag"),
        ("*|ADDTAG_a%00b|*", "names no tag"),
        ("mailto:x@y.cz?*|ADDTAG_a|*", "beside an http or https address"),
        (f"https://x.cz/{'y' * LONGEST_URL}*|ADDTAG_a|*", "beside an http or https address"),
    ],
)
def test_a_merge_tag_that_cannot_be_carried_out_is_an_error_of_the_template(href: str, words: str) -> None:
    with pytest.raises(TemplateFailed, match=words):
        tracked(f'<a href="{href}">')


def test_a_merge_tag_survives_liquid_and_mjml_and_takes_values_from_liquid() -> None:
    source = TemplateSource(
        subject="s",
        mjml="""<mjml><mj-body><mj-section><mj-column>
        <mj-button href="https://x.cz/?q={{ contact.q }}&amp;*|ADDTAG_likes {{ contact.likes }}|*">Yes</mj-button>
        <mj-text><a href="*|ECM_ADDTAG_no|*">No</a></mj-text>
        </mj-column></mj-section></mj-body></mjml>""",
    )
    rendered = render(source, {"contact": {"q": "a&b", "likes": "čaj & kávu"}})
    after = links.tracked(rendered, opens=True, clicks=True)
    assert after.html is not None
    assert [a_click(address) for address in hrefs(after.html)] == [
        Click(SENT, "https://x.cz/?q=a&b", ("likes čaj & kávu",)),
        Click(SENT, "", ("no",)),
    ]
    assert after.text == "[Yes](https://x.cz/?q=a&b&)\n\nNo\n"


def test_a_message_that_is_only_looked_at_shows_no_merge_tag() -> None:
    html = '<a href="https://x.cz/*|ADDTAG_a|*">x</a>'
    seen = untracked(Rendered(subject="s", html=html, text="x *|ADDTAG_a|*"))
    assert (seen.html, seen.text) == ('<a href="https://x.cz/">x</a>', "x ")
