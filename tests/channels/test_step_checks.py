"""Values of a step that its channel can never take are problems of the process, not holds of everybody."""

from dataclasses import replace
from typing import Any

import httpx
import pytest
from pydantic import TypeAdapter

from channels.public import is_private_name
from channels.step_checks import StepChecks
from processes.steps import Step
from settings import Settings
from tests.support.away import temporal_away

CHECKS = StepChecks(smtputf8=False, sms_provider="twilio", webhook_allow_private=False)
STEP: TypeAdapter[Step] = TypeAdapter(Step)

MAIL = {"type": "send_email", "template": "hello"}
SMS = {"type": "send_sms", "text": "Hello"}
PUSH = {"type": "send_push", "title": "Hello"}
MESSENGER = {"type": "send_messenger", "text": "Hello"}
LETTER = {"type": "send_letter"}
WEBHOOK = {"type": "webhook", "url": "https://example.com/hook"}

NEVER: list[tuple[dict[str, Any], str]] = [
    ({**MAIL, "reply_to": "nobody"}, "reply_to"),
    ({**MAIL, "reply_to": "a@b.example\r\nBcc: c@d.example"}, "reply_to"),
    ({**MAIL, "reply_to": "{{ contact.email }}"}, "reply_to"),
    ({**MAIL, "sender": "Shop"}, "sender"),
    ({**MAIL, "sender": "Shop <shop@>"}, "sender"),
    ({**MAIL, "sender": "Shop\n<shop@example.com>"}, "sender"),
    ({**MAIL, "sender": "jána@example.com"}, "sender"),
    ({**SMS, "sender": "A name that is long"}, "sender"),
    ({**SMS, "sender": "0 0"}, "sender"),
    ({**SMS, "sender": "   "}, "sender"),
    ({**SMS, "sender": "MG" + "x" * 31}, "sender"),
    ({**SMS, "sender": "+0420601234567"}, "sender"),
    ({**SMS, "text": "x" * 1601}, "text"),
    ({**SMS, "text": " \n "}, "text"),
    ({**SMS, "text": "{% if false %}Hello{% endif %}"}, "text"),
    ({**MESSENGER, "text": "x" * 2001}, "text"),
    ({**MESSENGER, "text": "{{ '' }}"}, "text"),
    ({**PUSH, "title": " "}, "title"),
    ({**PUSH, "url": "javascript:alert(1)"}, "url"),
    ({**PUSH, "url": "{{ 'ftp://example.com' }}"}, "url"),
    ({**PUSH, "title": "ž" * 500, "body": "ž" * 1600}, "body"),
    ({**LETTER, "text": "{{ ' ' }}"}, "text"),
    ({**WEBHOOK, "url": "http://127.0.0.1/hook"}, "url"),
    ({**WEBHOOK, "url": "http://localhost:8000/hook"}, "url"),
    ({**WEBHOOK, "url": "http://app.localhost/hook"}, "url"),
    ({**WEBHOOK, "url": "http://[::1]/hook"}, "url"),
    ({**WEBHOOK, "url": "http://10.0.0.7/hook"}, "url"),
    ({**WEBHOOK, "url": "http://169.254.169.254/latest"}, "url"),
    ({**WEBHOOK, "url": "http://2130706433/hook"}, "url"),
    ({**WEBHOOK, "secret": "whsec_a"}, "secret"),
]

MAY: list[dict[str, Any]] = [
    {**MAIL, "reply_to": "Shop <shop@example.com>", "sender": "shop@straße.example"},
    {**SMS, "sender": "Shop"},
    {**SMS, "sender": "+420601234567"},
    {**SMS, "sender": "90909"},
    {**SMS, "sender": "MG" + "0a" * 16},
    {**SMS, "text": "{{ contact.fields.text }}"},
    {**SMS, "text": "x" * 1600},
    {**MESSENGER, "text": "{% if contact.fields.x %}" + "x" * 2001 + "{% endif %}"},
    {**PUSH, "url": "{{ event.params.url }}"},
    {**PUSH, "url": "https://example.com/{{ contact.contact_id }}"},
    {**PUSH, "title": "{{ contact.fields.title }}"},
    {**LETTER, "text": "Hello"},
    {**LETTER, "template": "hello"},
    {
        **WEBHOOK,
        "url": "https://shop.internal.example/hook",
        "secret": "whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw",
    },
    {**WEBHOOK, "url": "http://93.184.216.34/hook"},
    {"type": "add_tag", "tag": "x"},
]


def step(document: dict[str, Any]) -> Step:
    return STEP.validate_python({"id": "s", **document})


@pytest.mark.parametrize(
    ("document", "place"), NEVER, ids=[f"{d['type']}-{n}" for n, (d, _) in enumerate(NEVER)]
)
def test_what_can_never_work_is_found_with_its_field(document: dict[str, Any], place: str) -> None:
    assert [where for where, _ in CHECKS(step(document))] == [place]


@pytest.mark.parametrize("document", MAY, ids=[f"{d['type']}-{n}" for n, d in enumerate(MAY)])
def test_what_may_work_for_someone_is_left_alone(document: dict[str, Any]) -> None:
    assert list(CHECKS(step(document))) == []


def test_the_settings_say_what_is_allowed() -> None:
    assert (
        list(replace(CHECKS, webhook_allow_private=True)(step({**WEBHOOK, "url": "http://127.0.0.1/"}))) == []
    )
    assert list(replace(CHECKS, sms_provider="http")(step({**SMS, "sender": "A name that is long"}))) == []
    assert list(replace(CHECKS, smtputf8=True)(step({**MAIL, "sender": "jána@example.com"}))) == []


@pytest.mark.parametrize(
    "host", ["example.com", "localhost.example.com", "1.1.1.1", "2606:4700::1111", "10.example"]
)
def test_a_name_that_may_be_public_is_not_called_private(host: str) -> None:
    assert not is_private_name(host)


async def test_a_process_with_such_a_step_is_not_published_and_the_problem_names_its_place(
    database_url: str,
) -> None:
    """By the API, with its own settings: the pointer leads to the step's field."""
    from api.app import create_app

    async with temporal_away(database_url) as services:
        app = create_app(services)
        transport = httpx.ASGITransport(app, raise_app_exceptions=False)
        async with httpx.AsyncClient(transport=transport, base_url="http://localhost") as api:
            document = {
                "key": "p", "name": "P", "recurrence": "once", "triggers": [{"type": "event", "event": "go"}],
                "steps": [{**WEBHOOK, "id": "hook", "url": "http://10.0.0.7/hook"}],
            }  # fmt: skip
            (problem,) = (await api.post("/v1/processes/validate", json=document)).json()["problems"]
            assert problem["pointer"] == "/steps/0/url"
            assert "10.0.0.7 is not a public address" in problem["message"]


@pytest.mark.parametrize(
    ("values", "named"),
    [
        ({"mail_from": "nobody"}, "ONWARD_MAIL_FROM"),
        ({"mail_from": "Shop <shop@example.com>\nBcc: a@b.example"}, "ONWARD_MAIL_FROM"),
        ({"mail_from": "jána@example.com"}, "ONWARD_MAIL_FROM"),
        ({"mail_domain": "not a domain"}, "ONWARD_MAIL_DOMAIN"),
        ({"mail_domain": ""}, "ONWARD_MAIL_DOMAIN"),
        ({"smtp_port": 0}, "smtp_port"),
        ({"smtp_host": ""}, "smtp_host"),
        ({"smtp_password": "secret\n"}, "ONWARD_SMTP_PASSWORD"),
        ({"smtp_username": "shop\r"}, "ONWARD_SMTP_USERNAME"),
        ({"twilio_account_sid": "AC1/Messages"}, "twilio_account_sid"),
        ({"smtp_port": 70_000}, "smtp_port"),
        ({"sms_provider": "twilio", "sms_sender": "A name that is long"}, "ONWARD_SMS_SENDER"),
        ({"resend_api_key": "re_123\n"}, "ONWARD_RESEND_API_KEY"),
        ({"twilio_auth_token": " token"}, "ONWARD_TWILIO_AUTH_TOKEN"),
        ({"sms_http_credential": "Bearer ž"}, "ONWARD_SMS_HTTP_CREDENTIAL"),
        ({"messenger_page_token": "t\r\nX: y"}, "ONWARD_MESSENGER_PAGE_TOKEN"),
        ({"meta_ads_token": "t\n"}, "ONWARD_META_ADS_TOKEN"),
        ({"letter_token": "t\n"}, "ONWARD_LETTER_TOKEN"),
        ({"webhook_secret": "whsec_a"}, "ONWARD_WEBHOOK_SECRET"),
        (
            {"webhook_secret": "whsec_AAAA", "webhook_secrets_previous": "x"},
            "ONWARD_WEBHOOK_SECRETS_PREVIOUS",
        ),
        ({"resend_webhook_secret": "whsec_a"}, "ONWARD_RESEND_WEBHOOK_SECRET"),
    ],
)
def test_a_setting_that_can_never_work_stops_the_start_by_its_name(
    values: dict[str, Any], named: str
) -> None:
    with pytest.raises(ValueError, match=named) as stopped:
        Settings(_env_file=None, **values)
    assert "re_123" not in str(stopped.value)


def test_settings_that_may_work_start() -> None:
    sender: dict[str, Any] = {"sms_provider": "twilio", "sms_sender": "MG" + "0a" * 16}
    Settings(
        _env_file=None, mail_from="Smith, Jane <jane@straße.example>", webhook_secret="whsec_AAAA", **sender
    )
    Settings(_env_file=None, smtp_smtputf8=True, mail_from="jána@example.com")
    Settings(_env_file=None, sms_provider="http", sms_sender="A name that is long", resend_api_key="")
