"""Edits of a live process with its parts running: workflows that wait are woken, people use the API and the CLI."""

from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from structlog.testing import capture_logs

from api.app import create_app
from api.lifecycle import process_lifecycle
from intake import edits
from processes.differences import Inside
from store import rows
from tests.api.conftest import client_of, places
from tests.cli.conftest import Onward, onward
from tests.edits.test_moving import LAST, edited
from tests.guarantees.processes import process, tag, wait, waiting_at
from tests.support.engine import Engine
from tests.support.people import tags

__all__ = ["onward"]

one_database = pytest.mark.parametrize("database_url", ["sqlite"], indirect=True)


@one_database
async def test_workflows_are_woken_by_an_edit_and_end_where_it_says(engine: Engine) -> None:
    lifecycle = process_lifecycle(engine.services)
    await engine.publish(process(wait("w", "30d"), tag("a"), wait("x", "30d"), tag("b")))
    await engine.event("go")
    (row,) = await engine.rows(rows.instances)
    await waiting_at(engine, row.id, "w")
    await edited(lifecycle, process(wait("w", "1s"), tag("a"), wait("x", "30d"), tag("b")))
    await waiting_at(engine, row.id, "x")
    assert await tags(engine) == ["a"]
    await edited(lifecycle, process(tag("b"), LAST), Inside(inside="move", removed={"x": "b"}))
    moved = await waiting_at(engine, row.id, "last")
    assert (await tags(engine), moved.version) == (["a", "b"], 3)
    await edited(lifecycle, process(tag("b")))
    ended = await engine.ended(row.id, "step_removed")
    assert ended.version == 4


@one_database
async def test_a_pause_ends_by_itself_and_publishes_no_draft(idle: Engine) -> None:
    lifecycle, now = process_lifecycle(idle.services), datetime.now(UTC)
    await idle.publish(process(tag("a")))
    await lifecycle.pause("p", until=now + timedelta(hours=1))
    await lifecycle.put("p", process(tag("b")))
    assert await lifecycle.resume_due(now + timedelta(minutes=59)) == []
    assert await lifecycle.resume_due(now + timedelta(hours=1)) == ["p"]
    assert await lifecycle.resume_due(now + timedelta(hours=2)) == []
    (row,) = await idle.rows(rows.processes)
    assert (row.status, row.version, row.paused_until, row.draft is None) == ("active", 1, None, False)
    (entry,) = await idle.rows(rows.audit, rows.audit.c.actor == "clock")
    assert (entry.action, entry.subject) == ("process.activate", "process/p")


@one_database
async def test_a_process_that_cannot_go_on_keeps_no_other_from_it(
    idle: Engine, monkeypatch: pytest.MonkeyPatch
) -> None:
    lifecycle, now = process_lifecycle(idle.services), datetime.now(UTC)
    for key in ("p", "q"):
        await idle.publish(process(tag("a"), key=key))
        await lifecycle.pause(key, until=now + timedelta(hours=1))
    tell, later = edits.tell, now + timedelta(hours=2)

    async def broken(connection: Any, catalog: Any, key: str, at: datetime) -> list[int]:
        if key == "p":
            raise ArithmeticError("a definition that is read no more")
        return await tell(connection, catalog, key, at)

    with monkeypatch.context() as patched, capture_logs() as logs:
        patched.setattr(edits, "tell", broken)
        assert await lifecycle.resume_due(later) == ["q"]
    assert [one["process"] for one in logs if one["event"] == "process_not_resumed"] == ["p"]
    assert await lifecycle.resume_due(later) == ["p"]


@one_database
async def test_a_pause_by_hand_forgets_until_when_the_last_one_was(idle: Engine) -> None:
    lifecycle, now = process_lifecycle(idle.services), datetime.now(UTC)
    await idle.publish(process(tag("a")))
    await lifecycle.pause("p", until=now + timedelta(hours=1))
    await lifecycle.activate("p")
    await lifecycle.pause("p")
    assert await lifecycle.resume_due(now + timedelta(days=1)) == []


@one_database
async def test_the_api_previews_an_edit_publishes_it_with_a_choice_and_cancels_it(idle: Engine) -> None:
    await idle.publish(process(wait("w", "3d"), tag("a")))
    await idle.event("go")
    async with client_of(create_app(idle.services)) as api:
        nothing = await api.post("/v1/processes/p/changes", json={})
        past = await api.post("/v1/processes/p/pause", json={"until": "2020-01-01T00:00:00Z"})
        assert (nothing.status_code, past.status_code, places(past)) == (409, 422, ["/until"])
        paused = await api.post("/v1/processes/p/pause", json={"until": "2099-01-01T00:00:00Z"})
        assert paused.json()["status"] == "paused"
        await api.put("/v1/processes/p", json=process(wait("w", "1d")))
        found = (await api.post("/v1/processes/p/changes", json={"inside": "move"})).json()
        assert [(s["step"], s["change"], s["wait"]) for s in found["steps"]] == [
            ("w", "changed", "shorter"),
            ("a", "removed", None),
        ]
        assert found["inside"] == [
            {
                "version": 1, "step": None, "state": "pending", "count": 1,
                "to": "w", "becomes": "begins by the new version", "moments": None,
            }
        ]  # fmt: skip
        wrong = await api.post("/v1/processes/p/publish", json={"inside": "move", "removed": {"w": "a"}})
        assert (wrong.status_code, places(wrong)) == (422, ["/removed/w", "/removed/w"])
        dropped = await api.delete("/v1/processes/p/draft")
        assert (dropped.status_code, dropped.json()["version"]) == (200, 1)
        assert (await api.delete("/v1/processes/p/draft")).status_code == 409
        await api.put("/v1/processes/p", json=process(wait("w", "1d")))
        done = await api.post("/v1/processes/p/publish", json={"inside": "move", "removed": {"a": None}})
        assert (done.status_code, done.json()["version"]) == (200, 2)
    (second,) = await idle.rows(rows.process_versions, rows.process_versions.c.version == 2)
    assert second.inside == {"removed": {"a": None}}


@one_database
async def test_who_waits_or_is_on_the_way_to_a_wait_is_woken_and_of_many_only_some_at_once(
    idle: Engine, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(edits, "TOLD_AT_ONCE", 2)
    monkeypatch.setattr(edits, "TOLD_A_SECOND", 2)
    lifecycle = process_lifecycle(idle.services)
    await idle.publish(process(wait("w", "3d")))
    for _ in range(6):
        await idle.event("go")
    running, holding, *_ = [row.id for row in await idle.rows(rows.instances)]
    await lifecycle.pause("p")
    await lifecycle.put("p", process(wait("w", "1d")))
    await lifecycle.publish("p", Inside(inside="move"))
    async with idle.services.database.write() as connection:
        await connection.execute(rows.instances.update().values(state="waiting", step="w"))
        for instance, state in ((running, "running"), (holding, "holding")):
            await connection.execute(
                rows.instances.update().where(rows.instances.c.id == instance).values(state=state)
            )
        first = await edits.tell(connection, idle.services.catalog, "p", datetime.now(UTC))
    told = sorted(await idle.rows(rows.outbox), key=lambda row: row.id)
    assert [row.id for row in told[:2]] == first
    assert {row.instance_id for row in told} >= {running}
    assert holding not in {row.instance_id for row in told}
    after = [(row.lease_until - told[0].lease_until).total_seconds() for row in told]
    assert [round(seconds) for seconds in after] == [0, 0, 1, 1, 2]


@one_database
async def test_test_runs_do_not_count_in_the_preview_of_an_edit(idle: Engine) -> None:
    lifecycle = process_lifecycle(idle.services)
    await idle.publish(process(wait("w", "3d")))
    for _ in range(2):
        await idle.event("go")
    (tested, _) = await idle.rows(rows.instances)
    await lifecycle.pause("p")
    await lifecycle.put("p", process(wait("w", "1d")))
    i = rows.instances.c
    async with idle.services.database.write() as connection:
        await connection.execute(rows.instances.update().where(i.id == tested.id).values(test_cap=300))
    found = await lifecycle.preview_edit("p", Inside(inside="move"))
    assert [standing.count for standing in found.standing] == [1]


@one_database
async def test_the_command_line_shows_what_an_edit_changes(onward: Onward, engine: Engine) -> None:
    await engine.publish(process(wait("w", "3d"), tag("a"), LAST))
    await engine.event("go")
    (row,) = await engine.rows(rows.instances)
    await waiting_at(engine, row.id, "w")
    assert "paused" in (await onward("process", "pause", "p", "--until", "2099-01-01T00:00:00Z")).out
    await process_lifecycle(engine.services).put("p", process(wait("w", "5d"), LAST))
    said = await onward("process", "changes", "p", "--inside", "move", "--at", "a=last")
    assert said.code == 0, said.err
    for words in ("longer", "removed", "waits longer: the time that it has waited counts", "Version"):
        assert words in said.out
    bad = await onward("process", "publish", "p", "--inside", "move", "--at", "nonsense")
    assert bad.code == 2
    assert "published" in (await onward("process", "publish", "p", "--inside", "move", "--at", "a=last")).out
    assert (await onward("process", "cancel-edit", "p")).code == 1
