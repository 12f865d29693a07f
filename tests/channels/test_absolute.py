"""Which links and images a template may have."""

import pytest

from channels.absolute import forbidden_addresses, relative_addresses
from channels.errors import TemplateFailed
from channels.templates import TemplateSource, render, text_of
from processes.values import Json

APPS = (
    "whatsapp://send?text=hi", "myapp://cart/5", "tel:+420123456789", "tel:123", "sms:123", "mailto:a@example.com",
    "fb-messenger://user/1", "com.example.app:/cart", "intent://x#Intent;scheme=y;end", "HTTPS://x.test", "#top", "",
    "{{ url }}", "*|ADDTAG_x|*", "https://x.test/?javascript:1",
)  # fmt: skip
FORBIDDEN = (
    "javascript:alert(1)", "JaVaScRiPt:alert(1)", " javascript:x", "java\tscript:x", "java&#10;script:x",
    "&#1;javascript:x", "data:text/html,x", "vbscript:x",
    "file:///etc/passwd", "java\u200bscript:x", "&#106;avascript:x",
    "blob:x",
)  # fmt: skip
RELATIVE = (
    "/tea",
    "tea.html",
    "//x.test/y",
    "?a=1",
    "www.x.test",
    "x.test:8080/y",
    "localhost:8080",
    "http:/x",
    "[[LINK]]",
)


def faults(source: str) -> list[str]:
    return [message for _, message in relative_addresses(source)]


@pytest.mark.parametrize("address", APPS)
def test_a_link_may_be_of_any_app(address: str) -> None:
    assert faults(f'<a href="{address}">x</a>') == []


@pytest.mark.parametrize("address", FORBIDDEN)
@pytest.mark.parametrize(
    "tag", ['<a href="{}">', '<mj-button href="{}">', '<form action="{}">', '<img src="{}">']
)
def test_what_runs_or_reads_is_refused_however_it_is_spelled(address: str, tag: str) -> None:
    (message,) = faults(tag.format(address))
    assert "which no message may have" in message


@pytest.mark.parametrize("address", RELATIVE)
def test_what_leads_nowhere_from_an_inbox_is_refused(address: str) -> None:
    (message,) = faults(f'<a href="{address}">x</a>')
    assert message == f"the link «{address}» is not absolute"


@pytest.mark.parametrize(
    "address", ["https://x.test/a.png", "cid:logo", "data:image/png;base64,AA", "{{ picture }}"]
)
def test_images(address: str) -> None:
    assert faults(f'<img src="{address}">') == []
    assert faults('<img src="a.png">') == ["the image «a.png» is not absolute"]
    assert faults('<img src="myapp://a">') == ["the image «myapp://a» is not absolute"]


def test_the_base_of_a_navbar_counts_for_its_links_alone() -> None:
    link = '<mj-navbar-link href="/tea">x</mj-navbar-link>'

    assert faults(f'<mj-navbar base-url="https://x.test">{link}</mj-navbar>') == []
    assert (
        faults(
            f'<mj-attributes><mj-navbar base-url="https://x.test" /></mj-attributes><mj-navbar>{link}</mj-navbar>'
        )
        == []
    )
    assert len(faults(f"<mj-navbar>{link}</mj-navbar>")) == 1
    assert len(faults(f'<mj-navbar base-url="javascript:">{link}</mj-navbar>')) == 2
    assert len(faults(f'<mj-navbar base-url="https://x.test">{link}</mj-navbar><a href="/y">y</a>')) == 1


def test_what_is_shared_goes_into_the_networks_own_address() -> None:
    assert faults('<mj-social-element name="facebook" href="[[SHORT_PERMALINK]]">') == []
    assert len(faults('<mj-social-element name="facebook-noshare" href="/x">')) == 1


MJML = "<mjml><mj-body><mj-section><mj-column>{}</mj-column></mj-section></mj-body></mjml>"
FROM_VALUES = (
    "javascript:alert(1)", "JavaScript:alert(1)", "\x01 java\tscript:x", "java\nscript:x", "java\u200bscript:x",
    "vbscript:x", "data:text/html,<script>x</script>", "file:///etc/passwd",
)  # fmt: skip


def rendered(source: TemplateSource, link: str) -> str:
    context: dict[str, Json] = {"contact": {"link": link}, "event": {"params": {"link": link}}}
    return render(source, context).html or ""


@pytest.mark.parametrize("link", FROM_VALUES)
@pytest.mark.parametrize(
    "html",
    [
        '<a href="{{ contact.link }}">x</a>',
        "<A CLASS=y HREF = '{{ event.params.link | safe }}'>x</A>",
        '<a href="{{ contact.link | slice: 0 }}{{ contact.link | slice: 1, 999 }}">x</a>',
        '<img alt="" src="{{ contact.link }}">',
        '<!--[if mso]><v:rect href="{{ contact.link }}"></v:rect><![endif]-->',
        '<svg><a xlink:href="{{ contact.link }}">x</a></svg>',
    ],
)
def test_a_value_that_runs_or_reads_as_an_address_fails_the_message(html: str, link: str) -> None:
    with pytest.raises(TemplateFailed, match="which no message may have") as failed:
        rendered(TemplateSource(subject="s", html=html), link)
    assert failed.value.part == "html"


@pytest.mark.parametrize("link", [one for one in FROM_VALUES if "\x01" not in one])
@pytest.mark.parametrize(
    "inner",
    [
        '<mj-button href="{{ contact.link }}">x</mj-button>',
        '<mj-image src="{{ event.params.link }}" />',
        '<mj-text><a href="{{ contact.link }}">x</a></mj-text>',
    ],
)
def test_a_value_as_an_address_in_mjml_is_read_in_the_html(inner: str, link: str) -> None:
    with pytest.raises(TemplateFailed, match="which no message may have") as failed:
        rendered(TemplateSource(subject="s", mjml=MJML.format(inner)), link)
    assert failed.value.part == "mjml"


@pytest.mark.parametrize(
    "address",
    [
        "&#106;avascript:x",
        "&#x6A;avascript&colon;x",
        "java&Tab;script:x",
        "&#106avascript:x",
        "java&NewLine;script:x",
    ],
)
def test_references_hide_no_scheme(address: str) -> None:
    (message,) = forbidden_addresses(f"<p>Hello</p><a href={address}>x</a>")
    assert message.startswith("the link «")


@pytest.mark.parametrize("link", [one for one in APPS if "{" not in one and "|" not in one])
def test_a_value_may_be_any_other_address(link: str) -> None:
    template = TemplateSource(subject="s", html='<a href="{{ contact.link }}">x</a>')
    assert text_of(rendered(template, link)).strip().startswith(("x", "[x]"))


@pytest.mark.parametrize("picture", ["https://x.test/a.png", "cid:logo", "data:image/png;base64,AA"])
def test_a_value_may_be_a_picture(picture: str) -> None:
    template = TemplateSource(subject="s", html='<img alt="" src="{{ contact.link }}">')
    assert picture in rendered(template, picture)


@pytest.mark.parametrize(
    "html",
    [
        "<p>write href=javascript:x</p>",
        "<!-- href='javascript:x' -->",
        '<p title="javascript:x" data-href="javascript:x">',
    ],
)
def test_what_is_no_address_may_say_anything(html: str) -> None:
    assert list(forbidden_addresses(html)) == []
