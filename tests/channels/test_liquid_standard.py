"""Liquid means what Shopify's Liquid means: the right values of each kind that python-liquid sees otherwise.

The whole of golden-liquid and liquid-spec is run by hand; what differs on purpose is in docs/templates.md.
"""

import json
from datetime import UTC, datetime
from typing import Any

import pytest

from channels.errors import TemplateFailed
from channels.templates import TemplateSource, check, render, render_text

DATA: dict[str, Any] = {
    "nothing": None,
    "no": False,
    "yes": True,
    "empty_text": "",
    "blank_text": " \t\n",
    "list": [3, None, 1],
    "names": ["b", None, "A", "c"],
    "nested": ["a", ["b", ["c", None]]],
    "people": [{"name": "Eva", "age": 30}, {"name": "Jan"}, {"name": "Ota", "age": 20}],
    "hash": {"hello": "world", "n": 1},
    "text": "hello",
    "tiny": 1e-27,
}


def rendered(source: str) -> str:
    return render_text(source, DATA)


@pytest.mark.parametrize("value", ["nothing", "missing", "no", "empty_text", "blank_text", "hash.none"])
def test_what_is_blank(value: str) -> None:
    assert rendered(f"{{% if {value} == blank %}}blank{{% endif %}}") == "blank"
    assert rendered(f"{{% if blank != {value} %}}not{{% endif %}}") == ""
    assert rendered(f"{{% case {value} %}}{{% when blank %}}blank{{% endcase %}}") == "blank"


@pytest.mark.parametrize(
    ("condition", "holds"),
    [
        ("text == blank", False), ("0 == blank", False), ("yes == blank", False), ("nothing == empty", False),
        ("empty_text == empty", True), ("blank_text == empty", False), ("hash == empty", False),
        ("blank == blank", False), ("empty == empty", False), ("5 > yes", False), ("no < 5", False),
        ("'10' == 10", False), ("nothing < 1", False), ("missing == nothing", True), ("list contains 3", True),
        ("text contains 'ell'", True), ("missing contains 'x'", False), ("yes and no or yes", True),
    ],
)  # fmt: skip
def test_comparisons(condition: str, holds: bool) -> None:
    assert rendered(f"{{% if {condition} %}}1{{% else %}}0{{% endif %}}") == str(int(holds))


FILTERS_OF_ONE = (
    "abs", "base64_encode", "capitalize", "compact", "downcase", "escape", "escape_once", "first", "h", "join", "last",
    "lstrip", "newline_to_br", "reverse", "rstrip", "sort", "sort_natural", "split: ','", "squish", "strip",
    "strip_html", "strip_newlines", "truncate", "truncatewords", "uniq", "upcase", "url_encode", "url_decode",
    "append: nothing", "prepend: nothing", "remove: 'x'", "replace: 'x', 'y'", "date: '%Y'", "map: 'x'",
    "where: 'x'", "slice: 0", "default: nothing", "truncate: nothing",
)  # fmt: skip


@pytest.mark.parametrize("filter", FILTERS_OF_ONE)
@pytest.mark.parametrize("value", ["nothing", "missing"])
@pytest.mark.parametrize("part", ["text", "html"])
def test_nothing_goes_through_every_filter(filter: str, value: str, part: str) -> None:
    expected = "0" if filter == "abs" else ""
    source = TemplateSource.model_validate({"subject": "s", part: f"[{{{{ {value} | {filter} }}}}]"})
    found = render(source, DATA)
    assert (found.html if part == "html" else found.text) == f"[{expected}]"


@pytest.mark.parametrize(
    "filter", ["plus: 1", "minus: -1", "at_least: 1", "times: 2 | plus: 1", "size | plus: 1"]
)
def test_nothing_is_zero_in_a_sum(filter: str) -> None:
    assert rendered(f"{{{{ nothing | {filter} }}}}{{{{ missing | {filter} }}}}") == "11"


def test_the_date_of_a_value_that_an_event_brought_as_null_is_nothing() -> None:
    event = json.loads("""{"type": "order_created", "params": {"cancelled_at": null, "tags": null}}""")

    assert render_text("[{{ event.params.cancelled_at | date: '%Y' }}]", {"event": event}) == "[]"


@pytest.mark.parametrize(
    ("source", "expected"),
    [
        ("{{ '' | date: '%Y' }}", ""),
        ("{{ '2026-12-24T09:05:07+01:00' | date: '%d.%m.%Y %H:%M' }}", "24.12.2026 09:05"),
        ("{{ '2026-02-03' | date: '%-d. %-m. %y %e|%j|%B|%b|%^a|%A' }}", "3. 2. 26  3|034|February|Feb|TUE|Tuesday"),
        ("{{ '2026-12-24 15:05' | date: '%I:%M %p %l%P' }}", "03:05 PM  3pm"),
        ("{{ 1152098955 | date: '%m/%d/%Y %s' }}", "07/05/2006 1152098955"),
        ("{{ '1152098955' | date: '%F %T' }}", "2006-07-05 11:29:15"),
        ("{{ '2020-06-15 14:30:00 -04:00' | date: '%z %:z %::z' }}", "-0400 -04:00 -04:00:00"),
        ("{{ '2020-06-15T14:30:00.25Z' | date: '%L %3N %Z %%' }}", "250 250 UTC %"),
        ("{{ 'soon' | date: '%Y' }}", "soon"),
        ("{{ '2006-07-05' | date: '' }}{{ '2006-07-05' | date: nothing }}", "2006-07-052006-07-05"),
        ("{{ 'Mon, 05 Jul 2006' | date: '%Y' }}", "2006"),
        ("{{ '2006-07-05' | date: '%999999999d' | size }}", "100"),
    ],
)  # fmt: skip
def test_dates(source: str, expected: str) -> None:
    assert rendered(source) == expected


@pytest.mark.parametrize("word", ["now", "Today"])
def test_now_is_in_utc(word: str) -> None:
    before = int(datetime.now(UTC).timestamp())

    found = int(rendered(f"{{{{ '{word}' | date: '%s' }}}}"))

    assert before <= found <= datetime.now(UTC).timestamp()


@pytest.mark.parametrize(
    ("source", "expected"),
    [
        ("{{ text | truncate: 5 }}|{{ text | truncate: 4 }}|{{ text | truncate: 0 }}|{{ text | truncate: 2 }}",
         "hello|h...|...|..."),
        ("{{ text | truncate: 3, '' }}|{{ text | truncate: 4, '…' }}", "hel|hel…"),
        ("{{ 'one two three' | truncatewords: 3 }}|{{ 'one two three' | truncatewords: 2 }}",
         "one two three|one two..."),
        ("{{ ' a  b ' | truncatewords: 5 }}|{{ 'a b' | truncatewords: 0 }}|{{ 'a b' | truncatewords: 1, '' }}",
         " a  b |a...|a"),
        ("{{ 'a,b,,' | split: ',' | size }}|{{ 'abc' | split: '' | join: '-' }}|{{ ' a  b ' | split: ' ' | size }}",
         "2|a-b-c|2"),
        ("{{ ',a' | split: ',' | size }}|{{ '' | split: ',' | size }}", "2|0"),
        ("{{ text | slice: 1, 3 }}|{{ text | slice: -3, 2 }}|{{ text | slice: 0, -1 }}|{{ text | slice: 9 }}",
         "ell|ll||"),
        ("{{ text | first }}{{ text | last }}{{ hash | first | join: '=' }}{{ hash.first }}",
         "hohello=worldhelloworld"),
        ("{{ yes | append: no }}|{{ no | upcase }}|{{ hash | append: '' }}|{{ nested | append: '' }}",
         'truefalse|FALSE|{"hello"=>"world", "n"=>1}|["a", ["b", ["c", nil]]]'),
        ("{{ nested }}|{{ yes }}|{{ tiny }}|{{ (1..3) }}", "abc|true|1.0e-27|1..3"),
        ("{{ \"<'&\" | escape }}|{{ '&lt;<' | escape_once }}|{{ '<b>x</b><!-- y --><script>z</script>' | strip_html }}",
         "&lt;&#39;&amp;|&lt;&lt;|x"),
    ],
)  # fmt: skip
def test_texts(source: str, expected: str) -> None:
    assert rendered(source) == expected


@pytest.mark.parametrize(
    ("source", "expected"),
    [
        ("{{ 4.5 | round }} {{ -4.5 | round }} {{ 2.345 | round: 2 }} {{ 5 | round: 2 }} {{ 1.5 | round: 0 }}",
         "5 -5 2.35 5 2"),
        ("{{ 7 | divided_by: 2 }} {{ -7 | divided_by: 2 }} {{ 7 | divided_by: 2.0 }} {{ 7.0 | divided_by: 2 }}",
         "3 -4 3.5 3.5"),
        ("{{ -1.2 | floor }} {{ -1.2 | ceil }} {{ '3.7' | floor }} {{ -3 | modulo: 2 }} {{ 5.5 | modulo: 2 }}",
         "-2 -1 3 1 1.5"),
        ("{{ '2.1' | times: 3 }} {{ '6-3' | plus: 0 }} {{ 'x' | plus: 1 }} {{ yes | plus: 1 }} {{ 0.1 | plus: 0.2 }}",
         "6.3 6 1 1 0.3"),
        ("{{ list | sum }} {{ people | sum: 'age' }} {{ nothing | sum }}", "4 50 0"),
    ],
)  # fmt: skip
def test_numbers(source: str, expected: str) -> None:
    assert rendered(source) == expected


@pytest.mark.parametrize(
    "source", ["{{ 1.5 | divided_by: 0 }}", "{{ 1 | modulo: 0 }}", "{{ 1 | divided_by: 'x' }}"]
)
def test_a_division_by_zero_says_where(source: str) -> None:
    with pytest.raises(TemplateFailed, match="can't divide by 0") as failed:
        rendered(f"a\n{source}")
    assert failed.value.line == 2


@pytest.mark.parametrize(
    ("source", "expected"),
    [
        ("{{ list | sort | join }} {{ names | sort | compact | join }} {{ names | sort_natural | compact | join }}",
         "1 3  A b c A b c"),
        ("{{ people | sort: 'age' | map: 'name' | join }}", "Ota Eva Jan"),
        ("{{ people | map: 'age' | compact | size }} {{ people | compact: 'age' | size }}", "2 2"),
        ("{{ people | where: 'age', 20 | map: 'name' }} {{ people | where: 'age' | size }}", "Ota 2"),
        ("{{ 'a,b,a' | split: ',' | uniq | join }} {{ list | concat: list | uniq | size }}", "a b 3"),
        ("{{ list | first }}{{ list | last }}{{ list.size }} {{ hash.size }}", "313 2"),
    ],
)  # fmt: skip
def test_lists(source: str, expected: str) -> None:
    assert rendered(source) == expected


@pytest.mark.parametrize(
    ("source", "expected"),
    [
        ("{% for i in (1..4) limit: 2 offset: 1 %}{{ i }}{% endfor %}", "23"),
        ("{% for i in (1..3) limit: -1 %}{{ i }}{% else %}none{% endfor %}", "none"),
        ("{% for i in (1..3) limit: missing offset: missing %}{{ i }}{% endfor %}", "123"),
        ("{% for i in (1..2) %}{% for j in (1..2) %}{{ forloop.parentloop.index }}{{ j }} {% endfor %}{% endfor %}",
         "11 12 21 22 "),
        ("{% for i in ('1'..'3a') %}{{ i }}{% endfor %}", "123"),
        ("{% tablerow i in empty_text cols: 2 %}{{ i }}{% endtablerow %}", '<tr class="row1">\n</tr>\n'),
        ("{% tablerow i in (1..2) cols: missing %}{{ i }}{% endtablerow %}",
         '<tr class="row1">\n<td class="col1">1</td><td class="col2">2</td></tr>\n'),
        ("{% assign a = 'x' %}{% for i in (1..2) %}{% cycle a, 'y' %}{% cycle a, 'y' %}{% endfor %}", "xxyy"),
        ("{% increment n %}{% increment n %}{% decrement m %}{% decrement m %}", "01-1-2"),
        ("{% case 2 %}{% when 1 or 2 %}a{% when 3, 4 %}b{% else %}c{% endcase %}", "a"),
        ("{{ hash['hello'] }}{% assign k = 'n' %}{{ hash[k] }}{{ people[0]['name'] }}", "world1Eva"),
    ],
)  # fmt: skip
def test_tags(source: str, expected: str) -> None:
    assert rendered(source) == expected


@pytest.mark.parametrize(
    ("source", "expected"),
    [
        ("<p>\n  {{- 1 -}}\n</p>\n", "<p>1</p>\n"),
        ("{% if true -%}\n x \n{%- endif -%}\n\n</div>\n\n", "x</div>\n\n"),
        ("a\r\nb\rc", "a\r\nb\rc"),
        ("{% capture x %}a\r\n{% endcapture %}{{ x }}", "a\r\n"),
    ],
)
def test_white_space(source: str, expected: str) -> None:
    assert rendered(source) == expected


@pytest.mark.parametrize(
    ("tag", "expected"),
    [
        ("{% render 'item' with people[0] %}", "[Eva::]"),
        ("{% render 'item' with people[0] as item %}", "[Eva::]"),
        ("{% render 'item' for people %}", "[Eva:1:3][Jan:2:3][Ota:3:3]"),
        ("{% render 'item' for people as item, last: '!' %}", "[Eva:1:3]![Jan:2:3]![Ota:3:3]!"),
        ("{% render 'item', item: people[2] %}", "[Ota::]"),
    ],
)
def test_a_partial_gets_the_value_or_each_of_the_list_by_its_own_name(tag: str, expected: str) -> None:
    item = TemplateSource(
        subject="s", text="[{{ item.name }}:{{ forloop.index }}:{{ forloop.length }}]{{ last }}"
    )

    assert render(TemplateSource(subject="s", text=tag), DATA, {"item": item}).text == expected


def test_the_check_knows_the_same_filters() -> None:
    used = " ".join(f"{{{{ x | {name} }}}}" for name in FILTERS_OF_ONE)

    assert check(TemplateSource(subject="s", text=used)) == []


@pytest.mark.parametrize(
    ("source", "expected"),
    [
        ("{{ 1299 | money: 'jpy' }}", "1,299 JPY"),
        ("{{ '409.94' | money: 'eur' }}", "409.94 EUR"),
        ("{{ 1.2345 | money: 'KWD' }}", "1.234 KWD"),
        ("{{ 1 | money: 'CLF' }}", "1.0000 CLF"),
        ("{{ nothing | money: 'EUR' }}", ""),
        ("{{ 1 | money: nothing }}", "1.00"),
    ],
)
def test_money_has_the_decimals_of_its_currency(source: str, expected: str) -> None:
    assert rendered(source) == expected


def test_money_in_a_language_takes_either_case_too() -> None:
    for code in ("czk", "CZK"):
        assert (
            render_text(f"{{{{ 5 | money: '{code}' }}}}", {"contact": {"language": "cs"}}) == "5,00\u00a0Kč"
        )
    assert render_text("{{ 5 | money: 'jpy' }}", {"contact": {"language": "en"}}) == "¥5"
