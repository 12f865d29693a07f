"""Why: every decision about a contact and a process with its reason, and where they are."""

from datetime import UTC, datetime, timedelta
from types import SimpleNamespace
from typing import Any

import pytest
from sqlalchemy import insert

from api.app import create_app
from intake import audit
from intake.refusals import Missing
from intake.retention import Retention
from intake.why.line import Clock
from intake.why.messages import lines_of_message
from intake.why.visits import lines_of_visit
from processes.definition import parse
from processes.instructions import End, Hold, Wait
from store import history, operations, rows
from store.database import Database
from tests.api.conftest import client_of
from tests.guarantees.processes import set_status, stop_by_hand
from tests.oracle.clarity import Told, unclear
from tests.oracle.outcome import ContactOutcome, InstanceFound, LedgerRow, VisitMade
from tests.support.asking_why import ask, told
from tests.support.by_hand import ByHand
from tests.support.engine import Engine
from tests.support.people import change_contact, meet
from tests.where.rows_made import DAY, NOW, made, people, publish

ON_SQLITE = pytest.mark.parametrize("database_url", ["sqlite"], indirect=True)
HOUR, MINUTE = timedelta(hours=1), timedelta(minutes=1)
DAYS = ["monday", "tuesday", "wednesday", "thursday", "friday", "saturday", "sunday"]


def journey(**more: Any) -> dict[str, Any]:
    in_three_days = DAYS[(datetime.now(UTC) + timedelta(days=3)).weekday()]
    return {
        "key": "journey",
        "name": "A journey",
        "recurrence": "once",
        "triggers": [{"type": "event", "event": "go", "filter": {"event": "total", "at_least": 5}}],
        "steps": [
            {
                "id": "which",
                "type": "condition",
                "branches": [{"when": {"tag": "vip"}, "name": "vip"}],
                "else": "pause",
            },
            {"id": "pause", "type": "wait", "for": "1h", "next": "mail"},
            {
                "id": "mail",
                "type": "send_email",
                "template": "hello",
                "window": {"days": [in_three_days]},
                "next": "ask",
            },
            {
                "id": "ask",
                "type": "wait_for_event",
                "event": "bought",
                "within": "9 days",
                "next": "tag",
                "on_timeout": "tag",
            },
            {"id": "tag", "type": "add_tag", "tag": "buyer"},
        ],
        **more,
    }


async def said(engine: Engine, process: str = "journey") -> list[Told]:
    """The lines of the answer for the test's contact, each of them clear."""
    lines = told(await ask(engine.services.database, engine.contact, process))
    assert list(unclear(ContactOutcome(engine.contact), process, lines)) == []
    return lines


def codes(lines: list[Told], what: str) -> list[tuple[str | None, str]]:
    return [(line.step, line.code) for line in lines if line.what == what]


@ON_SQLITE
async def test_a_journey_is_told_from_the_first_refusal_to_its_end(idle: Engine) -> None:
    await idle.template("hello", "Hello you")
    await idle.publish(journey())
    await idle.event("go", id="too-little", params={"total": 3})
    run = await ByHand.begun(idle, None, params={"total": 7})
    await idle.event("go", id="again", params={"total": 9})
    held = await run.wake()
    assert isinstance(held, Wait)
    assert held.step == "mail"
    answer = await ask(idle.services.database, idle.contact, "journey")
    assert answer.says.startswith("in it since")
    assert [row.id for row in answer.open] == [run.instance]
    assert [(line.code, line.step) for line in answer.lines if line.what == "held"][-1] == ("window", "mail")

    await change_contact(idle, email_state="unsubscribed")
    await run.wake()
    result = await idle.event("bought", id="deal")
    assert [d.decision for d in result.decisions] == ["continued"]
    await run.go()
    assert isinstance(await run.go(), End)

    lines = await said(idle)
    assert codes(lines, "event") == [
        (None, "filter"),
        (None, "started"),
        (None, "once"),
        (None, "continued"),
    ]
    assert codes(lines, "step") == [
        ("which", "else"),
        ("pause", "waited"),
        ("ask", "event_came"),
        ("tag", "done"),
    ]
    assert codes(lines, "held") == [("mail", "window")]
    assert codes(lines, "message") == [("mail", "no_consent")]
    assert codes(lines, "end") == [(None, "completed")]
    full = await ask(idle.services.database, idle.contact, "journey")
    asked = {line.code: list(line.rules) for line in full.lines if line.rules}
    assert asked["filter"] == [{"the event's total ≥ 5": False}]
    assert asked["started"] == [{"the event's total ≥ 5": True}]
    assert asked["else"] == [{"has the tag vip": False}]
    assert full.says.startswith("not in it now: its only run ended ")
    (message,) = [line for line in full.lines if line.what == "message"]
    assert "the contact wants no marketing mail" in message.says


@ON_SQLITE
async def test_a_stop_says_by_whom_and_why(idle: Engine) -> None:
    await idle.template("hello")
    await idle.publish(journey(recurrence="each_time"))
    run = await ByHand.begun(idle, None, params={"total": 7})
    async with idle.services.database.write() as connection:
        subject = f"instance/{run.instance}"
        await audit.record(connection, "key/k1", "stop", subject, run.now, reason="asked on the phone")
    assert ("pause", "waits") in codes(await said(idle), "step")
    await stop_by_hand(idle, run.instance, "asked on the phone")
    (stopping,) = [line for line in await said(idle) if line.what == "held"]
    assert ("pause", "cut_short") in codes(await said(idle), "step")
    assert (stopping.code, "asked on the phone" in stopping.says) == ("stopping", True)
    await run.cancel()
    answer = await ask(idle.services.database, idle.contact, "journey")
    (end,) = [line for line in answer.lines if line.what == "end"]
    assert (end.code, "asked on the phone" in end.says) == ("stopped", True)
    (pause,) = [line for line in answer.lines if line.step == "pause"]
    assert (pause.code, "cut short by the end" in pause.says) == ("cut_short", True)
    (change,) = [line for line in answer.lines if line.what == "change"]
    assert (change.by, change.code, change.instance) == ("key/k1", "stop", run.instance)


@ON_SQLITE
async def test_what_holds_is_said_and_is_remembered_when_it_is_over(idle: Engine) -> None:
    await idle.publish(journey(recurrence="each_time"))
    run = await ByHand.begun(idle, None, params={"total": 7})
    await set_status(idle, "journey", "paused")
    assert isinstance(await run.wake(), Hold)
    assert codes(await said(idle), "held") == [("mail", "paused")]
    await set_status(idle, "journey", "active")
    await run.release()
    assert codes(await said(idle), "held")[-1] == ("mail", "failed")  # there is no template
    await idle.template("hello")
    await change_contact(idle, email_state="unsubscribed")
    await run.release()
    lines = await said(idle)
    assert ("mail", "failed") in codes(lines, "held")
    assert codes(lines, "message") == [("mail", "no_consent")]


@ON_SQLITE
async def test_goals_and_their_rules_are_said(idle: Engine) -> None:
    goal = {"name": "loyal", "when": {"tag": "vip"}, "then": "tag"}
    bought = {"name": "sale", "event": "bought"}
    await idle.publish(journey(goals=[goal, bought], recurrence="each_time"))
    run = await ByHand.begun(idle, None, params={"total": 7})
    await idle.event("bought", id="deal")
    (met,) = [line for line in await said(idle) if line.what == "goal"]
    assert (met.code, "deal" in met.says, met.event) == ("goal", True, "deal")
    await run.go()
    lines = await said(idle)
    assert codes(lines, "end") == [(None, "goal_reached")]
    assert ("goal", "goal «sale» was met (event deal): the run ends") in [
        (line.what, line.says) for line in lines
    ]


@pytest.mark.parametrize(
    ("result", "code", "words"),
    [
        ({"skipped": True, "by": "key/k", "reason": "late"}, "skipped_by_hand", "skipped by key/k (late)"),
        (
            {"skipped": True, "cancelled": "2026-12-01T00:00:00+00:00", "by": "key/k", "reason": "late"},
            "cancelled_by_hand",
            "skipped, cancelled by key/k (late) before the run came to it",
        ),
        ({"moved": {"to": "tag"}, "by": "key/k"}, "moved_by_hand", "goes on at tag: moved by key/k"),
        (
            {"moved": {"version": 3, "to": None}},
            "edited",
            "version 3 has this step no more, and the run ends",
        ),
        ({"goal": "sale"}, "goal", "left undone for the goal «sale»"),
        ({"max_visits": 3, "to": None}, "max_visits", "it may come here 3 times"),
        ({"not_waited": "already past: 1 Nov 09:00 Prague"}, "past", "already past"),
        ({"skipped": "the contact has bounced", "list": "news"}, "status_stays", "the contact has bounced"),
        ({"branch": "hold_out", "held_out": True}, "held_out", "hold-out"),
        ({"branch": 2, "to": None}, "branch", "number 2"),
        ({"event": "e1", "looked_back": True}, "looked_back", "event e1 had come before"),
        ({"until": "2026-11-24T09:00:00+00:00"}, "waited", "waited until 24 Nov 09:00 UTC"),
        ({"holds": True}, "rule_holds", "waited until the rule held"),
        ({"tag": "x", "added": False}, "done", "tag: x, added: no"),
    ],
)
def test_each_way_in_which_a_visit_can_end_has_its_words(
    result: dict[str, Any], code: str, words: str
) -> None:
    kinds = {"until": "wait", "event": "wait_for_event", "tag": "add_tag", "list": "subscribe"}
    kind = next((kind for key, kind in kinds.items() if key in result), "condition")
    steps = {"wait": {"id": "s", "type": "wait", "for": "1h"}}.get(
        kind, {"id": "s", "type": "wait_for_event", "event": "x", "within": "1h"}
    )
    definition = parse({"key": "p", "name": "P", "recurrence": "once", "steps": [steps]})
    row = SimpleNamespace(step="s" if "wait" in kind else "other", visit=1, kind=kind, at=NOW, result=result)
    clock = Clock("UTC", NOW)
    (line,) = lines_of_visit(row, "p/1", definition, clock, under_way=False, has_message=False)
    assert (line.code, words in line.says) == (code, True), line.says


@pytest.mark.parametrize(
    ("ended", "under_way", "code", "says"),
    [
        (None, True, "waits", "wait: waits until 24 Nov 13:00 UTC"),
        (None, False, "waited", "wait: waited until 24 Nov 13:00 UTC"),
        (
            NOW,
            False,
            "cut_short",
            "wait: would have waited until 24 Nov 13:00 UTC, cut short by the end of the run",
        ),
        (
            NOW,
            True,
            "cut_short",
            "wait: would have waited until 24 Nov 13:00 UTC, cut short by the end of the run",
        ),
        (NOW + HOUR, False, "waited", "wait: waited until 24 Nov 13:00 UTC"),
    ],
)
def test_a_wait_that_the_end_cut_short_was_not_waited_for(
    ended: datetime | None, under_way: bool, code: str, says: str
) -> None:
    step = {"id": "s", "type": "wait", "for": "1h"}
    definition = parse({"key": "p", "name": "P", "recurrence": "once", "steps": [step]})
    until = {"until": (NOW + HOUR).isoformat()}
    row = SimpleNamespace(step="s", visit=1, kind="wait", at=NOW - DAY, result=until)
    (line,) = lines_of_visit(
        row, "p/1", definition, Clock("UTC", NOW), under_way=under_way, has_message=False, ended_at=ended
    )
    assert (line.code, line.says) == (code, says)


def test_a_step_that_was_kept_back_is_not_said_to_have_been_so_until_then() -> None:
    """The run may have ended, or a person let it pass, before."""
    definition = parse({"key": "p", "name": "P", "recurrence": "once", "steps": [{"id": "s", "type": "end"}]})
    held = {"by": "the delivery window", "until": (NOW + HOUR).isoformat()}
    row = SimpleNamespace(step="mail", visit=1, kind="send_email", at=NOW, result={"held": [held]})
    (line,) = lines_of_visit(row, "p/1", definition, Clock("UTC", NOW), under_way=True, has_message=False)
    assert line.says.startswith("kept back by the delivery window, not before 24 Nov 13:00 UTC")


@ON_SQLITE
async def test_where_nothing_has_happened_it_says_what_would_have_to(idle: Engine) -> None:
    await meet(idle)
    await idle.publish(journey())
    answer = await ask(idle.services.database, idle.contact, "journey")
    assert (answer.lines, "(go)" in answer.says, "active" in answer.says) == ([], True, True)
    with pytest.raises(Missing, match="no process"):
        await ask(idle.services.database, idle.contact, "none")
    with pytest.raises(Missing, match="no contact"):
        await ask(idle.services.database, "nobody", "journey")


@ON_SQLITE
async def test_a_run_that_was_deleted_leaves_its_messages_in_the_answer(idle: Engine) -> None:
    await idle.template("hello", "Hello you")
    await idle.publish(journey())
    run = await ByHand.begun(idle, None, params={"total": 7})
    await change_contact(idle, email_state="unsubscribed")
    await run.wake()
    await run.cancel()
    await Retention(idle.services.database, 1).delete(run.now + timedelta(days=2))
    lines = await said(idle)
    assert codes(lines, "step") == []
    assert {code for _, code in codes(lines, "end")} == {"run_deleted"}
    assert codes(lines, "message") == [("mail", "no_consent")]


@ON_SQLITE
async def test_over_http_it_says_what_comes_next_and_when(idle: Engine) -> None:
    await idle.template("hello")
    await idle.publish(journey())
    run = await ByHand.begun(idle, None, params={"total": 7}, contact_extra={"time_zone": "Asia/Tokyo"})
    async with client_of(create_app(idle.services)) as client:
        answer = await client.get(f"/v1/processes/journey/why/{idle.address}")
        shown = answer.json()
        assert (answer.status_code, shown["zone"], shown["complete"]) == (200, "Asia/Tokyo", True)
        assert "Tokyo" in shown["says"]
        (now,) = shown["now"]
        assert (now["id"], now["next"]["step"], now["next"]["due_at"]) == (
            run.instance,
            "pause",
            (await run.row()).due_at.isoformat().replace("+00:00", "Z"),
        )
        assert [(line["what"], line["code"]) for line in shown["lines"]] == [
            ("event", "started"),
            ("step", "else"),
            ("step", "waits"),
        ]
        assert shown["lines"][1]["rules"] == [{"has the tag vip": False}]
        assert (await client.get(f"/v1/processes/none/why/{idle.contact}")).status_code == 404
        assert (await client.get("/v1/processes/journey/why/none")).status_code == 404


async def test_events_are_those_that_something_was_decided_about(database: Database) -> None:
    await people(database, "ann", "bob")
    await publish(database)

    def event(name: str, contact: str, *decisions: dict[str, str]) -> dict[str, Any]:
        return {
            "id": name,
            "type": "go",
            "contact_id": contact,
            "occurred_at": NOW,
            "received_at": NOW + timedelta(minutes=len(name)),
            "params": {"process": "welcome"},
            "source": "api",
            "outcome": list(decisions),
        }

    entered = {"process": "welcome", "decision": "started"}
    other = {"process": "other", "decision": "skipped", "reason": "welcome"}
    async with database.write() as connection:
        await connection.execute(
            insert(rows.events),
            [
                event("longer", "ann", other, entered),
                event("one", "ann", entered),
                event("not", "ann", other),
                event("none", "ann"),
                event("bobs", "bob", entered),
            ],
        )
    async with database.read() as connection:
        assert [row.id for row in await history.events(connection, "ann", "welcome")] == ["one", "longer"]


@pytest.mark.parametrize(
    ("state", "detail", "code"),
    [
        ("refused", "sending it again failed: ValueError: x", "resend_failed"),
        ("refused", "550 5.1.1 no such user", "refused"),
        ("unknown", "sending it again failed: ValueError: x", "resend_failed"),
        ("skipped", "the contact wants no marketing mail", "no_consent"),
        ("withdrawn", "an edit removed the step", "step_removed"),
        ("sent", None, "sent"),
    ],
)
def test_a_message_has_our_own_reason_where_it_was_ours_that_it_did_not_go(
    state: str, detail: str | None, code: str
) -> None:
    row = SimpleNamespace(
        instance_id="w/1", step="mail", visit=1, channel="email", subject=None, recipient="a@example.com",
        state=state, detail=detail, attempts=1, claimed_at=NOW, closed_at=NOW, opened_at=None, clicked_at=None,
    )  # fmt: skip
    (line,) = lines_of_message(row, Clock("UTC", NOW))
    assert (line.code, (detail or "") in line.says) == (code, True)


def changed(action: str, subject: str, at: datetime, **after: Any) -> dict[str, Any]:
    return {"action": action, "subject": subject, "at": at, "actor": "key/k1", "after": after}


async def lived_through(database: Database) -> None:
    """A run that has ended after two messages, and one that has not begun."""
    at = NOW - DAY
    await people(database, "ann")
    await publish(database)
    await made(
        database,
        {"id": "w/1", "state": "ended", "created_at": at, "ended_at": at + HOUR, "event_id": "1"},
        {"id": "w/2", "state": "pending", "created_at": at + HOUR, "updated_at": at + HOUR, "event_id": "2"},
    )
    visits = [("pause", at + MINUTE), ("tag", at + 3 * MINUTE)]
    messages = [("pause", at + MINUTE, at + 9 * MINUTE), ("gone", at + 4 * MINUTE, at + 5 * MINUTE)]
    decided = [{"process": "welcome", "decision": "started"}]
    contents: list[tuple[Any, list[dict[str, Any]]]] = [
        (
            rows.visits,
            [{"instance_id": "w/1", "step": step, "visit": 1, "kind": step, "at": when} for step, when in visits],
        ),
        (
            rows.messages,
            [
                {
                    "id": f"m-{step}", "instance_id": "w/1", "step": step, "visit": 1, "process_key": "welcome",
                    "contact_id": "ann", "channel": "email", "recipient": "a@example.com", "state": "sent",
                    "claimed_at": claimed, "closed_at": closed,
                }
                for step, claimed, closed in messages
            ],
        ),
        (
            rows.events,
            [
                {
                    "id": name, "type": "go", "contact_id": "ann", "occurred_at": at, "received_at": at,
                    "params": {}, "source": "api", "outcome": decided,
                }
                for name in ("1", "2")
            ],
        ),
        (
            rows.audit,
            [
                changed("pause", "process/welcome", at - HOUR),
                changed("activate", "process/welcome", at + HOUR),
                changed("stop", "contact/ann", at + HOUR, instances=["other/1"]),
                changed("stop", "contact/ann", at + HOUR, instances=["other/1", "w/1"]),
                changed("stop", "contact/bob", at + HOUR, instances=["w/3"]),
            ],
        ),
    ]  # fmt: skip
    async with database.write() as connection:
        for table, values in contents:
            await connection.execute(insert(table), values)


async def test_lines_come_in_the_order_in_which_things_began_and_say_what_has_not_begun_yet(
    database: Database,
) -> None:
    await lived_through(database)
    lines = (await ask(database, "ann", "welcome")).lines
    told_of = [(line.what, line.step) for line in lines if line.instance == "w/1" and line.what != "event"]
    assert told_of == [("message", "pause"), ("step", "tag"), ("message", "gone"), ("end", None)]
    assert [line.at for line in lines] == sorted(line.at for line in lines)
    (late,) = [line for line in lines if (line.what, line.step) == ("message", "pause")]
    assert (late.at, "12:09" in late.says) == (NOW - DAY + MINUTE, True)
    assert [(line.what, line.code) for line in lines if line.instance == "w/2"] == [("held", "start_pending")]


async def test_of_what_people_changed_it_tells_what_was_of_these_runs_or_of_the_process_meanwhile(
    database: Database,
) -> None:
    await lived_through(database)
    lines = (await ask(database, "ann", "welcome")).lines
    assert sorted(line.says for line in lines if line.what == "change") == [
        "by hand: activate of process welcome",
        "by hand: stop of contact ann",
    ]


async def test_an_operation_on_many_is_told_to_those_whom_it_was_about(database: Database) -> None:
    await lived_through(database)
    await people(database, "zoe")
    at = NOW - DAY + HOUR
    made_of = ["start-ann", "start-zoe", "start-by-name", "stop-all", "stop-nobody", "stop-ann", "stop-zoe"]
    entries = [
        changed("process.start-many", "process/welcome", at, segment="s", operation="start-ann"),
        changed("process.start-many", "process/welcome", at, segment="t", operation="start-zoe"),
        changed("process.start-many", "process/welcome", at - DAY, contacts=3, operation="start-by-name"),
        changed("process.stop", "process/welcome", at, operation="stop-all"),
        changed("process.stop", "process/welcome", at, operation="stop-nobody"),
        changed("process.stop", "process/welcome", at, contacts=["ann", "zoe"], operation="stop-ann"),
        changed("process.stop", "process/welcome", at, contacts=["zoe"], operation="stop-zoe"),
        changed("process.stop", "process/welcome", at, instances=["w/1"], operation="stop-one"),
        changed("process.test_run", "process/welcome", at, instance="w/2", stopped=[]),
        changed("process.test_run", "process/welcome", at, instance="w/9", stopped=["w/8"]),
        changed("process.publish", "process/welcome", at, version=2),
    ]
    for number, entry in enumerate(entries):
        entry["reason"] = str(number)
    subjects = {"start-ann": "ann", "start-zoe": "zoe", "start-by-name": "a@example.com", "stop-all": "w/1"}
    event = {
        "id": "named", "type": "process.requested", "contact_id": "ann", "occurred_at": at, "received_at": at,
        "params": {}, "source": "operation start-by-name", "outcome": [{"process": "welcome", "decision": "started"}],
    }  # fmt: skip
    async with database.write() as connection:
        for operation in made_of:
            values = {
                "id": operation,
                "kind": "stop",
                "process_key": "welcome",
                "params": {},
                "actor": "local",
            }
            await operations.create(connection, values, at)
        await connection.execute(
            insert(rows.operation_results),
            [
                {"operation_id": operation, "subject": subject, "status": "stopped", "at": at}
                for operation, subject in subjects.items()
            ],
        )
        await connection.execute(insert(rows.audit), entries)
        await connection.execute(insert(rows.events), [event])
    lines = (await ask(database, "ann", "welcome")).lines
    about = [line.says for line in lines if line.code.startswith("process.")]
    assert about == [
        "by hand: start many of process welcome (2)",
        "by hand: start many of process welcome (0)",
        "by hand: stop of process welcome (3)",
        "by hand: stop of process welcome (5)",
        "by hand: stop of process welcome (7)",
        "by hand: test run of process welcome (8)",
        "by hand: publish of process welcome (10)",
    ]


@ON_SQLITE
@pytest.mark.parametrize("limit", ["EVENTS", "INSTANCES", "VISITS", "CHANGES"])
async def test_an_answer_whose_beginning_is_left_out_says_so(
    database: Database, monkeypatch: pytest.MonkeyPatch, limit: str
) -> None:
    await lived_through(database)
    assert (await ask(database, "ann", "welcome")).complete is True
    monkeypatch.setattr(history, limit, 2)
    assert (await ask(database, "ann", "welcome")).complete is False


def test_the_oracle_notices_an_answer_that_shrugs_or_leaves_something_out() -> None:
    ledger = LedgerRow("m", "mail", "sent", "a@example.com", 0.0)
    run = InstanceFound(
        "w/1", "w", 1, "1", "e", "ended", False, "completed", None, None, [VisitMade("tag", 1, {})], [ledger]
    )
    outcome = ContactOutcome("1", {"w/1": run}, {})
    whole = [
        Told("step", "done", "tagged", "w/1", None, "tag"),
        Told("message", "sent", "it went", "w/1", None, "mail"),
        Told("end", "completed", "it ended", "w/1", None),
    ]
    assert list(unclear(outcome, "w", whole)) == []
    for missing in whole:
        assert len(list(unclear(outcome, "w", [line for line in whole if line is not missing]))) == 1
    for shrug in ("for unknown reasons", "why?", "reason: None", "{'a': 1}"):
        assert len(list(unclear(outcome, "w", [*whole, Told("step", "done", shrug, "w/1", None)]))) == 1
    assert len(list(unclear(outcome, "w", [*whole, Told("step", "unexplained", "so", "w/1", None)]))) == 1
