"""Retention over HTTP, and what a deleted run still means for who wants to enter."""

from datetime import UTC, datetime, timedelta

import httpx
import pytest
from sqlalchemy import insert, update

from runtime import Services
from store import rows
from tests.api.conftest import activate, process

pytestmark = pytest.mark.parametrize("database_url", ["sqlite"], indirect=True)


async def entered(api: httpx.AsyncClient, number: int, contact: str = "22222") -> dict[str, str]:
    """What the event that starts «welcome» says."""
    body = {"type": "registered", "id": f"e{number}", "contact": {"id": contact}}
    (decision,) = (await api.post("/v1/events", json=body)).json()["decisions"]
    said: dict[str, str] = decision
    return said


async def over(services: Services) -> None:
    """All that was started ended a year ago, after a message."""
    ago = datetime.now(UTC) - timedelta(days=365)
    async with services.database.write() as connection:
        i = rows.instances
        ended = {"state": "ended", "open": False, "outcome": "completed", "ended_at": ago, "created_at": ago}
        found = (await connection.execute(update(i).values(**ended).returning(i.c.id, i.c.contact_id))).all()
        await connection.execute(
            insert(rows.messages),
            [
                {
                    "id": f"m-{row.id}",
                    "instance_id": row.id,
                    "step": "hello",
                    "visit": 1,
                    "process_key": "welcome",
                    "contact_id": row.contact_id,
                    "channel": "email",
                    "recipient": "",
                    "state": "sent",
                    "claimed_at": ago,
                }
                for row in found
            ],
        )


async def test_who_was_in_once_is_not_let_in_again_after_the_run_was_deleted(
    api: httpx.AsyncClient, away: Services
) -> None:
    away.settings.retention_days = 30
    await activate(api, process(recurrence="once"))
    assert (await entered(api, 1))["instance"] == "welcome/22222"
    await over(away)
    assert (await api.get("/v1/retention")).json()["instances"] == 1
    assert (await api.get("/v1/retention?days=400")).json()["instances"] == 0
    done = (await api.post("/v1/retention")).json()
    assert (done["instances"], done["more"]) == (1, False)
    assert (await api.get("/v1/instances/welcome/22222")).status_code == 404
    refused = await entered(api, 2)
    assert (refused["decision"], refused["reason"]) == ("skipped", "once: this contact has entered before")


async def test_a_start_that_was_deleted_counts_when_the_recurrence_becomes_once(
    api: httpx.AsyncClient, away: Services
) -> None:
    away.settings.retention_days = 30
    await activate(api, process())
    await entered(api, 1)
    await over(away)
    await api.post("/v1/retention")
    await api.post("/v1/processes/welcome/pause")
    await activate(api, process(recurrence="once"))
    assert (await entered(api, 2))["reason"] == "once: this contact has entered before"
    assert (await entered(api, 3, "33333"))["decision"] == "pending"


async def test_the_id_of_a_deleted_run_is_not_given_to_who_has_its_contact_id_now(
    api: httpx.AsyncClient, away: Services
) -> None:
    away.settings.retention_days = 30
    await activate(api, process(recurrence="once"))
    assert (await entered(api, 1))["instance"] == "welcome/22222"
    await over(away)
    await api.delete("/v1/contacts/22222")
    await api.post("/v1/retention")
    assert (await entered(api, 2))["instance"] == "welcome/22222/e2"


async def test_without_the_setting_nothing_can_be_deleted(api: httpx.AsyncClient) -> None:
    assert (await api.get("/v1/retention")).json() == {"days": None, "before": None, "instances": 0}
    refused = await api.post("/v1/retention")
    assert (refused.status_code, refused.json()["type"]) == (409, "urn:onward:problem:no-retention")
    assert (await api.get("/v1/retention?days=0")).status_code == 422
