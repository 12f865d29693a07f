"""webhook: the contact, the event and the step, posted and signed; told by its status what comes next."""

import asyncio
from collections.abc import AsyncIterator
from datetime import datetime

import pytest
from pydantic import SecretStr
from standardwebhooks.webhooks import Webhook, WebhookVerificationError

from runtime import connect_services
from settings import Settings
from store import rows
from tests.support.by_hand import delete_contact
from tests.support.engine import Engine
from tests.support.http_server import RecordingHttpServer, Reply
from tests.support.people import change_contact, contact, meet, messages, release, tags
from tests.support.visits import at_rest, pass_through, repeat_answers_the_same, send_through, visited
from tests.support.waiting import eventually

SECRET = "whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw"


@pytest.fixture
async def receiver() -> AsyncIterator[RecordingHttpServer]:
    async with RecordingHttpServer.running() as receiver:
        yield receiver


def call(receiver: RecordingHttpServer, **more: object) -> dict[str, object]:
    return {"id": "call", "type": "webhook", "url": receiver.url, **more}


async def test_the_receiver_gets_contact_event_process_and_the_steps_own_data(
    engine: Engine, receiver: RecordingHttpServer
) -> None:
    instance = await pass_through(
        engine,
        call(receiver, data={"text": "{{ contact.name }} bought {{ event.params.what }}", "n": 3}),
        contact_extra={"fields": {"name": "Jana"}, "language": "cs"},
        params={"what": "tea"},
        event_key="K1",
    )
    (request,) = receiver.requests
    assert request.line == "POST /hook HTTP/1.1"
    body = request.json
    assert body["type"] == "process.step"
    data = body["data"]
    assert (data["text"], data["n"]) == ("Jana bought tea", 3)
    assert (data["instance"], data["step"], data["process"]["key"]) == (instance, "call", "journey")
    assert data["contact"] == {
        "name": "Jana", "id": engine.contact, "email": engine.address, "phone": None, "language": "cs",
        "time_zone": "UTC",
    }  # fmt: skip
    event = data["event"]
    assert (event["type"], event["key"], event["params"]) == ("go_journey", "K1", {"what": "tea"})
    visit = await visited(engine, instance, "call")
    assert datetime.fromisoformat(body["timestamp"]) == visit.at
    (message,) = await messages(engine, instance)
    assert (message.channel, message.state, message.recipient) == ("webhook", "sent", receiver.url)
    assert visit.result == {"message": message.id, "state": "sent", "status": 200}


async def test_it_is_signed_with_the_steps_secret_and_names_the_message(
    engine: Engine, receiver: RecordingHttpServer
) -> None:
    instance = await pass_through(engine, call(receiver, secret=SECRET))
    (request,) = receiver.requests
    Webhook(SECRET).verify(request.body.decode(), request.headers)
    with pytest.raises(WebhookVerificationError):
        Webhook("whsec_AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA").verify(request.body.decode(), request.headers)
    (message,) = await messages(engine, instance)
    assert request.headers["webhook-id"] == message.id


async def test_without_one_it_is_signed_with_the_settings_secret_and_with_those_before_it(
    settings: Settings, receiver: RecordingHttpServer
) -> None:
    before, now = SecretStr("whsec_b2xkIHNlY3JldA=="), SecretStr("whsec_bmV3IHNlY3JldA==")
    secrets = {"webhook_secret": now, "webhook_secrets_previous": (before,)}
    services = await connect_services(settings.model_copy(update=secrets), lazy=False)
    try:
        async with Engine.running(services) as engine:
            await pass_through(engine, call(receiver))
    finally:
        await services.close()
    (request,) = receiver.requests
    for secret in (now, before):
        Webhook(secret.get_secret_value()).verify(request.body.decode(), request.headers)


async def test_503_is_tried_again_no_sooner_than_retry_after_says_and_with_the_same_id(
    engine: Engine, receiver: RecordingHttpServer
) -> None:
    receiver.replies = [Reply("503 Service Unavailable", {"retry-after": "2"}), Reply()]
    instance = await pass_through(engine, call(receiver))
    first, second = receiver.requests
    assert second.at - first.at >= 2
    assert first.headers["webhook-id"] == second.headers["webhook-id"]
    (message,) = await messages(engine, instance)
    assert (message.state, message.attempts) == ("sent", 2)


async def test_a_refused_webhook_is_recorded_and_the_contact_goes_on(
    engine: Engine, receiver: RecordingHttpServer
) -> None:
    receiver.replies = [Reply("410 Gone", body=b"no such\x00hook")]
    instance = await pass_through(engine, call(receiver), {"id": "tag", "type": "add_tag", "tag": "called"})
    assert len(receiver.requests) == 1
    assert await tags(engine) == ["called"]
    result = (await visited(engine, instance, "call")).result
    assert result["state"] == "refused"
    assert "410 Gone no such\ufffdhook" in result["detail"]


async def test_a_refused_webhook_holds_where_the_step_says_so_and_is_sent_after_a_release(
    engine: Engine, receiver: RecordingHttpServer
) -> None:
    receiver.replies = [Reply("401 Unauthorized"), Reply()]
    instance = await send_through(engine, call(receiver, if_refused="hold"))
    row = await engine.in_state(instance, "holding")
    assert "401" in row.reason
    await release(engine, instance)
    await at_rest(engine, instance)
    assert len(receiver.requests) == 2
    assert [m.state for m in await messages(engine, instance)] == ["sent"]


async def test_the_reply_sets_fields_where_the_step_wants_that(
    engine: Engine, receiver: RecordingHttpServer
) -> None:
    receiver.replies = [Reply(body=b'{"fields": {"score": 7, "tier": "gold"}, "other": 1}')]
    extra = {"fields": {"name": "Jana", "score": 1}}
    instance = await pass_through(engine, call(receiver, set_fields=True), contact_extra=extra)
    assert (await contact(engine)).fields == {"name": "Jana", "score": 7, "tier": "gold"}
    assert (await visited(engine, instance, "call")).result["fields"] == {"score": 7, "tier": "gold"}


async def test_a_reply_that_comes_after_the_contact_was_deleted_is_kept_nowhere(
    engine: Engine, receiver: RecordingHttpServer
) -> None:
    receiver.answer_when = asyncio.Event()
    receiver.replies = [Reply(body=b'{"fields": {"name": "Jana"}}')]
    instance = await send_through(engine, call(receiver, set_fields=True))

    async def has_come() -> bool:
        return bool(receiver.requests)

    await eventually(has_come)
    person = await contact(engine)
    await delete_contact(engine)
    receiver.answer_when.set()

    async def is_closed() -> bool:
        return [message.state for message in await messages(engine, instance)] == ["sent"]

    await eventually(is_closed)
    (row,) = await engine.rows(rows.contacts, rows.contacts.c.id == person.id)
    assert row.fields == {}
    assert (await engine.instance(instance)).state == "stopping"


async def test_the_reply_sets_nothing_where_the_step_does_not_want_that(
    engine: Engine, receiver: RecordingHttpServer
) -> None:
    receiver.replies = [Reply(body=b'{"fields": {"score": 7}}')]
    await pass_through(engine, call(receiver), contact_extra={"fields": {"score": 1}})
    assert (await contact(engine)).fields == {"score": 1}


@pytest.mark.parametrize(
    "fields", [b'{"bad name": 1}', b'{"a": "\\u0000"}', b'{"a": 123456789012345678901234567890}']
)
async def test_a_reply_with_fields_that_cannot_be_kept_loses_nobody(
    engine: Engine, receiver: RecordingHttpServer, fields: bytes
) -> None:
    receiver.replies = [Reply(body=b'{"fields": ' + fields[:-1] + b', "good": 1}}')]
    await meet(engine, fields={"name": "Jana"})
    instance = await pass_through(engine, call(receiver, set_fields=True))
    assert (await contact(engine)).fields == {"name": "Jana", "good": 1}
    assert len((await visited(engine, instance, "call")).result["fields_refused"]) == 1
    assert len(receiver.requests) == 1
    assert [m.state for m in await messages(engine, instance)] == ["sent"]


async def test_a_private_address_is_refused_and_holds(
    settings: Settings, receiver: RecordingHttpServer
) -> None:
    services = await connect_services(
        settings.model_copy(update={"webhook_allow_private": False}), lazy=False
    )
    try:
        async with Engine.running(services) as engine:
            instance = await send_through(engine, call(receiver))
            row = await engine.in_state(instance, "holding")
            assert "127.0.0.1 is not a public address" in row.reason
            assert receiver.requests == []
            assert [m.state for m in await messages(engine, instance)] == ["retrying"]
    finally:
        await services.close()


async def test_a_repeated_activity_posts_once_and_sets_fields_once(
    engine: Engine, receiver: RecordingHttpServer
) -> None:
    receiver.replies = [Reply(body=b'{"fields": {"score": 7}}')]
    instance = await pass_through(engine, call(receiver, set_fields=True))
    await change_contact(engine, fields={"score": 8})
    await repeat_answers_the_same(engine, instance, "call")
    assert len(receiver.requests) == 1
    assert (await contact(engine)).fields == {"score": 8}
