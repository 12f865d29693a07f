"""SMS by Twilio and by JSON over HTTP: what is sent, what each answer means, and how long a text is."""

from collections.abc import AsyncIterator, Mapping
from datetime import timedelta
from typing import Any

import pytest

from channels.errors import (
    DeliveryError,
    MessageRefused,
    OutcomeUnknown,
    RecipientRefused,
    SenderRefused,
    SendingRefused,
    TryLater,
    Withdrawn,
)
from channels.http_sms import HttpSms
from channels.sms import Length, Sms, measure
from channels.twilio import TwilioSms
from processes.refusals import Cause
from tests.support.http_server import Reply
from tests.support.provider_server import JsonSmsServer, TwilioServer, json_reply

PHONE = "+420601234567"
BODY = {"to": "{to}", "from": "{from}", "text": "{text}", "id": "{id}"}


def sms(text: str = "Čau & nashle", sender: str | None = None) -> Sms:
    return Sms("m1", PHONE, text, sender)


async def yes() -> bool:
    return True


async def no() -> bool:
    return False


@pytest.fixture
async def twilio() -> AsyncIterator[TwilioServer]:
    async with TwilioServer() as server:
        yield server


@pytest.fixture
async def gateway() -> AsyncIterator[JsonSmsServer]:
    async with JsonSmsServer() as server:
        yield server


async def by_twilio(server: TwilioServer, message: Sms, token: str = TwilioServer.TOKEN) -> dict[str, Any]:
    account = TwilioServer.ACCOUNT
    channel = TwilioSms(server.url + "/", account, account, token, TwilioServer.SENDER, 2)
    assert channel.remembers == timedelta(0)
    try:
        return await channel.deliver(message, yes)
    finally:
        await channel.close()


async def by_gateway(
    server: JsonSmsServer,
    message: Sms,
    body: Mapping[str, Any] = BODY,
    header: str | None = "Idempotency-Key",
    credential: str = JsonSmsServer.CREDENTIAL,
) -> dict[str, Any]:
    channel = HttpSms(f"{server.url}/v2/sms?a=1", {"Authorization": credential}, body, header, "Shop", 2)
    try:
        return await channel.deliver(message, yes)
    finally:
        await channel.close()


@pytest.mark.parametrize(
    ("text", "encoding", "units", "segments"),
    [
        ("", "GSM-7", 0, 1),
        ("a" * 160, "GSM-7", 160, 1),
        ("a" * 161, "GSM-7", 161, 2),
        ("a" * 306, "GSM-7", 306, 2),
        ("a" * 307, "GSM-7", 307, 3),
        ("é@£Δ\n ", "GSM-7", 6, 1),
        ("€" * 80, "GSM-7", 160, 1),
        ("€" * 81, "GSM-7", 162, 2),
        ("a" * 152 + "€" + "a" * 152, "GSM-7", 306, 3),  # the escape and its character stay together
        ("č" * 70, "UCS-2", 70, 1),
        ("č" * 71, "UCS-2", 71, 2),
        ("č" * 134, "UCS-2", 134, 2),
        ("č" * 135, "UCS-2", 135, 3),
        ("🐎" * 35, "UCS-2", 70, 1),
        ("🐎" * 36, "UCS-2", 72, 2),
        ("č" * 66 + "🐎" + "č" * 66, "UCS-2", 134, 3),  # and so do the halves of a pair
        ("`", "UCS-2", 1, 1),
    ],
)
def test_how_long_a_text_is(text: str, encoding: Any, units: int, segments: int) -> None:
    assert measure(text) == Length(encoding, units, segments)


async def test_twilio_gets_a_form_with_number_sender_and_text(twilio: TwilioServer) -> None:
    answer = await by_twilio(twilio, sms())
    assert twilio.taken == [{"To": PHONE, "From": TwilioServer.SENDER, "Body": "Čau & nashle"}]
    assert answer == {"provider_id": f"SM{1:032x}", "status": "queued"}


@pytest.mark.parametrize(
    ("sender", "field"),
    [("Shop", "From"), (TwilioServer.SERVICE, "MessagingServiceSid"), ("MGM", "From")],
)
async def test_a_messaging_service_is_told_from_a_sender(
    twilio: TwilioServer, sender: str, field: str
) -> None:
    await by_twilio(twilio, sms(sender=sender))
    assert twilio.taken[0][field] == sender


async def test_nothing_is_sent_where_the_claim_says_no(twilio: TwilioServer, gateway: JsonSmsServer) -> None:
    account = TwilioServer.ACCOUNT
    for channel in (
        TwilioSms(twilio.url, account, account, TwilioServer.TOKEN, "Shop", 2),
        HttpSms(gateway.url, {}, BODY, None, None, 2),
    ):
        with pytest.raises(Withdrawn):
            await channel.deliver(sms(), no)
        await channel.close()
    assert twilio.requests == gateway.requests == []


@pytest.mark.parametrize(
    ("status", "code", "kind", "dead", "cause"),
    [
        (400, 21211, RecipientRefused, True, "no_mailbox"),
        (400, 21614, RecipientRefused, True, "no_mailbox"),
        (400, 21635, RecipientRefused, True, "no_mailbox"),
        (400, 21610, RecipientRefused, True, "recipient_policy"),
        (400, 21612, RecipientRefused, False, "unreachable"),
        (400, 21617, MessageRefused, None, "unknown"),
        (400, 21606, SenderRefused, None, None),
        (403, 21408, SenderRefused, None, None),
        (400, 21703, SenderRefused, None, None),
        (429, 20429, TryLater, None, "rate"),
        (429, 21611, TryLater, None, "rate"),
        (503, 20503, TryLater, None, "rate"),
        (500, 20500, OutcomeUnknown, None, None),
        (400, 99999, MessageRefused, None, "unknown"),
    ],
)
async def test_what_twilios_codes_mean(
    twilio: TwilioServer,
    status: int,
    code: int,
    kind: type[DeliveryError],
    dead: bool | None,
    cause: Cause | None,
) -> None:
    twilio.errors[PHONE] = (status, code, "because")
    with pytest.raises(kind, match="because") as refused:
        await by_twilio(twilio, sms())
    assert type(refused.value) is kind
    assert str(code) in str(refused.value)
    assert getattr(refused.value, "mailbox_is_bad", None) == dead
    assert refused.value.cause == cause


@pytest.mark.parametrize(
    ("code", "kind", "dead", "cause"),
    [
        (30003, RecipientRefused, False, "unreachable"),
        (30005, RecipientRefused, True, "no_mailbox"),
        (30006, RecipientRefused, False, "unreachable"),
        (30007, SendingRefused, None, "policy"),
        (30034, SenderRefused, None, None),
        (30001, TryLater, None, "rate"),
    ],
)
async def test_a_message_that_twilio_made_and_that_failed_at_once_is_no_sent_one(
    twilio: TwilioServer, code: int, kind: type[DeliveryError], dead: bool | None, cause: Cause | None
) -> None:
    twilio.failing[PHONE] = code
    with pytest.raises(kind, match="it failed") as refused:
        await by_twilio(twilio, sms())
    assert getattr(refused.value, "mailbox_is_bad", None) == dead
    assert refused.value.cause == cause


async def test_twilio_asks_to_wait_and_says_how_long(twilio: TwilioServer) -> None:
    twilio.replies = [TwilioServer.error(429, 20429, "Too Many Requests", retry_after="9")]
    with pytest.raises(TryLater) as later:
        await by_twilio(twilio, sms())
    assert later.value.retry_after == 9


async def test_a_wrong_token_is_ours(twilio: TwilioServer) -> None:
    with pytest.raises(SenderRefused, match="20003 Authenticate"):
        await by_twilio(twilio, sms(), token="wrong")


async def test_a_line_cut_after_twilio_took_the_message_leaves_its_outcome_unknown(
    twilio: TwilioServer,
) -> None:
    twilio.cuts = 1
    with pytest.raises(OutcomeUnknown) as unknown:
        await by_twilio(twilio, sms())
    assert (len(twilio.taken), unknown.value.final) == (1, False)


async def test_an_answer_that_is_no_json_counts_by_its_status(twilio: TwilioServer) -> None:
    twilio.replies = [Reply("502 Bad Gateway", body=b"<html>"), Reply("201 Created", body=b"<html>")]
    with pytest.raises(OutcomeUnknown, match="502 Bad Gateway <html>"):
        await by_twilio(twilio, sms())
    assert await by_twilio(twilio, sms()) == {"provider_id": "", "status": ""}
    twilio.replies = [json_reply("201 Created", {"sid": "SM\x00", "status": ["queued"]})]
    assert await by_twilio(twilio, sms()) == {"provider_id": "SM\ufffd", "status": "['queued']"}


async def test_the_json_is_the_settings_with_the_places_filled(gateway: JsonSmsServer) -> None:
    template = {
        "messages": [{"to": ["{to}"], "body": "{text}!", "ref": "onward-{id}"}],
        "flash": False,
        "n": 1,
    }
    answer = await by_gateway(gateway, sms('"} {to} \\'), template)
    (request,) = gateway.requests
    assert request.line == "POST /v2/sms?a=1 HTTP/1.1"
    assert request.headers["idempotency-key"] == "m1"
    assert gateway.taken == [
        {
            "messages": [{"to": [PHONE], "body": '"} {to} \\!', "ref": "onward-m1"}],
            "flash": False,
            "n": 1,
        }
    ]
    assert answer == {"provider_id": "sms-1"}


async def test_the_sender_is_the_messages_own_else_the_settings(gateway: JsonSmsServer) -> None:
    await by_gateway(gateway, sms())
    await by_gateway(gateway, Sms("m2", PHONE, "x", "Other"))
    assert [taken["from"] for taken in gateway.taken] == ["Shop", "Other"]


async def test_a_second_copy_is_dropped_by_its_id_where_the_provider_knows_ids(
    gateway: JsonSmsServer,
) -> None:
    assert await by_gateway(gateway, sms()) == await by_gateway(gateway, sms())
    assert len(gateway.taken) == 1
    assert HttpSms(gateway.url, {}, BODY, "Idempotency-Key", None, 1).remembers is None
    assert HttpSms(gateway.url, {}, BODY, None, None, 1).remembers == timedelta(0)


@pytest.mark.parametrize(
    ("reply", "kind"),
    [
        (json_reply("400 Bad Request", {"code": "invalid_recipient"}), RecipientRefused),
        (json_reply("403 Forbidden", {"code": "unsubscribed"}), RecipientRefused),
        (json_reply("422 Unprocessable", {"code": "too_long"}), MessageRefused),
        (json_reply("422 Unprocessable", {"code": ["unsubscribed"]}), MessageRefused),
        (json_reply("401 Unauthorized", {}), SenderRefused),
        (json_reply("429 Too Many", {}), TryLater),
        (json_reply("500 Broken", {"code": "unsubscribed"}), OutcomeUnknown),
    ],
)
async def test_what_a_gateways_answers_mean(
    gateway: JsonSmsServer, reply: Reply, kind: type[DeliveryError]
) -> None:
    gateway.replies = [reply]
    with pytest.raises(kind) as refused:
        await by_gateway(gateway, sms())
    assert type(refused.value) is kind


async def test_a_conflict_says_that_asking_again_will_not_tell(gateway: JsonSmsServer) -> None:
    gateway.replies = [json_reply("409 Conflict", {})]
    with pytest.raises(OutcomeUnknown) as unknown:
        await by_gateway(gateway, sms())
    assert unknown.value.final
