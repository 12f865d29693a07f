"""`onward start` and `onward stop` for many, and `onward operation …`, against a real API with a worker."""

import csv
import io
from pathlib import Path
from typing import Any

import pytest

from store import rows
from tests.cli.conftest import Onward
from tests.guarantees.processes import process, wait
from tests.support.engine import Engine

pytestmark = pytest.mark.parametrize("database_url", ["sqlite"], indirect=True)

COUNT = 30


@pytest.fixture
async def people(engine: Engine, tmp_path: Path) -> Path:
    """A file that names contacts, and one whom nobody knows."""
    await engine.publish(process(wait("rest", "30 days"), triggers=[], recurrence="once"))
    names = [f"{engine.contact}-{number:02}" for number in range(COUNT)]
    await engine.services.intake.take([engine.incoming("hello", name) for name in names])
    file = tmp_path / "people.txt"
    file.write_text("\ufeff" + "\n".join([*names, "", "nobody"]) + "\n")
    return file


async def test_a_start_for_a_file_says_who_was_refused_and_a_stop_ends_all(
    onward: Onward, engine: Engine, people: Path
) -> None:
    said = await onward("start", "p", "--contacts", people)
    assert said.code == 0, said.err
    assert f"{COUNT + 1} of {COUNT + 1} · 1 refused · {COUNT} started" in said.out
    assert "there is no such contact  1" in said.out
    (row,) = (await onward("operation", "list", "--json")).json["items"]
    results = await onward("operation", "results", row["id"], "--status", "refused")
    (line,) = csv.DictReader(io.StringIO(results.out))
    assert (line["subject"], line["reason"]) == ("nobody", "there is no such contact: «nobody»")
    said = await onward("stop", "--process", "p", "--all", "--reason", "a wrong price")
    assert said.code == 0, said.err
    assert f"{COUNT} of {COUNT} · {COUNT} stopped" in said.out
    found = await engine.rows(rows.instances)
    assert {(row.state, row.reason) for row in found} == {("ended", "a wrong price")}


async def test_a_detached_start_is_watched_and_what_is_done_is_not_resumed(
    onward: Onward, engine: Engine, people: Path
) -> None:
    said = await onward("start", "p", "--contacts", "-", "--detach", stdin=f"{engine.contact}-00\n")
    operation = said.out.split()[0]
    assert f"onward operation watch {operation}" in said.out
    watched = await onward("operation", "watch", operation)
    assert (watched.code, "1 of 1 · 1 started" in watched.out) == (0, True)
    assert (await onward("operation", "show", operation, "--json")).json["state"] == "done"
    resumed = await onward("operation", "resume", operation)
    assert (resumed.code, "only a stopped one can be resumed" in resumed.err) == (1, True)


async def test_ctrl_c_leaves_it_running_and_says_how_to_go_on(
    onward: Onward, engine: Engine, people: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    engine.services.operating._rate = 1.0
    engine.services.operating._page = 1

    def interrupted(_: Any) -> None:
        raise KeyboardInterrupt

    monkeypatch.setattr("console.by_hand.time.sleep", interrupted)
    said = await onward("start", "p", "--contacts", people)
    assert said.code == 130
    assert "It goes on without you. Watch it: onward operation watch start-p-" in said.err
    operation = said.err.split()[-1]
    stopped = await onward("operation", "stop", operation)
    assert "is stopped" in stopped.out
    assert f"onward operation resume {operation}" in stopped.out
    said = await onward("stop", "--process", "p", "--all")
    assert said.code == 130
    assert "It goes on without you. Watch it: onward operation watch stop-p-" in said.err
    assert "stop it" not in said.err


async def test_all_of_a_contacts_instances_are_stopped(onward: Onward, engine: Engine, people: Path) -> None:
    contact = f"{engine.contact}-00"
    assert (await onward("start", "p", contact)).code == 0
    said = await onward("stop", "--contact", contact, "--all")
    assert said.out == f"stopped: p/{contact}\n"


@pytest.mark.parametrize(
    "arguments",
    [
        ["start", "p"],
        ["start", "p", "22222", "--segment", "vip"],
        ["start", "p", "--segment", "vip", "--contacts", "file"],
        ["stop", "--contact", "c"],
        ["stop", "--process", "p", "--contact", "c", "--all"],
        ["stop", "--contacts", "file"],
        ["stop", "p/22222", "--all"],
    ],
)
async def test_what_is_meant_must_be_said_once(
    nobody: Onward, arguments: list[str], database_url: str
) -> None:
    assert (await nobody(*arguments)).code == 2
