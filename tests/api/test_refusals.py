"""Messages that were refused or came back: listed with their cause, and told to operators if they are our fault."""

from datetime import UTC, datetime, timedelta
from typing import Any, get_args

import httpx
import pytest
from sqlalchemy import insert

from intake.doctor import Context
from intake.doctor.refusals import SendingRefused
from processes.refusals import FAULTS, REMEDIES, Cause, causes_of
from runtime import Services
from store import rows
from tests.api.conftest import contact, places


@pytest.fixture
def now() -> datetime:
    """When the test began."""
    return datetime.now(UTC)


async def refused(
    away: Services, person: str, number: int, cause: str | None, at: datetime, **more: Any
) -> str:
    """A message, refused at that time."""
    own_id = f"m{number:024x}"
    values = {
        "id": own_id, "instance_id": f"welcome/{number}", "step": "hello", "visit": 1, "process_key": "welcome",
        "contact_id": person, "channel": "email", "recipient": "22222@example.com", "state": "refused",
        "attempts": 1, "claimed_at": at - timedelta(days=9), "closed_at": at - timedelta(days=9),
        "cause": cause, "refused_at": None if cause is None else at, **more,
    }  # fmt: skip
    async with away.database.write() as connection:
        await connection.execute(insert(rows.messages).values(values))
    return own_id


@pytest.fixture
async def some(api: httpx.AsyncClient, away: Services, now: datetime) -> list[str]:
    """Messages of different causes, the one refused last first, and one that arrived."""
    person, minute = await contact(api), timedelta(minutes=1)
    await refused(away, person, 0, None, now - minute, state="sent")
    return [
        await refused(away, person, 1, "mailbox_full", now - minute),
        await refused(away, person, 2, "reputation", now - 2 * minute, state="retrying"),
        await refused(
            away, person, 3, "reputation", now - 3 * minute, process_key="other", state="sending_refused"
        ),
        await refused(away, person, 4, "policy", now - 4 * minute, channel="sms"),
        await refused(away, person, 5, "no_mailbox", now - 5 * minute, state="bounced"),
    ]


@pytest.mark.parametrize(
    ("asked", "numbers"),
    [
        ({}, [1, 2, 3, 4, 5]),
        ({"cause": "mailbox_full"}, [1]),
        ({"fault": "sender"}, [2, 3, 4]),
        ({"fault": "sender", "cause": "policy"}, [4]),
        ({"fault": "recipient", "cause": "policy"}, []),
        ({"fault": "sender", "channel": "email", "process": "welcome"}, [2]),
    ],
)
async def test_refused_messages_are_found_by_cause_fault_channel_and_process(
    api: httpx.AsyncClient, some: list[str], asked: dict[str, str], numbers: list[int]
) -> None:
    found = (await api.get("/v1/refusals", params=asked)).json()["items"]
    assert [one["id"] for one in found] == [some[number - 1] for number in numbers]


async def test_each_says_what_it_was_and_the_list_has_pages(
    api: httpx.AsyncClient, some: list[str], now: datetime
) -> None:
    first = (await api.get("/v1/refusals", params={"limit": 2})).json()
    one = first["items"][0]
    assert (one["cause"], one["state"], one["instance"]) == ("mailbox_full", "refused", "welcome/1")
    assert datetime.fromisoformat(one["refused_at"]) == now - timedelta(minutes=1)
    found = first["items"]
    while first["next_cursor"]:
        following = {"limit": 2, "cursor": first["next_cursor"]}
        first = (await api.get("/v1/refusals", params=following)).json()
        found += first["items"]
    assert [one["id"] for one in found] == some


async def test_a_cause_that_there_is_none_of_is_refused(api: httpx.AsyncClient) -> None:
    answer = await api.get("/v1/refusals", params={"cause": "bad_weather"})
    assert (answer.status_code, places(answer)) == (422, ["?cause"])


async def test_the_doctor_names_what_is_our_fault_with_its_number_and_what_to_do(
    away: Services, some: list[str], now: datetime
) -> None:
    await refused(away, "c" * 8, 6, "relay", now - timedelta(days=2))
    context = Context(away.database, away.client, away.dispatcher, "onward", older_than=0, segment_minutes=1)
    pages = [page async for page in SendingRefused(context).find()]
    found = {finding.subject: finding for page in pages for finding in page}
    assert set(found) == {"email reputation", "sms policy"}
    newest = f"{now - timedelta(minutes=2):%Y-%m-%d %H:%M} UTC"
    assert found["email reputation"].says.startswith(f"2 messages within a day, the newest {newest}")
    assert found["email reputation"].says.endswith(REMEDIES["reputation"])
    assert found["sms policy"].says.startswith("1 message within a day")
    assert not found["sms policy"].mendable


def test_each_cause_has_a_fault_and_ours_a_remedy() -> None:
    assert set(FAULTS) == set(get_args(Cause))
    assert set(REMEDIES) == set(causes_of("sender"))
