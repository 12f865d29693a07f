"""The life of a process over HTTP, and its instances while Temporal is away."""

from datetime import UTC, datetime, timedelta
from typing import Any

import httpx
import pytest
import yaml
from sqlalchemy import insert, select, update

from runtime import Services
from store import rows
from tests.api.conftest import activate, contact, places, process

WAITING = [
    {"id": "pause", "type": "wait", "for": "3 days", "next": "tag"},
    {"id": "tag", "type": "add_tag", "tag": "x"},
]


async def test_a_process_goes_from_draft_to_archive(api: httpx.AsyncClient) -> None:
    made = await api.put("/v1/processes/welcome", json=process())
    assert (made.status_code, made.json()["status"], made.json()["version"]) == (201, "draft", None)
    again = await api.put("/v1/processes/welcome", json=process(name="Better"))
    assert (again.status_code, again.json()["name"]) == (200, "Better")
    assert (await api.post("/v1/processes/welcome/pause")).json()["allowed"] == [
        "edit",
        "publish",
        "activate",
        "archive",
    ]

    published = await api.post("/v1/processes/welcome/publish")
    assert (published.json()["status"], published.json()["version"]) == ("draft", 1)
    twice = await api.post("/v1/processes/welcome/publish")
    assert (twice.status_code, twice.json()["type"]) == (409, "urn:onward:problem:wrong-status")
    active = await api.post("/v1/processes/welcome/activate")
    assert (active.json()["status"], active.json()["version"]) == ("active", 1)

    edited = await api.put("/v1/processes/welcome", json=process())
    assert edited.status_code == 409
    assert (edited.json()["status"], edited.json()["allowed"]) == (409, ["pause", "archive"])
    assert "active" in edited.json()["detail"]

    assert (await api.post("/v1/processes/welcome/pause")).json()["status"] == "paused"
    assert (await api.put("/v1/processes/welcome", json=process(name="Third"))).status_code == 200
    resumed = await api.post("/v1/processes/welcome/activate")
    assert (resumed.json()["status"], resumed.json()["version"], resumed.json()["name"]) == (
        "active",
        2,
        "Third",
    )
    assert (await api.post("/v1/processes/welcome/archive")).json()["status"] == "archived"
    gone = await api.post("/v1/processes/welcome/activate")
    assert (gone.status_code, gone.json()["allowed"]) == (409, [])

    first = await api.get("/v1/processes/welcome/versions/1")
    assert first.json()["definition"]["name"] == "Better"
    assert (await api.get("/v1/processes/welcome/versions/3")).status_code == 404


async def test_a_process_shows_its_launch_conditions(api: httpx.AsyncClient) -> None:
    await activate(api, process(recurrence={"mode": "once_per", "period": "1h"}))
    shown = (await api.get("/v1/processes/welcome")).json()
    assert shown["launch_conditions"] == {
        "triggers": [{"type": "event", "event": "registered"}],
        "recurrence": {"mode": "once_per", "period": "PT1H"},
    }
    assert (shown["draft"], shown["has_draft"], shown["counts"]) == (None, False, {})
    assert [p["key"] for p in (await api.get("/v1/processes?status=active")).json()["items"]] == ["welcome"]
    assert (await api.get("/v1/processes?status=odd")).status_code == 422
    assert (await api.get("/v1/processes/none")).status_code == 404


async def test_a_pause_that_ends_by_itself_is_shown_with_its_end(api: httpx.AsyncClient) -> None:
    await activate(api, process())
    await api.post("/v1/processes/welcome/pause", json={"until": "2126-12-24T09:00:00+01:00"})
    for until in ("2126-12-24T08:00:00Z", None):
        (listed,) = (await api.get("/v1/processes")).json()["items"]
        shown = (await api.get("/v1/processes/welcome")).json()
        assert listed["paused_until"] == shown["paused_until"] == until
        assert (await api.post("/v1/processes/welcome/activate")).status_code == 200
        await api.post("/v1/processes/welcome/pause")


async def test_a_definition_may_be_yaml(api: httpx.AsyncClient) -> None:
    text = yaml.safe_dump(process(steps=WAITING), allow_unicode=True)
    headers = {"content-type": "application/yaml; charset=utf-8"}
    assert (await api.put("/v1/processes/welcome", content=text, headers=headers)).status_code == 201
    shown = (await api.get("/v1/processes/welcome")).json()
    assert [step["id"] for step in shown["draft"]["steps"]] == ["pause", "tag"]
    assert (await api.post("/v1/processes/welcome/validate")).json()["valid"] is True
    assert (await api.post("/v1/processes/welcome/validate", json={"steps": []})).json()["valid"] is False
    assert (await api.post("/v1/processes/none/validate")).status_code == 404


async def test_a_draft_may_name_what_is_missing_but_is_not_published_so(api: httpx.AsyncClient) -> None:
    document = process(steps=[{"id": "mail", "type": "send_email", "template": "hello"}])
    put = await api.put("/v1/processes/welcome", json=document)
    assert [p["pointer"] for p in put.json()["problems"]] == ["/steps/0/template"]
    for action in ("publish", "activate"):
        answer = await api.post(f"/v1/processes/welcome/{action}")
        assert (answer.status_code, places(answer)) == (422, ["/steps/0/template"])
    assert (await api.put("/v1/templates/hello", json={"subject": "Hi", "html": "<p>Hi"})).status_code == 200
    assert (await api.post("/v1/processes/welcome/activate")).status_code == 200


async def test_the_list_is_fixed_once_published(api: httpx.AsyncClient) -> None:
    for key in ("news", "shop"):
        await api.put(f"/v1/lists/{key}", json={"name": key})
    await api.put("/v1/processes/welcome", json=process(list="shop"))
    await activate(api, process(list="news"))
    await api.post("/v1/processes/welcome/pause")
    for other in (process(list="shop"), process()):
        answer = await api.put("/v1/processes/welcome", json=other)
        assert (answer.status_code, places(answer)) == (422, ["/list"])
    assert (await api.put("/v1/processes/welcome", json=process(list="news"))).status_code == 200


async def test_an_event_starts_a_process_and_says_that_it_is_pending(api: httpx.AsyncClient) -> None:
    await activate(api, process())
    answer = await api.post("/v1/events", json={"type": "registered", "id": "e1", "contact": {"id": "22222"}})
    assert answer.status_code == 202
    (decision,) = answer.json()["decisions"]
    assert decision["decision"] == "pending"
    assert decision["instance"] == "welcome/22222/e1"
    shown = (await api.get("/v1/instances/welcome/22222/e1")).json()
    assert (shown["state"], shown["workflow_id"], shown["next"]["step"]) == (
        "pending",
        "welcome/22222/e1",
        "tag",
    )
    assert (await api.get("/v1/processes/welcome")).json()["counts"] == {"pending": 1}


async def test_archiving_with_contacts_inside_must_be_meant(api: httpx.AsyncClient) -> None:
    await activate(api, process(steps=WAITING))
    for number in range(3):
        await api.post("/v1/events", json={"type": "registered", "contact": {"id": str(number)}})
    refused = await api.post("/v1/processes/welcome/archive")
    assert (refused.status_code, refused.json()["open"]) == (409, 3)
    done = await api.post("/v1/processes/welcome/archive?stop_instances=true")
    assert (done.json()["status"], done.json()["stopped"]) == ("archived", 3)
    found = (await api.get("/v1/instances?process=welcome")).json()["items"]
    assert {row["state"] for row in found} <= {"stopping", "ended"}


async def test_resuming_releases_what_the_pause_held(api: httpx.AsyncClient, away: Services) -> None:
    await activate(api, process(steps=WAITING))
    for number in range(3):
        await api.post("/v1/events", json={"type": "registered", "id": f"e{number}", "contact": {"id": "1"}})
    await api.post("/v1/processes/welcome/pause")
    i = rows.instances.c
    async with away.database.write() as connection:
        for event, reason in (("e0", "paused: the process is paused"), ("e1", "failed: no template")):
            await connection.execute(
                update(rows.instances)
                .where(i.event_id == event)
                .values(state="holding", reason=reason, run_id="r")
            )
    answer = await api.post("/v1/processes/welcome/activate")
    assert answer.json()["released"] == 1
    async with away.database.read() as connection:
        (row,) = (await connection.execute(select(rows.outbox))).all()
    assert (row.instance_id, row.kind) == ("welcome/1/e0", "release")


async def test_earlier_starts_count_for_a_new_recurrence(api: httpx.AsyncClient, away: Services) -> None:
    await activate(api, process())
    for number in range(2):
        await api.post("/v1/events", json={"type": "registered", "id": f"e{number}", "contact": {"id": "1"}})
    long_ago = datetime.now(UTC) - timedelta(days=10)
    async with away.database.write() as connection:
        await connection.execute(
            update(rows.instances).where(rows.instances.c.event_id == "e0").values(created_at=long_ago)
        )
    await api.post("/v1/processes/welcome/pause")
    await activate(api, process(recurrence={"mode": "once_per", "period": "2 days"}))
    event = {"type": "registered", "contact": {"id": "1"}}
    (decision,) = (await api.post("/v1/events", json=event)).json()["decisions"]
    assert (decision["decision"], decision["reason"]) == (
        "skipped",
        "once per 2 days: it entered within that time",
    )
    async with away.database.read() as connection:
        (entry,) = (await connection.execute(select(rows.entries))).all()
    assert entry.next_at - entry.last_at == timedelta(days=2)
    await api.post("/v1/processes/welcome/pause")
    await activate(api, process(recurrence="once"))
    (decision,) = (await api.post("/v1/events", json=event)).json()["decisions"]
    assert decision["reason"] == "once: this contact has entered before"
    await api.post("/v1/processes/welcome/pause")
    await activate(api, process(recurrence="when_finished"))
    (decision,) = (await api.post("/v1/events", json=event)).json()["decisions"]
    assert decision["reason"].startswith("unfinished")


async def test_a_start_by_hand_says_what_it_did(api: httpx.AsyncClient) -> None:
    await activate(api, process(recurrence="once"))
    await contact(api)
    url = "/v1/processes/welcome/instances"
    started = await api.post(url, json={"contact": "22222@example.com"})
    assert (started.status_code, started.json()["decision"]) == (202, "pending")
    assert started.json()["instance"] == "welcome/22222"
    refused = await api.post(url, json={"contact": "22222"})
    assert (refused.status_code, refused.json()["type"]) == (409, "urn:onward:problem:start-refused")
    assert refused.json()["reason"] == "once: this contact has entered before"
    forced = await api.post(url, json={"contact": "22222", "force": True})
    assert forced.status_code == 202
    assert (await api.post(url, json={"contact": "nobody"})).status_code == 404
    assert (await api.post("/v1/processes/none/instances", json={"contact": "22222"})).status_code == 404
    sneaky = await api.post(url, json={"contact": "22222", "params": {"process": "x"}})
    assert (sneaky.status_code, places(sneaky)) == (422, ["/params/process"])


@pytest.mark.parametrize(
    ("recurrence", "refused"),
    [
        ("each_time", None),
        ("when_finished", None),
        ("once", "once: this contact has entered before"),
        ({"mode": "once_per", "period": "1 day"}, "once per 1 day: it entered within that time"),
    ],
    ids=["each_time", "when_finished", "once", "once_per"],
)
async def test_a_restart_is_one_act_and_stops_nothing_if_recurrence_refuses(
    api: httpx.AsyncClient, recurrence: Any, refused: str | None
) -> None:
    await activate(api, process(recurrence=recurrence, steps=WAITING))
    await contact(api)
    url, asked = "/v1/processes/welcome/instances", {"contact": "22222", "restart": True}
    first = (await api.post(url, json={"contact": "22222"})).json()["instance"]

    async def state(instance: str) -> str:
        return str((await api.get(f"/v1/instances/{instance}")).json()["state"])

    again = await api.post(url, json=asked)
    if refused is not None:
        assert (again.status_code, again.json()["reason"]) == (409, refused)
        assert await state(first) == "pending"
        again = await api.post(url, json={**asked, "force": True})
    assert (again.status_code, again.json()["stopped"]) == (202, [first]), again.text
    assert again.json()["instance"] != first
    assert await state(first) == "stopping"
    entries = (await api.get("/v1/audit", params={"subject": f"instance/{first}"})).json()["items"]
    assert ("instance.stop", "restarted") in [(entry["action"], entry["reason"]) for entry in entries]


async def test_who_is_not_in_it_is_started_by_a_restart(api: httpx.AsyncClient) -> None:
    await activate(api, process(recurrence="when_finished", steps=WAITING))
    await contact(api)
    started = await api.post("/v1/processes/welcome/instances", json={"contact": "22222", "restart": True})
    assert (started.status_code, started.json()["stopped"]) == (202, [])


async def test_instances_are_listed_by_page_and_by_filter(api: httpx.AsyncClient) -> None:
    await activate(api, process(steps=WAITING))
    events = [{"type": "registered", "id": f"e{n}", "contact": {"id": str(n % 2)}} for n in range(7)]
    await api.post("/v1/events/batch", json={"events": events})
    seen: list[str] = []
    cursor = ""
    while True:
        page = (await api.get(f"/v1/instances?process=welcome&limit=3{cursor}")).json()
        seen += [row["id"] for row in page["items"]]
        if page["next_cursor"] is None:
            break
        cursor = f"&cursor={page['next_cursor']}"
    assert sorted(seen) == sorted(f"welcome/{n % 2}/e{n}" for n in range(7))
    assert len(seen) == len(set(seen))
    of_one = (await api.get("/v1/instances?contact=1&state=pending")).json()["items"]
    assert {row["contact"]["external_id"] for row in of_one} == {"1"}
    assert len((await api.get("/v1/contacts/1/instances")).json()["items"]) == 3
    assert (await api.get("/v1/instances?step=nowhere")).json()["items"] == []
    bad = await api.get("/v1/instances?cursor=nonsense")
    assert (bad.status_code, places(bad)) == (422, ["?cursor"])
    assert places(await api.get("/v1/instances?limit=0&state=odd")) == ["?state", "?limit"]


async def test_stop_and_release(api: httpx.AsyncClient, away: Services) -> None:
    await activate(api, process(steps=WAITING))
    for event in ("e1", "e2", "e3"):
        await api.post("/v1/events", json={"type": "registered", "id": event, "contact": {"id": "1"}})
    url = "/v1/instances/welcome/1"
    released = await api.post(f"{url}/e1/release")
    assert (released.status_code, released.json()["state"]) == (409, "pending")
    async with away.database.write() as connection:
        await connection.execute(
            update(rows.instances)
            .where(rows.instances.c.id == "welcome/1/e1")
            .values(state="holding", reason="failed: x")
        )
    assert (await api.post(f"{url}/e1/release")).status_code == 202

    stopped = await api.post(f"{url}/e1/stop", json={"reason": "asked to"})
    assert stopped.json() == {"stopped": True, "instances": ["welcome/1/e1"], "in_flight": []}
    shown = (await api.get(f"{url}/e1")).json()
    assert (shown["state"], shown["outcome"], shown["reason"]) == ("stopping", "stopped", "asked to")
    assert (await api.post("/v1/instances/welcome/1/none/stop")).status_code == 404
    assert (await api.get("/v1/instances/welcome/1/none")).status_code == 404

    message = {
        "id": "m1", "instance_id": "welcome/1/e2", "step": "tag", "visit": 1, "process_key": "welcome",
        "contact_id": shown["contact"]["id"], "channel": "email", "recipient": "a@example.com", "state": "claimed",
        "attempts": 1, "claimed_at": datetime.now(UTC),
    }  # fmt: skip
    async with away.database.write() as connection:
        await connection.execute(insert(rows.messages).values(message))
    leaving = await api.post(f"{url}/e2/stop?wait=0.05")
    assert (leaving.status_code, leaving.json()["in_flight"]) == (202, ["m1"])
    assert [m["id"] for m in (await api.get(f"{url}/e2")).json()["messages"]] == ["m1"]

    rest = await api.post("/v1/contacts/1/processes/welcome/stop")
    assert rest.json() == {"stopped": True, "instances": ["welcome/1/e3"], "in_flight": []}
    async with away.database.write() as connection:
        await connection.execute(update(rows.instances).values(state="ended", open=False))
    ended = await api.post(f"{url}/e1/stop")
    assert (ended.status_code, ended.json()["type"]) == (409, "urn:onward:problem:instance-ended")
    assert (await api.post("/v1/contacts/1/processes/none/stop")).status_code == 404
