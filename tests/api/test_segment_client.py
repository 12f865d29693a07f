"""Segment's own Python client, as it comes from PyPI, pointed at Onward over real HTTP."""

import asyncio
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from typing import Any

import httpx
import pytest
from pydantic import SecretStr
from segment.analytics import Client
from segment.analytics import request as segment_request

from runtime import Services
from tests.api.conftest import activate, process
from tests.support.serving import serving

KEY = "wk-1"


@pytest.fixture(autouse=True)
def closed_session() -> Iterator[None]:
    """The client keeps one HTTP session for the whole process."""
    yield
    segment_request._session.close()


class Sender:
    """The client, and what it says went wrong."""

    def __init__(self, url: str, **options: Any) -> None:
        self.errors: list[Any] = []
        self.client = Client(
            options.pop("key", KEY),
            host=url,
            max_retries=1,
            upload_interval=0.1,
            on_error=lambda error, _: self.errors.append(error.status),
            **options,
        )

    def everything(self) -> None:
        """A message of each kind."""
        self.client.page(anonymous_id="a1", properties={"url": "https://shop.example/"}, message_id="m1")
        self.client.identify(
            "22222",
            {"email": "Anna@Example.com", "city": "Brno", "born": datetime(1990, 3, 15, tzinfo=UTC)},
            anonymous_id="a1",
            timestamp=datetime.now(UTC) - timedelta(days=1),
            message_id="m2",
        )
        self.client.track(22222, "Order Completed", {"total": 1299}, message_id="m3")
        self.client.group("22222", "g1", {"name": "Initech"}, message_id="m4")
        self.client.screen("22222", name="Home", message_id="m5")
        self.client.alias("22222", "33333", message_id="m6")
        self.client.shutdown()


async def test_the_official_client_works_unchanged(away: Services) -> None:
    away.settings.segment_write_keys = (SecretStr(KEY),)
    async with serving(away) as url, httpx.AsyncClient(base_url=url, timeout=60) as api:
        order = [{"type": "order", "state": "initialized"}]
        await activate(api, process("order", triggers=order))
        for gzip in (False, True):  # the second time as after an answer that was lost
            sender = Sender(url, gzip=gzip)
            await asyncio.to_thread(sender.everything)
            assert sender.errors == []
        person = (await api.get("/v1/contacts/33333")).json()
        assert (person["email"], person["token"]) == ("anna@example.com", "a1")
        assert person["fields"] == {
            "city": "Brno",
            "born": "1990-03-15T00:00:00+00:00",
            "group": {"id": "g1", "name": "Initech"},
        }
        kept = (await api.get("/v1/events")).json()["items"]
        assert sorted((one["id"], one["type"]) for one in kept) == [
            ("m1", "page.visited"),
            ("m2", "segment.identify"),
            ("m3", "order.changed"),
            ("m4", "segment.group"),
            ("m5", "page.visited"),
            ("m6", "segment.alias"),
        ]
        assert {one["contact"]["id"] for one in kept} == {person["id"]}
        (identified,) = (one for one in kept if one["id"] == "m2")
        age = datetime.now(UTC) - datetime.fromisoformat(identified["occurred_at"])
        assert timedelta(hours=23) < age < timedelta(hours=25)
        (instance,) = (await api.get("/v1/instances")).json()["items"]
        assert (instance["process"], instance["contact"]["external_id"]) == ("order", "33333")


def one_message(sender: Sender) -> None:
    """A message, sent."""
    sender.client.track("22222", "Seen")
    sender.client.shutdown()


async def test_the_client_hears_why_it_was_not_let_in(away: Services) -> None:
    async with serving(away) as url:
        statuses: list[Any] = []
        for keys in ((), (SecretStr("another"),)):
            away.settings.segment_write_keys = keys
            sender = Sender(url)
            await asyncio.to_thread(one_message, sender)
            statuses += sender.errors
    assert statuses == [401, 401]
