"""Every route of the OpenAPI document that changes something by hand keeps it in the audit log, in the transaction of
the change: where the entry cannot be written, nothing is changed (O12).

Made from the document: a route that is new stands in none of the tables here, and fails.
"""

import shutil
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import httpx
import pytest
from fastapi import FastAPI
from fastapi.routing import APIRoute
from sqlalchemy import select, update

from api.app import ROUTERS, create_app
from intake.keys import LOCAL, KeyWanted
from runtime import Services
from store import rows
from tests.api.conftest import activate, client_of, contact, digest, process
from tests.test_features import names_in

LONG_AGO = datetime(2020, 1, 1, tzinfo=UTC)

BY_OTHERS = {
    "POST /v1/events",
    "POST /v1/events/batch",
    *(
        f"POST /v1/{kind}"
        for kind in ("identify", "track", "page", "screen", "group", "alias", "import", "batch")
    ),
    *(f"POST /v1/bounces{way}" for way in ("", "/mail", "/resend", "/ses")),
    "POST /v1/imports/{import}/rows",
}
"""What events, reports and a file's rows change has a history of its own."""

NOTHING_CHANGES = {
    "POST /v1/processes/validate",
    "POST /v1/processes/{key}/validate",
    "POST /v1/processes/{key}/changes",
    "POST /v1/processes/{key}/preview",
    "POST /v1/templates/{key}/preview",
    "POST /v1/templates/{key}/test",
}
"""They look, and the last one writes to an address that is given: no row is changed."""

IN_A_WORKFLOW = {
    "POST /v1/instances/{instance_id}/skip": "tests/guarantees/test_one_step.py::"
    "test_the_wait_is_over_at_once_and_it_is_kept_who_said_so",
    "POST /v1/instances/{instance_id}/skip-wait": "tests/guarantees/test_one_step.py::"
    "test_the_wait_is_over_at_once_and_it_is_kept_who_said_so",
    "POST /v1/instances/{instance_id}/move": "tests/cli/test_one_step.py::test_one_step_by_the_command_line",
    "POST /v1/instances/{instance_id}/resend": "tests/guarantees/test_one_step.py::"
    "test_a_message_is_sent_again_and_the_wait_goes_on",
    "POST /v1/instances/{instance_id}/cancel-step": "tests/guarantees/test_cancel_ahead.py::"
    "test_a_message_right_after_the_wait_is_not_sent",
    "POST /v1/instances/{instance_id}/restore-step": "tests/guarantees/test_cancel_ahead.py::"
    "test_what_was_restored_happens",
    "POST /v1/processes/{key}/test-run": "tests/guarantees/test_test_runs.py::"
    "test_the_address_goes_on_the_list_and_through_everything_with_short_waits",
}
"""What needs Temporal, with the test that looks at its entry."""

TEMPLATE = {"subject": "Hello", "text": "x"}
PEOPLE = ("22222", "33333", "55555", "66666")
EMAIL = "/v1/suppressions/email/bad@example.com"
ENDPOINT = {"channel": "messenger", "address": "24512345678901234"}
CSV = b"email\r\nnew@example.com\r\n"

CHANGES: list[tuple[str, str, Any, str, str]] = [
    ("PUT /v1/lists/{key}", "/v1/lists/news", {"name": "News"}, "list.put", "list/news"),
    ("PUT /v1/lists/{key}", "/v1/lists/news", {"name": "More news"}, "list.put", "list/news"),
    ("POST /v1/bundles/apply", "", {"bundles": [{"lists": {"fair": {"name": "Fair"}}}]}, "list.put", "list/fair"),
    ("PUT /v1/segments/{key}", "/v1/segments/vip", {"name": "VIP"}, "segment.put", "segment/vip"),
    ("PUT /v1/templates/{key}", "/v1/templates/hello", TEMPLATE, "template.put", "template/hello"),
    ("PUT /v1/event-types/{key}", "/v1/event-types/seen", {"name": "Seen"}, "event_type.put", "event_type/seen"),
    ("PUT /v1/processes/{key}", "/v1/processes/welcome", process(), "process.edit", "process/welcome"),
    ("POST /v1/processes/{key}/publish", "", None, "process.publish", "process/welcome"),
    ("POST /v1/processes/{key}/activate", "", None, "process.activate", "process/welcome"),
    ("POST /v1/processes/{key}/pause", "", {"until": "2099-01-01T00:00:00Z"}, "process.pause", "process/welcome"),
    ("PUT /v1/processes/{key}", "/v1/processes/welcome", process(name="X"), "process.edit", "process/welcome"),
    ("DELETE /v1/processes/{key}/draft", "", None, "process.drop_draft", "process/welcome"),
    ("POST /v1/processes/{key}/activate", "", None, "process.activate", "process/welcome"),
    ("POST /v1/processes/{key}/instances", "", {"contact": "22222"}, "instance.start", "instance/welcome/"),
    ("POST /v1/processes/{key}/start-many", "", {"contacts": ["22222"], "id": "many"}, "process.start-many",
     "process/welcome"),
    ("POST /v1/operations/{operation}/stop", "", None, "operation.stop", "operation/"),
    ("POST /v1/operations/{operation}/resume", "", None, "operation.resume", "operation/"),
    ("POST /v1/processes/{key}/stop", "", {"reason": "enough", "all": True}, "process.stop", "process/welcome"),
    ("POST /v1/processes/{key}/release", "/v1/processes/order/release", {"held": "failed"}, "process.release",
     "process/order"),
    ("POST /v1/releases", "", None, "process.release", "process/order"),
    ("POST /v1/instances/{instance_id}/release", "", None, "instance.release", "instance/order/"),
    ("POST /v1/instances/{instance_id}/stop", "", {"reason": "by mistake"}, "instance.stop", "instance/order/"),
    ("POST /v1/contacts/{ref}/processes/{key}/stop", "/v1/contacts/33333/processes/order/stop", None,
     "instance.stop", "instance/order/"),
    ("POST /v1/contacts/{ref}/stop", "/v1/contacts/55555/stop", {"all": True}, "contact.stop", "contact/"),
    ("POST /v1/processes/{key}/archive", "/v1/processes/old/archive", None, "process.archive", "process/old"),
    ("POST /v1/retention", "", None, "delete", "retention/"),
    ("POST /v1/contacts", "", {"id": "44444"}, "contact.make", "contact/"),
    ("PATCH /v1/contacts/{ref}", "", {"fields": {"city": "Brno"}}, "contact.change", "contact/"),
    ("PUT /v1/contacts/{ref}/tags/{tag}", "", None, "contact.add_tag", "contact/"),
    ("DELETE /v1/contacts/{ref}/tags/{tag}", "", None, "contact.remove_tag", "contact/"),
    ("POST /v1/contacts/{ref}/notes", "", {"text": "Called"}, "contact.add_note", "contact/"),
    ("PUT /v1/contacts/{ref}/lists/{list}", "", {"status": "subscribed"}, "contact.set_status", "contact/"),
    ("POST /v1/contacts/{ref}/lists/move", "", {"from": "news", "to": "token-sale"}, "contact.set_status",
     "contact/"),
    ("PUT /v1/segments/{key}/members/{ref}", "/v1/segments/vip/members/22222", None, "contact.add_to_segment",
     "contact/"),
    ("DELETE /v1/segments/{key}/members/{ref}", "/v1/segments/vip/members/22222", None,
     "contact.remove_from_segment", "contact/"),
    ("PUT /v1/contacts/{ref}/consents/{channel}", "", {"granted": False}, "contact.consent", "contact/"),
    ("PUT /v1/contacts/{ref}/endpoints", "", ENDPOINT, "contact.put_endpoint", "contact/"),
    ("DELETE /v1/contacts/{ref}/endpoints",
     "/v1/contacts/22222/endpoints?channel=messenger&address=24512345678901234", None, "contact.remove_endpoint",
     "contact/"),
    ("POST /v1/contacts/{ref}/merge", "/v1/contacts/44444/merge", {"into": "22222"}, "contact.merge", "contact/"),
    ("POST /v1/imports", "", {"name": "a.csv"}, "import.begin", "import/"),
    ("POST /v1/imports/{import}/finish", "", None, "import.end", "import/"),
    ("POST /v1/imports", "", {"name": "b.csv"}, "import.begin", "import/"),
    ("POST /v1/imports/{import}/stop", "", None, "import.end", "import/"),
    ("POST /v1/imports/csv", "/v1/imports/csv", CSV, "import.begin", "import/"),
    ("PUT /v1/suppressions/{channel}/{address}", EMAIL, None, "suppression.add", "suppression/email/"),
    ("DELETE /v1/suppressions/{channel}/{address}", EMAIL, None, "suppression.release", "suppression/email/"),
    ("POST /v1/keys", "", {"name": "Shop", "scopes": ["events:write"]}, "key.make", "key/"),
    ("POST /v1/keys/{id}/rotate", "", {"keep": "1 day"}, "key.rotate", "key/"),
    ("POST /v1/keys/{id}/revoke", "", {"reason": "lost"}, "key.revoke", "key/"),
    ("DELETE /v1/contacts/{ref}", "", None, "contact.delete", "contact/"),
]  # fmt: skip
"""Operation, address (where it is not its path with the names below), body, and the entry that it makes. In order."""

SAYS_ALL = {
    "contact.add_note",
    "contact.delete",
    "instance.release",
    "instance.stop",
    "operation.resume",
    "operation.stop",
    "suppression.add",
    "suppression.release",
}
"""Actions that have nothing more to say of what was and what is."""


@pytest.fixture
def database_url(tmp_path: Path, empty_sqlite: Path) -> str:
    """SQLite alone: nothing here is about SQL."""
    return f"sqlite+aiosqlite:///{shutil.copy(empty_sqlite, tmp_path / 'onward.db')}"


@pytest.fixture
async def closed(away: Services, api: httpx.AsyncClient) -> FastAPI:
    """The app as in production, with people who are in a process, one of them at a step that holds, one long ago."""
    for key in ("offers", "token-sale"):
        await api.put(f"/v1/lists/{key}", json={"name": key})
    await api.put("/v1/processes/old", json=process("old"))
    await activate(api, process("order"))
    for person in PEOPLE:
        await contact(api, person)
        await api.post("/v1/processes/order/instances", json={"contact": person})
    i = rows.instances
    over = {"state": "ended", "open": False, "outcome": "completed", "ended_at": LONG_AGO}
    async with away.database.write() as connection:
        people = {
            row.external_id: row.id
            for row in await connection.execute(select(rows.contacts.c.external_id, rows.contacts.c.id))
        }
        for person, values in (("22222", {"state": "holding"}), ("66666", over)):
            await connection.execute(update(i).where(i.c.contact_id == people[person]).values(**values))
    away.settings.api_keys, away.settings.retention_days = "required", 30
    return create_app(away)


@pytest.fixture
async def anna(closed: FastAPI, away: Services) -> AsyncIterator[httpx.AsyncClient]:
    """Somebody with a key."""
    made = await away.keys.make(KeyWanted(name="Anna", scopes=["admin"]), LOCAL.actor)
    async with client_of(closed) as client:
        client.headers["authorization"] = f"Bearer {made.token}"
        yield client


async def named(services: Services) -> dict[str, str]:
    """What stands in an address for the name of a thing: the newest of its kind."""
    i = rows.instances.c
    held = select(i.id).where(i.process_key == "order").order_by(i.id)
    newest = {
        "{instance_id}": held,
        "{operation}": select(rows.operations.c.id),
        "{import}": select(rows.imports.c.id).order_by(rows.imports.c.created_at.desc()),
        "{id}": select(rows.api_keys.c.id).order_by(rows.api_keys.c.created_at.desc()),
    }
    async with services.database.read() as connection:
        found = {
            name: str((await connection.execute(statement.limit(1))).scalar())
            for name, statement in newest.items()
        }
    plain = {"{key}": "welcome", "{ref}": "22222", "{tag}": "a", "{list}": "news", "{channel}": "sms"}
    return found | plain


async def ask(
    client: httpx.AsyncClient, services: Services, operation: str, path: str, body: Any
) -> httpx.Response:
    """Call an operation."""
    method, _, address = operation.partition(" ")
    address = path or address
    for name, value in (await named(services)).items():
        address = address.replace(name, value)
    if isinstance(body, bytes):
        return await client.request(method, address, content=body, headers={"content-type": "text/csv"})
    return await client.request(method, address, json=body)


async def entries(services: Services, after: int = 0) -> list[Any]:
    """The audit log, the oldest first."""
    statement = select(rows.audit).where(rows.audit.c.id > after).order_by(rows.audit.c.id)
    async with services.database.read() as connection:
        return list((await connection.execute(statement)).all())


@asynccontextmanager
async def no_entry_can_be_written(services: Services) -> AsyncIterator[None]:
    """The audit log is away."""
    async with services.database.write() as connection:
        await connection.exec_driver_sql("ALTER TABLE audit RENAME TO audit_away")
    yield
    async with services.database.write() as connection:
        await connection.exec_driver_sql("ALTER TABLE audit_away RENAME TO audit")


async def test_each_change_is_kept_with_who_made_it_or_is_not_made(
    anna: httpx.AsyncClient, away: Services
) -> None:
    me = f"key/{anna.headers['authorization'].split('_')[1]}"
    for operation, path, body, action, subject in CHANGES:
        before, known = await digest(away), (await entries(away))[-1].id
        async with no_entry_can_be_written(away):
            refused = await ask(anna, away, operation, path, body)
        assert refused.status_code == 503, (operation, refused.text)
        assert await digest(away) == before, f"{operation} changes something without its entry"

        answer = await ask(anna, away, operation, path, body)
        assert answer.is_success, (operation, answer.text)
        new = await entries(away, known)
        assert {entry.actor for entry in new} == {me}, operation
        mine = [entry for entry in new if entry.action == action]
        assert mine, (operation, new)
        for entry in mine:
            assert entry.subject.startswith(subject), (operation, entry)
            assert entry.before or entry.after or action in SAYS_ALL, (operation, entry)
            assert "***" not in f"{entry.before} {entry.after}", "nothing here is a secret"


async def test_what_only_looks_changes_nothing(anna: httpx.AsyncClient, away: Services) -> None:
    await anna.put("/v1/templates/hello", json=TEMPLATE)
    bodies: dict[str, Any] = {
        "POST /v1/processes/validate": process(),
        "POST /v1/processes/{key}/preview": {"imagine": {}},
        "POST /v1/templates/{key}/test": {"to": "anna@example.com"},
    }
    before = await digest(away)
    for operation in NOTHING_CHANGES:
        path = operation.partition(" ")[2].replace("{key}", "hello" if "templates" in operation else "order")
        answer = await ask(anna, away, operation, path, bodies.get(operation))
        assert answer.status_code in {200, 409, 503}, (operation, answer.text)
        assert await digest(away) == before, operation


def test_every_route_that_may_change_something_is_known_here() -> None:
    found = {
        f"{method} {route.path_format}"
        for router in ROUTERS
        for route in router.routes
        if isinstance(route, APIRoute) and route.include_in_schema
        for method in (route.methods or set()) - {"GET"}
    }
    tables = [{operation for operation, *_ in CHANGES}, set(IN_A_WORKFLOW), NOTHING_CHANGES, BY_OTHERS]
    assert found == set().union(*tables)
    assert len(found) == sum(map(len, tables)), "in one of them"


@pytest.mark.parametrize("operation", IN_A_WORKFLOW)
def test_an_entry_of_a_workflow_is_looked_at(operation: str) -> None:
    path, _, name = IN_A_WORKFLOW[operation].partition("::")
    assert name in names_in(path)
