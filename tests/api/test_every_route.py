"""Every route of the OpenAPI document keeps out who may not call it, and changes nothing then (O12).

Made from the document: a new route is tested by being there, and one that says nothing of who may call it fails.
"""

import re
import shutil
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import httpx
import pytest
from fastapi import APIRouter, FastAPI
from fastapi.routing import APIRoute

from api import access
from api.app import ROUTERS, create_app
from intake.keys import SCOPES, KeyWanted
from runtime import Services
from tests.api.conftest import activate, client_of, contact, digest, process

OPEN = {
    ("get", "/health/live"),
    ("get", "/health/ready"),
    *(("post", f"/v1/bounces{way}") for way in ("", "/mail", "/resend", "/ses")),
    *(
        ("post", f"/v1/{kind}")
        for kind in ("identify", "track", "page", "screen", "group", "alias", "import", "batch")
    ),
}
"""Routes that ask for no key: whoever keeps it running asks, or they have a secret, a signature, a write key."""

NAMED = {
    "{key}": "welcome",
    "{ref}": "22222",
    "{list}": "news",
    "{version}": "1",
    "{channel}": "email",
    "{address}": "a@example.com",
}
WHO = {"email", "phone", "external_id", "recipient"}
"""Fields that say who somebody is."""


@pytest.fixture
def database_url(tmp_path: Path, empty_sqlite: Path) -> str:
    """SQLite alone: nothing here is about SQL."""
    return f"sqlite+aiosqlite:///{shutil.copy(empty_sqlite, tmp_path / 'onward.db')}"


@pytest.fixture
async def closed(away: Services, api: httpx.AsyncClient) -> FastAPI:
    """The app as in production, with something in it that could be changed."""
    await api.put("/v1/lists/news", json={"name": "News"})
    await contact(api)
    await activate(api, process("welcome"))
    await api.post("/v1/processes/welcome/instances", json={"contact": "22222"})
    away.settings.api_keys = "required"
    return create_app(away)


def operations(app: FastAPI) -> Iterator[tuple[str, str, str | None]]:
    """Method, path and scope of every operation; None where it says none."""
    for path, methods in app.openapi()["paths"].items():
        for method, operation in methods.items():
            yield method, path, operation.get("x-scope")


def address(path: str) -> str:
    """A path with something in each place."""
    for place, value in NAMED.items():
        path = path.replace(place, value)
    return re.sub(r"{\w+}", "some", path)


async def tokens(services: Services) -> dict[str, str]:
    """A key for each scope."""
    return {
        scope: (await services.keys.make(KeyWanted(name=scope, scopes=[scope]), "local")).token
        for scope in SCOPES
    }


async def test_each_route_answers_401_without_a_key_and_changes_nothing(
    closed: FastAPI, away: Services
) -> None:
    before = await digest(away)
    async with client_of(closed) as nobody:
        for method, path, scope in operations(closed):
            if (method, path) in OPEN:
                continue
            assert scope is not None, f"{method} {path} has no scope"
            attempts: list[dict[str, Any]] = [
                {},
                {"json": {}},
                {"content": b"{", "headers": {"authorization": "Bearer onw_x"}},
            ]
            for sent in attempts:
                answer = await nobody.request(method, address(path), **sent)
                assert answer.status_code == 401, (method, path, answer.text)
                assert answer.headers["www-authenticate"].startswith("Bearer")
                assert answer.headers["content-type"] == "application/problem+json"
    assert await digest(away) == before


async def test_each_route_answers_403_to_every_other_scope_and_changes_nothing(
    closed: FastAPI, away: Services
) -> None:
    made = await tokens(away)
    before = await digest(away)
    async with client_of(closed) as client:
        for method, path, scope in operations(closed):
            if scope is None:
                continue
            for other in set(SCOPES) - {scope, "admin"}:
                headers = {"authorization": f"Bearer {made[other]}"}
                answer = await client.request(method, address(path), headers=headers, content=b"{")
                assert answer.status_code == 403, (method, path, other, answer.text)
    assert await digest(away) == before


async def test_each_route_lets_its_own_scope_in_and_an_admin(closed: FastAPI, away: Services) -> None:
    made = await tokens(away)
    async with client_of(closed) as client:
        for method, path, scope in operations(closed):
            if scope is None or "/keys" in path:
                continue
            for own in {scope, "admin"}:
                headers = {"authorization": f"Bearer {made[own]}"}
                answer = await client.request(method, address(path), headers=headers)
                assert answer.status_code not in {401, 403}, (method, path, own, answer.text)


def test_what_is_open_is_known_by_name(app: FastAPI) -> None:
    found = {(method, path) for method, path, scope in operations(app) if scope is None}
    assert found == OPEN
    for route in (route for router in ROUTERS for route in router.routes):
        assert isinstance(route, APIRoute)
        assert route.include_in_schema or route.path.startswith(("/t/", "/docs", "/redoc")), route.path


def test_a_route_that_does_not_say_who_may_call_it_stops_the_start() -> None:
    router = APIRouter()

    @router.get("/v1/forgotten")
    async def forgotten() -> None:
        """Nothing."""

    with pytest.raises(TypeError, match="/v1/forgotten"):
        access.check([*ROUTERS, router])


def test_every_route_that_names_a_process_or_a_list_holds_limited_keys_to_it(app: FastAPI) -> None:
    for route in (route for router in ROUTERS for route in router.routes):
        assert isinstance(route, APIRoute)
        demand = access.demand_of(route)
        if not isinstance(demand, access.Needs) or demand.scope == "admin":
            continue
        query = {field.alias for field in route.dependant.query_params}
        for what, given in (("process", demand.process), ("list", demand.list)):
            many = {"process": "/processes/", "list": "/lists/"}[what]
            in_path = re.search(rf"{many}{{(\w+)}}", route.path_format)
            expected = in_path[1] if in_path else what if what in query else None
            assert given == expected, f"{route.methods} {route.path} names a {what} as {expected}"
        if "{instance_id" in route.path:
            assert demand.instance == "instance_id", route.path
        if "{operation}" in route.path:
            assert demand.operation == "operation", route.path


def named_in(document: dict[str, Any], schema: Any, seen: set[str]) -> set[str]:
    """The names of all fields that a schema has, those of what it refers to among them."""
    if isinstance(schema, list):
        return set().union(*(named_in(document, one, seen) for one in schema))
    if not isinstance(schema, dict):
        return set()
    reference = schema.get("$ref", "").rpartition("/")[2]
    if reference in seen:
        return set()
    if reference:
        return named_in(document, document["components"]["schemas"][reference], seen | {reference})
    inner = [value for name, value in schema.items() if name not in {"examples", "example", "default"}]
    return set(schema.get("properties", ())).union(*(named_in(document, one, seen) for one in inner))


def test_who_a_contact_is_is_told_to_those_alone_who_may_read_contacts(app: FastAPI) -> None:
    document = app.openapi()
    telling = set()
    for path, methods in document["paths"].items():
        for method, operation in methods.items():
            answers = [answer for status, answer in operation["responses"].items() if status.startswith("2")]
            if WHO & named_in(document, [answer.get("content") for answer in answers], set()):
                telling.add((method, path))
    assert len(telling) > 10
    for method, path, scope in operations(app):
        if (method, path.removesuffix(".csv")) in telling or path == "/v1/contacts.csv":
            assert scope in {"contacts:read", "contacts:write", "admin"}, f"{method} {path} needs {scope}"
