"""Custom Audiences: people normalised and hashed as Meta asks, put in and taken out, and what Meta's errors mean."""

import hashlib
import json
from collections.abc import AsyncIterator
from typing import Any, Literal

import pytest

from channels.audiences import USAGE, AudienceChange, CustomAudiences, Person, payload_of
from channels.errors import (
    DeliveryError,
    MessageRefused,
    OutcomeUnknown,
    SenderRefused,
    TryLater,
    Withdrawn,
)
from channels.graph import GraphApi
from tests.support.audience_server import AudienceServer
from tests.support.http_server import Reply
from tests.support.provider_server import GraphServer, json_reply

JANA = Person("Jana@Example.com ", "+420 602 123 456", "Jana", "Nováková", "Praha", "110 00", "CZ")


@pytest.fixture
async def server() -> AsyncIterator[AudienceServer]:
    async with AudienceServer() as server:
        yield server


async def change(
    server: AudienceServer,
    does: Literal["add", "remove"] = "add",
    person: Person = JANA,
    *,
    audience: str = AudienceServer.AUDIENCE,
    go: bool = True,
    token: str = AudienceServer.TOKEN,
) -> dict[str, Any]:
    async def claim() -> bool:
        return go

    payload = payload_of(person)
    assert payload is not None
    channel = CustomAudiences(GraphApi(server.url, "v25.0", token, 2))
    try:
        return await channel.deliver(AudienceChange(audience, does, payload), claim)
    finally:
        await channel.close()


def sha256(text: str) -> str:
    return hashlib.sha256(text.encode()).hexdigest()


@pytest.mark.parametrize(
    ("person", "expected"),
    [
        (Person(email="  Mary@Example.COM\n"), {"EMAIL": "mary@example.com"}),
        (Person(phone="+1 (616) 954-78 88"), {"PHONE": "16169547888"}),
        (Person(phone="00420602123456"), {"PHONE": "420602123456"}),
        (Person(first_name=" Anne-Marie ", last_name="O'Brien Jr."), {"FN": "annemarie", "LN": "obrienjr"}),
        (Person(first_name="ŽOFIE", last_name="정"), {"FN": "žofie", "LN": "정"}),
        (Person(first_name="Z\u030cofie"), {"FN": "žofie"}),
        (Person(city="České Budějovice"), {"CT": "ceskebudejovice"}),
        (Person(city="St. Gießen-Łódź 2"), {"CT": "stgiessenlodz"}),
        (Person(city="Київ"), {}),
        (Person(postal_code="110 00", country="CZ"), {"ZIP": "11000", "COUNTRY": "cz"}),
        (Person(postal_code="94035-1234", country="us"), {"ZIP": "94035", "COUNTRY": "us"}),
        (Person(postal_code="SW1A 1AA", country="GB"), {"ZIP": "sw1a1", "COUNTRY": "gb"}),
        (Person(country="Czechia"), {}),
        (Person(email=" ", phone="+", first_name="-", postal_code=" "), {}),
    ],
    ids=str,
)
def test_each_key_is_normalised_as_the_api_says(person: Person, expected: dict[str, str]) -> None:
    assert dict(person.normalised()) == expected


def test_what_is_sent_is_hashes_only_in_the_order_of_the_schema() -> None:
    payload = json.loads(payload_of(JANA) or b"")
    assert payload == {
        "schema": ["EMAIL", "PHONE", "FN", "LN", "CT", "ZIP", "COUNTRY"],
        "data": [
            [
                sha256("jana@example.com"),
                sha256("420602123456"),
                sha256("jana"),
                sha256("nováková"),
                sha256("praha"),
                sha256("11000"),
                sha256("cz"),
            ]
        ],
    }


def test_nobody_is_known_by_a_name_alone() -> None:
    assert payload_of(Person(first_name="Jana", last_name="Nováková", city="Praha")) is None


async def test_added_twice_one_is_in_once_and_removed_twice_is_out(server: AudienceServer) -> None:
    members = server.members[server.AUDIENCE]
    for _ in range(2):
        assert await change(server) == {"received": 1}
    assert list(members) == [sha256("jana@example.com")]
    for _ in range(2):
        await change(server, "remove")
    assert members == {}
    assert [taken["method"] for taken in server.taken] == ["POST", "POST", "DELETE", "DELETE"]


async def test_neither_the_token_nor_a_hash_stands_in_an_address(server: AudienceServer) -> None:
    await change(server)
    await change(server, "remove")
    for request in server.requests:
        assert request.line.split(" ")[1] == f"/v25.0/{server.AUDIENCE}/users"


async def test_nothing_is_sent_where_the_claim_says_no(server: AudienceServer) -> None:
    with pytest.raises(Withdrawn):
        await change(server, go=False)
    assert server.requests == []


async def test_a_token_that_is_not_taken_is_ours(server: AudienceServer) -> None:
    with pytest.raises(SenderRefused, match="190"):
        await change(server, token="old")


async def test_an_audience_that_is_not_there_is_refused(server: AudienceServer) -> None:
    with pytest.raises(MessageRefused, match="Object does not exist"):
        await change(server, audience="1")


BUSY = json.dumps(
    {
        "1234": [
            {"type": "ads_management", "estimated_time_to_regain_access": 0},
            {"type": "custom_audience", "estimated_time_to_regain_access": 5},
        ]
    }
)


@pytest.mark.parametrize(
    ("reply", "expected", "retry_after"),
    [
        (GraphServer.error(400, 80003, 2446079, "too many calls", **{USAGE: BUSY}), TryLater, 300.0),
        (GraphServer.error(400, 80003, None, "too many calls"), TryLater, None),
        (GraphServer.error(400, 80003, None, "too many calls", **{USAGE: "nonsense"}), TryLater, None),
        (GraphServer.error(400, 80003, None, "too many calls", **{USAGE: '{"1": [7]}'}), TryLater, None),
        (GraphServer.error(400, 80003, None, "too many calls", **{USAGE: "[]"}), TryLater, None),
        (GraphServer.error(400, 4, None, "app limit", retry_after="9", **{USAGE: BUSY}), TryLater, 9.0),
        (GraphServer.error(400, 17, None, "user limit"), TryLater, None),
        (GraphServer.error(400, 613, 1487742, "ad account limit"), TryLater, None),
        (GraphServer.error(500, 2, None, "down for a moment"), TryLater, None),
        (GraphServer.error(400, 2650, None, "failed to update the audience"), MessageRefused, None),
        (GraphServer.error(400, 100, 33, "not there"), MessageRefused, None),
        (GraphServer.error(403, 200, 1870034, "terms not accepted"), SenderRefused, None),
        (GraphServer.error(403, 10, None, "no permission"), SenderRefused, None),
        (GraphServer.error(500, 1, None, "unknown"), OutcomeUnknown, None),
        (Reply("502 Bad Gateway"), OutcomeUnknown, None),
        (json_reply("200 OK", {"num_received": 1, "num_invalid_entries": 1}), MessageRefused, None),
    ],
    ids=lambda value: value.body.decode()[:60] if isinstance(value, Reply) else None,
)
async def test_an_error_says_whose_fault_it_is_and_when_to_come_again(
    server: AudienceServer, reply: Reply, expected: type[DeliveryError], retry_after: float | None
) -> None:
    server.replies = [reply]
    with pytest.raises(expected) as caught:
        await change(server)
    assert getattr(caught.value, "retry_after", None) == retry_after


async def test_silence_after_the_call_is_unknown(server: AudienceServer) -> None:
    server.cuts = 1
    with pytest.raises(OutcomeUnknown):
        await change(server)
    assert len(server.taken) == 1
