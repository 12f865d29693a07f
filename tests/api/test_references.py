"""Whatever an identifier holds, its address reaches that one thing, as real clients and proxies send it; and a path
that a client shortens never reaches everything.

Made from the app's routes: a new one is tested by being there.
"""

import asyncio
import itertools
import posixpath
import re
from collections.abc import Mapping
from typing import Any
from urllib.parse import quote, unquote

import httpx
import orjson
import pytest
from fastapi import FastAPI, Response
from fastapi.routing import APIRoute

from api.addresses import AddressedRoute
from api.app import ROUTERS
from processes.references import read_segment, segment
from runtime import Services
from tests.api.conftest import activate, client_of, contact, digest, places, process
from tests.support.serving import serving

HOSTILE = [
    ".", "..", "...", "../..", "../processes/pb", "a/b", "/", "//", "a//b", "a/", "/a", "a/../b",
    "gid://shopify/Customer/72104", "%", "%2F", "%2e%2e", "%252F", "100%", "?", "a?b=c", "#", "a#b", "a b", " a ",
    "a+b", "a;b=c", "a&b", "a=b", "a:b", "a,b", "a\\b", "..\\..", "~a", "-", "stop", "tags", "lists", "move", "csv",
    "null", "\xe9", "e\u0301", "\ufb00", "\u03a9", "\u0130", "\U0001f600",
    "a\u200db", "\u202eabc", "a/b@example.com", '"a b"@example.com', "+420 601 234 567",
    "base64url:", "base64url:Li4", "base64url:\xe9", "x" * 300, "/" * 255,
]  # fmt: skip
"""What identifiers hold, and what looks like something else in a path."""
PLACES = re.compile(r"{(\w+)(?::path)?}")


def routes() -> list[APIRoute]:
    """Every route of the app, those of the public pages too."""
    found = [route for router in ROUTERS for route in router.routes]
    assert all(isinstance(route, AddressedRoute) for route in found), "a route outside of api/addresses.py"
    return [route for route in found if isinstance(route, APIRoute)]


def filled(path: str, values: dict[str, str], write: Any) -> str:
    """A route's path with the values in their places, each written as a client writes it."""
    return PLACES.sub(lambda place: write(values[place[1]]), path)


def by_curl(path: str) -> str:
    """What curl and browsers make of a path: dot segments are resolved, percent-encoded ones too."""
    plain = re.sub("%2e", ".", path, flags=re.IGNORECASE)
    resolved = posixpath.normpath(plain).replace("//", "/")
    return resolved + "/" * (plain.endswith(("/", "/.", "/..")) and resolved != "/")


def by_proxy(path: str) -> str:
    """What a proxy makes of it that decodes, merges slashes, resolves dot segments, and encodes again."""
    return quote(by_curl(re.sub("/+", "/", unquote(path))))


class Reached:
    """The route that answered last, and its parameters: what a request does there is not asked for."""

    route: APIRoute | None = None
    values: Mapping[str, str] = {}


@pytest.fixture
def reached(monkeypatch: pytest.MonkeyPatch) -> Reached:
    """Every route answers 204 as soon as it is found."""
    found = Reached()

    async def handle(_: APIRoute, scope: Any, receive: Any, send: Any) -> None:
        found.route, found.values = scope["route"], scope["path_params"]
        await Response(status_code=204)(scope, receive, send)

    monkeypatch.setattr(APIRoute, "handle", handle)
    return found


def test_a_segment_is_read_back_and_is_plainly_safe() -> None:
    for text in HOSTILE:
        written = segment(text)
        assert read_segment(unquote(written)) == text
        assert re.fullmatch(r"[A-Za-z0-9._~@:+-]+", written)
        assert written.strip(".")
        assert by_curl(f"/v1/contacts/{written}/tags") == f"/v1/contacts/{written}/tags"
        assert (
            by_proxy(f"/{written}/tags").replace("%3A", ":").replace("%40", "@").replace("%2B", "+")
            == f"/{written}/tags"
        )
    assert segment("22222") == "22222"
    assert segment("..") == "base64url:Li4"
    for plain in ("base64url:", "base64url:Li", "base64url:Li4=", "base64url:_w", "base64url", "Li4"):
        assert read_segment(plain) == plain


@pytest.mark.parametrize("database_url", ["sqlite"], indirect=True)
async def test_every_route_is_reached_with_exactly_the_identifier_that_was_meant(
    api: httpx.AsyncClient, reached: Reached
) -> None:
    asked: set[str] = set()
    for number, route in enumerate(routes()):
        names = PLACES.findall(route.path)
        # Each route gets some, and all are asked for: the whole product would take minutes.
        for text in [HOSTILE[(number * 5 + step * 7) % len(HOSTILE)] for step in range(8)] if names else ():
            values = dict.fromkeys(names, text)
            for path in {filled(route.path, values, segment), filled(route.path, values, percent)}:
                reached.route = None
                answer = await api.request(min(route.methods or ()), path)
                assert answer.status_code == 204, (route.path, path, answer.text)
                assert reached.route is not None
                assert (reached.route.path, reached.values) == (route.path, values), path
            asked.add(text)
    assert asked == set(HOSTILE)


def percent(text: str) -> str:
    """As a client writes it that doesn't know our form, except for what can travel in no other."""
    return quote(text, safe="") if text.strip(".") and read_segment(text) == text else segment(text)


# A client that resolves dot segments, or a proxy that merges slashes, makes of the first the second.
NOWHERE = (".", "..", "")
ANYTHING = [None, {}, {"reason": "x"}, {"status": "subscribed"}, {"segment": "vip"}]


@pytest.mark.parametrize("database_url", ["sqlite"], indirect=True)
async def test_a_path_that_a_client_shortens_changes_nothing(api: httpx.AsyncClient, away: Services) -> None:
    for name in ("22222", "endpoints", "processes", "tags", "lists"):
        await contact(api, name)
    await api.put("/v1/lists/news", json={"name": "News"})
    await activate(api, process("welcome"))
    await api.post("/v1/processes/welcome/instances", json={"contact": "22222"})
    valid = {
        "ref": "22222",
        "list": "news",
        "key": "welcome",
        "channel": "email",
        "instance_id": "welcome/22222",
    }
    before, elsewhere = await digest(away), set()
    for route in routes():
        names = PLACES.findall(route.path)
        for method, *given in itertools.product(changing(route), *[("", *NOWHERE)] * len(names)):
            values = {name: text or valid.get(name, "x") for name, text in zip(names, given, strict=True)}
            for path in (by_curl(filled(route.path, values, str)), by_proxy(filled(route.path, values, str))):
                lands = where_it_lands(method, path)
                if lands is None or lands == route.path:
                    continue
                elsewhere.add((method, route.path, lands))
                for body in ANYTHING:
                    answer = await api.request(method, path, json=body, params=QUERIES.get(route.path))
                    wrong = 400 <= answer.status_code < 500 or lands == "/v1/processes/validate"
                    assert wrong, (method, route.path, path, body, answer.text)
    assert await digest(away) == before
    assert ("POST", "/v1/contacts/{ref}/processes/{key}/stop", "/v1/processes/{key}/stop") in elsewhere
    assert ("POST", "/v1/contacts/{ref}/processes/{key}/stop", "/v1/contacts/{ref}/stop") in elsewhere


QUERIES = {"/v1/contacts/{ref}/endpoints": {"channel": "messenger", "address": "24512345678901234"}}


def changing(route: APIRoute) -> set[str]:
    """A route's methods that change something."""
    return (route.methods or set()) - {"GET", "HEAD"}


def where_it_lands(method: str, path: str) -> str | None:
    """The route that a path reaches."""
    found = (
        route.path for route in routes() if method in (route.methods or ()) and route.path_regex.match(path)
    )
    return next(found, None)


async def test_everything_is_stopped_only_if_the_body_says_so(api: httpx.AsyncClient) -> None:
    await contact(api)
    await activate(api, process("welcome"))
    await api.post("/v1/processes/welcome/instances", json={"contact": "22222"})
    for path in ("/v1/processes/welcome/stop", "/v1/contacts/22222/stop"):
        for body in (None, {}, {"reason": "x"}, {"all": False}):
            refused = await api.post(path, json=body)
            assert (refused.status_code, places(refused)) == (422, ["/all"]), (path, body)
    both = await api.post("/v1/processes/welcome/stop", json={"all": True, "contacts": ["22222"]})
    assert (both.status_code, places(both)) == (422, ["/all"])
    (row,) = (await api.get("/v1/instances")).json()["items"]
    assert row["state"] == "pending"
    stopped = await api.post("/v1/contacts/22222/stop", json={"all": True})
    assert stopped.json()["instances"] == [row["id"]]


async def test_a_contact_of_any_id_is_read_changed_and_erased(away: Services) -> None:
    async with serving(away) as url, httpx.AsyncClient(base_url=url, timeout=60) as client:
        taken: dict[str, str] = {}
        for name in HOSTILE:
            made = await client.post("/v1/contacts", json={"id": name})
            if len(name) > 255 or not name.isprintable():
                assert (made.status_code, places(made)) == (422, ["/id"]), name
                continue
            if made.status_code == 409:
                assert name == " a " or taken[name.strip()], made.text
                continue
            assert made.status_code == 201, (name, made.text)
            taken[made.json()["external_id"]] = made.json()["id"]
        host = url.removeprefix("http://")
        for name, own in taken.items():
            raw = await unchanged(host, f"/v1/contacts/{quote(name, safe='').replace('.', '%2E')}")
            assert raw["id"] == (taken[".."] if name == "base64url:Li4" else own), name
            place = f"/v1/contacts/{segment(name)}"
            assert (await client.get(place)).json()["id"] == own
            for method, path, body in (
                ("PATCH", place, {"fields": {"name": name}}),
                ("PUT", f"{place}/tags/{segment('fair/2026')}", None),
                ("PUT", f"{place}/consents/sms", {"granted": True}),
                ("POST", f"{place}/notes", {"text": "called"}),
            ):
                answer = await client.request(method, path, json=body)
                assert answer.is_success, (method, path, answer.text)
            found = (await client.get(place)).json()
            assert (found["id"], found["fields"]) == (own, {"name": name})
            assert [tag["tag"] for tag in found["tags"]] == ["fair/2026"]
        for name, own in taken.items():
            place = f"/v1/contacts/{segment(name)}"
            assert (await client.delete(place)).is_success
            assert (await client.get(place)).status_code == 404
            assert (await client.get(f"/v1/contacts/{own}")).status_code == 404
        assert (await client.get("/v1/contacts")).json()["items"] == []


async def unchanged(host: str, path: str) -> Any:
    """What is answered to a path that no client has touched."""
    reader, writer = await asyncio.open_connection(*host.split(":"))
    writer.write(f"GET {path} HTTP/1.1\r\nHost: {host}\r\nConnection: close\r\n\r\n".encode())
    answer = await reader.read()
    writer.close()
    head, _, body = answer.partition(b"\r\n\r\n")
    assert head.startswith(b"HTTP/1.1 200"), answer
    return orjson.loads(body)


async def test_what_is_no_text_is_refused_with_its_place(api: httpx.AsyncClient) -> None:
    for path in ("/v1/contacts/%FF", "/v1/contacts/a%00b", "/v1/instances/a%2F%00"):
        answer = await api.get(path)
        assert (answer.status_code, places(answer)) == (422, ["path"]), path
    query = await api.get("/v1/contacts?tag=a%00&email=%00")
    assert (query.status_code, places(query)) == (422, ["?tag", "?email"])
    header = await api.post("/v1/events", json={"type": "a"}, headers={"Idempotency-Key": "a\x00b"})
    assert (header.status_code, places(header)) == (422, ["header idempotency-key"])


async def test_an_unknown_query_parameter_is_refused_by_every_route(
    app: FastAPI, api: httpx.AsyncClient
) -> None:
    asked = 0
    for path, methods in app.openapi()["paths"].items():
        for method, operation in methods.items():
            address = PLACES.sub("22222", path)
            known = [one["name"] for one in operation.get("parameters", ()) if one["in"] == "query"]
            for name in ("nothing_like_it", *(f"{one}s" for one in known)):
                answer = await api.request(method, address, params={name: "1"})
                asked += 1
                assert answer.status_code == 422, (method, path, name, answer.text)
                assert places(answer) == [f"?{name}"]
                if name.removesuffix("s") in known:
                    assert answer.json()["errors"][0]["message"].endswith(
                        f"did you mean ?{name.removesuffix('s')}"
                    )
    assert asked > 150


async def test_what_mail_clients_add_to_a_link_is_ignored(app: FastAPI) -> None:
    pages = [route for route in routes() if route.path.startswith("/t/")]
    assert len(pages) > 5
    async with client_of(app) as somebody:
        for route in pages:
            for method in (route.methods or set()) - {"HEAD"}:
                path = PLACES.sub("some", route.path)
                plain = await somebody.request(method, path)
                added = await somebody.request(method, path, params={"utm_source": "news", "fbclid": "x"})
                assert (plain.status_code, plain.text) == (added.status_code, added.text), route.path
                assert plain.status_code != 422
