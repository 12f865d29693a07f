"""Expressions and tags that Shopify's Liquid reads, and python-liquid refuses or takes otherwise.

The values are those of liquid-spec and golden-liquid.
"""

from typing import Any

import pytest

from channels.errors import TemplateFailed
from channels.templates import TemplateSource, check, render, render_text

DATA: dict[str, Any] = {
    "product": "shoes",
    "key": "product",
    "array": ["one", "two"],
    "hash": {"first": "Hello", "limit": [1, 2], "offset": 1, "for": {"if": "deep"}},
    "limit": [1, 2, 3],
    "offset": 2,
    "for": "a word",
    "text": "hello",
    "paths": {"a": "key"},
}


def rendered(source: str) -> str:
    return render_text(source, DATA)


@pytest.mark.parametrize(
    ("source", "expected"),
    [
        ("{{ ['product'] }}", "shoes"),
        ('{{ ["product"] }}', "shoes"),
        ("{{ [key] }}", "shoes"),
        ("{{ [paths.a] }}", "product"),
        ("{{ self['product'] }}{{ self[key] }}", "shoesshoes"),
        ("{{ self[self['key']] }}{{ self['nothing'] }}", "shoes"),
        ("{% assign product = 'local' %}{{ self['product'] }}", "local"),
        ("{% assign self = 'mine' %}{{ self }}{{ self['product'] }}", "mine"),
    ],
)
def test_a_name_in_brackets_is_a_variable(source: str, expected: str) -> None:
    assert rendered(source) == expected


@pytest.mark.parametrize(
    "source", ["nil.foo", "nil.foo.bar.baz", "null['x']", "true.x", "empty.size", "blank[0]"]
)
def test_what_a_literal_has_is_nothing(source: str) -> None:
    assert rendered(f"[{{{{ {source} }}}}]") == "[]"
    assert rendered(f"{{% if {source} == nil %}}nil{{% endif %}}") == "nil"


@pytest.mark.parametrize(
    ("source", "expected"),
    [
        ("{% for i in hash.limit %}{{ i }}{% endfor %}", "12"),
        ("{% for i in hash.limit limit: hash.offset %}{{ i }}{% endfor %}", "1"),
        ("{% for i in limit limit: 2 %}{{ i }}{% endfor %}", "12"),
        ("{% for i in limit, limit: 1, offset: hash.offset %}{{ i }}{% endfor %}", "2"),
        ("{% for i in limit limit: hash.offset offset: offset %}{{ i }}{% endfor %}", "3"),
        ("{% for i in limit reversed %}{{ i }}{% endfor %}", "321"),
        (
            "{% for i in limit limit: 1 %}{{ i }}{% endfor %}{% for i in limit offset: continue %}{{ i }}{% endfor %}",
            "123",
        ),
        ("{% for limit in array %}{{ limit }}{% endfor %}", "onetwo"),
        ("{{ hash.for.if }} {{ for }} {{ limit | join: '-' }}", "deep a word 1-2-3"),
        ("{% if limit contains 2 and for %}yes{% endif %}", "yes"),
        ("{% assign limit = 5 %}{{ nothing | default: limit }}", "5"),
    ],
)
def test_a_word_that_means_something_elsewhere_is_a_name(source: str, expected: str) -> None:
    assert rendered(source) == expected


@pytest.mark.parametrize(
    ("source", "expected"),
    [
        ("{{ array['first'] }}{{ array['size'] }}{{ text['size'] }}", ""),
        ("{% assign what = 'last' %}{{ array[what] }}{{ hash['size'] }}", ""),
        ('{% if array["first"] == nil %}pass{% endif %}', "pass"),
        ("{{ array.first }} {{ array.size }} {{ text.size }}", "one 2 5"),
        ("{{ hash['first'] }} {{ hash.first }}", "Hello Hello"),
        ("{% for i in array %}{{ forloop['last'] }}{% endfor %}", "falsetrue"),
    ],
)
def test_brackets_have_keys_and_a_dot_has_the_first_item(source: str, expected: str) -> None:
    assert rendered(source) == expected


@pytest.mark.parametrize("nothing", ["{{}}", "{{ }}", "{{- -}}", "{% echo %}", "{% liquid echo %}"])
def test_nothing_to_put_out_is_nothing(nothing: str) -> None:
    assert rendered(f"a{nothing}b") == "ab"
    assert check(TemplateSource(subject="s", text=nothing)) == []


PARTIALS = {
    "item": TemplateSource(subject="s", text="{{ item }}{{ forloop.index }};"),
    "limited": TemplateSource(subject="s", text="{{ limit }}{{ for }};"),
}


@pytest.mark.parametrize(
    ("source", "expected"),
    [
        ("{% render 'item' for (1..3) %}", "11;22;33;"),
        ("{% render 'item' for (1..2) as item %}", "11;22;"),
        ("{% render 'item' with 'text' %}", "text;"),
        ("{% render 'item' with 5 as item %}", "5;"),
        ("{% render 'item' for array %}", "one1;two2;"),
        ("{% render 'item' for limit %}", "11;22;33;"),
        ("{% render 'limited', limit: 2, for: 'x' %}", "2x;"),
        ("{% render 'limited' limit: 2 for: 'x' %}", "2x;"),
        ("{% render 'item' for nothing, item: 0 %}", "0;"),
    ],
)
def test_render_takes_any_value(source: str, expected: str) -> None:
    template = TemplateSource(subject="s", text=source)
    assert check(template, PARTIALS) == []
    assert render(template, DATA, PARTIALS).text == expected


def test_a_range_to_render_is_no_longer_than_any_other() -> None:
    with pytest.raises(TemplateFailed, match="the range has more than 10,000 items"):
        render(TemplateSource(subject="s", text="{% render 'item' for (1..99999) %}"), {}, PARTIALS)


@pytest.mark.parametrize(
    "source",
    ["{{ a b c }}", "{% for i limit %}{% endfor %}", "{% render item %}", "{% if not a %}{% endif %}"],
)
def test_what_is_no_liquid_stays_an_error(source: str) -> None:
    assert check(TemplateSource(subject="s", text=source)) != []
