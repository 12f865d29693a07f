"""One template inside another: the same part, the recipient's values, its own arguments, and the same limits."""

import pytest

from channels.errors import TemplateFailed
from channels.templates import TemplateSource, check, is_whole, render

FOOTER = TemplateSource(
    subject="Footer",
    mjml="<mj-section><mj-column><mj-text>Bye {{ contact.name }}, {{ who }}</mj-text></mj-column></mj-section>",
    text="Bye {{ contact.name }}, {{ who }}",
)
LOOP = TemplateSource(subject="Loop", text="{% render 'loop' %}")
PAGE = TemplateSource(subject="Page", html="<p>{{ contact.name }}</p>")
PARTIALS = {"footer": FOOTER, "loop": LOOP, "page": PAGE}
LETTER = TemplateSource(
    subject="Hello",
    mjml="<mjml><mj-body>{% render 'footer', who: shop %}</mj-body></mjml>",
    text="Hello\n{% render 'footer', who: shop %}",
)


def test_each_part_takes_the_same_part_with_the_recipients_values_escaped() -> None:
    rendered = render(LETTER, {"contact": {"name": "<Jane>"}, "shop": "Tea & Co"}, PARTIALS)
    assert rendered.html is not None
    assert "Bye &lt;Jane&gt;, Tea &amp; Co" in rendered.html
    assert rendered.text == "Hello\nBye <Jane>, Tea & Co"


def test_what_is_known_only_inside_stays_inside() -> None:
    partials = {"sets": TemplateSource(subject="s", text="{% assign x = 'inner' %}{{ y }}")}
    source = TemplateSource(subject="s", text="{% assign y = 'outer' %}[{% render 'sets' %}{{ x }}]")
    assert render(source, {}, partials).text == "[]"


def test_a_template_that_names_what_there_is_can_be_published() -> None:
    assert check(LETTER, PARTIALS) == []


@pytest.mark.parametrize(
    ("source", "part", "line", "message"),
    [
        (
            TemplateSource(subject="s", text="a\n{% if x %}{% render 'gone' %}{% endif %}"),
            "text", 2, "there is no template «gone»",
        ),
        (TemplateSource(subject="s", html="{% render 'footer' %}", text="t"), "html", 1, "has no html part"),
        (TemplateSource(subject="{% render 'page' %}", text="t"), "subject", 1, "has no text part"),
    ],
)  # fmt: skip
def test_a_partial_that_is_not_there_is_named_with_its_place(
    source: TemplateSource, part: str, line: int, message: str
) -> None:
    (problem,) = check(source, PARTIALS)
    assert (problem.part, problem.line) == (part, line)
    assert message in problem.message
    with pytest.raises(TemplateFailed, match=message):
        render(source, {"x": True}, PARTIALS)


def test_a_template_inside_itself_fails_and_does_not_go_on_for_ever() -> None:
    with pytest.raises(TemplateFailed, match="recursive"):
        render(LOOP, {}, PARTIALS)


def test_mjml_without_its_frame_is_good_as_a_part_and_no_message() -> None:
    assert check(FOOTER, PARTIALS) == []
    assert not is_whole(FOOTER)
    assert is_whole(LETTER)


def test_without_others_there_is_nothing_to_put_in() -> None:
    assert [p.message for p in check(LETTER)] == ["there is no template «footer»"] * 2


@pytest.mark.parametrize(
    ("html", "message"),
    [
        ('<p>\n<a href="/tea">Tea</a>', "the link «/tea» is not absolute"),
        ('\n<img src="tea.png">', "the image «tea.png» is not absolute"),
        (
            '\n<a href="javascript:alert(1)">x</a>',
            "the link «javascript:alert(1)» has the scheme «javascript:»",
        ),
        ('\n<a href="//shop.example.com">x</a>', "is not absolute"),
    ],
)
def test_an_address_that_leads_nowhere_from_an_inbox_is_named(html: str, message: str) -> None:
    (problem,) = check(TemplateSource(subject="s", html=html))
    assert (problem.part, problem.line) == ("html", 2)
    assert message in problem.message


def test_addresses_that_a_mail_program_can_follow_are_good() -> None:
    html = "".join(
        f'<a href="{address}">x</a>'
        for address in (
            "https://shop.example.com/?a=1", "mailto:jane@example.com", "tel:+420123456789", "#top",
            "{{ unsubscribe_url }}", "{% if x %}https://a.example{% endif %}", "*|ADDTAG_tea|*", "",
        )
    )  # fmt: skip
    assert check(TemplateSource(subject="s", html=html + '<img src="cid:logo">')) == []
