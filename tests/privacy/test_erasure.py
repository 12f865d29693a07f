"""A contact who has been through everything is deleted: nothing of them is left in either store."""

import asyncio
import base64
import secrets
from collections.abc import AsyncIterator, Collection
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from typing import Any

import httpx
import orjson
import pytest
from sqlalchemy import select
from sqlmodel import SQLModel
from temporalio.api.workflowservice.v1 import DescribeWorkflowExecutionRequest
from temporalio.client import Client

from api.app import create_app
from channels.links import Click, Sent
from intake import operating
from intake.bounces import Report
from intake.erasure import Erasures
from runtime import Services
from store import erasure, rows
from store.types import JSON_DOCUMENT
from tests.guarantees.processes import mail, process, wait
from tests.support.away import temporal_away
from tests.support.engine import Engine
from tests.support.smtp_server import RecordingSmtpServer
from tests.support.waiting import eventually

_i, _e, _m = rows.instances.c, rows.events.c, rows.messages.c
SHOP = "https://shop.example/learn-more"


@dataclass
class Anna:
    """Somebody whose every detail is found nowhere else."""

    mark: str = field(default_factory=lambda: secrets.token_hex(5))

    @property
    def id(self) -> str:
        return f"novakova-{self.mark}"

    @property
    def email(self) -> str:
        return f"anna.{self.mark}@example.com"

    @property
    def phone(self) -> str:
        return f"+420777{int(self.mark, 16) % 10**6:06}"

    @property
    def name(self) -> str:
        return f"Anna Nováková{self.mark}"

    @property
    def order(self) -> str:
        return f"ORD{self.mark}"

    def found_in(self, text: str) -> list[str]:
        """What of hers a text holds."""
        return [one for one in (self.mark, self.phone.removeprefix("+420"), "Nováková") if one in text]


def everything(anna: Anna) -> dict[str, Any]:
    """A process with steps of many kinds, which ends in a long wait."""
    return process(
        {"id": "order", "type": "get_order", "next": "hello"},
        mail("hello", if_unknown="resend"),
        {"id": "note", "type": "add_note", "text": "{{ contact.name }} has ordered {{ event.params.order_id }}"},
        {"id": "vip", "type": "add_tag", "tag": "vip"},
        {"id": "edit", "type": "edit_contact", "set": {"greeted_as": "{{ contact.name }}"}},
        {"id": "news", "type": "subscribe", "list": "news"},
        {"id": "hand", "type": "add_to_segment", "segment": "hand"},
        {"id": "paid", "type": "wait_for_event", "event": "paid", "within": "9d", "next": "rest", "on_timeout": "rest"},
        wait("rest", "30 days"),
        key="everything",
        instance_key="event.key",
        goals=[{"name": "bought", "event": "bought"}],
    )  # fmt: skip


@pytest.fixture
async def api(services: Services) -> AsyncIterator[httpx.AsyncClient]:
    """A client of the API over the engine's parts."""
    transport = httpx.ASGITransport(create_app(services), raise_app_exceptions=False)
    async with httpx.AsyncClient(transport=transport, base_url="http://localhost", timeout=60) as client:
        yield client


async def ok(api: httpx.AsyncClient, method: str, path: str, **more: Any) -> Any:
    """The answer of a request that is taken."""
    answer = await api.request(method, path, **more)
    assert answer.is_success, (path, answer.status_code, answer.text)
    return answer.json() if answer.content and "json" in answer.headers["content-type"] else None


async def live(api: httpx.AsyncClient, engine: Engine, anna: Anna, smtp: RecordingSmtpServer) -> str:
    """Let her go through everything; returns our id. Two of her instances are open at the end."""
    parts = engine.services
    await engine.template(
        "hello",
        subject="Hello {{ contact.name }}",
        html=f'<p>{{{{ contact.name }}}}</p><a href="{SHOP}">a</a>',
    )
    await engine.make_list("news")
    await ok(api, "PUT", "/v1/segments/hand", json={"name": "Hand"})
    await ok(
        api, "PUT", "/v1/segments/named", json={"name": "N", "rule": {"contact": "name", "exists": True}}
    )
    await engine.publish(everything(anna))
    await engine.publish(process(wait("rest", "30 days"), key="short", recurrence="once", triggers=[]))
    her = {"email": anna.email, "phone": anna.phone, "language": "cs", "fields": {"name": anna.name}}
    made: str = (await ok(api, "POST", "/v1/contacts", json={"id": anna.id, **her}))["id"]

    # Somebody else whom she turns out to be
    twin = {"id": f"twin-{anna.mark}", "email": f"old.{anna.mark}@example.com", "fields": {"name": anna.name}}
    await ok(api, "POST", "/v1/contacts", json=twin)
    await ok(
        api,
        "POST",
        "/v1/processes/short/instances",
        json={"contact": twin["id"], "params": {"order": anna.order}},
    )
    await ok(api, "POST", f"/v1/contacts/{twin['id']}/notes", json={"text": f"also {anna.name}"})
    await ok(api, "POST", f"/v1/contacts/{twin['id']}/merge", json={"into": anna.id})

    # Events, and what they started
    order = {
        "order_id": anna.order,
        "items": [{"name": f"Pod for {anna.name}", "quantity": 1, "price": 199}],
        "currency": "CZK",
        "total": 199,
    }
    event = {
        "type": "go",
        "id": f"order/{anna.order}",
        "key": anna.order,
        "contact": {"id": anna.id},
        "params": order,
    }
    result = await ok(api, "POST", "/v1/events", json=event)
    started = next(d["instance"] for d in result["decisions"] if d.get("instance"))
    await eventually(lambda: at_step(engine, started, "paid"), 60)
    await ok(
        api, "POST", f"/v1/instances/{started}/skip-wait", json={"reason": f"{anna.name} has paid in cash"}
    )
    await eventually(lambda: at_step(engine, started, "rest"), 60)
    await ok(
        api, "POST", f"/v1/instances/{started}/resend", json={"step": "hello", "reason": f"{anna.name} asked"}
    )

    # Her message comes back, is opened and clicked
    message = (await engine.rows(rows.messages, _m.contact_id == made))[0]
    sent = Sent(message.id, made)
    await api.get(f"/t/o/{parts.links.sign_open(sent)}")
    await api.get(f"/t/c/{parts.links.sign_click(Click(sent, SHOP))}")
    await parts.tracking.close()
    reason = f"550 5.1.1 <{anna.email}>: {anna.name} is unknown here"
    await parts.bounces.take(Report(message.id, "soft", "5.1.1", reason), "a test")

    # By hand
    await ok(
        api, "POST", f"/v1/contacts/{anna.id}/notes", json={"text": f"{anna.name} rang about {anna.order}"}
    )
    await ok(api, "PUT", f"/v1/contacts/{anna.id}/consents/sms", json={"granted": True})
    endpoint = {"channel": "messenger", "address": "900" + anna.phone[1:]}
    await ok(api, "PUT", f"/v1/contacts/{anna.id}/endpoints", json=endpoint)
    await ok(api, "PUT", f"/v1/suppressions/sms/{anna.phone}", json={"reason": f"{anna.name} wants none"})
    await ok(
        api,
        "POST",
        "/v1/processes/everything/test-run",
        json={"email": anna.email, "key": anna.order, "params": order},
    )

    # Many at once
    crowd = [f"{anna.id}-{number}" for number in range(8)]
    for one in crowd:
        await ok(api, "POST", "/v1/contacts", json={"id": one.replace(anna.mark, "other")})
    others = [one.replace(anna.mark, "other") for one in crowd]
    operation = await parts.operations.start(
        "short", contacts=[*others, anna.email], actor="local", reason="spring"
    )
    alone = await parts.operations.start(
        "everything",
        contacts=[anna.phone],
        key=f"k{anna.mark}",
        params={"for": anna.name},
        force=True,
        actor="local",
    )
    await eventually(lambda: over(engine, {operation, alone}), 60)
    chosen = [
        row.id for row in await engine.rows(rows.instances, _i.process_key == "short", _i.contact_id == made)
    ]
    await parts.operations.stop_process("short", f"{anna.name} asked", instances=chosen, actor="local")

    # Imported, once well and once not
    csv = f"id,email,phone,city\n{anna.id},{anna.email},{anna.phone},Brno\nx{anna.mark},{anna.email},,Brno\n"
    await ok(api, "POST", "/v1/imports/csv", content=csv, headers={"content-type": "text/csv"})
    await ok(api, "GET", f"/v1/processes/everything/why/{anna.id}")
    return made


async def at_step(engine: Engine, instance: str, step: str) -> bool:
    """Whether an instance waits at a step."""
    row = await engine.instance(instance)
    return bool(row.step == step and row.state == "waiting")


async def over(engine: Engine, operations: Collection[str]) -> bool:
    """Whether operations are done."""
    found = await engine.rows(rows.operations, rows.operations.c.id.in_(operations))
    return all(row.state == "done" for row in found)


async def in_tables(services: Services, anna: Anna) -> list[str]:
    """Where any column of any table holds something of hers."""
    found: list[str] = []
    async with services.database.read() as connection:
        for table in SQLModel.metadata.sorted_tables:
            for row in (await connection.execute(select(table))).all():
                for column in table.c:
                    value = row._mapping[column.name]
                    is_json = column.type is JSON_DOCUMENT or isinstance(value, dict | list)
                    text = orjson.dumps(value).decode() if is_json else str(value)
                    if anna.found_in(text):
                        found.append(f"{table.name}.{column.name}: {text[:200]}")
    return found


async def in_temporal(client: Client, anna: Anna, since: datetime) -> list[str]:
    """Which executions of Temporal hold something of hers, anywhere."""
    found: list[str] = []
    async for execution in client.list_workflows():
        if execution.start_time < since:
            continue
        request = DescribeWorkflowExecutionRequest(namespace=client.namespace)
        request.execution.workflow_id, request.execution.run_id = execution.id, execution.run_id
        described = await client.workflow_service.describe_workflow_execution(request)
        handle = client.get_workflow_handle(execution.id, run_id=execution.run_id)
        history = (await handle.fetch_history()).to_json()
        everything = (
            f"{execution.id} {described.SerializeToString()!r} {execution.typed_search_attributes} {history}"
        )
        payloads = _decoded(history)
        if anna.found_in(everything) or anna.found_in(payloads):
            found.append(execution.id)
    return found


def _decoded(history: str) -> str:
    """The payloads of a history, which its JSON has in base64."""
    texts: list[str] = []

    def walk(value: Any) -> None:
        if isinstance(value, dict):
            if isinstance(value.get("data"), str):
                texts.append(base64.b64decode(value["data"]).decode("utf-8", "replace"))
            for inner in value.values():
                walk(inner)
        elif isinstance(value, list):
            for inner in value:
                walk(inner)

    walk(orjson.loads(history))
    return " ".join(texts)


def erasures(services: Services) -> Erasures:
    """As a worker has them; nobody else writes here, so nothing settles."""
    return Erasures(services.database, services.client, settle=timedelta(0))


async def erased(services: Services) -> bool:
    """Go on; whether nothing is left to erase."""
    await erasures(services).go_on(datetime.now(UTC), whatever=True)
    async with services.database.read() as connection:
        return await erasure.pending(connection) == 0


async def test_who_has_been_through_everything_leaves_nothing_in_either_store(
    api: httpx.AsyncClient, engine: Engine, smtp: RecordingSmtpServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(operating, "SMALL", 2)
    anna, since = Anna(), datetime.now(UTC) - timedelta(seconds=2)
    services = engine.services
    async with engine.sweeping():
        made = await live(api, engine, anna, smtp)
        assert len(await in_tables(services, anna)) > 50, "the search finds what is there"
        assert len(await in_temporal(services.client, anna, since)) >= 3
        before = await engine.rows(rows.instances, _i.contact_id == made)
        assert sum(row.open for row in before) >= 2
        export = await api.get(f"/v1/contacts/{anna.id}/export")
        exported = export.json()
        await ok(api, "DELETE", f"/v1/contacts/{anna.id}")
        await eventually(lambda: erased(services), 90)

    assert await in_tables(services, anna) == []
    assert await in_temporal(services.client, anna, since) == []
    after = await engine.rows(rows.instances, _i.contact_id == made)
    assert len(after) == len(before), "what ran is still counted"
    outcomes = [row.outcome for row in after if row.process_key == "everything"]
    assert outcomes.count("contact_deleted") == sum(row.open for row in before) >= 2
    assert all(row.id.startswith(f"{row.process_key}/~") for row in after)
    assert {row.instance_id for row in await engine.rows(rows.visits)} >= {
        row.id for row in after if row.process_key == "everything"
    }
    mine = [row for row in exported["audit"] if row["action"] == "contact.merge"]
    assert exported["merged"] == [row["subject"].removeprefix("contact/") for row in mine]
    log = await ok(api, "GET", "/v1/audit", params={"subject": f"contact/{made}"})
    actions = [entry["action"] for entry in log["items"]]
    assert actions[:3] == ["contact.erase", "contact.delete", "contact.export"]
    assert all(entry["after"] is entry["reason"] is None for entry in log["items"])


async def test_the_same_event_that_comes_again_makes_nobody_anew_and_the_id_is_free_for_who_comes_later(
    api: httpx.AsyncClient, engine: Engine, smtp: RecordingSmtpServer
) -> None:
    await engine.template("hello")
    await engine.publish(process(mail("hello"), recurrence="once"))
    event = {"type": "go", "id": "e1", "contact": {"id": engine.contact, "email": engine.address}}
    async with engine.sweeping():
        first = await ok(api, "POST", "/v1/events", json=event)
        await engine.ended(engine.id("p"))
        await ok(api, "DELETE", f"/v1/contacts/{engine.contact}")
        await eventually(lambda: erased(engine.services), every=0.4)

    again = await ok(api, "POST", "/v1/events", json=event)
    assert (again["status"], again["contact"], again["id"]) == ("duplicate", first["contact"], "e1")
    assert (await api.get(f"/v1/contacts/{engine.contact}")).status_code == 404
    await ok(api, "POST", "/v1/events", json={**event, "id": "e2"})
    assert (await engine.ended(engine.id("p"))).contact_id != first["contact"]
    assert len(await smtp.wait_for(2)) == 2, "a new contact's message is not taken for the erased one's"
    await eventually(lambda: erased(engine.services), every=0.4)
    await engine.services.client.get_workflow_handle(engine.id("p")).describe()


async def test_an_erasure_outlives_an_outage_of_temporal(
    database_url: str, engine: Engine, api: httpx.AsyncClient
) -> None:
    await engine.publish(process(wait("rest", "30 days")))
    await engine.event("go", id="outage")
    await eventually(lambda: at_step(engine, engine.id("p", "outage"), "rest"))
    async with temporal_away(database_url) as away:
        transport = httpx.ASGITransport(create_app(away), raise_app_exceptions=False)
        async with httpx.AsyncClient(transport=transport, base_url="http://localhost") as client:
            await ok(client, "DELETE", f"/v1/contacts/{engine.contact}")
            assert (await client.delete(f"/v1/contacts/{engine.contact}")).status_code == 404
        assert (
            await Erasures(away.database, away.client, timeout=0.1).go_on(datetime.now(UTC), whatever=True)
            == 1
        )
        (left,) = await engine.rows(rows.erasures)
        assert (left.attempts, left.last_error is not None) == (1, True)
    async with engine.sweeping():
        await eventually(lambda: erased(engine.services), every=0.4)
    (row,) = await engine.rows(rows.instances)
    assert (row.outcome, row.id.startswith("p/~")) == ("contact_deleted", True)


async def test_two_workers_at_once_and_one_that_was_killed_erase_once(
    engine: Engine, api: httpx.AsyncClient
) -> None:
    await engine.publish(process(wait("rest", "30 days")))
    for number in range(5):
        await engine.event("go", id=f"e{number}", key="k")
    await ok(api, "DELETE", f"/v1/contacts/{engine.contact}")
    async with engine.sweeping():
        killed = asyncio.create_task(erasures(engine.services).go_on(datetime.now(UTC), whatever=True))
        await asyncio.sleep(0)
        killed.cancel()
        while not all(await asyncio.gather(*(erased(engine.services) for _ in range(2)))):
            await eventually(lambda: erased(engine.services), every=0.4)
    entries = await engine.rows(rows.audit, rows.audit.c.action == "contact.erase")
    assert len(entries) == 1
    assert not [row for row in await engine.rows(rows.events) if not row.id.startswith("erased/")]


async def test_what_was_on_its_way_when_the_contact_was_deleted_is_wiped_at_the_end(idle: Engine) -> None:
    """A request that had read the contact before writes a note; the last round wipes it. Before that nobody is done."""
    services = idle.services
    await idle.event("hello")
    (person,) = await idle.rows(rows.contacts)
    now = datetime.now(UTC)
    async with services.database.write() as connection:
        await services.changes.delete_contact(connection, person.id, now)
    async with services.database.write() as connection:
        note = {"contact_id": person.id, "text": "late", "added_at": now, "source": "a test"}
        await connection.execute(rows.contact_notes.insert().values(**note))
    patient = Erasures(services.database, services.client, settle=timedelta(hours=1))
    await patient.go_on(now, whatever=True)
    assert len(await idle.rows(rows.contact_notes)) == len(await idle.rows(rows.erasures)) == 1
    await patient.go_on(now + timedelta(hours=2), whatever=True)
    assert await idle.rows(rows.contact_notes) == await idle.rows(rows.erasures) == []


async def test_a_message_that_is_leaving_when_the_contact_is_deleted_says_nothing_at_the_end(
    api: httpx.AsyncClient, engine: Engine, smtp: RecordingSmtpServer
) -> None:
    anna, answer = Anna(), asyncio.Event()
    smtp.for_recipient(anna.email).answer_when = answer
    smtp.for_recipient(anna.email).message_reply = f"550 5.1.1 <{anna.email}> is unknown"
    await engine.template("hello", subject="Hello {{ contact.name }}")
    await engine.publish(process(mail("hello")))
    event = {"type": "go", "contact": {"id": anna.id, "email": anna.email, "fields": {"name": anna.name}}}
    async with engine.sweeping():
        await ok(api, "POST", "/v1/events", json=event)
        await smtp.wait_received(anna.email, timeout=60)
        await ok(api, "DELETE", f"/v1/contacts/{anna.id}")
        assert not await erased(engine.services), "what is under way is waited for"
        answer.set()
        await eventually(lambda: erased(engine.services), every=0.4)
    assert await in_tables(engine.services, anna) == []
    (message,) = await engine.rows(rows.messages)
    assert (message.recipient, message.subject, message.detail) == ("", None, None)


async def test_an_import_that_brings_the_same_person_meets_all_of_them_or_nobody(
    api: httpx.AsyncClient, idle: Engine
) -> None:
    """Whoever it finds is deleted with what it brought; whoever it makes is somebody new and whole."""
    services = idle.services
    await idle.make_list("news")
    csv = "id,email,tags,city\n" + "".join(f"{n},{n}@example.com,vip,Brno\n" for n in range(20))
    send = {"content": csv, "headers": {"content-type": "text/csv"}, "params": {"list": "news"}}
    await ok(api, "POST", "/v1/imports/csv", **send)
    await asyncio.gather(
        ok(api, "POST", "/v1/imports/csv", **send),
        *(ok(api, "DELETE", f"/v1/contacts/{n}") for n in range(20)),
    )
    await eventually(lambda: erased(services), every=0.4)
    people = {row.id: row for row in await idle.rows(rows.contacts)}
    gone = {one for one, row in people.items() if row.deleted_at is not None}
    assert len(gone) == 20
    for table in (rows.contact_tags, rows.subscriptions, rows.subscription_changes):
        assert {row.contact_id for row in await idle.rows(table)} == people.keys() - gone
    assert all(people[one].fields == {"city": "Brno"} for one in people.keys() - gone)
    assert all(people[one].fields == {} and people[one].email is None for one in gone)
