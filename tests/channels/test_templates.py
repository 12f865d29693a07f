"""Templates render for each recipient, let no contact's words become markup, and say where they fail."""

from collections.abc import Iterator

import pytest
from pydantic import ValidationError

from channels import templates
from channels.errors import TemplateFailed
from channels.templates import TemplateProblem, TemplateSource, check, render, render_text
from processes.values import Json

PAGE = "<mjml>\n<mj-body><mj-section><mj-column>\n{}\n</mj-column></mj-section></mj-body>\n</mjml>"


def mjml(inner: str) -> TemplateSource:
    return TemplateSource(subject="Hello", mjml=PAGE.format(inner))


def test_mjml_becomes_html_and_a_text_with_links() -> None:
    source = TemplateSource(
        subject="Hello {{ contact.name }}",
        mjml=PAGE.format(
            "<mj-text>Hello {{ contact.name }}<br>and all</mj-text>"
            '<mj-button href="{{ shop }}">Shop</mj-button>'
            "{% for item in order.items %}<mj-text>{{ item.name }}</mj-text>{% endfor %}"
        ),
    )
    context: dict[str, Json] = {
        "contact": {"name": "Jane"},
        "shop": "https://shop.test/?a=1&b=2",
        "order": {"items": [{"name": "Tea"}, {"name": "Milk"}]},
    }

    rendered = render(source, context)

    assert rendered.subject == "Hello Jane"
    assert rendered.html is not None
    assert 'href="https://shop.test/?a=1&amp;b=2"' in rendered.html
    assert "<mj-" not in rendered.html
    assert rendered.text == "Hello Jane\nand all\n[Shop](https://shop.test/?a=1&b=2)\n\nTea\nMilk\n"


def test_a_text_of_its_own_is_used() -> None:
    source = TemplateSource(subject="s", html="<p>{{ x }}</p>", text="Text {{ x }}")

    rendered = render(source, {"x": "<1>"})

    assert (rendered.html, rendered.text) == ("<p>&lt;1&gt;</p>", "Text <1>")


def test_text_alone_is_enough() -> None:
    assert render(TemplateSource(subject="s", text="Hi"), {}).html is None


@pytest.mark.parametrize(
    "parts", [{}, {"mjml": "<mjml></mjml>", "html": "<p>"}, {"html": "<p>", "body": "x"}], ids=str
)
def test_a_template_has_one_body(parts: dict[str, str]) -> None:
    with pytest.raises(ValidationError):
        TemplateSource.model_validate({"subject": "s", **parts})


@pytest.mark.parametrize(
    "value", ["<script>alert(1)</script>", '" onclick="x', "</mj-text><mj-raw>x</mj-raw>"]
)
def test_what_a_contact_wrote_does_not_become_markup(value: str) -> None:
    source = mjml('<mj-text>{{ v }}</mj-text><mj-button href="https://x.test/{{ v }}">x</mj-button>')

    html = render(source, {"v": value}).html

    assert html is not None
    assert value not in html
    assert 'onclick="' not in html


def test_what_a_contact_wrote_is_not_rendered_as_a_template() -> None:
    attack = "{{ secret }}{% include 'x' %}{% for i in (1..9999999) %}x{% endfor %}"

    rendered = render(TemplateSource(subject="{{ v }}", html="{{ v }}"), {"v": attack, "secret": "S"})

    assert rendered.subject == attack
    assert "{{ secret }}" in (rendered.html or "")


def test_a_missing_value_renders_as_nothing() -> None:
    assert render_text("[{{ a }}{{ a.b.c[0].d }}{{ a | upcase }}{% if a %}x{% endif %}]", {}) == "[]"
    assert render_text('{{ contact.name | default: "friend" }}', {}) == "friend"


def test_the_subject_is_one_line() -> None:
    source = TemplateSource(subject=" Hi\r\nBcc: {{ v }}\t! ", text="x")

    assert render(source, {"v": "a\nb\x00c\u2028d"}).subject == "Hi Bcc: a b c d !"


@pytest.mark.parametrize(
    ("source", "expected"),
    [
        ("{{ 1299 | money: 'CZK' }}", "1,299.00 CZK"),
        ("{{ total | money: currency }}", "1,234,567.89 EUR"),
        ("{{ '19.9' | money: 'USD' }}", "19.90 USD"),
        ("{{ 5 | money }}", "5.00"),
        ("{{ -0.5 | money: 'EUR' }}", "-0.50 EUR"),
        ("{{ missing | money: 'EUR' }}", ""),
        ("{{ nothing | money: currency }}", ""),
    ],
)
def test_money(source: str, expected: str) -> None:
    context: dict[str, Json] = {"total": 1234567.89, "currency": "EUR", "nothing": None}

    assert render_text(source, context) == expected


@pytest.mark.parametrize(
    ("source", "line", "message"),
    [
        ("a\n{{ x | nope }}", 2, "unknown filter 'nope'"),
        ("a\n\n{% frob %}", 3, "unexpected tag 'frob'"),
        ("{% include 'secrets' %}", 1, "unexpected tag 'include'"),
        ("{% render 'secrets' %}", 1, "there is no template «secrets»"),
        ("{{ x", 1, "expected '}}'"),
        ("a\n{{ 1 | divided_by: 0 }}", 2, "divided_by"),
        ("{{ 'many' | money: 'CZK' }}", 1, "not an amount"),
    ],
)
def test_a_template_that_fails_says_where(source: str, line: int, message: str) -> None:
    with pytest.raises(TemplateFailed, match=message) as caught:
        render_text(source, {})

    assert caught.value.part == "text"
    assert caught.value.line == line


@pytest.mark.parametrize(
    "source",
    [
        "{% for i in (1..999999999) %}x{% endfor %}",
        "{% for i in (1..9000) %}{% for j in (1..9000) %}x{% endfor %}{% endfor %}",
        "{{ (1..999999999) | join: '' }}",
        "{% assign x = 'aaaaaaaa' %}{% for i in (1..100) %}{% assign x = x | append: x %}{% endfor %}",
        "{% for i in (1..9000) %}{{ long }}{% endfor %}",
        "{% tablerow i in (1..999999999) %}x{% endtablerow %}",
        "{% if a %}" * 100 + "{% endif %}" * 100,
    ],
)
def test_a_template_can_not_eat_the_worker(source: str) -> None:
    with pytest.raises(TemplateFailed):
        render_text(source, {"long": "x" * 1000})


@pytest.mark.parametrize(
    ("inner", "line"),
    [("<mj-text>", 3), ("<mj-include path='/etc/passwd' />", 3), ("<mj-text>\n<b>\n</mj-text>", None)],
)
def test_mjml_that_does_not_compile_fails(inner: str, line: int | None) -> None:
    with pytest.raises(TemplateFailed) as caught:
        render(mjml(inner), {})

    assert caught.value.part == "mjml"
    assert caught.value.line == line


def test_check_finds_every_problem_at_once() -> None:
    source = TemplateSource(
        subject="{{ a b }}",
        mjml="<mjml>\n{% frob %}\n{% if false %}{{ a | nope }}{% endif %}\n{{ b | nix }}</mjml>",
        text="fine\n{% for %}{% endfor %}",
    )

    assert check(source) == [
        TemplateProblem(part="subject", line=1, message="expected end of expression, found word"),
        TemplateProblem(part="mjml", line=2, message="unexpected tag 'frob'"),
        TemplateProblem(part="mjml", line=3, message="unknown filter 'nope'"),
        TemplateProblem(part="mjml", line=4, message="unknown filter 'nix'"),
        TemplateProblem(part="text", line=2, message="missing expression"),
    ]


def test_check_compiles_the_mjml() -> None:
    assert check(mjml("<mj-text>{{ name }}</mj-text>")) == []
    assert [problem.part for problem in check(mjml("<mj-text>"))] == ["mjml"]
    assert check(mjml("<mj-txt>typo</mj-txt>")) == [
        TemplateProblem(part="mjml", line=3, message="unknown element <mj-txt>")
    ]


def test_check_does_not_mind_that_values_are_missing() -> None:
    assert check(mjml("<mj-text>{{ 1 | divided_by: rate }}</mj-text>")) == []


@pytest.fixture
def forgotten() -> Iterator[None]:
    templates._parsed.cache_clear()
    yield
    templates._parsed.cache_clear()


@pytest.mark.usefixtures("forgotten")
def test_a_template_is_parsed_once() -> None:
    for name in ("Jane", "Joe", "Eve"):
        assert render_text("Hello {{ name }}", {"name": name}) == f"Hello {name}"

    assert templates._parsed.cache_info().misses == 1
