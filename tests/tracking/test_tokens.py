"""Tokens of opens, clicks and preferences say what was signed; none is taken for another, and no other is taken."""

from collections.abc import Callable
from typing import Any

import pytest
from itsdangerous import URLSafeSerializer

from channels.links import BadToken, Click, LinkSigner, Preferences, Sent

SENT = Sent("m1", "c1", "spring")
CLICK = Click(SENT, "https://x.cz/č?a=1&b=2", ("one", "má rád"))
signer = LinkSigner("key")
Read = Callable[[LinkSigner, str], Any]

PURPOSES: dict[str, tuple[str, Read]] = {
    "unsubscribe": (signer.sign_unsubscribe("c1", "news", "m1"), LinkSigner.read_unsubscribe),
    "open": (signer.sign_open(SENT), LinkSigner.read_open),
    "click": (signer.sign_click(CLICK), LinkSigner.read_click),
    "preferences": (signer.sign_preferences(Preferences("c1", "m1")), LinkSigner.read_preferences),
}


def test_a_token_says_what_was_signed() -> None:
    assert signer.read_open(signer.sign_open(SENT)) == SENT
    assert signer.read_open(signer.sign_open(Sent("m1", "c1"))) == Sent("m1", "c1")
    assert signer.read_click(signer.sign_click(CLICK)) == CLICK
    assert signer.read_click(signer.sign_click(Click(SENT, ""))) == Click(SENT, "")
    assert signer.read_preferences(signer.sign_preferences(Preferences("c1", "m1"))) == Preferences(
        "c1", "m1"
    )


@pytest.mark.parametrize("purpose", PURPOSES)
def test_a_token_for_one_purpose_is_none_for_another(purpose: str) -> None:
    token, _ = PURPOSES[purpose]
    for other, (_, read) in PURPOSES.items():
        if other != purpose:
            with pytest.raises(BadToken):
                read(signer, token)


@pytest.mark.parametrize("purpose", PURPOSES)
def test_a_key_that_was_replaced_is_read_by_and_signs_nothing(purpose: str) -> None:
    token, read = PURPOSES[purpose]
    rotated = LinkSigner("next", ["key"])
    assert read(rotated, token) == read(signer, token)
    assert rotated.sign_open(SENT) == LinkSigner("next").sign_open(SENT) != signer.sign_open(SENT)
    with pytest.raises(BadToken):
        read(LinkSigner("next"), token)


@pytest.mark.parametrize("purpose", PURPOSES)
@pytest.mark.parametrize(
    "forged",
    [
        lambda token: "",
        lambda token: ".",
        lambda token: token[:-1],
        lambda token: token[: len(token) // 2],
        lambda token: f"x{token}",
        lambda token: token.swapcase(),
        lambda token: token.partition(".")[0],
        lambda token: "\ud800",
        lambda token: "\x00",
        lambda token: "ž.ž",
        lambda token: "A" * 100_000,
    ],
)
def test_what_we_did_not_sign_is_bad(purpose: str, forged: Callable[[str], str]) -> None:
    token, read = PURPOSES[purpose]
    with pytest.raises(BadToken):
        read(signer, forged(token))


@pytest.mark.parametrize("purpose", PURPOSES)
@pytest.mark.parametrize("value", [{}, [], None, 7, "m1", [1, 2, 3, 4], ["m1", "c1", 7, "u", 8, 9]])
def test_another_shape_is_bad_though_the_signature_is_right(purpose: str, value: Any) -> None:
    _, read = PURPOSES[purpose]
    token = URLSafeSerializer("key", salt=f"onward.{purpose}").dumps(value)
    with pytest.raises(BadToken):
        read(signer, token)
