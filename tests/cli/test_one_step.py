"""`onward instance …` and `onward test-run`, and the plain Temporal CLI's commands of docs/one-step.md."""

import asyncio
import json
import re
import shlex
from pathlib import Path
from typing import Any

import httpx
import pytest

from store import rows
from tests.cli.conftest import Onward
from tests.guarantees.processes import LONG_WAIT, holding_at, mail, process, tag, wait, waiting_at
from tests.support.engine import Engine
from tests.support.people import messages, tags
from tests.support.smtp_server import RecordingSmtpServer
from tests.support.temporal import TEMPORAL

PAGE = Path(__file__).parents[2] / "docs" / "one-step.md"

pytestmark = pytest.mark.parametrize("database_url", ["sqlite"], indirect=True)


async def series(engine: Engine) -> str:
    """An instance that waits between two messages."""
    for key in ("hello", "offer"):
        await engine.template(key)
    await engine.publish(
        process(
            mail("hello"), wait("pause", "3 days"), mail("offer", "offer"), wait("week", "7 days"), tag("late"),
            LONG_WAIT, key="welcome", recurrence="once",
        )
    )  # fmt: skip
    await engine.event("go")
    await waiting_at(engine, engine.id("welcome"), "pause")
    return engine.id("welcome")


async def test_one_step_by_the_command_line(onward: Onward, engine: Engine) -> None:
    instance = await series(engine)
    sent = await onward("instance", "resend", instance, "hello", "--reason", "lost")
    assert (sent.code, "is sent" in sent.out) == (0, True), sent.err
    said = await onward("instance", "skip-wait", instance, "--step", "pause")
    assert said.out.strip() == f"{instance} goes on with the step offer"
    await waiting_at(engine, instance, "week")
    moved = await onward("instance", "move", instance, "pause", "--json")
    assert (moved.json["next"]["step"], moved.json["next"]["visit"]) == ("pause", 2)
    await waiting_at(engine, instance, "pause")
    refused = await onward("instance", "skip", instance, "--step", "hello")
    assert refused.code == 1
    assert "it stands at step pause, visit 2" in refused.err
    assert (await onward("instance", "skip", instance)).code == 0
    row = await waiting_at(engine, instance, "week")
    assert row.visit == 2
    moved = await onward("instance", "move", instance, "pause")
    assert re.search(r" goes on with the step pause until \d{4}-\d\d-\d\d \d\d:\d\d:\d\d$", moved.out.strip())
    entries = await engine.rows(rows.audit, rows.audit.c.subject == f"instance/{instance}")
    assert [(e.actor, e.action) for e in sorted(entries, key=lambda e: e.id)] == [
        ("local", f"instance.{name}") for name in ("resend", "skip_wait", "move", "skip", "move")
    ]


async def test_a_step_is_cancelled_ahead_by_the_command_line(onward: Onward, engine: Engine) -> None:
    instance = await series(engine)
    said = await onward("instance", "cancel-step", instance, "offer", "--reason", "bought it")
    assert said.out.strip() == f"{instance} will skip: offer"
    back = await onward("instance", "restore-step", instance, "offer")
    assert back.out.strip() == f"{instance} will skip: nothing"
    refused = await onward("instance", "cancel-step", instance, "hello")
    assert (refused.code, "step hello is not ahead" in refused.err) == (1, True)


async def test_one_step_by_http(onward: Onward, engine: Engine) -> None:
    instance = await series(engine)
    async with httpx.AsyncClient(base_url=f"{onward.url}/v1/instances", timeout=60) as client:
        unknown = await client.post("/nobody/skip")
        assert unknown.status_code == 404
        bad = await client.post(f"/{instance}/move", json={"to": "Not a step"})
        assert [error["pointer"] for error in bad.json()["errors"]] == ["/to"]
        nowhere = await client.post(f"/{instance}/move", json={"to": "nowhere"})
        assert (nowhere.status_code, nowhere.json()["type"]) == (409, "urn:onward:problem:step-refused")
        assert nowhere.json()["reason"].startswith("version 1 has no step 'nowhere'")
        ahead = await client.post(f"/{instance}/cancel-step", json={"step": "late", "reason": "not for her"})
        assert (ahead.status_code, ahead.json()["cancelled"]) == (200, ["late"]), ahead.text
        (late,) = (await client.get(f"/{instance}")).json()["cancelled"]
        assert (late["step"], late["by"], late["reason"]) == ("late", "local", "not for her")
        back = await client.post(f"/{instance}/restore-step", json={"step": "late"})
        assert (back.status_code, back.json()["cancelled"]) == (200, [])
        assert (await client.get(f"/{instance}")).json()["cancelled"] == []
        body = {"id": "once", "reason": "asked to"}
        first = await client.post(f"/{instance}/skip", json=body)
        assert (first.status_code, first.json()["next"]["step"]) == (200, "offer"), first.text
        await waiting_at(engine, instance, "week")
        again = await client.post(f"/{instance}/skip", json=body)
        assert again.json() == first.json()
        other = await client.post(f"/{instance}/resend", json={"id": "once", "step": "hello"})
        assert (other.status_code, other.json()["type"]) == (409, "urn:onward:problem:step-refused")
        assert "the id once is that of something else" in other.json()["detail"]
        assert (await client.post(f"/{instance}/stop")).status_code == 200
        await engine.ended(instance, "stopped")
        over = await client.post(f"/{instance}/skip")
        assert (over.status_code, over.json()["type"]) == (409, "urn:onward:problem:instance-ended")
        assert (await client.post(f"/{instance}/skip", json=body)).json() == first.json()


async def test_one_step_by_the_plain_temporal_cli(engine: Engine) -> None:
    """The page's commands, in its order."""
    instance = await series(engine)
    (commands,) = re.findall(r"```sh\n(.*?)```", PAGE.read_text(), re.DOTALL)
    skip, skip_wait, move, resend, cancel, restore = [shlex.split(line) for line in commands.splitlines()]
    await run(engine, skip)
    await waiting_at(engine, instance, "week")
    await run(engine, skip_wait)
    await waiting_at(engine, instance, "rest")
    assert await tags(engine) == ["late"]
    await run(engine, move)
    await waiting_at(engine, instance, "week")
    await run(engine, resend)
    assert [(m.step, m.visit) for m in await messages(engine, instance)] == [
        ("hello", 1), ("offer", 1), ("offer", 2), ("hello", 2),
    ]  # fmt: skip
    await run(engine, cancel)
    assert list((await engine.instance(instance)).cancelled) == ["late"]
    await run(engine, restore)
    assert (await engine.instance(instance)).cancelled is None
    code, _, err = await run(engine, [*resend[:-1], '{"step":"late"}'], refused=True)
    assert (code, "«late» is no step that sends something" in err) == (1, True), err
    entries = await engine.rows(rows.audit, rows.audit.c.subject == f"instance/{instance}")
    assert {entry.actor for entry in entries} == {"temporal"}


async def run(engine: Engine, words: list[str], *, refused: bool = False) -> tuple[int, str, str]:
    """Run a command of the page on this test's instance."""
    ours = [word.replace("22222", engine.contact) for word in words]
    child = await asyncio.create_subprocess_exec(
        TEMPORAL, *ours[1:], "--address", engine.services.settings.temporal_address, "--output", "json",
        stdout=asyncio.subprocess.PIPE, stderr=asyncio.subprocess.PIPE,
    )  # fmt: skip
    out, err = await child.communicate()
    assert refused or child.returncode == 0, (out, err)
    return child.returncode or 0, out.decode(), (out + err).decode()


async def test_a_test_run_by_the_command_line(
    onward: Onward, engine: Engine, smtp: RecordingSmtpServer
) -> None:
    instance = await series(engine)
    said = await onward("test-run", "welcome", "--email", engine.address, "--cap", "1s", "--json")
    assert said.code == 0, said.err
    made: dict[str, Any] = said.json
    assert made["stopped"] == [instance]
    await engine.in_state(made["instance"], "waiting")
    shown = json.loads((await onward("instances", made["instance"], "--json")).out)
    assert shown["test"] is True
    await engine.ended(instance, "stopped")
    bad = await onward("test-run", "welcome", "--email", "nobody")
    assert (bad.code, "/email" in bad.err) == (1, True), bad.err
    assert (await onward("test-run", "nothing", "--email", engine.address)).code == 1


async def test_held_instances_are_released_by_the_command_line(onward: Onward, engine: Engine) -> None:
    await engine.publish(process(mail("hello"), LONG_WAIT, key="welcome", recurrence="each_time"))
    ids = [engine.id("welcome", f"{engine.contact}{n}") for n in range(3)]
    for n in range(3):
        await engine.event("go", id=f"{engine.contact}{n}")
    for instance in ids:
        await holding_at(engine, instance, "hello")
    nothing = await onward("instance", "release")
    assert (nothing.code, "--held-for" in nothing.err) == (2, True)
    await engine.template("hello")
    one = await onward("instance", "release", ids[0])
    assert (one.code, one.out.strip()) == (0, f"{ids[0]} tries its step again"), one.err
    await waiting_at(engine, ids[0], "rest")
    many = await onward("instance", "release", "--held-for", "failed", "--reason", "mended", "--detach")
    assert (many.code, many.out.startswith("welcome: 2 held")) == (0, True), many.err
    for instance in ids[1:]:
        await waiting_at(engine, instance, "rest")
    left = await onward("instance", "release", "--process", "welcome", "--json")
    assert (left.code, left.json["kind"], left.json["total"]) == (0, "release", 0), left.err
    nobody = await onward("instance", "release", "--held-for", "failed")
    assert nobody.out.strip() == "nobody is held for failed"
