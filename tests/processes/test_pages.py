"""Which visited pages a pattern means: the rules of docs/processes.md, and whatever else is sent as an address."""

import time
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from processes.pages import check_pattern, glob_matches, page_matches


@pytest.mark.parametrize(
    ("pattern", "url"),
    [
        ("shop.example.com/cart", "https://shop.example.com/cart"),
        ("shop.example.com/cart", "http://shop.example.com/cart/"),
        ("shop.example.com/cart/", "https://shop.example.com/cart"),
        ("https://shop.example.com/cart", "http://shop.example.com/cart"),
        ("shop.example.com/cart", "shop.example.com/cart"),
        ("shop.example.com/cart", "//shop.example.com/cart"),
        ("shop.example.com/cart", "https://anna:secret@SHOP.Example.com:443/cart?a=1#top"),
        ("shop.example.com/cart", "http://shop.example.com:80/cart"),
        ("shop.example.com", "https://shop.example.com/"),
        ("shop.example.com", "https://shop.example.com?from=mail"),
        ("shop.example.com/*", "https://shop.example.com"),
        ("shop.example.com/*", "https://shop.example.com/a/b.html"),
        ("shop.example.com/*/reviews", "https://shop.example.com/tea/green/reviews"),
        ("*.example.com/cart", "https://www.shop.example.com/cart"),
        ("*/cart", "https://anything.example/cart"),
        ("*/cart", "/cart"),
        ("*", "https://anything.example/at/all?x=1"),
        ("localhost:3000/cart", "http://localhost:3000/cart"),
        ("localhost:*/cart", "http://localhost:3000/cart"),
        ("[::1]/cart", "http://[::1]/cart"),
        ("shop.example.com/%C4%8Daj", "https://shop.example.com/čaj"),
        ("shop.example.com/čaj", "https://shop.example.com/%C4%8Daj"),
        ("shop.example.com/a%2Ab", "https://shop.example.com/a%2ab"),
        ("müller.example/*", "https://xn--mller-kva.example/kontakt"),
        ("xn--mller-kva.example/*", "https://Müller.example/kontakt"),
        ("shop.example.com/search?q=tea*", "https://shop.example.com/search?page=2&q=teapot"),
        ("shop.example.com/search?q=green+tea", "https://shop.example.com/search?q=green%20tea"),
        ("shop.example.com/?a=1&b=*", "https://shop.example.com/?b=&a=1"),
        ("shop.example.com/login", "shop.example.com/login?next=https://other.example/"),
    ],
)
def test_a_page_that_the_pattern_means(pattern: str, url: str) -> None:
    assert check_pattern(pattern) == pattern
    assert page_matches(pattern, url)


@pytest.mark.parametrize(
    ("pattern", "url"),
    [
        ("shop.example.com/cart", "https://shop.example.com/carts"),
        ("shop.example.com/cart", "https://shop.example.com/Cart"),
        ("shop.example.com/cart", "https://shop.example.com/a/cart"),
        ("shop.example.com/cart", "https://www.shop.example.com/cart"),
        ("shop.example.com/cart", "https://shop.example.com.evil.example/cart"),
        ("shop.example.com/cart", "https://evil.example/shop.example.com/cart"),
        ("shop.example.com/cart", "https://shop.example.com@evil.example/cart"),
        ("shop.example.com/cart", "https://shop.example.com:8443/cart"),
        ("shop.example.com/cart", "/cart"),
        ("shop.example.com", "https://shop.example.com/cart"),
        ("shop.example.com/tea/*", "https://shop.example.com/tea"),
        ("*.example.com/cart", "https://example.com/cart"),
        ("*/cart", "https://a.example/b/cart"),
        ("shop.example.com/a%2Ab", "https://shop.example.com/axb"),
        ("shop.example.com/search?q=tea", "https://shop.example.com/search"),
        ("shop.example.com/search?q=tea", "https://shop.example.com/search?q=teapot"),
        ("shop.example.com/search?q=tea", "https://shop.example.com/search?Q=tea"),
        ("*", "ftp://shop.example.com/cart"),
        ("*", "javascript:void(0)"),
        ("*", "about:blank"),
        ("*", "https://[::1/cart"),
        ("*", ""),
        ("*", None),
        ("*", 7),
        ("*", ["https://shop.example.com"]),
    ],
)
def test_a_page_that_it_does_not_mean(pattern: str, url: Any) -> None:
    assert not page_matches(pattern, url)


@pytest.mark.parametrize(
    ("pattern", "message"),
    [
        ("", "names no host"),
        ("/cart", "names no host"),
        ("https:///cart", "names no host"),
        ("shop.example.com:http/cart", "names no host"),
        ("ftp://shop.example.com", "«ftp» is no web page's"),
        ("shop.example.com/my cart", "has no spaces"),
        ("shop.example.com/cart#top", "leave out what follows «#»"),
        ("mü*.example/cart", "cannot stand beside letters"),
        ("shop.example.com/" + "a" * 1000, "at most 1000 characters"),
    ],
)
def test_what_is_no_pattern_is_refused_with_the_reason(pattern: str, message: str) -> None:
    with pytest.raises(ValueError, match=message):
        check_pattern(pattern)


@given(st.text("ab*", max_size=8), st.text("ab", max_size=12))
def test_a_star_stands_for_any_text(pattern: str, text: str) -> None:
    def holds(pattern: str, text: str) -> bool:
        if not pattern:
            return not text
        if pattern[0] == "*":
            return holds(pattern[1:], text) or (text != "" and holds(pattern, text[1:]))
        return text[:1] == pattern[0] and holds(pattern[1:], text[1:])

    assert glob_matches(pattern, text) == holds(pattern, text)


@given(st.text(max_size=40))
def test_no_address_makes_the_comparison_fail(url: str) -> None:
    page_matches("shop.example.com/*?a=*", url)
    page_matches("shop.example.com/*?a=*", f"https://{url}")


def test_many_stars_and_a_long_address_take_no_time() -> None:
    begun = time.perf_counter()
    assert not page_matches(
        "shop.example.com/" + "*a" * 400, "https://shop.example.com/" + "a" * 10_000 + "b"
    )
    assert time.perf_counter() - begun < 0.5
