"""Contacts, lists, segments and templates over HTTP."""

import asyncio
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import httpx
import pytest
from sqlalchemy import Engine, event, select

from runtime import Services
from store import rows
from tests.api.conftest import activate, contact, places, process


async def test_a_contact_is_made_changed_and_deleted(api: httpx.AsyncClient) -> None:
    made = await api.post(
        "/v1/contacts", json={"id": "22222", "email": "Anna@Example.com", "fields": {"a": 1, "b": 2}}
    )
    assert (made.status_code, made.json()["email"]) == (201, "anna@example.com")
    changed = await api.patch(
        "/v1/contacts/22222",
        json={
            "fields": {"a": None, "c": [3]},
            "phone": "+420601234567",
            "email": None,
            "time_zone": "Europe/Prague",
        },
    )
    assert changed.status_code == 200, changed.text
    person = changed.json()
    assert (person["fields"], person["phone"], person["email"]) == ({"b": 2, "c": [3]}, "+420601234567", None)
    assert (await api.get("/v1/contacts/+420601234567")).json()["id"] == person["id"]
    assert (await api.delete("/v1/contacts/22222")).status_code == 204
    assert (await api.get(f"/v1/contacts/{person['id']}")).status_code == 404
    assert (await api.patch("/v1/contacts/22222", json={})).status_code == 404


async def test_an_identity_belongs_to_one(api: httpx.AsyncClient) -> None:
    first = await contact(api, "1")
    answer = await api.post("/v1/contacts", json={"id": "2", "email": "1@EXAMPLE.com"})
    assert (answer.status_code, answer.json()["contact"]) == (409, first)
    assert "e-mail address belongs to contact «1»" in answer.json()["detail"]
    await contact(api, "2")
    assert (await api.patch("/v1/contacts/2", json={"id": "1"})).status_code == 409
    assert (await api.patch("/v1/contacts/1", json={"id": "1"})).status_code == 200


async def test_a_bad_contact_is_refused_where_it_is_bad(api: httpx.AsyncClient) -> None:
    assert places(await api.post("/v1/contacts", json={})) == [""]
    body = {"id": [], "email": "x", "fields": {"a b": 1}, "age": 5, "time_zone": "Mars"}
    answer = await api.post("/v1/contacts", json=body)
    assert answer.status_code == 422
    assert set(places(answer)) == {"/id", "/email", "/fields/a b", "/age", "/time_zone"}
    assert places(await api.post("/v1/contacts", json=[])) == [""]


async def test_tags_start_processes_and_are_listed(api: httpx.AsyncClient) -> None:
    await activate(api, process(triggers=[{"type": "tag_added", "tag": "vip club"}]))
    await contact(api)
    assert (await api.put("/v1/contacts/22222/tags/vip%20club")).json() == {"changed": True}
    assert (await api.put("/v1/contacts/22222/tags/vip%20club")).json() == {"changed": False}
    assert [t["tag"] for t in (await api.get("/v1/contacts/22222")).json()["tags"]] == ["vip club"]
    assert len((await api.get("/v1/contacts/22222/instances")).json()["items"]) == 1
    assert (await api.delete("/v1/contacts/22222/tags/vip%20club")).json() == {"changed": True}
    assert (await api.put("/v1/contacts/nobody/tags/x")).status_code == 404


async def test_deleting_a_contact_ends_its_instances(api: httpx.AsyncClient, away: Services) -> None:
    await activate(api, process())
    await contact(api)
    await api.post("/v1/processes/welcome/instances", json={"contact": "22222"})
    await api.delete("/v1/contacts/22222")
    (row,) = (await api.get("/v1/instances")).json()["items"]
    assert (row["state"], row["outcome"]) == ("stopping", "contact_deleted")


async def test_notes_are_paged(api: httpx.AsyncClient) -> None:
    await contact(api)
    for number in range(3):
        assert (
            await api.post("/v1/contacts/22222/notes", json={"text": f"note {number}"})
        ).status_code == 201
    page = (await api.get("/v1/contacts/22222/notes?limit=2")).json()
    rest = (await api.get(f"/v1/contacts/22222/notes?limit=2&cursor={page['next_cursor']}")).json()
    assert [n["text"] for n in page["items"] + rest["items"]] == ["note 2", "note 1", "note 0"]
    assert places(await api.post("/v1/contacts/22222/notes", json={"text": " "})) == ["/text"]


async def test_lists_keep_status_and_history(api: httpx.AsyncClient) -> None:
    await activate(api, process(triggers=[]))
    await contact(api)
    for key in ("news", "shop"):
        assert (await api.put(f"/v1/lists/{key}", json={"name": key.title()})).status_code == 200
    url = "/v1/contacts/22222/lists"
    assert (await api.put(f"{url}/news", json={"status": "subscribed"})).json() == {"changed": True}
    assert (await api.put(f"{url}/news", json={"status": "subscribed"})).json() == {"changed": False}
    assert places(await api.put(f"{url}/news", json={"status": "happy"})) == ["/status"]
    assert (await api.put(f"{url}/none", json={"status": "subscribed"})).status_code == 404
    moved = (await api.post(f"{url}/move", json={"from": "news", "to": "shop"})).json()
    assert moved["moved"] is True
    assert {row["list"]: row["status"] for row in moved["lists"]} == {
        "news": "unsubscribed",
        "shop": "subscribed",
    }
    again = (await api.post(f"{url}/move", json={"from": "news", "to": "shop"})).json()
    assert (again["moved"], again["reason"]) == (False, "not subscribed to the list news")
    assert places(await api.post(f"{url}/move", json={"from": "news", "to": "news"})) == ["/to"]
    history = (await api.get(url)).json()["history"]
    assert [(h["list"], h["after"]) for h in history] == [
        ("shop", "subscribed"), ("news", "unsubscribed"), ("news", "subscribed")
    ]  # fmt: skip
    assert (await api.get("/v1/lists/shop")).json()["counts"] == {"subscribed": 1}
    assert [row["key"] for row in (await api.get("/v1/lists")).json()["items"]] == ["news", "shop"]
    assert (await api.get("/v1/lists/none")).status_code == 404


async def test_contacts_are_found_by_filter_and_page(api: httpx.AsyncClient) -> None:
    for number in range(5):
        await contact(api, f"c{number}", fields={"n": number})
    await api.put("/v1/contacts/c1/tags/vip")
    await api.put("/v1/segments/low", json={"name": "Low", "rule": {"contact": "n", "less_than": 2}})
    page = (await api.get("/v1/contacts?limit=3")).json()
    rest = (await api.get(f"/v1/contacts?limit=3&cursor={page['next_cursor']}")).json()
    assert sorted(c["external_id"] for c in page["items"] + rest["items"]) == [f"c{n}" for n in range(5)]

    async def found(query: str) -> list[str]:
        return sorted(c["external_id"] for c in (await api.get(f"/v1/contacts?{query}")).json()["items"])

    assert await found("tag=vip") == ["c1"]
    assert await found("segment=low") == ["c0", "c1"]
    assert await found("email=C3@example.com") == ["c3"]
    assert await found("q=C4@EX") == ["c4"]
    assert await found("q=%25") == []
    assert (await api.get("/v1/contacts?segment=none")).status_code == 404


async def test_why_a_contact_is_in_a_segment(api: httpx.AsyncClient) -> None:
    await api.post("/v1/contacts", json={"external_id": "7", "fields": {"city": "Praha"}})
    rule = {"all": [{"contact": "city", "equals": "Brno"}, {"not": {"tag": "guest"}}]}
    await api.put("/v1/segments/brno", json={"name": "Brno", "rule": rule})
    answer = (await api.get("/v1/segments/brno/explain/7")).json()
    assert (answer["holds"], answer["parts"][0]["rule"]) == (False, rule)
    city, guest = answer["parts"][0]["parts"]
    assert (city["rule"], city["holds"], city["value"]) == (rule["all"][0], False, "Praha")
    assert (guest["holds"], guest["parts"][0]["holds"]) == (True, False)
    assert (await api.get("/v1/segments/none/explain/7")).status_code == 404
    assert (await api.get("/v1/segments/brno/explain/8")).status_code == 404


async def test_segments_by_rule_and_by_hand(api: httpx.AsyncClient) -> None:
    await contact(api, "1", fields={"city": "Brno"})
    await contact(api, "2")
    rule = {"contact": "city", "equals": "Brno"}
    made = await api.put("/v1/segments/brno", json={"name": "Brno", "rule": rule})
    assert (made.json()["count"], made.json()["rule"]) == (1, rule)
    members = (await api.get("/v1/segments/brno/members")).json()["items"]
    assert [m["external_id"] for m in members] == ["1"]
    assert (await api.put("/v1/segments/brno/members/2")).status_code == 409

    assert (await api.put("/v1/segments/hand", json={"name": "Hand"})).json()["count"] == 0
    assert (await api.put("/v1/segments/hand/members/2")).json() == {"changed": True}
    assert (await api.get("/v1/segments/hand")).json()["count"] == 1
    assert (await api.delete("/v1/segments/hand/members/2")).json() == {"changed": True}
    assert (await api.get("/v1/segments/none")).status_code == 404
    assert [s["key"] for s in (await api.get("/v1/segments")).json()["items"]] == ["brno", "hand"]


@pytest.mark.parametrize(
    ("rule", "place", "message"),
    [
        ({"contact": "a"}, "/rule", "exactly one of"),
        ({"all": [{"tag": ""}]}, "/rule/all/0/tag", "at least 1"),
        ({"segment": "none"}, "/rule", "no segment «none»"),
        ({"list": "none"}, "/rule", "no list «none»"),
        ({"segment": "self"}, "/rule", "cannot refer to itself"),
    ],
)
async def test_a_bad_rule(rule: dict[str, object], place: str, message: str, api: httpx.AsyncClient) -> None:
    answer = await api.put("/v1/segments/self", json={"name": "Self", "rule": rule})
    assert answer.status_code == 422
    (error,) = answer.json()["errors"]
    assert error["pointer"] == place
    assert message in error["message"]


async def test_merging_moves_everything(api: httpx.AsyncClient) -> None:
    await activate(api, process())
    await contact(api, "1", fields={"a": 1})
    survivor = await contact(api, "2")
    await api.post("/v1/processes/welcome/instances", json={"contact": "1"})
    answer = await api.post("/v1/contacts/1/merge", json={"into": "2"})
    assert (answer.json()["survivor"]["id"], answer.json()["instances_moved"]) == (survivor, 1)
    assert answer.json()["survivor"]["fields"] == {"a": 1}
    assert (await api.post("/v1/contacts/2/merge", json={"into": "2"})).status_code == 409
    assert (await api.post("/v1/contacts/2/merge", json={"into": "9"})).status_code == 404


@pytest.mark.parametrize(
    ("gone", "stays", "has_address", "state"),
    [
        ("unsubscribed", "ok", True, "unsubscribed"),
        ("ok", "complained", True, "complained"),
        ("complained", "unsubscribed", True, "complained"),
        ("bounced", "ok", True, "ok"),
        ("bounced", "ok", False, "bounced"),
        ("ok", "bounced", False, "ok"),
    ],
)
async def test_who_wanted_no_mail_gets_none_after_a_merge_and_a_bounce_comes_with_its_address(
    api: httpx.AsyncClient, away: Services, gone: str, stays: str, has_address: bool, state: str
) -> None:
    await contact(api, "1")
    survivor = await contact(api, "2")
    c = rows.contacts
    async with away.database.write() as connection:
        for reference, value in (("1", gone), ("2", stays)):
            await connection.execute(c.update().where(c.c.external_id == reference).values(email_state=value))
        if not has_address:
            await connection.execute(c.update().where(c.c.id == survivor).values(email=None))
    assert (await api.post("/v1/contacts/1/merge", json={"into": "2"})).status_code == 200
    async with away.database.read() as connection:
        found = await connection.execute(c.select().where(c.c.id == survivor))
        assert found.one().email_state == state


async def test_templates_are_checked_and_shown(api: httpx.AsyncClient) -> None:
    body = {"subject": "Hi {{ contact.name }}", "html": "<p>{{ event.params.total | money: 'CZK' }}</p>"}
    assert (await api.put("/v1/templates/hi", json=body)).json()["revision"] == 1
    assert (await api.put("/v1/templates/hi", json={**body, "name": "Hi"})).json()["revision"] == 2
    await contact(api, "1", fields={"name": "Anna"})
    shown = await api.post("/v1/templates/hi/preview", json={"contact": "1", "params": {"total": 5}})
    assert (shown.json()["subject"], "5.00 CZK" in shown.json()["html"]) == ("Hi Anna", True)
    assert (await api.post("/v1/templates/hi/preview")).status_code == 200
    broken = await api.post("/v1/templates/hi/preview", json={"params": {"total": "many"}})
    assert broken.status_code == 422
    assert (await api.post("/v1/templates/hi/preview", json={"contact": "9"})).status_code == 404
    assert [t["name"] for t in (await api.get("/v1/templates")).json()["items"]] == ["Hi"]
    assert (await api.get("/v1/templates/none")).status_code == 404


@pytest.mark.parametrize(
    ("body", "place", "message"),
    [
        ({"html": "<p>"}, "/subject", "required"),
        ({"subject": "a"}, "", "give a body"),
        ({"subject": "a", "html": "<p>", "mjml": "<mjml/>"}, "", "not both"),
        ({"subject": "{{ a", "html": "<p>"}, "/subject", ""),
        ({"subject": "a", "html": "<p>\n{{ a | nope }}"}, "/html", "line 2: unknown filter 'nope'"),
        ({"subject": "a", "mjml": "<mjml><mj-body><mj-nope/></mj-body></mjml>"}, "/mjml", ""),
        ({"subject": "a", "text": "{% include 'x' %}"}, "/text", ""),
        ({"subject": "a", "html": "<p>", "sender": "nobody"}, "/sender", "is not an e-mail address such as"),
        ({"subject": "a", "html": "<p>", "colour": 1}, "/colour", "unknown field"),
    ],
)
async def test_a_bad_template(
    body: dict[str, object], place: str, message: str, api: httpx.AsyncClient
) -> None:
    answer = await api.put("/v1/templates/bad", json=body)
    assert answer.status_code == 422, answer.text
    errors = answer.json()["errors"]
    assert [e for e in errors if e["pointer"] == place and message in e["message"]], errors


async def test_one_click_unsubscribes_from_the_list(api: httpx.AsyncClient, away: Services) -> None:
    await api.put("/v1/lists/news", json={"name": "News"})
    contact_id = await contact(api)
    await api.put("/v1/contacts/22222/lists/news", json={"status": "subscribed"})
    url = f"/t/unsubscribe/{away.links.sign_unsubscribe(contact_id, 'news', 'm1')}"
    page = await api.get(url)
    assert (page.status_code, "<button>" in page.text) == (200, True)
    assert (await api.get("/v1/lists/news")).json()["counts"] == {"subscribed": 1}
    for _ in range(2):
        done = await api.post(url, data={"List-Unsubscribe": "One-Click"})
        assert done.status_code == 200
    assert (await api.get("/v1/lists/news")).json()["counts"] == {"unsubscribed": 1}
    async with away.database.read() as connection:
        changes = (await connection.execute(select(rows.subscription_changes.c.source))).scalars().all()
    assert changes == ["api", "unsubscribe link of message m1"]


async def test_a_link_without_a_list_stops_all_marketing(api: httpx.AsyncClient, away: Services) -> None:
    contact_id = await contact(api, "1")
    await contact(api, "2")
    url = f"/t/unsubscribe/{away.links.sign_unsubscribe(contact_id, None, 'm1')}"
    await api.post("/v1/contacts/1/merge", json={"into": "2"})
    assert (await api.post(url)).status_code == 200
    assert (await api.get("/v1/contacts/2")).json()["email_state"] == "unsubscribed"
    await api.delete("/v1/contacts/2")
    assert (await api.post(url)).status_code == 200
    for method in ("GET", "POST"):
        assert (await api.request(method, url + "x")).status_code == 404


async def test_segments_that_are_made_of_each_other_at_once_are_not_both_taken(
    api: httpx.AsyncClient,
) -> None:
    for number in range(5):
        one, two = f"one{number}", f"two{number}"
        for key in (one, two):
            await api.put(f"/v1/segments/{key}", json={"name": key})
        answers = await asyncio.gather(
            api.put(f"/v1/segments/{one}", json={"name": one, "rule": {"segment": two}}),
            api.put(f"/v1/segments/{two}", json={"name": two, "rule": {"segment": one}}),
        )
        assert sorted(answer.status_code for answer in answers) == [200, 422]


async def test_contacts_are_listed_with_their_tags_by_one_query(api: httpx.AsyncClient) -> None:
    for reference, tags in (("1", ["vip", "new"]), ("2", []), ("3", ["vip"])):
        await contact(api, reference)
        for tag in tags:
            await api.put(f"/v1/contacts/{reference}/tags/{tag}")

    async def tagged(query: str) -> dict[str, list[str]]:
        items = (await api.get(f"/v1/contacts{query}")).json()["items"]
        return {item["external_id"]: [tag["tag"] for tag in item["tags"]] for item in items}

    with statements() as asked:
        assert await tagged("") == {"1": ["new", "vip"], "2": [], "3": ["vip"]}
    assert sum("FROM contact_tags" in statement for statement in asked) == 1
    assert await tagged("?tag=vip") == {"1": ["new", "vip"], "3": ["vip"]}


@contextmanager
def statements() -> Iterator[list[str]]:
    """What the database is asked meanwhile, by this process."""
    asked: list[str] = []

    def note(_: Any, __: Any, statement: str, *___: Any) -> None:
        asked.append(statement)

    event.listen(Engine, "before_cursor_execute", note)
    try:
        yield asked
    finally:
        event.remove(Engine, "before_cursor_execute", note)
