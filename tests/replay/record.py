"""Records the histories that `test_replay.py` replays: `python -m tests.replay.record`; with names, only those.

Run it after a change of the workflow that is meant for new instances only, and keep the old histories beside the new
ones for as long as instances of the old code may be asleep: they are what proves that those wake up.
"""

import asyncio
import json
import re
import sys
import tempfile
from collections.abc import AsyncIterator, Awaitable, Callable, Sequence
from contextlib import asynccontextmanager
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import yaml
from pydantic import AnyHttpUrl, SecretStr
from temporalio.client import WorkflowUpdateFailedError

from api.lifecycle import process_lifecycle
from channels.push import new_keys
from processes.differences import Inside
from processes.instructions import WORKFLOW
from runtime import connect_services
from settings import Settings
from store import rows
from store.migrate import create_schema
from tests.guarantees.processes import holding_at, waiting_at
from tests.support.audience_server import AudienceServer
from tests.support.engine import Engine
from tests.support.http_server import RecordingHttpServer
from tests.support.people import add_tag, contact, make_segment, meet, release, subscribe
from tests.support.smtp_server import RecordingSmtpServer
from tests.support.temporal import temporal_server
from tests.support.visits import in_a_row
from tests.support.waiting import eventually

HERE = Path(__file__).parent
HISTORIES = HERE / "histories"
EXAMPLES = HERE.parent.parent / "examples"
IDENTITY = re.compile(r'"[0-9]+@[^"]*"')
"""How a client names itself, and its sticky queue: process and host."""
STACK_TRACE = re.compile(r'"stackTrace": "(?:[^"\\]|\\.)*"')
"""Where the code lay on the recorder's machine."""
FEW_EVENTS = 40
"""After so many events the recorder's server suggests to continue as new."""


@asynccontextmanager
async def engine_of_its_own(*, mark_holds: bool = False, **dynamic: Any) -> AsyncIterator[Engine]:
    """Everything fresh: a Temporal server, an SQLite database, an SMTP server, and the contact 22222."""
    with tempfile.TemporaryDirectory() as folder:
        url = f"sqlite+aiosqlite:///{folder}/onward.db"
        await create_schema(url)
        async with (
            temporal_server(frontend__WorkflowTimeSkippingEnabled="true", **dynamic) as temporal,
            RecordingSmtpServer() as smtp,
            AudienceServer() as meta,
        ):
            settings = Settings(
                database_url=url, temporal_address=temporal.address, smtp_host=smtp.host, smtp_port=smtp.port,
                webhook_allow_private=True, worker_graceful_shutdown=5, mark_holds=mark_holds, _env_file=None,
                sms_provider="http", sms_http_url=AnyHttpUrl("http://127.0.0.1:1/"), sms_sender="Shop",
                meta_graph_url=AnyHttpUrl(meta.url), meta_ads_token=SecretStr(meta.TOKEN),
                messenger_page_token=SecretStr("page"), push_private_key=SecretStr(new_keys()[0]),
                push_subject="mailto:push@shop.example.com", letter_folder=Path(folder), letter_sender="Shop",
            )  # fmt: skip
            services = await connect_services(settings, lazy=False)
            try:
                async with Engine.running(services) as engine:
                    engine.contact = "22222"
                    yield engine
            finally:
                await services.close()


async def welcome(engine: Engine) -> str:
    """A subscription starts the series."""
    await set_up(engine, "welcome")
    await meet(engine)
    async with engine.skipping():
        await subscribe(engine, "newsletter")
    return await over(engine, engine.id("welcome"))


async def order_confirmation(engine: Engine) -> str:
    """An order with items."""
    await set_up(engine, "order-confirmation")
    items = [{"name": "Green tea", "quantity": 2, "price": 6.5}]
    await engine.event("order_created", id="e1", key="1001", params={"orderNumber": "1001", "items": items})
    return await over(engine, engine.id("order-confirmation", "e1"))


async def abandoned_cart(engine: Engine) -> str:
    """A cart that nobody comes back to."""
    await set_up(engine, "abandoned-cart")
    async with engine.skipping():
        await engine.event("cart_abandoned", id="e2", params={"items": [{"name": "Teapot", "price": 39}]})
    return await over(engine, engine.id("abandoned-cart", "e2"))


async def click_followup(engine: Engine) -> str:
    """A click on an offer."""
    await set_up(engine, "click-followup")
    params = {"url": "https://shop.example.com/learn-more?offer=spring", "by": "person"}
    result = await engine.event("message.clicked", id="e3", params=params)
    return await over(engine, str(result.decisions[0].instance))


async def every_kind(engine: Engine) -> str:
    """Every kind of step, with a wait that an event ends."""
    await engine.template("hello")
    for key in ("news", "vips"):
        await engine.make_list(key)
    await publish(engine, "other", {"id": "rest", "type": "wait", "for": "30 days"})
    async with RecordingHttpServer.running() as receiver:
        await publish(
            engine, "every-kind",
            {"id": "order", "type": "get_order", "if_missing": "continue"},
            {"id": "tag", "type": "add_tag", "tag": "x"}, {"id": "untag", "type": "remove_tag", "tag": "x"},
            {"id": "edit", "type": "edit_contact", "set": {"a": 1}}, {"id": "note", "type": "add_note", "text": "Hi"},
            {"id": "join", "type": "subscribe", "list": "news"},
            {"id": "move", "type": "move", "from": "news", "to": "vips"},
            {"id": "leave", "type": "unsubscribe", "list": "vips"},
            {"id": "mail", "type": "send_email", "template": "hello"},
            {"id": "call", "type": "webhook", "url": receiver.url},
            {"id": "start", "type": "start_process", "process": "other"},
            {"id": "stop", "type": "stop_process", "process": "other"},
            {"id": "second", "type": "wait", "for": "1s"}, {"id": "after", "type": "add_tag", "tag": "after"},
            {"id": "reply", "type": "wait_for_event", "event": "replied", "within": "3 days"},
            {"id": "over", "type": "end", "outcome": "replied"},
        )  # fmt: skip
        await engine.event("go_every-kind")
        instance = engine.id("every-kind")
        await eventually(lambda: at(engine, instance, "reply"))
        await engine.event("replied")
        return await over(engine, instance, "replied")


async def every_channel(engine: Engine) -> str:
    """Every other way out, to a contact that only an audience can know; and a segment made by hand."""
    await make_segment(engine, "loyal", None)
    audience = AudienceServer.AUDIENCE
    await publish(
        engine, "every-channel",
        {"id": "enter", "type": "add_to_segment", "segment": "loyal"},
        {"id": "leave", "type": "remove_from_segment", "segment": "loyal"},
        {"id": "sms", "type": "send_sms", "text": "Hi"}, {"id": "chat", "type": "send_messenger", "text": "Hi"},
        {"id": "push", "type": "send_push", "title": "Hi"}, {"id": "letter", "type": "send_letter", "text": "Dear"},
        {"id": "in", "type": "add_to_audience", "audience": audience},
        {"id": "out", "type": "remove_from_audience", "audience": audience},
    )  # fmt: skip
    await engine.event("go_every-channel")
    return await over(engine, engine.id("every-channel"))


async def held_and_released(engine: Engine) -> str:
    """A template that is missing, then made."""
    await publish(engine, "held", {"id": "mail", "type": "send_email", "template": "late"})
    await engine.event("go_held")
    instance = engine.id("held")
    await engine.in_state(instance, "holding")
    await engine.template("late")
    await release(engine, instance)
    return await over(engine, instance)


async def held_and_marked(engine: Engine) -> str:
    """A hold that the worker marks, of a step with a name: a release too early changes nothing, the second ends it."""
    await publish(
        engine, "marked", {"id": "mail", "type": "send_email", "template": "late", "name": "Reminder"}
    )
    await engine.event("go_marked")
    instance = engine.id("marked")
    first = await holding_at(engine, instance, "mail")
    await release(engine, instance)

    async def tried_again() -> bool:
        row = await engine.instance(instance)
        return row.state == "holding" and bool(row.updated_at > first.updated_at)

    await eventually(tried_again)
    await engine.template("late")
    await release(engine, instance)
    return await over(engine, instance)


async def edited(engine: Engine) -> str:
    """Two edits of its process: one shortens its wait, one removes the step at which it waits then."""
    lifecycle = process_lifecycle(engine.services)

    async def edit(inside: Inside, *steps: dict[str, Any]) -> None:
        await lifecycle.pause("edited")
        shown = (await engine.rows(rows.process_versions, rows.process_versions.c.process_key == "edited"))[0]
        await lifecycle.put("edited", {**shown.definition, "steps": in_a_row(*steps)})
        await lifecycle.publish("edited", inside)
        await lifecycle.activate("edited")

    first: dict[str, Any] = {"id": "first", "type": "wait", "for": "3 days"}
    second: dict[str, Any] = {"id": "second", "type": "wait", "for": "3 days"}
    after: dict[str, Any] = {"id": "after", "type": "add_tag", "tag": "after"}
    await publish(engine, "edited", first, second, after)
    await engine.event("go_edited")
    instance = engine.id("edited")
    await waiting_at(engine, instance, "first")
    await edit(Inside(inside="move"), {**first, "for": "1s"}, second, after)
    await waiting_at(engine, instance, "second")
    await edit(Inside(inside="move", removed={"second": "after"}), first, after)
    return await over(engine, instance)


async def held_by_a_window(engine: Engine) -> str:
    """A send outside its window waits, and goes when it opens; its address is blocked after it."""
    await engine.template("hello")
    weekday = f"{datetime.now(UTC) + timedelta(days=2):%A}".lower()
    await publish(
        engine, "night",
        {"id": "mail", "type": "send_email", "template": "hello", "window": {"days": [weekday]}},
        {"id": "block", "type": "block", "channel": "email"},
    )  # fmt: skip
    async with engine.skipping():
        await engine.event("go_night")
    return await over(engine, engine.id("night"))


async def cancelled_in_a_wait(engine: Engine) -> str:
    """A stop while the instance sleeps."""
    await publish(engine, "stopped", {"id": "rest", "type": "wait", "for": "30 days"})
    await engine.event("go_stopped")
    instance = engine.id("stopped")
    await engine.in_state(instance, "waiting")
    await engine.event("stop_stopped")
    return await over(engine, instance, "stopped")


async def cancelled_in_a_hold(engine: Engine) -> str:
    """A stop while the instance is held."""
    await publish(engine, "stopped-held", {"id": "mail", "type": "send_email", "template": "none"})
    await engine.event("go_stopped-held")
    instance = engine.id("stopped-held")
    await engine.in_state(instance, "holding")
    await engine.event("stop_stopped-held")
    return await over(engine, instance, "stopped")


async def started_by_hand(engine: Engine) -> str:
    """The plain Temporal CLI's start, which `begin` admits and labels."""
    await meet(engine)
    await publish(engine, "by-hand", {"id": "tag", "type": "add_tag", "tag": "hand"})
    return await start_by_hand(engine, "by-hand-1", {"process": "by-hand", "contact": "22222"})


async def refused_by_hand(engine: Engine) -> str:
    """The same with an input that is none: the workflow fails and says why."""
    return await start_by_hand(engine, "by-hand-2", {"proces": "by-hand"})


async def skipped(engine: Engine) -> str:
    """A person skips a wait, then a step that holds."""
    instance = await greeted(engine, "skipped", {"id": "broken", "type": "send_email", "template": "none"})
    await update(engine, instance, "skip")
    await holding_at(engine, instance, "broken")
    await update(engine, instance, "skip")
    return await over(engine, instance)


async def skipped_wait(engine: Engine) -> str:
    """A person ends a wait; a wish that makes no sense is refused by the activity before."""
    instance = await greeted(engine, "skipped-wait")
    await refused(engine, instance, "move", to="nowhere")
    await update(engine, instance, "skip_wait")
    return await over(engine, instance)


async def moved(engine: Engine) -> str:
    """A person moves an instance back to its first step, and then over the wait."""
    instance = await greeted(engine, "moved")
    await update(engine, instance, "move", to="hello")
    await waiting_at(engine, instance, "rest")
    await update(engine, instance, "move", to="tag")
    return await over(engine, instance)


async def resent(engine: Engine) -> str:
    """A person has a message sent again, and stops the instance."""
    instance = await greeted(engine, "resent")
    await update(engine, instance, "resend", step="hello")
    await engine.event("stop_resent")
    return await over(engine, instance, "stopped")


async def continued_as_new(engine: Engine) -> str:
    """A loop that outgrows one history; asks for the server that suggests it early."""
    await meet(engine)
    await add_tag(engine, "going")
    await engine.publish(
        {
            "key": "long", "name": "Long", "recurrence": "once", "triggers": [{"type": "event", "event": "go_long"}],
            "steps": [
                {"id": "day", "type": "wait", "for": "1 day", "next": "note"},
                {"id": "note", "type": "add_note", "text": "another day", "next": "ask"},
                {
                    "id": "ask", "type": "condition", "else": "day",
                    "branches": [{"when": {"contact": "created_at", "before": "now-9d"}}],
                },
            ],
        }
    )  # fmt: skip
    async with engine.skipping():
        await engine.event("go_long")
    return await over(engine, engine.id("long"))


JOURNEYS: list[Callable[[Engine], Awaitable[str]]] = [
    welcome, order_confirmation, abandoned_cart, click_followup, every_kind, every_channel, held_and_released,
    edited, held_by_a_window,
    cancelled_in_a_wait, cancelled_in_a_hold, started_by_hand, refused_by_hand,
    skipped, skipped_wait, moved, resent, held_and_marked,
]  # fmt: skip


async def set_up(engine: Engine, example: str) -> None:
    """Make what an example brings, and publish its process."""
    document = yaml.safe_load((EXAMPLES / f"{example}.yaml").read_text())
    for key in document.get("lists", {}):
        await engine.make_list(key)
    for key, segment in document.get("segments", {}).items():
        await make_segment(engine, key, segment.get("rule"))
    for key, template in document.get("templates", {}).items():
        await engine.template(key, **{name: value for name, value in template.items() if name != "name"})
    await engine.publish(document["process"])


async def publish(engine: Engine, key: str, *steps: dict[str, Any]) -> None:
    """A process of these steps in a row, with an event that starts it and one that stops it."""
    triggers = [
        {"type": "event", "event": f"go_{key}"},
        {"type": "event", "event": f"stop_{key}", "does": "stop"},
    ]
    await engine.publish(
        {"key": key, "name": key, "recurrence": "once", "triggers": triggers, "steps": in_a_row(*steps)}
    )


async def greeted(engine: Engine, key: str, *after: dict[str, Any]) -> str:
    """An instance that waits after its first message."""
    await engine.template("hello")
    await publish(
        engine, key,
        {"id": "hello", "type": "send_email", "template": "hello"}, {"id": "rest", "type": "wait", "for": "30 days"},
        *after, {"id": "tag", "type": "add_tag", "tag": "x"},
    )  # fmt: skip
    await engine.event(f"go_{key}")
    await waiting_at(engine, engine.id(key), "rest")
    return engine.id(key)


async def update(engine: Engine, instance: str, name: str, **wish: Any) -> None:
    """What a person does with one instance."""
    handle = engine.services.client.get_workflow_handle(instance)
    await handle.execute_update(name, wish)


async def refused(engine: Engine, instance: str, name: str, **wish: Any) -> None:
    """The same, where the answer is a reason."""
    try:
        await update(engine, instance, name, **wish)
    except WorkflowUpdateFailedError:
        return
    raise AssertionError(f"{name} was not refused")


async def start_by_hand(engine: Engine, workflow_id: str, request: Any) -> str:
    """Start a workflow past the API, and wait for its end."""
    queue = engine.services.settings.temporal_task_queue
    await engine.services.client.start_workflow(WORKFLOW, request, id=workflow_id, task_queue=queue)
    return await closed(engine, workflow_id)


async def over(engine: Engine, instance: str, outcome: str = "completed") -> str:
    """The instance, once its row and its workflow have ended."""
    await engine.ended(instance, outcome)
    return await closed(engine, instance)


async def closed(engine: Engine, workflow_id: str) -> str:
    """The workflow, once it is closed."""

    async def is_closed() -> bool:
        description = await engine.services.client.get_workflow_handle(workflow_id).describe()
        return description.close_time is not None

    await eventually(is_closed)
    return workflow_id


async def at(engine: Engine, instance: str, step: str) -> bool:
    """Whether the instance waits at a step."""
    row = await engine.instance(instance)
    return (row.state, row.step) == ("waiting", step)


async def write(engine: Engine, name: str, workflow_id: str) -> None:
    """Write the history of each run of a workflow."""
    client = engine.services.client
    runs = [run async for run in client.list_workflows(f"WorkflowId = '{workflow_id}'")]
    runs.sort(key=lambda run: run.start_time)
    for number, run in enumerate(runs, 1):
        handle = client.get_workflow_handle(workflow_id, run_id=run.run_id)
        history = json.loads((await handle.fetch_history()).to_json())
        text = IDENTITY.sub('"recorder"', json.dumps({"workflowId": workflow_id, **history}, indent=1))
        text = STACK_TRACE.sub('"stackTrace": ""', text)
        suffix = "" if len(runs) == 1 else f"-run-{number}"
        path = HISTORIES / f"{name}{suffix}.json"
        await asyncio.to_thread(path.write_text, text + "\n")


async def record(names: Sequence[str] = ()) -> None:
    """Record all, or those with these names, each journey on an engine of its own."""
    for journey in JOURNEYS:
        if not names or journey.__name__ in names:
            async with engine_of_its_own(mark_holds=journey is held_and_marked) as engine:
                await finish(engine, journey)
    if names and continued_as_new.__name__ not in names:
        return
    async with engine_of_its_own(limit__historyCount__suggestContinueAsNew=str(FEW_EVENTS)) as engine:
        await finish(engine, continued_as_new)


async def finish(engine: Engine, journey: Callable[[Engine], Awaitable[str]]) -> None:
    """Live through a journey and write it down."""
    workflow_id = await journey(engine)

    async def is_listed() -> bool:
        found = await engine.services.client.count_workflows(
            f"WorkflowId = '{workflow_id}' AND ExecutionStatus != 'Running'"
        )
        return found.count > 0

    await eventually(is_listed)
    name = journey.__name__.replace("_", "-")
    await write(engine, name, workflow_id)
    print(name)  # noqa: T201
    assert workflow_id.startswith("by-hand") or await contact(engine)


if __name__ == "__main__":
    asyncio.run(record(sys.argv[1:]))
