"""`onward contact`, `list`, `segment`, `event-type` and `event` against a real API."""

import re
import shutil
from collections.abc import AsyncIterator, Iterator
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest
import typer
import yaml
from sqlalchemy import insert

from cli import app
from intake.tracking import Link, Request
from processes.goals import goal_step
from runtime import Services
from store import rows
from tests.cli.conftest import Onward
from tests.support.away import temporal_away
from tests.support.serving import serving
from tests.where.rows_made import DAY, WELCOME, made, people, publish

GROUPS = ("contact", "list", "segment", "event-type", "event")


@pytest.fixture
async def away(tmp_path: Path, empty_sqlite: Path) -> AsyncIterator[Services]:
    """Parts on an empty database, with Temporal away."""
    url = f"sqlite+aiosqlite:///{shutil.copy(empty_sqlite, tmp_path / 'onward.db')}"
    async with temporal_away(url) as services:
        yield services


@pytest.fixture
async def onward(away: Services) -> AsyncIterator[Onward]:
    """The command line against an API."""
    async with serving(away) as url:
        yield Onward(url)


async def done(onward: Onward, command: str) -> str:
    """What a command says that has to work."""
    said = (
        await onward(*re.findall(r'"[^"]*"|\S+', command))
        if '"' not in command
        else await onward(*_split(command))
    )
    assert said.code == 0, (command, said.err)
    return said.out


def _split(command: str) -> list[str]:
    return [part.strip('"') for part in re.findall(r'"[^"]*"|\S+', command)]


async def test_contacts_lists_segments_and_event_types_from_the_command_line(
    onward: Onward, tmp_path: Path
) -> None:
    rule, schema = tmp_path / "vip.yaml", tmp_path / "order.json"
    rule.write_text("tag: vip\n")
    schema.write_text('{"type": "object", "required": ["total"]}')
    assert "created: c" in await done(
        onward,
        "contact create --id 22222 --email anna@example.com --field first_name=Anna --field last_name=Nov",
    )
    assert "changed" in await done(onward, "contact change 22222 --language cs --field city=Brno")
    assert "done" in await done(onward, "contact tag 22222 vip")
    assert "nothing to change" in await done(onward, "contact tag 22222 vip")
    assert "noted" in await done(onward, 'contact note 22222 "Asked for a call back"')
    assert "Newsletter" in await done(onward, "list put news --name Newsletter")
    assert "subscribed" in await done(onward, "contact subscribe 22222 news")
    assert "was subscribed already" in await done(onward, "contact subscribe 22222 news")
    assert "subscribed" in await done(onward, "list show news")
    assert "news" in await done(onward, "list list")
    assert "vip" in await done(onward, f"segment put vip --name VIP --rule {rule}")
    assert "22222" in await done(onward, "segment members vip")
    assert "beta" in await done(onward, "segment put beta")
    assert "done" in await done(onward, "segment add beta 22222")
    assert "done" in await done(onward, "segment remove beta 22222")
    assert "beta" in await done(onward, "segment list")
    assert "An order" in await done(
        onward, f'event-type put order_created --name "An order" --schema {schema}'
    )
    assert "order_created" in await done(onward, "event-type list")
    assert "accepted" in await done(
        onward, "event send order_created --contact 22222 --id e/1 --param total=5"
    )
    assert "e/1" in await done(onward, "event list --type order_created --contact 22222")
    assert "order_created" in await done(onward, "event show e/1")
    shown = await done(onward, "contact show anna@example.com")
    for part in ("Anna", "vip", "news", "Asked for a call back"):
        assert part in shown
    for words in ("ANNA", '"nov example.com"', "2222"):
        assert "22222" in await done(onward, f"contact search {words}")
    assert "no such contact" in await done(onward, 'contact search "anna nobody"')
    assert "22222" in await done(onward, "contact list --list news --tag vip")
    assert "done" in await done(onward, "contact tag 22222 vip --remove")
    assert "unsubscribed" in await done(onward, "contact unsubscribe 22222 news")
    assert "deleted" in await done(onward, "contact delete 22222 --yes")
    assert (await onward("contact", "show", "22222")).code == 1


def commands() -> Iterator[tuple[str, Any]]:
    """Each command of the groups, by how it is called."""
    whole: Any = typer.main.get_command(app)
    for group in GROUPS:
        for name, command in whole.commands[group].commands.items():
            yield f"onward {group} {name}", command


def test_each_command_shows_examples_that_it_understands() -> None:
    for called, command in commands():
        examples = re.findall(rf"^  ({called}.*)$", command.epilog or "", re.MULTILINE)
        assert examples, f"{called} has no example"
        for example in examples:
            command.make_context(called, _split(example)[3:], resilient_parsing=False)


async def test_a_contact_is_shown_with_what_runs_what_has_ended_and_what_they_did(
    onward: Onward, away: Services
) -> None:
    database, now = away.database, datetime.now(UTC)
    await people(database, "ann")
    await publish(database)
    await made(
        database,
        {"id": "going", "event_id": "1", "created_at": now},
        {"id": "over", "event_id": "2", "state": "ended", "created_at": now - DAY},
        {"id": "tested", "event_id": "3", "state": "ended", "created_at": now - DAY, "test_cap": 300},
    )
    async with database.write() as connection:
        await connection.execute(
            insert(rows.messages).values(
                id="m1", instance_id="over", step="mail", visit=1, process_key="welcome", contact_id="ann",
                channel="email", recipient="ann@example.com", subject="Tea for you", state="sent",
                attempts=1, claimed_at=now - DAY, closed_at=now - DAY,
            )
        )  # fmt: skip
        await connection.execute(
            insert(rows.visits).values(
                instance_id="over", step=goal_step("bought"), visit=1, kind="goal", at=now - DAY, result={}
            )
        )
    await away.tracking.clicked(Request("m1", "ann", None), Link("https://shop.example.com/"))
    await away.tracking.opened(Request("m1", "ann", None, machine="Barracuda"))
    await away.tracking.close()
    for command in ("contact show ann", "contacts ann"):
        shown = await done(onward, command)
        running, ended = shown.index("Running: 1"), shown.index("Ended: 1")
        assert running < shown.index("going") < ended < shown.index("over")
        assert ended < shown.index("tested (test)")
        assert "test runs, not counted above: 1" in shown
        assert "Last opened" in shown
        assert "Tea for you" in shown
    activity = await done(onward, "contact activity ann")
    (line,) = [line for line in activity.splitlines() if "Tea for you" in line]
    assert re.search(r"sent +1, last [\d: -]+; 1 by machines +1, last [\d: -]+$", line.rstrip())
    assert re.search(r"goal +welcome +bought +reached", activity)
    assert "There is more" in await done(onward, "contact activity ann --limit 1")
    assert (await onward("contact", "activity", "ann", "--json")).json["items"][0]["kind"] == "message"
    listed = await done(onward, "instances --contact ann --running")
    assert ("going" in listed, "over" in listed) == (True, False)
    listed = await done(onward, "instances --contact ann --ended")
    assert ("going" in listed, "over" in listed) == (False, True)


async def test_events_are_listed_by_the_name_of_their_type(onward: Onward) -> None:
    await done(onward, 'event-type put order_created --name "Objednávka přijata"')
    await done(onward, "event send order_created --id e1")
    listed = await done(onward, 'event list --type "OBJEDNÁVKA přijata"')
    assert re.search(r"order_created +Objednávka přijata +e1", listed)
    assert "Objednávka přijata" in await done(onward, "event show e1")
    unknown = await onward("event", "list", "--type", "order_craeted")
    assert (unknown.code, "did you mean «order_created»?" in unknown.err) == (1, True)


async def test_a_draft_is_tested_from_the_command_line(onward: Onward, tmp_path: Path) -> None:
    file = tmp_path / "p.yaml"
    file.write_text(yaml.safe_dump({**WELCOME, "triggers": []}))
    await done(onward, f"process apply {file}")
    tested = await done(onward, "test-run welcome --email me@example.com")
    (instance,) = re.findall(r"pending: (\S+) \(the draft\)", tested)
    assert "test run of its draft" in await done(onward, f"instances {instance}")
    assert (await onward("test-run", "welcome", "--email", "me@example.com", "--published")).code == 1
    await done(onward, "process publish welcome")
    assert "(version 1)" in await done(onward, "test-run welcome --email me@example.com")
    assert (await onward("test-run", "welcome", "--email", "me@example.com", "--draft")).code == 1
