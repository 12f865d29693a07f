"""Previews over HTTP: what the answer says, and how a bad request is told of."""

from typing import Any

import httpx
import pytest

from api.routes import previews
from tests.api.conftest import contact, places, process

CLICKED = {"message": {"step": "hello", "state": "clicked"}}
STEPS: list[dict[str, Any]] = [
    {"id": "hello", "type": "send_email", "template": "hello", "next": "pause"},
    {"id": "pause", "type": "wait", "for": "3 days", "next": "asked"},
    {"id": "asked", "type": "condition", "branches": [{"when": CLICKED, "next": "tag"}]},
    {"id": "tag", "type": "add_tag", "tag": "keen"},
]


async def series(api: httpx.AsyncClient, **more: Any) -> None:
    await api.put("/v1/templates/hello", json={"subject": "Hi {{ contact.name }}", "html": "<p>Hi</p>"})
    put = await api.put("/v1/processes/welcome", json=process("welcome", steps=STEPS, **more))
    assert put.status_code == 201, put.text


async def asked(api: httpx.AsyncClient, **body: Any) -> httpx.Response:
    return await api.post("/v1/processes/welcome/preview", json=body)


async def test_a_preview_has_moments_messages_and_both_ways(api: httpx.AsyncClient) -> None:
    await series(api)
    own = await contact(api, "22222", fields={"name": "Anna"}, time_zone="Europe/Prague")
    answer = await asked(api, contact="22222", event={"type": "registered"}, at="2026-11-23T09:00:00+01:00")
    assert answer.status_code == 200, answer.text
    found = answer.json()
    assert found["contact"] == {"id": own, "external_id": "22222", "email": "22222@example.com"}
    assert (found["status"], found["entrance"]["admitted"], found["zone"]) == ("draft", True, "Europe/Prague")
    assert "version" not in found
    hello, pause = found["timeline"]["moments"]
    assert (hello["at"], hello["local"]) == ("2026-11-23T08:00:00Z", "2026-11-23T09:00:00+01:00")
    assert hello["message"]["subject"] == "Hi Anna"
    assert (hello["message"]["html"], hello["message"]["recipient"]) == ("<p>Hi</p>", "22222@example.com")
    assert pause["until"] == "2026-11-26T08:00:00Z"
    clicked, not_clicked = found["timeline"]["ways"]
    assert (clicked["when"], not_clicked["when"]) == (
        "the message of step hello clicked",
        "not: the message of step hello clicked",
    )
    assert [moment["step"] for moment in clicked["timeline"]["moments"]] == ["asked", "tag"]
    (why,) = clicked["timeline"]["moments"][0]["why"]
    assert (why["rule"], why["holds"], why["open"]) == (CLICKED, False, True)
    assert not_clicked["timeline"]["ending"] == {
        "how": "end", "at": "2026-11-26T08:00:00Z", "outcome": "completed",
    }  # fmt: skip
    short = (await asked(api, contact="22222", content=False)).json()
    assert "html" not in short["timeline"]["moments"][0]["message"]
    assert short["event"] == "process.requested"


async def test_a_draft_a_version_and_a_document_are_told_apart(api: httpx.AsyncClient) -> None:
    await series(api)
    assert (await api.post("/v1/processes/welcome/publish")).status_code == 200
    draft = process("welcome", steps=STEPS[:2])
    draft["steps"][1] = {"id": "pause", "type": "wait", "for": "1 day"}
    assert (await api.put("/v1/processes/welcome", json=draft)).status_code == 200
    someone = {"email": "anna@example.com"}

    async def steps(**more: Any) -> tuple[int | None, int]:
        found = (await asked(api, imagine=someone, **more)).json()
        return found.get("version"), len(found["timeline"]["moments"])

    assert await steps() == (None, 2)
    assert await steps(state="draft") == (None, 2)
    assert await steps(state="published") == (1, 2)
    assert len((await asked(api, imagine=someone, state=1)).json()["timeline"]["ways"]) == 2
    assert await steps(document=process("welcome")) == (None, 1)
    missing = await asked(api, imagine=someone, state=7)
    assert (missing.status_code, missing.json()["detail"]) == (404, "there is no version «welcome 7»")


@pytest.mark.parametrize(
    ("body", "place"),
    [
        ({}, ""),
        ({"contact": "1", "imagine": {}}, ""),
        ({"imagine": {"email": "nobody"}}, "/imagine/email"),
        ({"imagine": {"time_zone": "Mars/Base"}}, "/imagine/time_zone"),
        ({"imagine": {"fields": {"a b": 1}}}, "/imagine/fields/a b"),
        ({"imagine": {"lists": {"ghost": "subscribed"}}}, "/imagine/lists/ghost"),
        ({"imagine": {"lists": {"ghost": "perhaps"}}}, "/imagine/lists/ghost"),
        ({"imagine": {"segments": ["ghost"]}}, "/imagine/segments"),
        ({"imagine": {}, "event": {"type": "a b"}}, "/event/type"),
        ({"imagine": {}, "event": {"type": "go", "params": {"a": "\x00"}}}, "/event/params/a"),
        ({"imagine": {}, "at": "2026-11-23T09:00:00"}, "/at"),
        ({"imagine": {}, "at": "0001-01-01T00:00:00Z"}, "/at"),
        ({"imagine": {}, "state": "old"}, "/state"),
        ({"imagine": {}, "state": 1, "document": {}}, ""),
        ({"imagine": {}, "document": {"name": "P", "recurrence": "once", "steps": []}}, "/document/steps"),
        ({"imagine": {}, "else": 1}, "/else"),
    ],
)
async def test_what_is_wrong_with_a_request_is_named(
    api: httpx.AsyncClient, body: dict[str, Any], place: str
) -> None:
    await series(api)
    answer = await asked(api, **body)
    assert answer.status_code == 422, answer.text
    assert any(found.startswith(place) for found in places(answer)), answer.text


async def test_content_has_a_limit_and_says_what_was_left_out(
    api: httpx.AsyncClient, monkeypatch: pytest.MonkeyPatch
) -> None:
    await api.put("/v1/templates/hello", json={"subject": "Hi", "html": "<p>Hi</p>", "text": "Hi"})
    twice = [{"id": "a", "type": "send_email", "template": "hello", "next": "b"},
             {"id": "b", "type": "send_email", "template": "hello"}]  # fmt: skip
    assert (await api.put("/v1/processes/welcome", json=process("welcome", steps=twice))).status_code == 201
    monkeypatch.setattr(previews, "MOST_CONTENT", 15)
    found = (await asked(api, imagine={"email": "anna@example.com"})).json()["timeline"]["moments"]
    messages = [moment["message"] for moment in found]
    assert [(one.get("html"), one["left_out"]) for one in messages] == [("<p>Hi</p>", False), (None, True)]


async def test_a_process_or_contact_that_is_not_there_is_a_404(api: httpx.AsyncClient) -> None:
    assert (await asked(api, imagine={})).status_code == 404
    await series(api)
    answer = await asked(api, contact="nobody")
    assert (answer.status_code, answer.json()["detail"]) == (404, "there is no contact «nobody»")
