"""Which links and images a template may have."""

import pytest

from channels.absolute import relative_addresses

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
