"""Each recipe, played to its end in skipped time: who enters it gets what its first lines promise, and no more."""

from datetime import UTC, datetime, timedelta
from itertools import count
from typing import Any
from zoneinfo import ZoneInfo

import yaml

from console.recipes import recipes, written
from intake.scans import Scans
from intake.tracking import Link, Request, Tracking
from processes.scanning import ScanCall
from tests.support.engine import Engine
from tests.support.people import make_segment, meet, messages, subscribe, tags
from tests.support.smtp_server import RecordingSmtpServer
from tests.support.visits import instances_of, pass_through

PRAGUE = ZoneInfo("Europe/Prague")
CART = {"items": [{"name": "Teapot", "price": 39}], "currency": "EUR"}
ORDER = {"orderNumber": "1001", "currency": "EUR", "items": [{"name": "Tea", "quantity": 2, "price": 6.5}]}
ONLY_A_JOURNEY_OF_THIS_MODULE = {
    "abandoned-cart", "birthday", "click-followup", "date-reminder", "order-confirmation", "welcome", "win-back",
}  # fmt: skip


async def put(engine: Engine, recipe: str) -> None:
    """Everything that a recipe brings, its process published."""
    bundle: dict[str, Any] = yaml.safe_load(written(recipe, recipe, None, "recipe.yaml"))
    for key in bundle.get("lists", {}):
        await engine.make_list(key)
    for key, segment in bundle.get("segments", {}).items():
        await make_segment(engine, key, segment["rule"])
    for key, template in bundle["templates"].items():
        await engine.template(key, **{name: value for name, value in template.items() if name != "name"})
    await engine.publish(bundle["process"])


async def scan(engine: Engine, process: str, until: datetime) -> None:
    """Look for whom a date or a day has come, up to a moment."""
    parts = engine.services
    scans = Scans(parts.database, parts.catalog, parts.admission, parts.dispatcher)
    progress = await scans.look(ScanCall(process=process, until=until), lambda _: None)
    assert progress.done


def next_local(hour: int) -> datetime:
    """The next time that the clocks of Prague show this hour."""
    now = datetime.now(PRAGUE)
    moment = now.replace(hour=hour, minute=0, second=0, microsecond=0)
    return (moment if moment > now else moment + timedelta(days=1)).astimezone(UTC)


def subjects(engine: Engine, smtp: RecordingSmtpServer) -> list[str]:
    return [mail.subject for mail in smtp.messages_to(engine.address)]


def test_every_recipe_is_played_here() -> None:
    assert recipes().keys() == ONLY_A_JOURNEY_OF_THIS_MODULE


async def test_welcome(engine: Engine, smtp: RecordingSmtpServer) -> None:
    await put(engine, "welcome")
    await meet(engine, fields={"first_name": "Jane"})
    async with engine.skipping():
        await subscribe(engine, "newsletter")
    await engine.ended(engine.id("welcome"))
    assert subjects(engine, smtp) == [
        "Welcome, Jane", "Three ways to better tea", "Ten percent off your first order",
    ]  # fmt: skip
    hello, tips, offer = await messages(engine, engine.id("welcome"))
    assert tips.claimed_at - hello.claimed_at >= timedelta(days=2)
    assert offer.claimed_at - tips.claimed_at >= timedelta(days=3)


async def test_abandoned_cart(engine: Engine, smtp: RecordingSmtpServer) -> None:
    await put(engine, "abandoned-cart")
    async with engine.skipping():
        (decision,) = (await engine.event("cart_abandoned", params=CART)).decisions
    assert decision.instance is not None
    await engine.ended(decision.instance)
    assert subjects(engine, smtp) == ["Still in your cart: Teapot", "We keep your cart one more day"]


async def test_order_confirmation(engine: Engine, smtp: RecordingSmtpServer) -> None:
    await put(engine, "order-confirmation")
    async with engine.skipping():
        (decision,) = (await engine.event("order_created", key="1001", params=ORDER)).decisions
    assert decision.instance is not None
    await engine.ended(decision.instance)
    assert subjects(engine, smtp) == ["Your order 1001"]
    assert await tags(engine) == ["customer"]


async def test_click_followup(engine: Engine, smtp: RecordingSmtpServer) -> None:
    parts = engine.services
    await put(engine, "click-followup")
    await engine.template("offers", "Offers")
    offers = {"id": "offers", "type": "send_email", "template": "offers"}
    instance = await pass_through(engine, offers)
    (message,) = await messages(engine, instance)
    minutes = count(5)
    tracking = Tracking(
        parts.database,
        parts.admission,
        parts.changes,
        parts.dispatcher,
        clock=lambda: message.closed_at + timedelta(minutes=next(minutes)),
    )
    request = Request(message.id, message.contact_id, "offers")
    async with engine.skipping():
        await tracking.clicked(request, Link("https://shop.example.com/about"))
        await tracking.clicked(request, Link("https://shop.example.com/learn-more?tea=green"))
        await tracking.close()
    (followup,) = await instances_of(engine, "click-followup")
    await engine.ended(followup)
    assert subjects(engine, smtp) == ["Offers", "More about our offer"]
    assert await tags(engine) == ["opened-offer"]


async def test_birthday(engine: Engine, smtp: RecordingSmtpServer) -> None:
    await put(engine, "birthday")
    moment = next_local(9)
    await meet(engine, fields={"birthday": f"1990-{moment.astimezone(PRAGUE):%m-%d}"})
    async with engine.skipping():
        await scan(engine, "birthday", moment)
        await scan(engine, "birthday", moment)
    (instance,) = await instances_of(engine, "birthday")
    await engine.ended(instance)
    assert subjects(engine, smtp) == ["Happy birthday", "Your present still waits"]
    present, reminder = await messages(engine, instance)
    assert reminder.claimed_at - present.claimed_at >= timedelta(days=10)


async def test_date_reminder(engine: Engine, smtp: RecordingSmtpServer) -> None:
    await put(engine, "date-reminder")
    moment = next_local(10)
    ends = moment.astimezone(PRAGUE).date() + timedelta(days=21)
    await meet(engine, fields={"subscription_ends": ends.isoformat()})
    async with engine.skipping():
        await scan(engine, "date-reminder", moment)
    (instance,) = await instances_of(engine, "date-reminder")
    await engine.ended(instance)
    assert subjects(engine, smtp) == [
        "Your tea subscription ends soon", "Three days left of your tea subscription",
    ]  # fmt: skip


async def test_win_back(engine: Engine, smtp: RecordingSmtpServer) -> None:
    await put(engine, "win-back")
    await meet(engine)
    long_ago = datetime.now(UTC) - timedelta(days=100)
    await engine.event("order_created", occurred_at=long_ago, params=ORDER)
    await engine.event("order_created", engine.contact + "0", params=ORDER)
    async with engine.skipping():
        await scan(engine, "win-back", next_local(11))
    (instance,) = await instances_of(engine, "win-back")
    await engine.ended(instance)
    assert subjects(engine, smtp) == [
        "Hello, it has been a while", "Fifteen percent, for you and this week",
    ]  # fmt: skip
    assert await tags(engine) == ["lost-customer"]
