"""`GET /v1/overview` and `onward top`: how it goes, at one glance."""

import io
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from rich.console import Console
from rich.text import Text
from sqlalchemy import insert, update

from api.app import create_app
from console.top import page
from store import rows
from store.overview import overview
from tests.api.conftest import client_of
from tests.cli.conftest import Onward, onward
from tests.guarantees.processes import process, tag
from tests.support.engine import Engine

__all__ = ["onward"]

BLOCKED = "sending_refused: 550 5.7.1 blocked"
SECOND, MINUTE = timedelta(seconds=1), timedelta(minutes=1)
REASON = "failed: the template «hello» does not render"


async def busy(engine: Engine, now: datetime) -> None:
    """Five contacts that stand differently, and what they were sent; test runs that stand so too do not count."""
    await engine.publish(process(tag("a")))
    for number in range(9):
        await engine.event("go", f"{engine.contact}-{number}")
    i, m = rows.instances, rows.messages
    ids = [row.id for row in await engine.rows(i)]
    stands: list[dict[str, Any]] = [
        {"state": "waiting", "due_at": now - 5 * MINUTE},
        {"state": "waiting", "due_at": now - 5 * SECOND},
        {"state": "holding", "reason": REASON},
        {"state": "holding", "reason": "paused: the process is paused"},
        {"state": "ended", "open": False, "ended_at": now - SECOND},
        {"state": "holding", "reason": BLOCKED},
        {"state": "waiting", "due_at": now - MINUTE * 9, "test_cap": 300},
        {"state": "holding", "reason": "failed: a test", "test_cap": 300},
        {"state": "ended", "open": False, "ended_at": now - SECOND, "test_cap": 300},
    ]
    async with engine.services.database.write() as connection:
        for instance, columns in zip(ids, stands, strict=True):
            await connection.execute(update(i).where(i.c.id == instance).values(columns))
        for number, (instance, state, at) in enumerate(
            [
                (ids[0], "sent", now - SECOND),
                (ids[0], "sent", now - SECOND),
                (ids[0], "unknown", now - SECOND),
                (ids[0], "sent", now - 2 * MINUTE),
                (ids[0], "sending_refused", now - 30 * MINUTE),
                (ids[0], "sending_refused", now - 90 * MINUTE),
                (ids[-1], "sent", now - SECOND),
                (ids[-1], "sending_refused", now - SECOND),
            ]
        ):
            await connection.execute(
                insert(m).values(
                    id=f"m{number}", instance_id=instance, step="mail", visit=number, process_key="p", contact_id="c",
                    channel="email", recipient="a@example.com", state=state, attempts=1, claimed_at=at, closed_at=at,
                )
            )  # fmt: skip
        await connection.execute(
            insert(rows.outbox).values(
                instance_id=ids[0], kind="release", payload={}, attempts=0, created_at=now - 2 * MINUTE
            )
        )


async def test_every_number_is_that_of_the_rows(idle: Engine) -> None:
    now = datetime.now(UTC) + SECOND
    await busy(idle, now)
    async with idle.services.database.read() as connection:
        found = await overview(connection, now)
        later = await overview(connection, now + 10 * MINUTE)
    assert found.events == 9
    assert found.instances == {"waiting": 2, "holding": 3}
    assert (found.ended, found.overdue, found.lag) == (1, 1, 5 * MINUTE)
    assert (found.outbox, found.outbox_age) == (1, 2 * MINUTE)
    assert found.messages == {"email": {"sent": 2, "unknown": 1}}
    assert found.held == [(REASON, 1), (BLOCKED, 1)]
    assert found.sending_refused == {"held": 1, "came_back": 1}
    assert (found.processes, found.operations) == ({"active": 1}, 0)
    assert (later.events, later.ended, later.messages, later.overdue) == (0, 0, {}, 2)


async def test_of_nothing_there_is_nothing(idle: Engine) -> None:
    async with client_of(create_app(idle.services)) as api:
        answer = (await api.get("/v1/overview")).json()
    assert answer.pop("sending_refused") == {"held": 0, "came_back": 0}
    assert {name: value for name, value in answer.items() if value} == {"at": answer["at"]}


async def test_a_page_says_what_is_wrong_in_red(idle: Engine) -> None:
    await busy(idle, datetime.now(UTC))
    async with client_of(create_app(idle.services)) as api:
        answer = (await api.get("/v1/overview")).json()
    shown = io.StringIO()
    Console(file=shown, width=120, force_terminal=True, color_system="standard").print(page(answer))
    text = Text.from_ansi(shown.getvalue())
    for words in (
        "1 active",
        "waiting 2",
        "holding 3",
        "1 overdue, for 5 minutes",
        "1 not sent, for 2 minutes",
        "1 held, 1 came back in the last hour",
        "unknown 1",
        REASON,
    ):
        assert words in text.plain, text.plain
    red = [text.plain[span.start : span.end] for span in text.spans if "color(1)" in str(span.style)]
    assert [part.split(",")[0] for part in red] == [
        "1 overdue", "1 not sent", "1 held", "unknown 1", "Held", *red[5:],
    ]  # fmt: skip


@pytest.mark.parametrize("database_url", ["sqlite"], indirect=True)
async def test_one_look_from_the_command_line(onward: Onward) -> None:
    said = await onward("top", "--once")
    assert said.code == 0, said.err
    assert "0 overdue" in said.out
    assert (await onward("top", "--json")).json["overdue"] == 0
