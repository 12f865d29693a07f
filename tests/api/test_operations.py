"""Many by HTTP: asked for, watched, stopped, resumed, downloaded. What an operation does is in `tests/operations`."""

import csv
import io
from typing import Any

import httpx
import pytest
from sqlalchemy import select

from intake.keys import LOCAL, KeyWanted
from runtime import Services
from store import rows
from tests.api.conftest import activate, places, process
from tests.operations.crowd import Crowd

WAITING = [{"id": "rest", "type": "wait", "for": "30 days"}]


@pytest.fixture
async def crowd(api: httpx.AsyncClient, away: Services) -> Crowd:
    """25 contacts, 20 of them in a segment, and a process that lets each in once."""
    crowd = Crowd(away)
    people = await crowd.people(25)
    await crowd.rule("some", {"not": {"contact": "external_id", "in": [p[1:] for p in people[20:]]}})
    await activate(api, process(recurrence="once", steps=WAITING))
    return crowd


async def begun(api: httpx.AsyncClient, **body: Any) -> dict[str, Any]:
    """An operation that starts."""
    answer = await api.post("/v1/processes/welcome/start-many", json=body)
    assert answer.status_code == 202, answer.text
    row: dict[str, Any] = answer.json()
    return row


async def test_a_group_start_is_watched_listed_and_downloaded(api: httpx.AsyncClient, crowd: Crowd) -> None:
    await crowd.run((await begun(api, contacts=["000", "=nobody"]))["id"])
    row = await begun(api, segment="some", reason="the autumn sale")
    assert (row["kind"], row["state"], row["done"], row["segment"]) == ("start", "running", 0, "some")
    await crowd.run(row["id"])
    shown = (await api.get(f"/v1/operations/{row['id']}")).json()
    assert (shown["state"], shown["total"], shown["done"]) == ("done", 20, 20)
    assert shown["counts"] == {"started": 19, "refused": 1}
    assert shown["reasons"] == {"once": 1}
    listed = (await api.get("/v1/operations?process=welcome&kind=start&state=done&limit=1")).json()
    assert (listed["items"], listed["next_cursor"] is not None) == ([shown], True)
    place = f"/v1/operations/{row['id']}/results"
    first = (await api.get(f"{place}?limit=15")).json()
    rest = (await api.get(place, params={"limit": 15, "cursor": first["next_cursor"]})).json()
    assert [len(first["items"]), len(rest["items"]), rest["next_cursor"]] == [15, 5, None]
    (refused,) = (await api.get(f"{place}?status=refused")).json()["items"]
    assert refused["reason"] == "once: this contact has entered before"
    assert (refused["contact"], refused["external_id"], refused["email"]) == (
        "c000", "000", "p000@example.com",
    )  # fmt: skip
    found = list(csv.DictReader(io.StringIO((await api.get(f"{place}.csv")).text)))
    assert [line["subject"] for line in found] == [f"c{number:03}" for number in range(20)]
    assert found[1]["instance"] == "welcome/001"


async def test_references_that_look_like_formulas_are_none_in_the_download(
    api: httpx.AsyncClient, crowd: Crowd
) -> None:
    row = await begun(api, contacts=["=1+1"])
    await crowd.run(row["id"])
    (line,) = csv.DictReader(io.StringIO((await api.get(f"/v1/operations/{row['id']}/results.csv")).text))
    assert (line["subject"][0], line["status"]) == ("'", "refused")


async def test_a_group_start_is_stopped_and_resumed(api: httpx.AsyncClient, crowd: Crowd) -> None:
    row = await begun(api, segment="some", id="sale")
    assert (await begun(api, segment="some", id="sale"))["id"] == row["id"] == "sale"
    await crowd.gather("sale")
    await crowd.one_page("sale", 5)
    stopped = (await api.post("/v1/operations/sale/stop")).json()
    assert (stopped["state"], stopped["counts"]) == ("stopped", {"started": 5})
    assert (await api.post("/v1/operations/sale/stop")).status_code == 200
    resumed = (await api.post("/v1/operations/sale/resume")).json()
    assert (resumed["state"], resumed["total"], resumed["done"]) == ("running", 20, 5)
    assert (await api.post("/v1/operations/sale/resume")).status_code == 409
    assert (await crowd.run("sale")).counts == {"started": 20}
    assert (await api.post("/v1/operations/sale/stop")).status_code == 409


async def test_a_stop_is_acknowledged_with_every_instance_marked(
    api: httpx.AsyncClient, crowd: Crowd
) -> None:
    await crowd.run((await begun(api, segment="some"))["id"])
    answer = await api.post("/v1/processes/welcome/stop", json={"reason": "a wrong price", "all": True})
    assert (answer.status_code, answer.json()["total"], answer.json()["in_flight"]) == (202, 20, [])
    shown = (await api.get("/v1/instances?process=welcome")).json()["items"]
    assert {(row["state"], row["reason"]) for row in shown} == {("stopping", "a wrong price")}
    assert (await api.post(f"/v1/operations/{answer.json()['id']}/stop")).status_code == 409


async def test_all_of_a_contacts_instances_are_stopped_and_nobody_elses(
    api: httpx.AsyncClient, crowd: Crowd, away: Services
) -> None:
    await activate(api, process("other", recurrence="once", steps=WAITING))
    for key in ("welcome", "other"):
        for contact in ("000", "001"):
            await api.post(f"/v1/processes/{key}/instances", json={"contact": contact})
    answer = await api.post("/v1/contacts/000/stop", json={"reason": "asked by phone", "all": True})
    assert sorted(answer.json()["instances"]) == ["other/000", "welcome/000"]
    shown = (await api.get("/v1/instances?contact=001")).json()["items"]
    assert {row["state"] for row in shown} == {"pending"}
    async with away.database.read() as connection:
        entries = (
            await connection.execute(select(rows.audit).where(rows.audit.c.action == "contact.stop"))
        ).all()
    assert [(entry.subject, entry.reason) for entry in entries] == [("contact/c000", "asked by phone")]
    assert (await api.post("/v1/contacts/nobody/stop", json={"all": True})).status_code == 404


@pytest.mark.parametrize("database_url", ["sqlite"], indirect=True)
@pytest.mark.parametrize(
    ("body", "place"),
    [
        ({}, ""),
        ({"segment": "some", "contacts": ["000"]}, ""),
        ({"segment": "nowhere"}, "/segment"),
        ({"contacts": []}, "/contacts"),
        ({"contacts": ["000", ""]}, "/contacts/1"),
        ({"contacts": ["000"], "params": {"process": "x"}}, "/params/process"),
        ({"contacts": ["000"], "id": "no/slash"}, "/id"),
        ({"contacts": ["000"], "colour": "blue"}, "/colour"),
    ],
)
async def test_a_wrong_request_names_its_place(
    api: httpx.AsyncClient, crowd: Crowd, body: dict[str, Any], place: str
) -> None:
    answer = await api.post("/v1/processes/welcome/start-many", json=body)
    assert (answer.status_code, places(answer)) == (422, [place])
    assert (await api.get("/v1/operations")).json()["items"] == []


@pytest.mark.parametrize("database_url", ["sqlite"], indirect=True)
async def test_what_is_not_there_and_what_is_not_active_is_refused(
    api: httpx.AsyncClient, crowd: Crowd
) -> None:
    nothing = await api.post("/v1/processes/nothing/start-many", json={"contacts": ["000"]})
    assert nothing.status_code == 404
    assert (await api.post("/v1/processes/nothing/stop", json={"all": True})).status_code == 404
    for place in ("", "/results", "/results.csv"):
        assert (await api.get(f"/v1/operations/nothing{place}")).status_code == 404
    unknown = await api.post("/v1/processes/welcome/stop", json={"contacts": ["000", "nobody"]})
    assert unknown.status_code == 404
    assert unknown.json()["detail"] == (
        "there is no contact «nobody»: nothing was stopped, for nobody of those named"
    )
    await api.post("/v1/processes/welcome/pause")
    paused = await api.post("/v1/processes/welcome/start-many", json={"contacts": ["000"]})
    assert (paused.status_code, paused.json()["allowed"]) == (409, ["activate"])


@pytest.mark.parametrize("database_url", ["sqlite"], indirect=True)
async def test_force_needs_a_permission_of_its_own(
    api: httpx.AsyncClient, crowd: Crowd, away: Services
) -> None:
    away.settings.api_keys = "required"
    made = await away.keys.make(KeyWanted(name="starter", scopes=["processes:start"]), LOCAL.actor)
    api.headers["authorization"] = f"Bearer {made.token}"
    for place, body in (("instances", {"contact": "000"}), ("start-many", {"contacts": ["000"]})):
        forced = await api.post(f"/v1/processes/welcome/{place}", json={**body, "force": True})
        assert (forced.status_code, forced.json()["scope"]) == (403, "processes:activate")
        assert await crowd.rows(rows.instances) == []
        assert await crowd.rows(rows.operations) == []
    assert (await api.post("/v1/processes/welcome/instances", json={"contact": "000"})).status_code == 202


async def test_held_instances_are_released_for_a_process_and_everywhere(
    api: httpx.AsyncClient, crowd: Crowd, away: Services
) -> None:
    await crowd.run((await begun(api, contacts=["000", "001", "002"]))["id"])
    ids = sorted(row.id for row in await crowd.rows(rows.instances))
    await crowd.place(ids, state="holding", reason="failed: there is no template", lease_until=None)
    bad = await api.post("/v1/processes/welcome/release", json={"held": "Failed!"})
    assert (bad.status_code, bad.json()["errors"][0]["pointer"]) == (422, "/held")
    assert (await api.post("/v1/processes/no/release")).status_code == 404
    nobody = (await api.post("/v1/processes/welcome/release", json={"held": "paused"})).json()
    assert (nobody["kind"], nobody["total"]) == ("release", 0)
    answer = await api.post("/v1/processes/welcome/release", json={"held": "failed", "id": "mended"})
    assert (answer.status_code, answer.json()["id"], answer.json()["total"]) == (202, "mended", 3)
    again = await api.post("/v1/processes/welcome/release", json={"held": "failed", "id": "mended"})
    assert again.json()["id"] == "mended"
    (everywhere,) = (await api.post("/v1/releases", json={"held": "failed"})).json()["items"]
    assert (everywhere["process"], everywhere["total"]) == ("welcome", 3)
    assert (await api.post("/v1/releases", json={"held": "other"})).json() == {"items": []}
    await api.post("/v1/processes/welcome/pause")
    refused = await api.post("/v1/processes/welcome/release")
    assert (refused.status_code, refused.json()["status"]) == (409, 409)
    limited = KeyWanted(name="limited", scopes=["processes:start"], processes=["other"])
    made = await away.keys.make(limited, LOCAL.actor)
    key = {"authorization": f"Bearer {made.token}"}
    for path in ("/v1/processes/welcome/release", "/v1/releases"):
        assert (await api.post(path, headers=key)).status_code == 403
