"""The OpenAPI document keeps the rules of Redocly and Spectral that matter to it, and can be read by generators of
clients: without what they cannot read. How the tools themselves are run is in docs/http.md.
"""

import re
from collections import Counter
from collections.abc import Iterator
from typing import Any

import httpx
import pytest
from fastapi import FastAPI

pytestmark = pytest.mark.parametrize("database_url", ["sqlite"], indirect=True)


@pytest.fixture
def document(app: FastAPI) -> dict[str, Any]:
    """The document."""
    return app.openapi()


def operations(document: dict[str, Any]) -> Iterator[tuple[str, dict[str, Any]]]:
    """Each operation with a name for it."""
    for path, methods in document["paths"].items():
        for method, operation in methods.items():
            yield f"{method.upper()} {path}", operation


def inside(value: Any) -> Iterator[dict[str, Any]]:
    """Every object in the document."""
    if isinstance(value, dict):
        yield value
    for inner in value.values() if isinstance(value, dict) else value if isinstance(value, list) else ():
        yield from inside(inner)


def test_it_says_whose_it_is_and_where(document: dict[str, Any]) -> None:
    info = document["info"]
    assert info["contact"]["name"]
    assert info["license"].keys() == {"name", "identifier"}
    assert len(info["description"]) > 50
    assert [server["url"] for server in document["servers"]] == ["/"]
    for tag in document["tags"]:
        assert tag["description"], tag


def test_each_operation_can_be_named_understood_and_called(document: dict[str, Any]) -> None:
    tags = [tag["name"] for tag in document["tags"]]
    schemes = document["components"]["securitySchemes"]
    ids = Counter(operation["operationId"] for _, operation in operations(document))
    assert len(ids) > 100
    for name, operation in operations(document):
        assert re.fullmatch("[a-z][a-z0-9_]*", operation["operationId"]), name
        assert ids[operation["operationId"]] == 1, f"{name}: two operations are {operation['operationId']}"
        assert operation["summary"], name
        assert operation["description"], name
        assert len(operation["tags"]) == 1, name
        assert operation["tags"][0] in tags, f"{name}: describe its tag in api/documentation.py"
        statuses = operation["responses"].keys()
        assert any(status.startswith("2") for status in statuses), name
        assert any(status.startswith("4") for status in statuses), name
        assert isinstance(operation["security"], list), name
        for way in operation["security"]:
            assert way.keys() <= schemes.keys(), name
            assert not any(way.values()), f"{name}: linters refuse scopes of a scheme that is not OAuth"


def test_each_path_parameter_is_declared_once(document: dict[str, Any]) -> None:
    for path, methods in document["paths"].items():
        for operation in methods.values():
            declared = [one["name"] for one in operation.get("parameters", ()) if one["in"] == "path"]
            assert sorted(declared) == sorted(re.findall(r"{(\w+)}", path)), path


def test_every_reference_is_there_and_can_be_read(document: dict[str, Any]) -> None:
    schemas = document["components"]["schemas"]
    found = {one["$ref"] for one in inside(document) if isinstance(one.get("$ref"), str)}
    assert {ref.removeprefix("#/components/schemas/") for ref in found} <= schemas.keys()
    for name, schema in schemas.items():
        own = {one.get("$ref") for one in inside(schema)}
        holds_itself = f"#/components/schemas/{name}" in own
        assert not holds_itself or "properties" in schema, (
            f"generators cannot read {name}: a union that holds itself"
        )
    assert not any(one.get("nullable") for one in inside(document)), "that is OpenAPI 3.0"


async def test_the_pages_load_nothing_from_elsewhere(api: httpx.AsyncClient) -> None:
    for path in ("/docs", "/redoc"):
        page = await api.get(path)
        assert page.status_code == 200
        policy = page.headers["content-security-policy"]
        assert "default-src 'none'" in policy
        assert "http" not in policy
        assert "unsafe" not in re.sub(r"style-src[^;]*", "", policy)
        assert "<script>" not in page.text
        loads = re.findall(r'(?:src|href|spec-url)="([^"]+)"', page.text)
        assert len(loads) > 1
        for address in loads:
            assert not re.match(r"[a-z]+:|//", address), address
            asset = await api.get(f"/{address}")
            assert (asset.status_code, len(asset.content) > 100) == (200, True), address
    assert (await api.get("/docs/../settings.py")).status_code == 404
    assert (await api.get("/docs/..%2F__init__.py")).status_code == 404
