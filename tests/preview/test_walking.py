"""Previews of small processes, from a real database: what is said, where ways part, and what is cut."""

from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from sqlalchemy import insert

from api.lifecycle import process_previews
from intake.previews import Imagined, PreviewWanted
from intake.refusals import Missing
from processes.definition import parse
from processes.problems import DocumentInvalid
from processes.timeline import Ending, Message, Unsent
from store import rows
from tests.preview.playing import all_ways
from tests.preview.small import ANNA, DAY, MAIL, NOW, in_turn, only_way, preview, process, told
from tests.support.engine import Engine
from tests.support.people import add_tag, change_contact, meet

pytestmark = pytest.mark.parametrize("database_url", ["sqlite"], indirect=True)


async def test_a_timeline_has_each_moment_in_the_contacts_zone(idle: Engine) -> None:
    await idle.template("hello", "Hi {{ contact.name }}")
    document = process(
        *in_turn(MAIL, {"type": "wait", "for": "3 days"}, MAIL, {"type": "add_tag", "tag": "x"})
    )
    moments, ending = await only_way(idle, document)
    assert [(m.step, m.at - NOW, m.until) for m in moments] == [
        ("a", timedelta(0), None),
        ("b", timedelta(0), NOW + timedelta(days=3)),
        ("c", timedelta(days=3), None),
        ("d", timedelta(days=3), None),
    ]
    assert {m.zone for m in moments} == {"Europe/Prague"}
    assert moments[1].does == "Wait 3 days · until 26 Nov 09:00 Prague"
    message = moments[0].message
    assert isinstance(message, Message)
    assert (message.recipient, message.subject) == ("anna@example.com", "Hi Anna")
    assert ending == Ending("end", NOW + timedelta(days=3), "completed")


async def test_a_weekday_that_is_now_counts_but_not_behind_a_wait_for_the_same_moment(idle: Engine) -> None:
    now, then, week = NOW, NOW + timedelta(days=1), timedelta(days=7)
    weekly = [
        {"type": "wait", "weekday": {"days": [f"{at:%A}".lower()], "at": "08:00"}, "zone": "UTC"}
        for at in (now, then)
    ]
    moment = {"type": "wait", "until": f"{then:%Y-%m-%dT%H:%M}", "zone": "UTC"}
    document = process(*in_turn(weekly[0], moment, {"type": "add_tag", "tag": "x"}, weekly[1]))
    moments, ending = await only_way(idle, document)
    assert [(m.step, m.until) for m in moments] == [
        ("a", None),
        ("b", then),
        ("c", None),
        ("d", then + week),
    ]
    assert ending == Ending("end", then + week, "completed")


async def test_what_a_step_changes_is_seen_by_the_steps_after_it(idle: Engine) -> None:
    await idle.template("hello", "{{ contact.plan }} {{ order.number }}")
    await idle.make_list("news")
    changed: dict[str, Any] = {
        "all": [
            {"tag": "vip"},
            {"list": "news"},
            {"contact": "plan", "equals": "pro"},
            {"happened": "tag.added", "at_least": 0},
            {"message": {"step": "d"}},
        ]
    }
    document = process(
        *in_turn(
            {"type": "add_tag", "tag": "vip"},
            {"type": "subscribe", "list": "news"},
            {"type": "edit_contact", "set": {"plan": "{{ event.params.plan }}"}},
            MAIL,
            {"type": "get_order"},
            MAIL,
            {"type": "condition", "branches": [{"when": changed, "next": "yes"}], "else": "no"},
        ),
        {"id": "yes", "type": "end", "outcome": "yes"},
        {"id": "no", "type": "end", "outcome": "no"},
    )
    moments, ending = await only_way(idle, document, params={"plan": "pro", "order": {"number": "A-7"}})
    subjects = [m.message.subject for m in moments if isinstance(m.message, Message)]
    assert subjects == ["pro", "pro A-7"]
    assert ending.outcome == "yes"
    (why,) = next(m for m in moments if m.step == "g").why
    assert (why.holds, [part.holds for part in why.parts]) == (True, [True] * 5)
    moments, ending = await only_way(idle, document, params={"plan": "free", "order": {"number": "A-7"}})
    assert ending.outcome == "no"
    (why,) = next(m for m in moments if m.step == "g").why
    assert [part.holds for part in why.parts] == [True, True, False, True, True]
    assert why.parts[2].value == "free"


async def test_a_message_that_would_be_skipped_says_why(idle: Engine) -> None:
    await idle.template("hello", "Hi")
    await idle.make_list("news")
    nobody = Imagined({"fields": {}})
    bounced = Imagined(ANNA.properties, email_state="bounced")
    unsubscribed = Imagined(ANNA.properties, email_state="unsubscribed")
    on_list = process(*in_turn(MAIL), list="news")
    for document, contact, reason in (
        (process(*in_turn(MAIL)), nobody, "the contact has no e-mail address"),
        (process(*in_turn(MAIL)), bounced, "the address is suppressed: bounced"),
        (process(*in_turn(MAIL)), unsubscribed, "the contact wants no marketing mail"),
        (on_list, ANNA, "not subscribed to the list news"),
    ):
        moments, ending = await only_way(idle, document, contact)
        message = moments[0].message
        assert isinstance(message, Unsent)
        assert message.reason == reason
        assert moments[0].result == {"state": "skipped", "detail": reason}
        assert ending.outcome == "completed"
    transactional = process(*in_turn(MAIL), purpose="transactional")
    moments, _ = await only_way(idle, transactional, unsubscribed)
    assert isinstance(moments[0].message, Message)
    blocked = process(*in_turn({"type": "block", "channel": "email", "reason": "asked for it"}, MAIL))
    moments, _ = await only_way(idle, blocked)
    assert moments[1].result["detail"] == "suppressed: asked for it"


async def test_a_window_and_a_cap_hold_a_message_until_it_may_go(idle: Engine) -> None:
    await idle.template("hello", "Hi")
    windowed = process(
        *in_turn({"type": "wait", "for": "13h"}, MAIL), window={"from": "08:00", "to": "20:00"}
    )
    moments, ending = await only_way(idle, windowed)
    opening = datetime(2026, 11, 24, 7, 0, tzinfo=UTC)
    assert [(m.step, m.at) for m in moments[1:]] == [("b", NOW + timedelta(hours=13)), ("b", opening)]
    assert moments[1].does == "Held by the delivery window · until 24 Nov 08:00 Prague"
    assert moments[2].result["held"] == [{"by": "the delivery window", "until": opening.isoformat()}]
    for over, states, days in (("hold", ["sent", "sent"], 2), ("skip", ["sent", "skipped"], 0)):
        capped = process(*in_turn(MAIL, MAIL), caps=[{"messages": 1, "per": "2 days", "over": over}])
        moments, ending = await only_way(idle, capped)
        assert [m.result["state"] for m in moments if m.result] == states
        assert ending.at == NOW + timedelta(days=days)


async def test_a_cap_counts_what_went_before(idle: Engine) -> None:
    await idle.template("hello", "Hi")
    person = await meet(idle)
    before = {
        "id": f"m-{idle.contact}", "instance_id": "earlier", "step": "a", "visit": 1, "process_key": "other",
        "contact_id": person.id, "channel": "email", "recipient": idle.address, "state": "sent", "attempts": 1,
        "claimed_at": NOW - timedelta(hours=1), "closed_at": NOW - timedelta(hours=1),
    }  # fmt: skip
    async with idle.services.database.write() as connection:
        await connection.execute(insert(rows.messages).values(before))
    capped = process(*in_turn(MAIL), caps=[{"messages": 1, "per": "6h"}])
    moments, ending = await only_way(idle, capped, idle.contact)
    assert [moment.until for moment in moments] == [NOW + timedelta(hours=5), None]
    assert ending.at == NOW + timedelta(hours=5)


async def test_the_event_that_starts_it_is_none_that_came_before(idle: Engine) -> None:
    looking = {"type": "wait_for_event", "event": "go", "within": "1 day", "look_back": "1 day"}
    found = (await preview(idle, process({**looking, "id": "a"}))).foresight.timeline
    assert [when for when, _, _ in told(found)] == [
        "go comes before 24 Nov 09:00 Prague",
        "nothing of the kind before 24 Nov 09:00 Prague",
    ]


@pytest.mark.parametrize("status", ["paused", "archived"])
async def test_a_process_that_is_not_active_lets_nobody_in(idle: Engine, status: str) -> None:
    await idle.publish(process({**DAY, "id": "a"}, key="p"), status=status)
    wanted = PreviewWanted(process="p", contact=ANNA, at=NOW, event_type="go")
    said = (await process_previews(idle.services).preview(wanted)).entrance
    assert (said.admitted, said.reason) == (False, f"process is {status}")


async def test_both_ways_are_shown_where_a_wait_or_a_click_decides(idle: Engine) -> None:
    await idle.template("hello", "Hi")
    clicked = {"message": {"step": "a", "state": "clicked"}}
    document = process(
        *in_turn(
            MAIL,
            {"type": "wait", "for": "1 day"},
            {"type": "condition", "branches": [{"when": clicked, "next": "thanks"}], "else": "wait"},
        ),
        {"id": "thanks", "type": "end", "outcome": "thanked"},
        {
            "id": "wait", "type": "wait_for_event", "event": "order", "within": "2 days", "next": "thanks",
            "on_timeout": "late",
        },
        {"id": "late", "type": "end", "outcome": "late"},
    )  # fmt: skip
    found = (await preview(idle, document)).foresight.timeline
    assert told(found) == [
        ("the message of step a clicked", ["a", "b", "c", "thanks"], "thanked"),
        (
            "not: the message of step a clicked / order comes before 26 Nov 09:00 Prague",
            ["a", "b", "c", "wait", "thanks"],
            "thanked",
        ),
        (
            "not: the message of step a clicked / nothing of the kind before 26 Nov 09:00 Prague",
            ["a", "b", "c", "wait", "late"],
            "late",
        ),
    ]
    (_, came, over) = [moments for moments, _, _ in all_ways(found)]
    assert (came[-1].earliest, came[-1].at) == (True, NOW + timedelta(days=1))
    assert (over[-1].earliest, over[-1].at) == (False, NOW + timedelta(days=3))


async def test_a_run_is_in_its_own_process_and_nobody_knows_what_becomes_of_other_runs(idle: Engine) -> None:
    def asked(id: str, key: str, yes: str, no: str) -> dict[str, Any]:
        return {
            "id": id,
            "type": "condition",
            "branches": [{"when": {"process": key}, "next": yes}],
            "else": no,
        }

    document = process(
        asked("own", "p", "other", "no"),
        asked("other", "q", "no", "w"),
        {"id": "w", "type": "wait", "for": "1 day", "next": "later"},
        asked("later", "q", "yes", "no"),
        {"id": "yes", "type": "end", "outcome": "yes"},
        {"id": "no", "type": "end", "outcome": "no"},
    )
    ways = told((await preview(idle, document)).foresight.timeline)
    assert [(when, outcome) for when, _, outcome in ways] == [
        ("is in process q", "yes"),
        ("not: is in process q", "no"),
    ]


async def test_a_way_goes_on_assuming_what_it_assumed(idle: Engine) -> None:
    clicked = {"happened": "order"}
    document = process(
        {"id": "w", "type": "wait", "for": "1 day", "next": "one"},
        {"id": "one", "type": "condition", "branches": [{"when": clicked, "next": "two"}], "else": "two"},
        {"id": "two", "type": "condition", "branches": [{"when": clicked, "next": "yes"}], "else": "no"},
        {"id": "yes", "type": "end", "outcome": "yes"},
        {"id": "no", "type": "end", "outcome": "no"},
    )
    outcomes = [outcome for _, _, outcome in told((await preview(idle, document)).foresight.timeline)]
    assert outcomes == ["yes", "no"]


async def test_what_was_done_is_not_undone_by_time_and_what_was_not_may_still_be(idle: Engine) -> None:
    ordered = {"happened": "order"}
    document = process(
        {"id": "w", "type": "wait", "for": "1 day", "next": "one"},
        {"id": "one", "type": "condition", "branches": [{"when": ordered, "next": "v"}], "else": "v"},
        {"id": "v", "type": "wait", "for": "1 day", "next": "two"},
        {"id": "two", "type": "condition", "branches": [{"when": ordered, "next": "yes"}], "else": "no"},
        {"id": "yes", "type": "end", "outcome": "yes"},
        {"id": "no", "type": "end", "outcome": "no"},
    )
    ways = told((await preview(idle, document)).foresight.timeline)
    assert [(when, outcome) for when, _, outcome in ways] == [
        ("order happened", "yes"),
        ("not: order happened / order happened", "yes"),
        ("not: order happened / not: order happened", "no"),
    ]


async def test_chance_is_known_of_a_contact_and_shown_in_shares_of_one_who_is_imagined(idle: Engine) -> None:
    split = {
        "id": "s", "type": "split", "branches": [{"name": "x", "share": 0.25}, {"name": "y", "share": 0.5}],
        "hold_out": {"share": 0.25},
    }  # fmt: skip
    found = (await preview(idle, process(split))).foresight.timeline
    assert [(way.when, way.share) for way in found.ways] == [
        ("chance says x", 0.25), ("chance says y", 0.5), ("chance says hold_out", 0.25),
    ]  # fmt: skip
    assert [outcome for _, _, outcome in told(found)] == ["completed", "completed", "held_out"]
    person = await meet(idle)
    moments, _ = await only_way(idle, process(split), idle.contact)
    place = parse({"key": "p", **process(split)}).by_id["s"].place("p", person.id)  # type: ignore[attr-defined]
    assert moments[0].result["branch"] == ("x" if place < 2500 else "y" if place < 7500 else "hold_out")


async def test_a_rule_that_time_turns_is_seen_at_the_look_at_which_it_holds(idle: Engine) -> None:
    late = {"contact": "renewal", "before": "now"}
    document = process(
        {
            "id": "w", "type": "wait_for_rule", "when": late, "within": "10 days", "every": "1 day", "next": "yes",
            "on_timeout": "no",
        },
        {"id": "yes", "type": "end", "outcome": "yes"},
        {"id": "no", "type": "end", "outcome": "no"},
    )  # fmt: skip
    someone = Imagined({"fields": {"renewal": "2026-11-25T12:00:00Z"}, "time_zone": "Europe/Prague"})
    ways = list(all_ways((await preview(idle, document, someone)).foresight.timeline))
    assert [(ending.outcome, ending.at - NOW) for _, ending, _ in ways] == [
        ("yes", timedelta(0)),
        ("yes", timedelta(days=3)),
    ]
    never = Imagined({"fields": {"renewal": "2027-11-25"}})
    ways = list(all_ways((await preview(idle, document, never)).foresight.timeline))
    assert [(ending.outcome, ending.at - NOW) for _, ending, _ in ways][1:] == [("no", timedelta(days=10))]


async def test_a_goal_that_holds_on_the_way_takes_the_contact_out_and_the_others_stand_beside(
    idle: Engine,
) -> None:
    goals = [
        {"name": "tagged", "when": {"tag": "done"}, "then": "end"},
        {"name": "bought", "event": "order", "then": "thanks"},
    ]
    document = process(
        *in_turn(
            {"type": "wait", "for": "1 day"},
            {"type": "add_tag", "tag": "done"},
            {"type": "add_tag", "tag": "no"},
        ),
        {"id": "thanks", "type": "end", "outcome": "thanked"},
        goals=goals,
    )
    found = (await preview(idle, document)).foresight
    assert told(found.timeline) == [("", ["a", "b", "goal:tagged"], "goal_reached")]
    assert [(goal.name, goal.when, goal.then) for goal in found.goals] == [
        ("tagged", "has the tag done", "end"),
        ("bought", "order comes", "thanks"),
    ]
    assert told(found.goals[1].timeline) == [("", ["thanks"], "thanked")]


async def test_a_step_that_does_what_stops_the_process_ends_it(idle: Engine) -> None:
    document = process(*in_turn({"type": "add_tag", "tag": "stop"}, {"type": "add_tag", "tag": "no"}))
    document["triggers"].append({"type": "tag_added", "tag": "stop", "does": "stop"})
    moments, ending = await only_way(idle, document)
    assert ([m.step for m in moments], ending.outcome) == (["a"], "stopped")
    assert ending.reason == "step a did what stops the process: tag.added"


async def test_what_a_step_tells_counts_for_the_instance_of_its_own_key_only(idle: Engine) -> None:
    goals = [{"name": "g", "event": "tag.added", "then": "end"}]
    tagged = {"type": "add_tag", "tag": "x"}
    keyed = process(*in_turn(tagged, {**tagged, "tag": "y"}), instance_key="params.tag", goals=goals)
    keyed["triggers"].append({"type": "tag_added", "tag": "y", "does": "stop"})
    for key, outcome in (("x", "goal_reached"), ("y", "stopped"), ("z", "completed")):
        _, ending = await only_way(idle, keyed, params={"tag": key})
        assert ending.outcome == outcome, key


@pytest.mark.parametrize(
    ("steps", "reason"),
    [
        ([{"type": "send_email", "template": "ghost"}], "there is no template «ghost»"),
        ([{"type": "send_email", "template": "broken"}], "The template failed in its subject"),
        ([{"type": "add_note", "text": "{{ 1 | divided_by: 0 }}"}], "The template failed in its text"),
        (
            [{"type": "send_sms", "text": "Hi"}],
            "the channel «sms» is not configured: set ONWARD_SMS_PROVIDER",
        ),
        ([{"type": "get_order"}], "the event has no order in its params"),
    ],
)
async def test_what_a_person_must_mend_is_said_and_nothing_is_shown_beyond(
    idle: Engine, steps: list[dict[str, Any]], reason: str
) -> None:
    await idle.template("broken", "{{ 1 | divided_by: 0 }}")
    moments, ending = await only_way(idle, process(*in_turn(*steps, {"type": "add_tag", "tag": "x"})))
    assert [m.step for m in moments] == ["a"]
    assert ending.how == "held"
    assert ending.reason is not None
    assert reason in ending.reason


async def test_the_entrance_says_what_admission_would_say(idle: Engine) -> None:
    person = await meet(idle, fields={"plan": "free"})
    document = process(*in_turn({"type": "add_tag", "tag": "x"}), key="p", instance_key="params.order")
    document["triggers"][0]["filter"] = {"contact": "plan", "equals": "pro"}
    await idle.publish(document)

    async def entrance(**more: Any) -> Any:
        wanted = PreviewWanted(
            process="p", contact=idle.contact, at=datetime.now(UTC), event_type="go", **more
        )
        return (await process_previews(idle.services).preview(wanted)).entrance

    assert (await entrance(params={"order": "1"})).reason == "filter does not hold"
    await change_contact(idle, fields={"plan": "pro"})
    assert (await entrance(params={})).reason == "the event has no params.order"
    assert (await entrance(params={"order": "1"})).admitted
    (result,) = await idle.services.intake.take([idle.incoming("go", params={"order": "1"})])
    assert result.decisions[0].decision in {"started", "pending"}
    (again,) = await idle.services.intake.take([idle.incoming("go", params={"order": "1"})])
    assert (await entrance(params={"order": "1"})).reason == again.decisions[0].reason
    assert (await entrance(params={"order": "2"})).admitted
    wrong = PreviewWanted(process="p", contact=person.id, at=NOW, event_type="other")
    refused = (await process_previews(idle.services).preview(wanted=wrong)).entrance
    assert refused.reason == "no trigger of the process starts by this other"


@pytest.mark.parametrize(
    ("recurrence", "then"),
    [
        ("each_time", "each_time"),
        ("when_finished", "when_finished"),
        ("once", "once"),
        ({"mode": "once_per", "period": "1 day"}, {"mode": "once_per", "period": "1 day"}),
        ({"mode": "once_per", "period": "1 day"}, {"mode": "once_per", "period": "2 days"}),
        ({"mode": "once_per", "period": "1 day"}, {"mode": "once_per", "period": "1s"}),
        ({"mode": "once_per", "period": "1s"}, {"mode": "once_per", "period": "1s"}),
    ],
)
async def test_who_has_entered_before_is_told_what_admission_says(
    idle: Engine, recurrence: Any, then: Any
) -> None:
    """Also where the period was changed since. Half a minute has passed."""
    document = process(DAY | {"id": "a"}, key="p", recurrence=recurrence)
    await idle.publish(document)
    now = datetime.now(UTC)
    first = idle.incoming("go").model_copy(update={"received_at": now - timedelta(seconds=30)})
    async with idle.services.database.write() as connection:
        (entered,), _ = await idle.services.admission.admit(connection, [first], now - timedelta(seconds=30))
    assert entered.decisions[0].decision != "skipped"
    await idle.publish(document | {"recurrence": then})
    wanted = PreviewWanted(process="p", contact=idle.contact, at=now, event_type="go")
    said = (await process_previews(idle.services).preview(wanted)).entrance
    async with idle.services.database.write() as connection:
        (again,), _ = await idle.services.admission.admit(connection, [idle.incoming("go")], now)
    assert said.admitted == (again.decisions[0].decision != "skipped")
    assert said.reason == (None if said.admitted else again.decisions[0].reason)


async def test_nothing_is_written(idle: Engine) -> None:
    await meet(idle)
    await add_tag(idle, "old")
    await idle.template("hello", "Hi")
    before = await everything(idle)
    document = process(
        *in_turn(
            MAIL,
            {"type": "add_tag", "tag": "x"},
            {"type": "block", "channel": "email"},
            DAY,
            {"type": "start_process", "process": "p"},
            {"type": "add_note", "text": "x"},
        )
    )
    await preview(idle, document, idle.contact)
    assert await everything(idle) == before


async def everything(engine: Engine) -> dict[str, list[Any]]:
    """All rows of all tables."""
    from sqlmodel import SQLModel

    return {table.name: await engine.rows(table) for table in SQLModel.metadata.sorted_tables}


async def test_what_is_not_there_is_named(idle: Engine) -> None:
    with pytest.raises(Missing, match="there is no contact «nobody»"):
        await preview(idle, process(*in_turn({"type": "add_tag", "tag": "x"})), "nobody")
    with pytest.raises(Missing, match="there is no process «p»"):
        await process_previews(idle.services).preview(PreviewWanted(process="p", contact=ANNA, at=NOW))
    ghost = process(
        *in_turn(
            {"type": "condition", "branches": [{"when": {"segment": "ghost"}}]},
            {"type": "add_tag", "tag": "x"},
        )
    )
    ghost["steps"][0]["else"] = "b"
    del ghost["steps"][0]["next"]
    with pytest.raises(DocumentInvalid) as refused:
        await preview(idle, ghost)
    assert [(p.pointer, p.message) for p in refused.value.problems] == [
        ("/document/steps/0/branches/0/when", "there is no segment «ghost»")
    ]
