"""Which setting a channel lacks, and which provider the settings choose."""

from pathlib import Path
from typing import Any

import pytest
from pydantic import ValidationError

from channels.http_sms import HttpSms
from channels.mail import SmtpMail
from channels.messenger import Messenger
from channels.resend import ResendMail
from channels.twilio import TwilioSms
from processes.definition import parse
from runtime import connect_services
from settings import Settings
from tests.processes.test_good_definitions import EVERYTHING

TWILIO = {
    "sms_provider": "twilio",
    "twilio_account_sid": "AC1",
    "twilio_auth_token": "t",
    "sms_sender": "Shop",
}


def configured(**values: Any) -> Settings:
    return Settings(_env_file=None, **values)


@pytest.mark.parametrize(
    ("channel", "values", "missing"),
    [
        ("email", {}, None),
        ("email", {"mail_provider": "resend"}, "ONWARD_RESEND_API_KEY"),
        ("email", {"mail_provider": "resend", "resend_api_key": ""}, "ONWARD_RESEND_API_KEY"),
        ("email", {"mail_provider": "resend", "resend_api_key": "k"}, None),
        ("sms", {}, "ONWARD_SMS_PROVIDER"),
        ("sms", TWILIO, None),
        ("sms", {**TWILIO, "twilio_account_sid": None}, "ONWARD_TWILIO_ACCOUNT_SID"),
        ("sms", {**TWILIO, "twilio_auth_token": None}, "ONWARD_TWILIO_AUTH_TOKEN"),
        ("sms", {**TWILIO, "sms_sender": None}, "ONWARD_SMS_SENDER"),
        ("sms", {"sms_provider": "http"}, "ONWARD_SMS_HTTP_URL"),
        ("sms", {"sms_provider": "http", "sms_http_url": "https://sms.example.com/"}, None),
        ("messenger", {}, "ONWARD_MESSENGER_PAGE_TOKEN"),
        ("messenger", {"messenger_page_token": "t"}, None),
    ],
)
def test_the_setting_that_is_missing_is_named(
    channel: str, values: dict[str, Any], missing: str | None
) -> None:
    assert configured(**values).unconfigured[channel] == missing


def test_every_channel_that_a_step_needs_is_known_to_the_settings() -> None:
    needed = {channel for step in parse(EVERYTHING).steps for _, channel in step.needs().channels}
    assert {"email", "sms", "messenger"} <= needed
    assert needed <= configured().unconfigured.keys()


@pytest.mark.parametrize("body", ['{"a": 1}', '{"to": "{to}"}', "[]", "{"])
def test_a_body_for_sms_that_cannot_be_one_stops_the_start(
    monkeypatch: pytest.MonkeyPatch, body: str
) -> None:
    monkeypatch.setenv("ONWARD_SMS_HTTP_BODY", body)
    with pytest.raises(Exception, match=r"(?i)sms_http_body"):
        configured()


@pytest.mark.parametrize(
    "wrong",
    [{"worker_build_id": "x"}, {"smtp_port": "a secret"}, {"webhook_secrets_previous": ("a secret",)}],
)
def test_an_error_shows_no_settings_value(wrong: dict[str, Any]) -> None:
    with pytest.raises(ValidationError) as stopped:
        configured(smtp_password="a secret", resend_api_key="a secret", **wrong)
    assert "secret'" not in str(stopped.value)


@pytest.mark.parametrize(
    "values", [{"mail_provider": "pigeon"}, {"sms_provider": "pigeon"}, {"meta_graph_version": "25"}]
)
def test_a_provider_that_there_is_not_stops_the_start(values: dict[str, Any]) -> None:
    with pytest.raises(ValidationError, match=next(iter(values))):
        configured(**values)


@pytest.mark.parametrize(
    ("values", "mailer", "sms", "messenger"),
    [
        ({}, SmtpMail, None, None),
        ({"mail_provider": "resend", "resend_api_key": "k", **TWILIO}, ResendMail, TwilioSms, None),
        (
            {"sms_provider": "http", "sms_http_url": "https://sms.example.com/", "messenger_page_token": "t"},
            SmtpMail,
            HttpSms,
            Messenger,
        ),
    ],
)
async def test_the_settings_choose_the_providers(
    tmp_path: Path, values: dict[str, Any], mailer: type, sms: type | None, messenger: type | None
) -> None:
    url = f"sqlite+aiosqlite:///{tmp_path / 'onward.db'}"
    services = await connect_services(configured(database_url=url, **values))
    try:
        assert type(services.mailer) is mailer
        assert type(services.sms) is (sms or type(None))
        assert type(services.messenger) is (messenger or type(None))
    finally:
        await services.close()
