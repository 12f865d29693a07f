"""What every route has in common: problem documents, limits, the OpenAPI document, outages, health."""

from collections.abc import AsyncIterator

import httpx
from fastapi import FastAPI

from api.app import create_app
from runtime import Services, connect_services
from settings import Settings
from tests.api.conftest import client_of, contact, places, process
from tests.support.temporal import free_port


async def test_every_operation_is_documented(app: FastAPI) -> None:
    document = app.openapi()
    operations = [
        (f"{method} {path}", operation)
        for path, methods in document["paths"].items()
        for method, operation in methods.items()
    ]
    assert len(operations) > 50
    for name, operation in operations:
        assert operation.get("summary"), name
        assert "application/problem+json" in operation["responses"]["default"]["content"], name
        for status, response in operation["responses"].items():
            if status.isdigit() and int(status) >= 400:
                assert set(response["content"]) == {"application/problem+json"}, (name, status)
    send = document["paths"]["/v1/events"]["post"]
    examples = send["requestBody"]["content"]["application/json"]["examples"]
    assert examples["seed"]["value"]["eventTypeKey"] == "order_created"
    assert {"200", "202", "409", "413", "415", "422", "503"} <= send["responses"].keys()
    schemas = document["components"]["schemas"]
    assert "HTTPValidationError" not in schemas
    text = str(document)
    for reference in {part.split("'")[0] for part in text.split("#/components/schemas/")[1:]}:
        assert reference in schemas, reference


async def test_unknown_addresses_and_methods_are_problems(api: httpx.AsyncClient) -> None:
    unknown = await api.get("/v1/nothing")
    assert (unknown.status_code, unknown.json()["type"]) == (404, "urn:onward:problem:not-found")
    wrong = await api.delete("/v1/lists")
    assert (wrong.status_code, wrong.json()["type"]) == (405, "urn:onward:problem:method-not-allowed")
    assert wrong.headers["content-type"] == "application/problem+json"
    assert wrong.headers["allow"]
    nul = await api.get("/v1/contacts/a%00b")
    assert (nul.status_code, places(nul)) == (422, ["path"])
    in_query = await api.get("/v1/contacts?q=%00")
    assert (in_query.status_code, places(in_query)) == (422, ["?q"])
    assert (await api.get("/v1/processes/Not-A-Key")).status_code == 422


async def test_an_error_that_nobody_foresaw_tells_nothing(app: FastAPI, away: Services) -> None:
    async def broken(*_: object) -> None:
        raise RuntimeError("secret")

    away.intake.take = broken  # type: ignore[assignment, method-assign]
    async with client_of(app) as client:
        answer = await client.post("/v1/events", json={"type": "a"})
    assert (answer.status_code, answer.json()["type"]) == (500, "urn:onward:problem:internal")
    assert "secret" not in answer.text


async def test_a_body_over_the_limit_is_refused(api: httpx.AsyncClient) -> None:
    big = b'{"type": "a", "params": {"x": "' + b"y" * 2_000_001 + b'"}}'
    for path in ("/v1/events", "/v1/events/batch", "/v1/contacts", "/v1/processes/validate"):
        announced = await api.post(path, content=big, headers={"content-type": "application/json"})
        assert (announced.status_code, announced.json()["limit"]) == (413, 2_000_000), path

        async def stream() -> AsyncIterator[bytes]:
            for start in range(0, len(big), 100_000):
                yield big[start : start + 100_000]

        streamed = await api.post(path, content=stream(), headers={"content-type": "application/json"})
        assert (streamed.status_code, streamed.headers["content-type"]) == (
            413,
            "application/problem+json",
        ), path


async def test_other_bodies_are_as_strict_as_events(api: httpx.AsyncClient) -> None:
    await contact(api)
    for body, status in (
        (b"{", 400),
        (b'{"text": NaN}', 400),
        (b"[" * 3000, 422),
        (b'{"text": "a\\u0000"}', 422),
    ):
        answer = await api.post(
            "/v1/contacts/22222/notes", content=body, headers={"content-type": "application/json"}
        )
        assert (answer.status_code, answer.headers["content-type"]) == (status, "application/problem+json"), (
            body
        )
    form = await api.post("/v1/contacts/22222/notes", data={"text": "x"})
    assert form.status_code == 415
    assert (
        await api.put("/v1/lists/a", content=b"name: x", headers={"content-type": "application/yaml"})
    ).status_code == 415
    assert (await api.post("/v1/contacts/22222/notes")).status_code == 422


async def test_without_a_database_nothing_is_taken_and_nothing_lost() -> None:
    settings = Settings(
        database_url=f"postgresql+asyncpg://nobody:x@127.0.0.1:{free_port()}/none",
        temporal_address=f"127.0.0.1:{free_port()}",
        _env_file=None,
    )
    services = await connect_services(settings)
    async with client_of(create_app(services)) as client:
        requests = [
            ("POST", "/v1/events", {"type": "a"}),
            ("POST", "/v1/events/batch", {"events": [{"type": "a"}]}),
            ("GET", "/v1/contacts", None),
            ("GET", "/v1/instances/a/b", None),
            ("PUT", "/v1/processes/welcome", process()),
            ("POST", "/v1/contacts", {"id": "1"}),
        ]
        for method, path, body in requests:
            answer = await client.request(method, path, json=body)
            assert (answer.status_code, answer.headers["retry-after"]) == (503, "5"), path
            assert answer.json()["type"] == "urn:onward:problem:unavailable"
        ready = await client.get("/health/ready")
        assert (ready.status_code, [e["pointer"] for e in ready.json()["errors"]]) == (
            503,
            ["database", "temporal"],
        )
        assert (await client.get("/health/live")).json() == {"status": "ok"}
        assert "onward_database_up 0.0" in (await client.get("/metrics")).text
    await services.close()


async def test_readiness_names_what_is_missing(api: httpx.AsyncClient) -> None:
    answer = await api.get("/health/ready")
    assert (answer.status_code, [e["pointer"] for e in answer.json()["errors"]]) == (503, ["temporal"])


async def test_metrics_count_what_happened(api: httpx.AsyncClient) -> None:
    await api.post("/v1/events", json={"type": "a", "id": "1"})
    await api.post("/v1/events", json={"type": "a", "id": "1"})
    text = (await api.get("/metrics")).text
    assert 'onward_events_total{status="accepted"} 1.0' in text
    assert 'onward_events_total{status="duplicate"} 1.0' in text
    assert 'method="POST",route="/v1/events",status="200"' in text
    assert "onward_outbox_rows 0.0" in text
