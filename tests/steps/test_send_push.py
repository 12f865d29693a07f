"""send_push: every browser of the contact is told, each once, however often the step is tried."""

from collections.abc import AsyncIterator
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from pydantic import SecretStr

from channels.push import new_keys
from runtime import connect_services
from settings import Settings
from store import endpoints, rows
from store.consents import set_consent
from tests.support.engine import Engine
from tests.support.http_server import Reply
from tests.support.people import contact, meet, messages, release
from tests.support.push_server import PushServer, Subscriber
from tests.support.sending import (
    claimed_by_a_worker_that_died,
    is_held_by_a_pause_and_sent_once_after_it,
    is_not_sent_to_a_deleted_contact,
    is_recorded_as_sent_where_a_stop_comes_in_the_middle,
)
from tests.support.validating import problems_of_step
from tests.support.visits import again, at_rest, pass_through, repeat_answers_the_same, send_through, visited
from tests.support.waiting import eventually

PRIVATE, PUBLIC = new_keys()
PUSH: dict[str, Any] = {"id": "push", "type": "send_push", "title": "Hi {{ contact.name }}", "body": "Sale!"}
TAG = {"id": "tag", "type": "add_tag", "tag": "went-on"}
AWAY = Reply("503 Service Unavailable")
LATER = Reply("503 Service Unavailable", {"retry-after": "30"})
ON_SQLITE = pytest.mark.parametrize("database_url", ["sqlite"], indirect=True)
"""For what does not lie with the database."""


@pytest.fixture
async def server() -> AsyncIterator[PushServer]:
    async with PushServer() as server:
        yield server


@pytest.fixture
def settings(settings: Settings) -> Settings:
    changed = {
        "push_private_key": SecretStr(PRIVATE),
        "push_subject": "mailto:push@shop.example.com",
        "provider_timeout": 5,
    }
    return settings.model_copy(update=changed)


async def subscribed(engine: Engine, server: PushServer, count: int = 1) -> list[Subscriber]:
    """The contact, with so many browsers."""
    await meet(engine, fields={"name": "Žofie"})
    return [await another_browser(engine, server) for _ in range(count)]


async def another_browser(engine: Engine, server: PushServer, site_key: str = PUBLIC) -> Subscriber:
    subscriber = server.subscribe(site_key)
    person = await contact(engine)
    async with engine.services.database.write() as connection:
        await endpoints.put(
            connection,
            person.id,
            "push",
            server.endpoint(subscriber),
            subscriber.details,
            datetime.now(UTC) + timedelta(microseconds=len(subscriber.name)),
        )
    return subscriber


async def states(engine: Engine) -> dict[str, str]:
    """The state of each of the contact's browsers, by the end of its address."""
    found = await engine.rows(rows.endpoints, rows.endpoints.c.channel == "push")
    return {row.address.rsplit("/", 1)[1]: row.state for row in found}


async def the_message(engine: Engine, instance: str) -> Any:
    (message,) = await messages(engine, instance)
    return message


async def test_every_browser_gets_the_notification_and_its_tag_is_the_message(
    engine: Engine, server: PushServer
) -> None:
    await subscribed(engine, server, 2)
    step = {**PUSH, "url": "https://shop.example.com/{{ contact.name }}", "ttl": "2h"}
    instance = await pass_through(engine, {**step, "icon": "https://shop.example.com/i.png"})
    message = await the_message(engine, instance)
    payload = {
        "title": "Hi Žofie",
        "body": "Sale!",
        "url": "https://shop.example.com/Žofie",
        "icon": "https://shop.example.com/i.png",
        "tag": message.id,
    }
    assert sorted(taken["to"] for taken in server.taken) == ["b1", "b2"]
    for taken in server.taken:
        assert (taken["payload"], taken["topic"]) == (payload, message.id)
        assert 7190 <= int(taken["ttl"]) <= 7200
    assert (message.channel, message.state, message.recipient) == ("push", "sent", "2 browsers")
    assert message.subject == "Hi Žofie"
    assert (await visited(engine, instance, "push")).result == {
        "message": message.id,
        "state": "sent",
        "title": "Hi Žofie",
        "browsers": {"sent": 2},
    }


async def test_a_browser_that_has_it_does_not_get_it_again_when_another_is_tried_again(
    engine: Engine, server: PushServer
) -> None:
    first, second = await subscribed(engine, server, 2)
    second.answers = [AWAY, AWAY]
    instance = await pass_through(engine, PUSH)
    assert (len(first.received), len(second.received)) == (1, 1)
    message = await the_message(engine, instance)
    assert (message.state, message.attempts) == ("sent", 3)
    assert (await visited(engine, instance, "push")).result["browsers"] == {"sent": 2}


@ON_SQLITE
async def test_it_is_tried_again_no_sooner_than_the_push_service_says(
    engine: Engine, server: PushServer
) -> None:
    (browser,) = await subscribed(engine, server)
    browser.answers = [Reply("429 Too Many Requests", {"retry-after": "2"})]
    await pass_through(engine, PUSH)
    first, second = server.requests
    assert second.at - first.at >= 2
    assert len(browser.received) == 1


async def test_a_subscription_that_is_no_more_gets_nothing_any_more(
    engine: Engine, server: PushServer
) -> None:
    _, gone = await subscribed(engine, server, 2)
    gone.is_gone = True
    instance = await pass_through(engine, PUSH, {**PUSH, "id": "again"})
    assert await states(engine) == {"b1": "ok", "b2": "gone"}
    assert [request.line for request in server.requests].count("POST /push/b2 HTTP/1.1") == 1
    results = [(await visited(engine, instance, step)).result["browsers"] for step in ("push", "again")]
    assert results == [{"gone": 1, "sent": 1}, {"sent": 1}]


async def test_where_no_browser_takes_it_it_is_refused_and_the_contact_goes_on(
    engine: Engine, server: PushServer
) -> None:
    gone, refusing = await subscribed(engine, server, 2)
    gone.is_gone = True
    refusing.answers = [Reply("400 Bad Request", body=b"errno 110")]
    instance = await pass_through(engine, PUSH, TAG)
    message = await the_message(engine, instance)
    assert message.state == "refused"
    assert "no browser took it (1 gone, 1 refused)" in message.detail
    assert "errno 110" in message.detail
    assert await states(engine) == {"b1": "gone", "b2": "ok"}
    assert (await visited(engine, instance, "tag")).result["added"]


@ON_SQLITE
async def test_an_address_that_is_not_public_is_not_asked_not_called_gone_and_holds_nobody(
    settings: Settings, server: PushServer
) -> None:
    changed = settings.model_copy(update={"webhook_allow_private": False})
    services = await connect_services(changed, lazy=False)
    try:
        async with Engine.running(services) as engine:
            await subscribed(engine, server)
            instance = await pass_through(engine, PUSH)
            assert (await the_message(engine, instance)).state == "refused"
            assert await states(engine) == {"b1": "ok"}
            assert server.requests == []
    finally:
        await services.close()


async def test_where_no_push_service_takes_our_key_it_holds_until_a_release(
    engine: Engine, server: PushServer
) -> None:
    await meet(engine)
    browser = await another_browser(engine, server, new_keys()[1])
    instance = await send_through(engine, PUSH)
    row = await engine.in_state(instance, "holding")
    assert row.reason.startswith("failed: the push service does not take our key: 403 Forbidden")
    browser.site_key = PUBLIC
    await release(engine, instance)
    await at_rest(engine, instance)
    assert len(browser.received) == 1


@ON_SQLITE
async def test_a_browser_of_an_earlier_key_holds_nobody_who_has_another(
    engine: Engine, server: PushServer
) -> None:
    await subscribed(engine, server)
    await another_browser(engine, server, new_keys()[1])
    instance = await pass_through(engine, PUSH)
    assert (await visited(engine, instance, "push")).result["browsers"] == {"refused": 1, "sent": 1}


async def told_but_one(engine: Engine, server: PushServer, **more: Any) -> tuple[str, Subscriber]:
    """An instance whose second browser is to be tried again in a while; the first one, which was told."""
    first, second = await subscribed(engine, server, 2)
    second.answers = [LATER, LATER]
    instance = await send_through(engine, {**PUSH, **more})

    async def is_put_off() -> bool:
        return [m.state for m in await messages(engine, instance)] == ["retrying"]

    await eventually(is_put_off)
    return instance, first


@ON_SQLITE
async def test_a_push_service_that_never_answers_is_given_up_when_the_notification_is_too_late(
    engine: Engine, server: PushServer
) -> None:
    instance, first = await told_but_one(engine, server, ttl="1 minute")
    now = datetime.now(UTC)
    await again(engine, instance, "push", scheduled_time=now - timedelta(minutes=2), started_time=now)
    assert (await visited(engine, instance, "push")).result["browsers"] == {"late": 1, "sent": 1}
    assert len(first.received) == 1


@ON_SQLITE
async def test_who_wants_no_more_between_two_tries_is_told_in_no_other_browser(
    engine: Engine, server: PushServer
) -> None:
    instance, _ = await told_but_one(engine, server)
    await refuse(engine)
    await again(engine, instance, "push")
    assert (await visited(engine, instance, "push")).result["browsers"] == {"sent": 1, "unwanted": 1}
    assert (await the_message(engine, instance)).state == "sent"
    assert len(server.requests) == 2


@ON_SQLITE
async def test_a_window_that_closes_between_two_tries_forgets_nobody_who_has_it(
    engine: Engine, server: PushServer
) -> None:
    now = datetime.now(UTC)
    hours = {
        "from": f"{now - timedelta(hours=1):%H:%M}",
        "to": f"{now + timedelta(hours=1):%H:%M}",
        "zone": "UTC",
    }
    instance, first = await told_but_one(engine, server, window=hours)
    await again(engine, instance, "push", scheduled_time=now, started_time=now + timedelta(hours=2))
    so_far = (await visited(engine, instance, "push")).result
    assert [held["by"] for held in so_far["held"]] == ["the delivery window"]
    assert list(so_far["browsers_so_far"].values()) == ["sent"]
    assert (len(first.received), len(server.requests)) == (1, 2)


async def refuse(engine: Engine) -> None:
    """The contact wants no marketing by push."""
    person = await contact(engine)
    async with engine.services.database.write() as connection:
        now = datetime.now(UTC)
        await set_consent(connection, person.id, "push", granted=False, now=now, source="a test")


async def test_after_a_worker_that_died_a_browser_shows_one_notification(
    engine: Engine, server: PushServer
) -> None:
    (browser,) = await subscribed(engine, server)
    own_id = await claimed_by_a_worker_that_died(engine, PUSH, "push")
    browser.received.append({"tag": own_id, "title": "of the worker that died"})
    instance = await pass_through(engine, PUSH)
    assert list(browser.shown) == [own_id]
    assert (await the_message(engine, instance)).state == "sent"


async def test_a_repeated_activity_tells_nobody_again(engine: Engine, server: PushServer) -> None:
    (browser,) = await subscribed(engine, server)
    instance = await pass_through(engine, PUSH)
    await repeat_answers_the_same(engine, instance, "push")
    assert len(browser.received) == 1


async def test_who_has_no_browser_or_wants_none_is_skipped_with_the_reason_and_goes_on(
    engine: Engine, server: PushServer
) -> None:
    await meet(engine)
    nobody = await pass_through(engine, PUSH, TAG, process="first")
    await another_browser(engine, server)
    await refuse(engine)
    unwanted = await pass_through(engine, PUSH, process="second")
    untitled = await pass_through(
        engine, {**PUSH, "title": "{{ contact.none }}"}, process="third", purpose="transactional"
    )
    found = [(await the_message(engine, instance)) for instance in (nobody, unwanted, untitled)]
    assert [(message.state, message.detail) for message in found] == [
        ("skipped", "the contact has allowed push in no browser"),
        ("skipped", "the contact wants no marketing by push"),
        ("skipped", "the title is empty for this contact"),
    ]
    assert server.requests == []
    await pass_through(engine, PUSH, process="fourth", purpose="transactional")
    assert len(server.taken) == 1


@ON_SQLITE
async def test_an_address_to_open_that_is_a_script_holds(engine: Engine, server: PushServer) -> None:
    await subscribed(engine, server)
    instance = await send_through(engine, {**PUSH, "url": "{{ 'javascript:' }}alert(1)"})
    row = await engine.in_state(instance, "holding")
    assert "'javascript:alert(1)' is neither http nor https" in row.reason
    assert server.requests == []


async def test_it_is_held_by_a_pause_and_sent_once_after_it(engine: Engine, server: PushServer) -> None:
    await subscribed(engine, server)
    await is_held_by_a_pause_and_sent_once_after_it(engine, PUSH, server)


async def test_it_is_not_sent_to_a_contact_deleted_before_it(engine: Engine, server: PushServer) -> None:
    await subscribed(engine, server)
    await is_not_sent_to_a_deleted_contact(engine, PUSH, server)


async def test_it_is_recorded_as_sent_where_a_stop_comes_in_the_middle(
    engine: Engine, server: PushServer
) -> None:
    await subscribed(engine, server)
    await is_recorded_as_sent_where_a_stop_comes_in_the_middle(engine, PUSH, server)


@ON_SQLITE
async def test_without_a_key_it_holds_and_names_the_setting(settings: Settings) -> None:
    services = await connect_services(settings.model_copy(update={"push_private_key": None}), lazy=False)
    try:
        async with Engine.running(services) as engine:
            instance = await send_through(engine, PUSH)
            row = await engine.in_state(instance, "holding")
            assert row.reason == "failed: the channel «push» is not configured: set ONWARD_PUSH_PRIVATE_KEY"
    finally:
        await services.close()


@pytest.mark.parametrize(
    ("more", "pointer", "message"),
    [
        (
            {"ttl": "30s"},
            "/steps/0/ttl",
            "is 30 seconds; a push service keeps a notification for 1 minute to",
        ),
        ({"ttl": "2 months"}, "/steps/0/ttl", "is 2 months; a push service keeps a notification for"),
        ({"title": ""}, "/steps/0/title", "at least 1 character"),
        ({"icon": "javascript:alert(1)"}, "/steps/0/icon", "is not a URL with http:// or https://"),
        ({"sound": "ping"}, "/steps/0/sound", "unknown field"),
    ],
)
def test_a_wrong_field_is_named(more: dict[str, Any], pointer: str, message: str) -> None:
    (problem,) = problems_of_step({**PUSH, **more})
    assert problem.pointer == pointer
    assert message in problem.message


def test_a_channel_without_its_setting_and_texts_that_do_not_render_keep_it_from_being_published() -> None:
    step = {**PUSH, "title": "{{", "body": "{{", "url": "{{"}
    found = problems_of_step(step, channels={"push": "ONWARD_PUSH_SUBJECT"})
    assert [(problem.pointer, problem.message) for problem in found] == [
        ("/steps/0/type", "the channel «push» is not configured: set ONWARD_PUSH_SUBJECT"),
        ("/steps/0/title", "the text does not render: no"),
        ("/steps/0/body", "the text does not render: no"),
        ("/steps/0/url", "the text does not render: no"),
    ]
