"""No template keeps a worker busy, fills its memory, or brings its process down."""

import subprocess
import sys

import pytest

from channels import template_limits
from channels.errors import TemplateFailed
from channels.templates import TemplateSource, check, render, render_text, text_of
from processes.values import Json

GROWN = "{% assign x = 'a' %}{% for i in (1..18) %}{% assign x = x | append: x %}{% endfor %}"
"""Puts 262,144 letters into `x`."""


@pytest.mark.parametrize(
    ("source", "message"),
    [
        (GROWN + "{{ x | replace: 'a', x | size }}", "longer than"),
        (GROWN + "{% assign y = x | slice: 0, 9000 | split: '' %}{{ y | join: x | size }}", "longer than"),
        (GROWN + "{{ x | split: '' | size }}", "more than 10,000 items"),
        (GROWN + "{{ x" + " | append: x" * 4 + " }}", "longer than"),
        (
            "{% assign n = 99999999 %}{% for i in (1..30) %}{% assign n = n | times: n %}{% endfor %}",
            "a number grows too long",
        ),
        ("{% for i in (1..9999) %}{% endfor %}" * 100, "does too much"),
        ("{% assign x = (1..9999) | sort | uniq | size %}", "does too much"),
        ("{{ 'a' | upcase }}" * 30 + GROWN + "{{ x | upcase | size }}" * 2000, "does too much"),
    ],
)
def test_what_grows_or_lasts_is_stopped(source: str, message: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(template_limits, "SECONDS", 60)  # a busy machine would be stopped by the clock first
    with pytest.raises(TemplateFailed, match=message):
        render_text(source, {})


def test_partials_that_call_partials_count_together(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(template_limits, "SECONDS", 60)  # a busy machine would be stopped by the clock first
    levels = [TemplateSource(subject="s", text=f"{{% render 'p{n + 1}' %}}" * 10) for n in range(12)]
    templates = {f"p{n}": source for n, source in enumerate(levels)}
    templates["p12"] = TemplateSource(subject="s", text="x")

    with pytest.raises(TemplateFailed, match="does too much"):
        render(templates["p0"], {}, templates)


def test_what_one_render_was_given_is_unknown_to_the_next() -> None:
    secret = TemplateSource(subject="s", text="{{ name }}{% assign kept = name %}{{ x | divided_by: 0 }}")
    own = {"own": TemplateSource(subject="s", text="mine")}
    message = TemplateSource(subject="s", text="{% render 'own' %}{{ kept }}{{ name }}")

    with pytest.raises(TemplateFailed):
        render(secret, {"name": "Anna", "x": 1}, own)

    with pytest.raises(TemplateFailed, match="there is no template «own»"):
        render(message, {})
    assert render(message, {}, own).text == "mine"


def test_what_is_dear_in_one_node_is_stopped_by_the_clock(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(template_limits, "SECONDS", 0.05)
    dear = "{% case 0 %}" + "{% when 1, 2, 3, 4, 5, 6, 7, 8, 9 %}" * 200 + "{% endcase %}"

    with pytest.raises(TemplateFailed, match=r"more than 0\.05 seconds"):
        render_text("{% for i in (1..9999) %}" + dear + "{% endfor %}", {})


def test_an_honest_long_message_is_far_from_the_limits() -> None:
    products: list[Json] = [{"name": f"Tea {n}", "price": n, "tags": ["a", "b"]} for n in range(1000)]
    source = (
        "{% for p in products %}{% if p.price > 5 %}{{ p.name | upcase | escape }}: {{ p.price | money: 'CZK' }} "
        "{{ p.tags | join: ', ' }}{% endif %}\n{% endfor %}{{ products | map: 'name' | uniq | size }}"
    )

    assert render_text(source, {"products": products}).endswith("\n1000")


@pytest.mark.parametrize(
    ("source", "line", "message"),
    [
        ("\n" + "{{ x" * 50_000, 2, "expected '}}', found end of file"),
        ("{{ a }}\n" + "{% x" * 50_000, 2, "expected '%}', found end of file"),
        ("{% raw %}" * 50_000, 1, "raw tag was never closed"),
        ("{%- doc -%}" * 50_000, 1, "doc tag was never closed"),
        ("{{" + " " * 100_000 + "}}", 1, "more than 200 blanks"),
        ("{% if" + "\n" * 100_000 + "%}{% endif %}", 1, "more than 200 blanks"),
        ("{% if " + "(" * 50_000 + "a" + ")" * 50_000 + " %}{% endif %}", 1, "more than 100 parentheses"),
    ],
)
def test_what_is_long_to_read_is_refused_at_once(source: str, line: int, message: str) -> None:
    found = check(TemplateSource(subject="s", text=source))

    assert [(problem.line, message in problem.message) for problem in found] == [(line, True)]
    with pytest.raises(TemplateFailed, match=message.replace("}", r"\}")):
        render_text(source, {})


def test_what_is_written_as_it_is_may_hold_anything() -> None:
    source = "{% raw %}{{ never {% closed {% endraw %}{{ a }}{%- doc -%} {{ {%- enddoc -%} b"

    assert render_text(source, {"a": 1}) == "{{ never {% closed 1b"
    assert check(TemplateSource(subject="s", text=source)) == []


def test_mjml_as_deep_as_it_may_be_does_not_overrun_the_stack() -> None:
    program = """
from channels.template_limits import MOST_TAGS, compiled
for name in ("mj-wrapper", "mj-hero", "mj-raw", "div"):
    for body in (f"<{name}>" * (MOST_TAGS - 2), f"<{name}>" * 9000 + f"</{name}>" * 9000 + "</mj-body></mjml>"):
        try:
            compiled("<mjml><mj-body>" + body)
        except ValueError:
            pass
print("alive")
"""
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=False)

    assert (done.returncode, done.stdout) == (0, "alive\n")


def test_more_tags_than_that_are_refused() -> None:
    deep = TemplateSource(subject="s", mjml="<mjml><mj-body>" + "<mj-wrapper>" * 30_000)

    assert [problem.message for problem in check(deep)] == ["there are more than 20,000 tags"]
    with pytest.raises(TemplateFailed, match="more than 20,000 tags"):
        render(deep, {})
    with pytest.raises(TemplateFailed, match="more than 60,000 tags"):
        text_of("<td>" * 70_000)


def test_mjml_that_grows_too_long_is_refused() -> None:
    deep = "<mj-hero>" * 4000 + "</mj-hero>" * 4000
    source = TemplateSource(subject="s", mjml=f"<mjml><mj-body>{deep}</mj-body></mjml>")

    with pytest.raises(TemplateFailed, match="more than 4,000,000 characters of HTML"):
        render(source, {})
