"""Money and dates are written as the contact reads them; what is missing is nothing, what is wrong says so."""

import pytest

from channels.errors import TemplateFailed
from channels.templates import render_text
from processes.values import Json

CZECH: dict[str, Json] = {"contact": {"language": "cs", "time_zone": "Europe/Prague"}}
GERMAN: dict[str, Json] = {"contact": {"language": "de-AT", "time_zone": "Europe/Vienna"}}
NOBODY: dict[str, Json] = {}


@pytest.mark.parametrize(
    ("text", "context", "expected"),
    [
        ("{{ 1299 | money: 'CZK' }}", NOBODY, "1,299.00 CZK"),
        ("{{ 1299 | money: 'CZK' }}", CZECH, "1\u00a0299,00\u00a0Kč"),
        ("{{ '1299.5' | money: 'EUR' }}", GERMAN, "€\u00a01.299,50"),
        ("{{ 1299.5 | money: 'JPY' }}", {"contact": {"language": "ja"}}, "￥1,300"),
        ("{{ 1299.5 | money }}", CZECH, "1\u00a0299,50"),
        ("{{ 5 | money: 'EUR' }}", {"contact": {"language": "xx"}}, "5.00 EUR"),
        ("{{ '2026-12-24' | local_date }}", NOBODY, "24 December 2026"),
        ("{{ '2026-12-24' | local_date }}", CZECH, "24. prosince 2026"),
        ("{{ '2026-12-24' | local_date: 'full' }}", GERMAN, "Donnerstag, 24. Dezember 2026"),
        ("{{ '2026-12-24T23:30:00Z' | local_date }}", CZECH, "25. prosince 2026"),
        ("{{ '2026-12-24T23:30:00Z' | local_date: 'short' }}", NOBODY, "24/12/2026"),
        ("{{ '2026-07-01T08:00:00+00:00' | local_time }}", CZECH, "10:00"),
        ("{{ '2026-07-01 08:00:00' | local_time }}", CZECH, "10:00"),
        ("{{ '2026-12-01T08:00:00Z' | local_time }}", NOBODY, "08:00"),
        (
            "{{ '2026-12-01T08:00:00Z' | local_time }}",
            {"contact": {"language": "en-GB", "time_zone": "Mars/Base"}},
            "08:00",
        ),
    ],
)
def test_a_value_is_written_as_the_contact_reads_it(
    text: str, context: dict[str, Json], expected: str
) -> None:
    assert render_text(text, context) == expected


@pytest.mark.parametrize("name", ["money: 'EUR'", "local_date", "local_time"])
@pytest.mark.parametrize("value", ["nothing.at.all", "''", "nil"])
def test_what_is_missing_is_nothing(name: str, value: str) -> None:
    assert render_text(f"<{{{{ {value} | {name} }}}}>", CZECH) == "<>"


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("{{ 'x' | money: 'EUR' }}", "money: 'x' is not an amount"),
        ("{{ true | money }}", "money: 'True' is not an amount"),
        ("{{ '24.12.' | local_date }}", "local_date: '24.12.' is not a date"),
        ("{{ '2026-02-30' | local_date }}", "local_date: '2026-02-30' is not a date"),
        ("{{ '2026-12-24' | local_time }}", "local_time: '2026-12-24' has no time of day"),
        (
            "{{ '2026-12-24' | local_date: 'huge' }}",
            "local_date: 'huge' is none of short, medium, long, full",
        ),
    ],
)
def test_what_is_wrong_says_so(text: str, message: str) -> None:
    with pytest.raises(TemplateFailed, match=message.replace(".", r"\.")):
        render_text(text, CZECH)
