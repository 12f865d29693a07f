"""Machines that look at mail are told from people by what their requests say of themselves."""

import pytest

from channels.machines import machine

WEBKIT = "Mozilla/5.0 (Windows NT 10.0; Win64; x64) AppleWebKit/537.36 (KHTML, like Gecko)"
CHROME = f"{WEBKIT} Chrome/130.0.0.0 Safari/537.36"
IPHONE = "Mozilla/5.0 (iPhone; CPU iPhone OS 18_0 like Mac OS X) AppleWebKit/605.1.15 (KHTML, like Gecko) Mobile/15E148"


@pytest.mark.parametrize(
    "agent",
    [
        CHROME,
        IPHONE,
        "Mozilla/5.0 (X11; Linux x86_64; rv:128.0) Gecko/20100101 Thunderbird/128.4.0",
        "Mozilla/5.0 (Windows NT 5.1; rv:11.0) Gecko Firefox/11.0 (via ggpht.com GoogleImageProxy)",
        "YahooMailProxy; https://help.yahoo.com/kb/yahoo-mail-proxy-SLN28749.html",
        "Mozilla/4.0 (compatible; ms-office; MSOffice 16)",
        "Mozilla/5.0 (Linux; Android 13; CUBOT NOTE 40) AppleWebKit/537.36 Chrome/120.0 Mobile Safari/537.36",
    ],
)
def test_a_person(agent: str) -> None:
    assert machine("GET", {"user-agent": agent}) is None


@pytest.mark.parametrize(
    ("agent", "name"),
    [
        ("Mozilla/5.0", "Apple Mail Privacy Protection"),
        (f"{WEBKIT} Chrome/42.0.2311.135 Safari/537.36 Edge/12.246 Mozilla/5.0", "Gmail prefetch"),
        ("Barracuda Sentinel (EE)", "Barracuda"),
        ("Mozilla/5.0 Proofpoint URL Defense", "Proofpoint"),
        ("Mozilla/5.0 (compatible; Googlebot/2.1; +http://www.google.com/bot.html)", "robot"),
        ("Mozilla/5.0 (Windows NT 6.1; WOW64) SkypeUriPreview Preview/0.5", "robot"),
        ("facebookexternalhit/1.1", "robot"),
        ("curl/8.5.0", "robot"),
        ("python-requests/2.32.0", "robot"),
        ("Go-http-client/1.1", "robot"),
        (f"{CHROME} HeadlessChrome/130.0", "robot"),
        ("", "no User-Agent"),
        ("  ", "no User-Agent"),
    ],
)
def test_a_machine_by_its_user_agent(agent: str, name: str) -> None:
    assert machine("GET", {"user-agent": agent}) == name


def test_a_request_without_a_user_agent_is_a_machines() -> None:
    assert machine("GET", {}) == "no User-Agent"


def test_a_request_that_wants_no_body_is_a_machines() -> None:
    assert machine("HEAD", {"user-agent": CHROME}) == "HEAD request"


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("purpose", "prefetch"),
        ("sec-purpose", "prefetch;prerender"),
        ("x-purpose", "preview"),
        ("x-moz", "prefetch"),
    ],
)
def test_a_browser_that_fetches_ahead_is_a_machine(name: str, value: str) -> None:
    assert machine("GET", {"user-agent": CHROME, name: value}) == "prefetch"
