"""Ids of instances: readable, unique by their parts, and never with an e-mail address in them."""

import re

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from processes.names import contact_reference, instance_id, readable

EMAIL = re.compile(r"[^/\s]+@[^/\s]+")
anything = st.text(min_size=1, max_size=80)
addresses = st.emails()


@pytest.mark.parametrize(
    ("key", "start", "expected"),
    [
        ("", None, "welcome/22222"),
        ("", "e1", "welcome/22222/e1"),
        ("A-7", None, "welcome/22222/A-7"),
        ("A-7", "e1", "welcome/22222/A-7/e1"),
    ],
)
def test_an_id_reads_as_process_contact_key_and_start(key: str, start: str | None, expected: str) -> None:
    assert instance_id("welcome", "22222", key, start) == expected


def test_a_contact_is_named_by_its_senders_id_where_that_is_plain_else_by_ours() -> None:
    assert contact_reference("c1", "22222") == "22222"
    assert contact_reference("c1", None) == "c1"
    assert contact_reference("c1", "jane@example.com") == "c1"
    assert contact_reference("c1", "a/b") == "c1"
    assert contact_reference("c1", "x" * 65) == "c1"


@pytest.mark.parametrize(
    "part", ["two words", "a/b", "jane@example.com", "x" * 65, "", "čaj", "a\n", "22222\n"]
)
def test_what_is_not_plain_is_hashed(part: str) -> None:
    assert re.fullmatch(r"h-[0-9a-f]{16}", readable(part))
    assert readable(part) == readable(part)
    assert readable(part) != readable(part + ".")


@given(addresses | anything, addresses | anything, addresses | anything)
@example("jane@example.com", "jane@example.com", "jane@example.com")
def test_no_e_mail_address_is_ever_in_an_id(external_id: str, key: str, start: str) -> None:
    found = instance_id("welcome", contact_reference("c1", external_id), key, start)
    assert not EMAIL.search(found)
    assert "@" not in found
    assert len(found) < 255
    assert found.count("/") == 3


@given(anything, anything)
def test_different_keys_give_different_ids(one: str, other: str) -> None:
    same = instance_id("p", "1", one, None) == instance_id("p", "1", other, None)
    assert same == (one == other)
