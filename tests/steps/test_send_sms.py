"""send_sms: the text to the contact's number, once; what the provider says is recorded, and a dead number kept out."""

from collections.abc import AsyncIterator
from datetime import UTC, datetime
from typing import Any

import pytest
from pydantic import SecretStr

from runtime import connect_services
from settings import Settings
from store.consents import set_consent
from store.suppressions import is_suppressed
from tests.support.engine import Engine
from tests.support.people import change_contact, meet, messages, release, subscribe
from tests.support.provider_server import JsonSmsServer, TwilioServer
from tests.support.sending import (
    claimed_by_a_worker_that_died,
    is_held_by_a_pause_and_sent_once_after_it,
    is_not_sent_to_a_deleted_contact,
    is_recorded_as_sent_where_a_stop_comes_in_the_middle,
)
from tests.support.visits import at_rest, pass_through, send_through, visited

SMS = {"id": "sms", "type": "send_sms", "text": "Dear {{ contact.name }}, {{ event.params.what }}!"}
TAG = {"id": "tag", "type": "add_tag", "tag": "went-on"}


@pytest.fixture
async def twilio() -> AsyncIterator[TwilioServer]:
    async with TwilioServer() as server:
        yield server


@pytest.fixture
async def gateway() -> AsyncIterator[JsonSmsServer]:
    async with JsonSmsServer() as server:
        yield server


@pytest.fixture
def settings(settings: Settings, twilio: TwilioServer) -> Settings:
    return settings.model_copy(
        update={
            "sms_provider": "twilio",
            "sms_sender": TwilioServer.SENDER,
            "twilio_account_sid": TwilioServer.ACCOUNT,
            "twilio_auth_token": SecretStr(TwilioServer.TOKEN),
            "twilio_url": twilio.url,
            "provider_timeout": 5,
        }
    )


@pytest.fixture
async def by_gateway(settings: Settings, gateway: JsonSmsServer) -> AsyncIterator[Engine]:
    """An engine whose SMS go to a provider that drops second copies."""
    changed = {
        "sms_provider": "http",
        "sms_http_url": f"{gateway.url}/sms",
        "sms_http_credential": SecretStr(JsonSmsServer.CREDENTIAL),
    }
    services = await connect_services(settings.model_copy(update=changed), lazy=False)
    try:
        async with Engine.running(services) as engine:
            yield engine
    finally:
        await services.close()


def phone(engine: Engine) -> str:
    """A number of this test's own."""
    return f"+4206{engine.contact.zfill(10)[-8:]}"


def known(engine: Engine) -> dict[str, Any]:
    """What the event says of the contact."""
    return {"contact_extra": {"phone": phone(engine), "fields": {"name": "Žofie"}}, "params": {"what": "hi"}}


async def why_suppressed(engine: Engine) -> str | None:
    async with engine.services.database.read() as connection:
        return await is_suppressed(connection, "sms", phone(engine))


async def test_the_text_is_rendered_and_sent_and_its_segments_are_recorded(
    engine: Engine, twilio: TwilioServer
) -> None:
    long = {**SMS, "id": "long", "text": "x" * 200, "sender": "Shop"}
    empty = {**SMS, "id": "empty", "text": " {{ contact.none }} "}
    instance = await pass_through(engine, SMS, long, empty, **known(engine))
    assert twilio.taken == [
        {"To": phone(engine), "From": TwilioServer.SENDER, "Body": "Dear Žofie, hi!"},
        {"To": phone(engine), "From": "Shop", "Body": "x" * 200},
    ]
    first, second, third = sorted(await messages(engine, instance), key=lambda m: m.step, reverse=True)
    assert (first.channel, first.state, first.recipient) == ("sms", "sent", phone(engine))
    assert (first.subject, second.subject) == ("Dear Žofie, hi!", "x" * 200)
    assert (third.state, third.detail) == ("skipped", "the text is empty for this contact")
    assert (await visited(engine, instance, "sms")).result == {
        "message": first.id,
        "state": "sent",
        "provider_id": f"SM{1:032x}",
        "status": "queued",
        "encoding": "UCS-2",
        "segments": 1,
    }
    result = (await visited(engine, instance, "long")).result
    assert (result["encoding"], result["segments"]) == ("GSM-7", 2)


async def test_it_is_tried_again_no_sooner_than_twilio_says(engine: Engine, twilio: TwilioServer) -> None:
    twilio.replies = [TwilioServer.error(429, 20429, "Too Many Requests", retry_after="2")]
    instance = await pass_through(engine, SMS, **known(engine))
    first, second = twilio.requests
    assert second.at - first.at >= 2
    (row,) = await messages(engine, instance)
    assert (len(twilio.taken), row.state, row.attempts) == (1, "sent", 2)


async def test_who_said_stop_is_refused_and_gets_nothing_any_more(
    engine: Engine, twilio: TwilioServer
) -> None:
    words = "Attempt to send to unsubscribed recipient"
    twilio.errors[phone(engine)] = (400, 21610, words)
    instance = await pass_through(engine, SMS, {**SMS, "id": "again"}, TAG, **known(engine))
    first, second = await messages(engine, instance)
    assert (first.state, second.state) == ("refused", "skipped")
    assert f"21610 {words}" in first.detail
    assert second.detail.startswith("suppressed: ")
    assert len(twilio.requests) == 1
    assert words in (await why_suppressed(engine) or "")
    assert (await visited(engine, instance, "tag")).result["added"]


async def test_a_refusal_that_is_not_the_numbers_does_not_suppress_it(
    engine: Engine, twilio: TwilioServer
) -> None:
    twilio.errors[phone(engine)] = (
        400,
        21617,
        "The concatenated message body exceeds the 1600 character limit",
    )
    instance = await pass_through(engine, SMS, **known(engine))
    assert [m.state for m in await messages(engine, instance)] == ["refused"]
    assert await why_suppressed(engine) is None


async def test_wrong_credentials_hold_until_a_release(engine: Engine, twilio: TwilioServer) -> None:
    twilio.replies = [TwilioServer.error(401, 20003, "Authenticate")]
    instance = await send_through(engine, SMS, **known(engine))
    row = await engine.in_state(instance, "holding")
    assert row.reason == "failed: Twilio: 20003 Authenticate"
    await release(engine, instance)
    await at_rest(engine, instance)
    assert len(twilio.taken) == 1


@pytest.mark.parametrize(("if_unknown", "taken", "state"), [("skip", 1, "unknown"), ("resend", 2, "sent")])
async def test_a_line_cut_after_twilio_took_it_is_unknown_and_sent_again_only_where_the_step_takes_the_risk(
    engine: Engine, twilio: TwilioServer, if_unknown: str, taken: int, state: str
) -> None:
    twilio.cuts = 1
    instance = await pass_through(engine, {**SMS, "if_unknown": if_unknown}, **known(engine))
    assert len(twilio.taken) == taken
    assert [m.state for m in await messages(engine, instance)] == [state]


async def test_a_message_claimed_by_a_worker_that_died_is_not_sent_again_by_twilio(
    engine: Engine, twilio: TwilioServer
) -> None:
    await meet(engine, phone=phone(engine))
    await claimed_by_a_worker_that_died(engine, SMS, "sms")
    instance = await pass_through(engine, SMS)
    assert twilio.requests == []
    assert [m.state for m in await messages(engine, instance)] == ["unknown"]


async def test_a_provider_that_drops_second_copies_gets_the_same_id_until_it_answers(
    by_gateway: Engine, gateway: JsonSmsServer
) -> None:
    await meet(by_gateway, phone=phone(by_gateway), fields={"name": "Eva"})
    own_id = await claimed_by_a_worker_that_died(by_gateway, SMS, "sms")
    gateway.cuts = 1
    instance = await pass_through(by_gateway, SMS, params={"what": "hi"})
    assert [request.headers["idempotency-key"] for request in gateway.requests] == [own_id, own_id]
    assert gateway.taken == [
        {"to": phone(by_gateway), "from": TwilioServer.SENDER, "text": "Dear Eva, hi!", "id": own_id}
    ]
    assert [m.state for m in await messages(by_gateway, instance)] == ["sent"]


async def test_who_has_no_number_or_is_not_on_the_list_is_skipped_with_the_reason_and_goes_on(
    engine: Engine, twilio: TwilioServer
) -> None:
    await engine.make_list("news")
    await meet(engine)
    await subscribe(engine, "news")
    nobody = await pass_through(engine, SMS, TAG, process="first", list="news")
    await change_contact(engine, phone=phone(engine))
    leave = {"id": "leave", "type": "unsubscribe", "list": "news"}
    gone = await pass_through(engine, leave, SMS, process="second", list="news")
    found = [await messages(engine, instance) for instance in (nobody, gone)]
    assert [(row.state, row.detail) for (row,) in found] == [
        ("skipped", "the contact has no phone number"),
        ("skipped", "not subscribed to the list news"),
    ]
    assert (await visited(engine, nobody, "tag")).result["added"]
    assert twilio.requests == []


async def test_who_refused_sms_gets_no_marketing_but_what_is_transactional(
    engine: Engine, twilio: TwilioServer
) -> None:
    person = await meet(engine, phone=phone(engine))
    async with engine.services.database.write() as connection:
        now = datetime.now(UTC)
        await set_consent(connection, person.id, "sms", granted=False, now=now, source="a test")
    marketing = await pass_through(engine, SMS, process="marketing")
    await pass_through(engine, SMS, process="receipt", purpose="transactional")
    assert (await visited(engine, marketing, "sms")).result["detail"] == (
        "the contact wants no marketing by sms"
    )
    assert len(twilio.taken) == 1


async def test_it_is_held_by_a_pause_and_sent_once_after_it(engine: Engine, twilio: TwilioServer) -> None:
    await is_held_by_a_pause_and_sent_once_after_it(engine, SMS, twilio, **known(engine))


async def test_it_is_not_sent_to_a_contact_deleted_before_it(engine: Engine, twilio: TwilioServer) -> None:
    await is_not_sent_to_a_deleted_contact(engine, SMS, twilio, **known(engine))


async def test_it_is_recorded_as_sent_where_a_stop_comes_in_the_middle(
    engine: Engine, twilio: TwilioServer
) -> None:
    await is_recorded_as_sent_where_a_stop_comes_in_the_middle(engine, SMS, twilio, **known(engine))


async def test_without_a_provider_it_holds_and_names_the_setting(settings: Settings) -> None:
    services = await connect_services(settings.model_copy(update={"sms_provider": None}), lazy=False)
    try:
        async with Engine.running(services) as engine:
            instance = await send_through(engine, SMS, **known(engine))
            row = await engine.in_state(instance, "holding")
            assert row.reason == "failed: the channel «sms» is not configured: set ONWARD_SMS_PROVIDER"
    finally:
        await services.close()
