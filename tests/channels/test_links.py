"""Unsubscribe tokens say what was signed, for ever, and nothing else is taken for one."""

import pytest
from itsdangerous import URLSafeSerializer

from channels.links import BadToken, LinkSigner, Unsubscribe

signer = LinkSigner("key")


@pytest.mark.parametrize("list_key", ["newsletter", None])
def test_a_token_is_read_as_it_was_signed(list_key: str | None) -> None:
    token = signer.sign_unsubscribe("22222", list_key, "m1")

    assert signer.read_unsubscribe(token) == Unsubscribe("22222", list_key, "m1")
    assert signer.sign_unsubscribe("22222", list_key, "m1") == token
    assert token.replace("-", "").replace("_", "").replace(".", "").isalnum()


def test_a_token_of_an_earlier_key_is_read_for_as_long_as_that_key_is_kept() -> None:
    oldest, older = LinkSigner("oldest"), LinkSigner("older", ["oldest"])
    rotated = LinkSigner("key", ["older", "oldest"])
    for earlier in (oldest, older):
        assert rotated.read_unsubscribe(earlier.sign_unsubscribe("1", "news", "m")) == Unsubscribe(
            "1", "news", "m"
        )
    with pytest.raises(BadToken):
        LinkSigner("key", ["older"]).read_unsubscribe(oldest.sign_unsubscribe("1", "news", "m"))


def test_an_earlier_key_signs_nothing() -> None:
    rotated = LinkSigner("key", ["older"])
    assert rotated.sign_unsubscribe("1", None, "m") == signer.sign_unsubscribe("1", None, "m")
    with pytest.raises(BadToken):
        LinkSigner("older").read_unsubscribe(rotated.sign_unsubscribe("1", None, "m"))


@pytest.mark.parametrize(
    "token",
    [
        "",
        "x",
        signer.sign_unsubscribe("1", None, "m")[:-1],
        "x" + signer.sign_unsubscribe("1", None, "m"),
        LinkSigner("another key").sign_unsubscribe("1", None, "m"),
        URLSafeSerializer("key", salt="another purpose").dumps(["1", None, "m"]),
        URLSafeSerializer("key", salt="onward.unsubscribe").dumps({"contact": "1"}),
        "ž.ž",
    ],
)
def test_any_other_token_is_bad(token: str) -> None:
    with pytest.raises(BadToken):
        signer.read_unsubscribe(token)
