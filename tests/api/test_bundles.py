"""Bundles are applied together or not at all: an active process that cannot be changed goes on as it was."""

from collections.abc import Callable
from typing import Any

import httpx
import pytest

from intake import bundles, edits
from intake.processes import ProcessLifecycle
from runtime import Services
from store import definitions
from tests.api.conftest import activate, digest, places, process

TEMPLATE = {"name": "Hello", "subject": "Hello", "text": "Hello {{ contact.first_name }}"}
WRONG: list[tuple[str, dict[str, Any], list[str]]] = [
    (
        "shape",
        {"process": process("bad", steps=[{"id": "a", "type": "add_tug", "tag": "x"}])},
        ["/process/steps/0"],
    ),
    ("graph", {"process": process("bad", first="nowhere")}, ["/process/first"]),
    (
        "template of a step",
        {"process": process("bad", steps=[{"id": "a", "type": "send_email", "template": "none"}])},
        ["/process/steps/0/template"],
    ),
    (
        "template of a trigger",
        {"process": process("bad", triggers=[{"type": "message_clicked", "template": "none"}])},
        ["/process/triggers/0/template"],
    ),
    (
        "template of a trigger that does not render",
        {
            "process": process("bad", triggers=[{"type": "message_opened", "template": "broken"}]),
            "templates": {"broken": {**TEMPLATE, "text": "{% if %}"}},
        },
        ["/templates/broken/text"],
    ),
    (
        "segment",
        {"process": process("bad"), "segments": {"s": {"name": "S", "rule": {"list": "nowhere"}}}},
        ["/segments/s/rule"],
    ),
    (
        "segment that leads to itself",
        {"process": process("bad"), "segments": {"s": {"name": "S", "rule": {"not": {"segment": "s"}}}}},
        ["/segments/s/rule"],
    ),
    (
        "list of the process",
        {"process": process("bad", list="nowhere")},
        ["/process/list"],
    ),
]


async def applied(api: httpx.AsyncClient, *wanted: dict[str, Any], **more: Any) -> httpx.Response:
    """The answer to an apply with activation."""
    return await api.post("/v1/bundles/apply", json={"bundles": list(wanted), "activate": True, **more})


def changed(key: str) -> dict[str, Any]:
    """A bundle that changes a process which is active."""
    return {"process": process(key, steps=[{"id": "tag", "type": "add_tag", "tag": "changed"}])}


@pytest.mark.parametrize(("bad", "where"), [(b, w) for _, b, w in WRONG], ids=[name for name, _, _ in WRONG])
async def test_one_bad_bundle_among_five_changes_nothing(
    api: httpx.AsyncClient, away: Services, bad: dict[str, Any], where: list[str]
) -> None:
    for key in ("one", "two"):
        await activate(api, process(key))
    before = await digest(away)
    answer = await applied(
        api,
        changed("one"),
        {"templates": {"hello": TEMPLATE}},
        bad,
        changed("two"),
        {"process": process("new")},
    )
    assert answer.status_code == 422, answer.text
    assert places(answer) == [f"/bundles/2{place}" for place in where]
    assert await digest(away) == before


@pytest.mark.parametrize(
    ("owner", "name"),
    [
        (definitions, "put_list"),
        (definitions, "put_segment"),
        (definitions, "put_template"),
        (definitions, "set_process"),
        (definitions, "add_version"),
        (bundles, "rule_problems"),
        (edits, "tell"),
        (ProcessLifecycle, "_settle_recurrence"),
    ],
    ids=lambda part: part if isinstance(part, str) else "",
)
@pytest.mark.parametrize("call", [1, 2])
async def test_a_failure_at_any_step_leaves_a_live_process_as_it_was(
    api: httpx.AsyncClient,
    away: Services,
    monkeypatch: pytest.MonkeyPatch,
    owner: Any,
    name: str,
    call: int,
) -> None:
    await activate(api, process("one"))
    before = await digest(away)
    calls = {"n": 0}
    real: Callable[..., Any] = getattr(owner, name)

    async def breaks(*arguments: Any, **named: Any) -> Any:
        calls["n"] += 1
        if calls["n"] == call:
            raise ArithmeticError("broken here")
        return await real(*arguments, **named)

    with monkeypatch.context() as patched:
        patched.setattr(owner, name, breaks)
        answer = await applied(
            api,
            {
                **changed("one"),
                "lists": {"l": {"name": "L"}, "m": {"name": "M"}},
                "segments": {
                    "s": {"name": "S", "rule": {"list": "l"}},
                    "t": {"name": "T", "rule": {"tag": "a"}},
                },
                "templates": {"hello": TEMPLATE, "bye": TEMPLATE},
            },
            {"process": process("new")},
            {"process": process("other")},
        )
    assert calls["n"] >= call
    assert answer.status_code == 500
    assert await digest(away) == before
    shown = (await api.get("/v1/processes/one")).json()
    assert (shown["status"], shown["version"], shown["has_draft"]) == ("active", 1, False)


async def test_what_one_bundle_brings_another_may_name(api: httpx.AsyncClient) -> None:
    first = process("first", steps=[{"id": "go", "type": "start_process", "process": "second"}])
    second = process("second", steps=[{"id": "mail", "type": "send_email", "template": "hello"}])
    answer = await applied(api, {"process": first}, {"process": second}, {"templates": {"hello": TEMPLATE}})
    assert answer.status_code == 200, answer.text
    done = [(one["bundle"], one["kind"], one["key"], one["changed"]) for one in answer.json()["items"]]
    assert done == [
        (0, "process", "first", True),
        (1, "process", "second", True),
        (2, "template", "hello", True),
    ]
    for key in ("first", "second"):
        assert (await api.get(f"/v1/processes/{key}")).json()["status"] == "active"
    again = await applied(api, {"process": first}, {"process": second}, {"templates": {"hello": TEMPLATE}})
    assert [one["changed"] for one in again.json()["items"]] == [False, False, False]


async def test_a_dry_run_says_everything_and_keeps_nothing(api: httpx.AsyncClient, away: Services) -> None:
    await activate(api, process("one"))
    before = await digest(away)
    good = await applied(api, changed("one"), {"process": process("new")}, dry_run=True)
    assert good.status_code == 200, good.text
    assert [one["process"]["status"] for one in good.json()["items"]] == ["active", "active"]
    bad = await applied(api, changed("one"), {"process": process("new", list="nowhere")}, dry_run=True)
    assert places(bad) == ["/bundles/1/process/list"]
    assert await digest(away) == before


async def test_a_paused_process_goes_on_with_what_is_applied(api: httpx.AsyncClient) -> None:
    await activate(api, process("one"))
    await api.post("/v1/processes/one/pause")
    draft = await api.post("/v1/bundles/apply", json={"bundles": [changed("one")]})
    assert draft.json()["items"][0]["process"]["status"] == "paused"
    answer = await applied(api, changed("one"))
    assert answer.status_code == 200, answer.text
    shown = (await api.get("/v1/processes/one")).json()
    assert (shown["status"], shown["version"], shown["has_draft"]) == ("active", 2, False)


async def test_an_active_process_is_left_alone_without_activation(
    api: httpx.AsyncClient, away: Services
) -> None:
    await activate(api, process("one"))
    before = await digest(away)
    answer = await api.post(
        "/v1/bundles/apply", json={"bundles": [{"templates": {"hello": TEMPLATE}}, changed("one")]}
    )
    assert (answer.status_code, answer.json()["type"]) == (409, "urn:onward:problem:wrong-status")
    assert await digest(away) == before


async def test_a_process_in_two_bundles_is_refused(api: httpx.AsyncClient) -> None:
    answer = await applied(api, {"process": process("one")}, changed("one"))
    assert places(answer) == ["/bundles/1/process/key"]


async def test_an_event_that_nobody_has_sent_is_warned_of(api: httpx.AsyncClient) -> None:
    await api.post("/v1/events", json={"type": "order_created", "contact": {"email": "a@example.com"}})
    triggers = [{"type": "event", "event": "order_creatd"}, {"type": "event", "event": "order_created"}]
    answer = await applied(api, {"process": process("one", triggers=triggers)})
    assert answer.status_code == 200, answer.text
    (warning,) = answer.json()["items"][0]["process"]["warnings"]
    assert warning == {
        "pointer": "/triggers/0/event",
        "message": "no event «order_creatd» has ever come, and nobody made such a type; "
        "did you mean «order_created»?",
    }
    valid = (await api.post("/v1/processes/validate", json=process("one", triggers=triggers))).json()
    assert (valid["valid"], valid["warnings"]) == (True, [warning])
    published = await api.put("/v1/processes/two", json=process("two", triggers=triggers))
    assert published.json()["warnings"] == [warning]
    assert (await api.post("/v1/processes/two/activate")).json()["warnings"] == [warning]
