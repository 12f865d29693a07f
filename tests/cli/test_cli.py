"""`onward …` against a real API with a worker."""

import json
import re
import subprocess
import sys
from pathlib import Path

import pytest
import yaml

from console.output import moment_words
from store import rows
from tests.cli.conftest import CLI, EXAMPLES, ROOT, Onward
from tests.support.engine import Engine
from tests.support.people import add_tag, meet

pytestmark = pytest.mark.parametrize("database_url", ["sqlite"], indirect=True)

CART = """
key: cart
name: Abandoned cart
recurrence: {mode: once_per, period: 1h}
triggers:
  - {type: event, event: cart_abandoned}
  - {type: event, event: order_created, does: stop}
steps:
  - {id: hour, name: One hour, type: wait, for: 1h, next: tag}
  - {id: tag, type: add_tag, tag: reminded}
"""
TAGGING = """
key: tagging
name: Tagging
recurrence: each_time
steps:
  - {id: tag, type: add_tag, tag: vip, next: day}
  - {id: day, type: wait, for: 1 day}
"""


def example(name: str) -> Path:
    """An example's file."""
    return ROOT / "examples" / f"{name}.yaml"


# Processes


async def test_an_example_is_applied_with_everything_that_it_needs(onward: Onward) -> None:
    said = await onward("process", "apply", "--activate", example("welcome"))
    assert said.code == 0, said.err
    for line in (
        "list newsletter",
        "segment customers",
        "template welcome-hello",
        "process welcome: active (version 1)",
    ):
        assert line in said.out
    assert (await onward("process", "list", "--json")).json["items"][0]["status"] == "active"
    shown = (await onward("process", "show", "welcome")).out
    assert "list_subscribed" in shown
    assert "once" in shown
    assert '"has ordered" if is in the segment customers → note\n    else → offer' in shown


async def test_every_example_can_be_applied_at_once(onward: Onward) -> None:
    said = await onward("process", "apply", "--activate", *EXAMPLES)
    assert said.code == 0, said.err
    listed = await onward("process", "list")
    for file in EXAMPLES:
        assert file.stem in listed.out


async def test_without_activate_a_process_stays_a_draft(onward: Onward, tmp_path: Path) -> None:
    file = tmp_path / "cart.yaml"
    file.write_text(CART)
    assert (await onward("process", "apply", file)).code == 0
    assert (await onward("process", "show", "cart", "--json")).json["status"] == "draft"
    assert (await onward("process", "publish", "cart")).out == "process cart is published (version 1)\n"
    assert (await onward("process", "activate", "cart")).out == "process cart is active (version 1)\n"
    paused = (await onward("process", "pause", "cart")).out
    assert paused == "process cart is paused (version 1)\nIt goes on by: onward process activate cart\n"
    assert (await onward("process", "archive", "cart")).out == "process cart is archived (version 1)\n"


async def test_a_pause_that_ends_by_itself_is_shown_with_its_end(onward: Onward, engine: Engine) -> None:
    await engine.publish(CART)
    assert (await onward("process", "pause", "cart", "--until", "2126-12-24T09:00:00+01:00")).code == 0
    end = moment_words("2126-12-24T08:00:00Z")
    assert f"paused until {end}" in (await onward("process", "list")).out
    assert f"paused until {end}" in (await onward("process", "show", "cart")).out
    assert (await onward("process", "activate", "cart")).code == 0
    assert " until " not in (await onward("process", "list")).out


async def test_contacts_are_listed_with_their_tags(onward: Onward, engine: Engine) -> None:
    await meet(engine)
    for tag in ("vip", "new"):
        await add_tag(engine, tag)
    for options in ((), ("--tag", "vip")):
        assert "new, vip" in (await onward("contacts", *options)).out


async def test_an_active_process_is_changed_only_when_asked_to(
    onward: Onward, engine: Engine, tmp_path: Path
) -> None:
    file = tmp_path / "cart.yaml"
    file.write_text(CART)
    await onward("process", "apply", "--activate", file)
    unchanged = await onward("process", "apply", "--activate", file)
    assert "nothing to change" in unchanged.out

    process = yaml.safe_load(CART.replace("for: 1h, next", "for: 2h, next"))
    template = {"subject": "Hello", "html": "<p>hello</p>"}
    file.write_text(yaml.safe_dump({"templates": {"beside": template}, "process": process}))
    refused = await onward("process", "apply", file)
    assert refused.code == 1
    assert "process «cart» is active, and nothing was changed" in refused.err
    assert await engine.rows(rows.templates) == []
    changed = await onward("process", "apply", "--activate", file)
    assert "process cart: active (version 2)" in changed.out
    trail = [row.action for row in await engine.rows(rows.audit, rows.audit.c.subject == "process/cart")]
    assert trail == ["process.edit", "process.publish", "process.activate", "process.edit", "process.publish"]


async def test_one_bad_file_among_several_leaves_everything_as_it_was(
    onward: Onward, engine: Engine, tmp_path: Path
) -> None:
    live, new, bad = tmp_path / "cart.yaml", tmp_path / "tagging.yaml", tmp_path / "mail.yaml"
    live.write_text(CART)
    assert (await onward("process", "apply", "--activate", live)).code == 0
    live.write_text(CART.replace("for: 1h, next", "for: 2h, next"))
    new.write_text(TAGGING)
    bad.write_text(
        "key: mail\nname: Mail\nrecurrence: once\n"
        "triggers:\n  - {type: message_opened, template: wellcome}\n"
        "steps:\n  - id: mail\n    type: add_tag\n    tag: x\n"
    )
    before = await engine.rows(rows.processes)
    said = await onward("process", "apply", "--activate", live, new, bad)
    assert said.code == 1
    assert f"{bad}: /triggers/0/template: there is no template «wellcome» (line 5)" in said.err
    assert await engine.rows(rows.processes) == before
    assert len(await engine.rows(rows.process_versions)) == 1


async def test_a_draft_that_cannot_be_published_says_what_is_missing(onward: Onward, tmp_path: Path) -> None:
    file = tmp_path / "mail.json"
    steps = [{"id": "mail", "type": "send_email", "template": "nowhere"}]
    file.write_text(json.dumps({"key": "mail", "name": "Mail", "recurrence": "once", "steps": steps}))
    said = await onward("process", "apply", file)
    assert said.code == 0
    assert "before it can be published: /steps/0/template: there is no template «nowhere»" in said.out
    refused = await onward("process", "activate", "mail")
    assert refused.code == 1
    assert "  /steps/0/template: there is no template «nowhere»" in refused.err


async def test_validate_asks_the_api_what_exists(onward: Onward, nobody: Onward, tmp_path: Path) -> None:
    bundle = yaml.safe_load(example("welcome").read_text())
    assert (await onward("process", "validate", example("welcome"))).code == 0
    del bundle["templates"]["welcome-tips"]
    file = tmp_path / "welcome.yaml"
    file.write_text(yaml.safe_dump(bundle))
    said = await onward("process", "validate", file)
    assert said.code == 1
    assert "/process/steps/2/template: there is no template «welcome-tips»" in said.err
    assert (await onward("process", "validate", "--offline", file)).code == 0
    away = await nobody("process", "validate", file)
    assert away.code == 0
    assert "does not answer" in away.out


# Events, starts and stops


async def test_an_event_says_what_it_did_process_by_process(onward: Onward, engine: Engine) -> None:
    await engine.publish(CART)
    send = ("event", "send", "cart_abandoned", "--contact", engine.contact, "--email", engine.address)
    first = await onward(*send, "--id", "c1", "--param", "total=12.5", "--param", "note=two words")
    assert first.code == 0, first.err
    assert engine.id("cart", "c1") in first.out
    second = await onward(*send)
    assert "once per 1 hour" in second.out
    again = (await onward(*send, "--id", "c1", "--json")).json
    assert again["status"] == "duplicate"
    stopped = await onward("event", "send", "order_created", "--contact", engine.contact)
    assert "stopped" in stopped.out
    await engine.ended(engine.id("cart", "c1"), "stopped")
    (event,) = [row for row in await engine.rows(_events()) if row.id == "c1"]
    assert event.params == {"total": 12.5, "note": "two words"}


async def test_an_event_can_come_from_a_file_in_the_seeds_body(
    onward: Onward, engine: Engine, tmp_path: Path
) -> None:
    body = {
        "eventTypeKey": "order_created",
        "keyValue": "77",
        "params": [
            {"name": "ContactId", "value": engine.contact},
            {"name": "EmailAddress", "value": engine.address},
        ],
    }
    file = tmp_path / "body.json"
    file.write_text(json.dumps(body))
    assert "accepted" in (await onward("event", "send", "--file", file)).out
    assert "accepted" in (await onward("event", "send", "--file", "-", stdin=json.dumps(body))).out
    batch = await onward("event", "send", "--file", "-", stdin=json.dumps([body, {"type": "bad type"}]))
    assert batch.code == 1
    assert "accepted" in batch.out
    assert "/events/1/type" in batch.out


async def test_a_refused_event_names_each_wrong_place(onward: Onward) -> None:
    said = await onward("event", "send", "order_created", "--email", "nobody", "--phone", "12")
    assert said.code == 1
    assert said.err.startswith("Error: What was sent is not valid\n")
    assert "  /contact/email: is not an e-mail address" in said.err
    assert "  /contact/phone: is not a phone number" in said.err
    assert "Traceback" not in said.err


async def test_what_is_wrong_is_said_once(onward: Onward) -> None:
    said = await onward("event", "send", "order_created", "--email", "nobody")
    (line,) = said.err.splitlines()[1:]
    assert line.startswith("  /contact/email: is not an e-mail address: ")
    assert (await onward("operation", "show", "nope")).err.splitlines() == [
        "Error: Not found",
        "  there is no operation «nope»",
    ]


async def test_a_start_that_recurrence_refuses_says_why(onward: Onward, engine: Engine) -> None:
    await engine.publish(CART)
    await engine.event("seen")
    first = await onward("start", "cart", engine.contact, "--param", "total=5")
    assert first.out.startswith(f"started: cart/{engine.contact}/")
    refused = await onward("start", "cart", engine.contact)
    assert refused.code == 1
    assert "once per 1 hour" in refused.err
    forced = await onward("start", "cart", engine.contact, "--force", "--json")
    assert forced.json["decision"] == "started"


async def test_a_stop_ends_one_instance_and_no_other(onward: Onward, engine: Engine) -> None:
    await engine.publish(CART)
    await engine.publish(TAGGING)
    await engine.event("cart_abandoned", id="c1")
    for _ in range(2):
        assert (await onward("start", "tagging", engine.contact)).code == 0
    cart = engine.id("cart", "c1")
    await engine.in_state(cart, "waiting")
    said = await onward("stop", cart, "--reason", "asked by phone")
    assert said.out == f"stopped: {cart}\n"
    row = await engine.ended(cart, "stopped")
    assert row.reason == "asked by phone"
    said = await onward("stop", "--process", "tagging", "--contact", engine.contact)
    assert said.out.count("stopped: tagging/") == 2
    again = await onward("stop", "--process", "tagging", "--contact", engine.contact)
    assert "nothing to stop" in again.out
    ended = await onward("stop", cart)
    assert ended.code == 1
    assert "has ended already" in ended.err


# Looking


async def test_an_instance_shows_what_happened_and_what_comes_next(onward: Onward, engine: Engine) -> None:
    await engine.publish(TAGGING)
    await engine.event("seen")
    instance = (await onward("start", "tagging", engine.contact, "--json")).json["instance"]
    await engine.in_state(instance, "waiting")
    shown = (await onward("instances", instance)).out
    assert re.search(r"^[0-9-]+ [0-9:]+ +tag +1 +add tag vip: done.*$", shown, re.MULTILINE), shown
    assert re.search(r"^[0-9-]+ [0-9:]+ +day +1 +wait: waits until .+ UTC$", shown, re.MULTILINE), shown
    assert '{"' not in shown
    assert "What comes next\nday: wait" in shown
    listed = await onward(
        "instances", "--process", "tagging", "--contact", engine.contact, "--state", "waiting"
    )
    assert instance in listed.out
    nothing = await onward("instances", "--state", "holding")
    assert nothing.out == "There is no such instance.\n"
    missing = await onward("instances", "no/such")
    assert missing.code == 1
    assert "there is no instance «no/such»" in missing.err


async def test_a_contact_shows_tags_lists_notes_and_instances(onward: Onward, engine: Engine) -> None:
    await onward("process", "apply", "--activate", example("welcome"))
    await engine.publish(TAGGING)
    await engine.event("seen")
    instance = (await onward("start", "tagging", engine.contact, "--json")).json["instance"]
    await engine.in_state(instance, "waiting")
    shown = (await onward("contacts", engine.contact)).out
    assert engine.address in shown
    assert re.search(r"^Tags +vip$", shown, re.MULTILINE), shown
    assert instance in shown
    assert engine.contact in (await onward("contacts", "--tag", "vip")).out
    assert engine.contact in (await onward("contacts", "--email", engine.address)).out
    assert (await onward("contacts", "--tag", "other")).out == "There is no such contact.\n"


def test_migrate_says_what_it_did_and_can_be_repeated(engine: Engine, tmp_path: Path) -> None:
    environment = {
        "ONWARD_DATABASE_URL": f"sqlite+aiosqlite:///{tmp_path / 'new.db'}",
        "ONWARD_TEMPORAL_ADDRESS": engine.services.settings.temporal_address,
        "ONWARD_API_KEYS": "loopback",
    }
    first = _migrate(environment)
    assert first[0].startswith("database: applied ")
    assert first[1] == "Temporal: search attributes are there"
    assert _migrate(environment) == ["database: up to date", "Temporal: search attributes are there"]


def _migrate(environment: dict[str, str]) -> list[str]:
    said = subprocess.run(
        [sys.executable, CLI, "migrate"], env=environment, capture_output=True, text=True, check=True, cwd="/"
    )
    return said.stdout.splitlines()


def _events() -> object:
    from store import rows

    return rows.events
