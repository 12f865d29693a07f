"""Settings, read from the environment (`ONWARD_…`) and from `.env`. Defaults suit one machine.

Every entry point builds one `Settings` and hands its parts along; nothing else reads the environment.
"""

import json
import re
from collections.abc import Iterator
from functools import lru_cache
from ipaddress import ip_address
from pathlib import Path
from typing import Annotated, Any, Self
from urllib.parse import parse_qsl, urlencode

from pydantic import AfterValidator, AnyHttpUrl, BeforeValidator, Field, SecretStr, model_validator
from pydantic_settings import BaseSettings, NoDecode, SettingsConfigDict

from channels.sms import why_no_twilio_sender
from listening import Address
from processes.addresses import AddressRules, ascii_domain, why_no_sender
from processes.windows import Cap

KNOWN_SECRETS = frozenset(
    (
        *(
            "development-only",
            "development",
            "onward",
            "temporal",
            "postgres",
            "admin",
            "root",
            "user",
            "guest",
        ),
        *("changeme", "change-me", "change_me", "password", "passwd", "secret", "example", "default", "test"),
        *(
            "letmein",
            "qwerty",
            "12345678",
            "123456789",
            "1234567890",
            "0123456789",
            "todo",
            "xxx",
            "your-secret",
        ),
    )
)
"""Values that stand in examples, in tutorials, and in the defaults of this and earlier releases."""
SHORTEST_KEY, SHORTEST_PASSWORD = 16, 8
MAKE_SECRET = "python3 -c 'import secrets; print(secrets.token_urlsafe(32))'"  # noqa: S105

Seconds = Annotated[float, Field(gt=0)]


def _split(value: object) -> object:
    """What stands between commas, without the blanks around it and without what is empty."""
    if not isinstance(value, str):
        return value
    return tuple(part for part in map(str.strip, value.split(",")) if part)


_DRIVERS = {
    **dict.fromkeys(
        ("postgres", "postgresql", "postgresql+psycopg", "postgresql+psycopg2"), "postgresql+asyncpg"
    ),
    "sqlite": "sqlite+aiosqlite",
}


def database_address(url: str) -> str:
    """A database's address with the driver that is used here. Many providers write `postgres://`; libpq's `sslmode` is
    asyncpg's `ssl`, and `channel_binding` is not known to it.
    """
    scheme, colon, rest = url.strip().partition("://")
    if scheme not in _DRIVERS and scheme not in _DRIVERS.values():
        known = "postgresql://user:password@host/name or sqlite:///file"
        raise ValueError(f"is no address of a database that is supported: write {known}")
    address, question, query = rest.partition("?")
    if question and "postgres" in scheme:
        kept = [
            ("ssl" if name == "sslmode" else name, value)
            for name, value in parse_qsl(query, keep_blank_values=True)
            if name != "channel_binding"
        ]
        address += f"?{urlencode(kept)}" if kept else ""
    else:
        address += f"{question}{query}"
    return f"{_DRIVERS.get(scheme, scheme)}{colon}{address}"


Secrets = Annotated[tuple[SecretStr, ...], NoDecode, BeforeValidator(_split)]
"""Several secrets in one variable, separated by commas."""


def _from_json(value: object) -> object:
    if not isinstance(value, str):
        return value
    try:
        return json.loads(value) if value.strip() else ()
    except ValueError as error:
        raise ValueError(f"is not JSON: {error}") from None


Caps = Annotated[tuple[Cap, ...], NoDecode, BeforeValidator(_from_json)]
"""Frequency caps, as a JSON list in one variable."""


_IN_HEADERS = (
    "resend_api_key",
    "twilio_auth_token",
    "sms_http_credential",
    "messenger_page_token",
    "meta_ads_token",
    "letter_token",
)
"""Secrets that go into an HTTP header."""
_HEADER = re.compile(r"[!-~](?:[ -~]*[!-~])?")


def is_header(value: str) -> bool:
    """Whether a text can be the value of an HTTP header: visible ASCII, with blanks within only."""
    return _HEADER.fullmatch(value) is not None


def _is_signing_secret(secret: str) -> bool:
    from channels.webhook import is_secret  # with its HTTP client: only where there is a secret

    return not secret or is_secret(secret)


@lru_cache(maxsize=1024)
def is_loopback(host: str) -> bool:
    """Whether an address or a name is this machine's own, seen from this machine only."""
    if host.lower() == "localhost":
        return True
    try:
        address = ip_address(host)
    except ValueError:
        return False
    return (getattr(address, "ipv4_mapped", None) or address).is_loopback


def weakness(value: str, shortest: int) -> str | None:
    """Why a secret is none, or None where it may be one."""
    value = value.strip()
    if not value:
        return "is empty"
    if value.lower().removeprefix("whsec_") in KNOWN_SECRETS:
        return "is a known default"
    if len(value.removeprefix("whsec_")) < shortest:
        return f"is shorter than {shortest} characters"
    if len(set(value)) < 5:
        return "repeats the same few characters"
    return None


def _listens(value: str) -> str:
    Address.parse(value)
    return value


ListenAddress = Annotated[str, AfterValidator(_listens)]
"""`host:port`."""


class Settings(BaseSettings):
    """All settings. A wrong value stops the start with an error that names the variable."""

    model_config = SettingsConfigDict(
        env_prefix="ONWARD_",
        env_file=".env",
        extra="ignore",
        hide_input_in_errors=True,  # an error about two settings would show all of them, secrets included
    )

    # The database
    database_url: Annotated[str, AfterValidator(database_address)] = "sqlite+aiosqlite:///onward.db"
    """SQLite (`sqlite+aiosqlite:///file`) or PostgreSQL (`postgresql+asyncpg://user:password@host/name`)."""
    database_pool_size: int = 10

    # Temporal
    temporal_address: str = "127.0.0.1:7233"
    temporal_namespace: str = "default"
    temporal_task_queue: str = "onward"
    temporal_tls: bool = False
    temporal_tls_server_ca: Path | None = None
    temporal_tls_client_cert: Path | None = None
    temporal_tls_client_key: Path | None = None
    temporal_api_key: SecretStr | None = None
    temporal_start_timeout: Seconds = 3.0
    """Seconds that an event's reply waits for Temporal before it says `pending`."""

    # E-mail
    mail_provider: str = Field(default="smtp", pattern="^(smtp|resend)$")
    """`smtp`, or `resend` (its HTTP API; `ONWARD_SMTP_…` is not used then). See `docs/channels.md`."""
    resend_api_key: SecretStr | None = None
    """Resend's API key."""
    resend_url: AnyHttpUrl = AnyHttpUrl("https://api.resend.com")
    """Where Resend's API is."""
    smtp_host: str = Field(default="127.0.0.1", min_length=1)
    smtp_port: int = Field(default=1025, ge=1, le=65535)
    smtp_username: str | None = None
    smtp_password: SecretStr | None = None
    smtp_tls: str = Field(default="none", pattern="^(none|starttls|tls)$")
    smtp_timeout: Seconds = 30.0
    smtp_connections: int = 10
    smtp_smtputf8: bool = False
    """The mail server offers SMTPUTF8: take addresses with letters beyond ASCII before the @, and write to them."""
    mail_from: str = "Onward <onward@localhost.localdomain>"
    mail_domain: str = "localhost.localdomain"
    """The right side of each Message-ID."""
    email_irregular_dots: bool = False
    """Take addresses with irregular dots before the @ (`a..b@docomo.ne.jp`), as Japanese operators once gave out."""

    # SMS
    sms_provider: str | None = Field(default=None, pattern="^(twilio|http)$")
    """`twilio`, or `http` (any provider that takes JSON). None: no SMS. See `docs/channels.md`."""
    sms_sender: str | None = Field(default=None, min_length=1)
    """Who SMS are from where a step does not say: a number, a name, or a Twilio Messaging Service (`MG…`)."""
    twilio_account_sid: str | None = Field(default=None, pattern="^[A-Za-z0-9]+$")
    """The account at Twilio (`AC…`)."""
    twilio_auth_token: SecretStr | None = None
    """The account's Auth Token, or the secret of the API key."""
    twilio_api_key_sid: str | None = Field(default=None, pattern="^[A-Za-z0-9]+$")
    """An API key (`SK…`) to log in with instead of the account."""
    twilio_url: AnyHttpUrl = AnyHttpUrl("https://api.twilio.com")
    """Where Twilio's API is; a region or an edge has an address of its own."""
    sms_http_url: AnyHttpUrl | None = None
    """Where SMS are posted as JSON."""
    sms_http_header: str = Field(default="Authorization", pattern="^[A-Za-z0-9-]+$")
    """The header that carries the credential."""
    sms_http_credential: SecretStr | None = None
    """What stands in that header (`Bearer …`, say)."""
    sms_http_body: dict[str, Any] = {"to": "{to}", "from": "{from}", "text": "{text}", "id": "{id}"}
    """The JSON that is posted: `{to}`, `{from}`, `{text}` and `{id}` are replaced in its texts."""
    sms_http_idempotency_header: str | None = Field(default="Idempotency-Key", pattern="^[A-Za-z0-9-]*$")
    """The header with the message's id, by which the provider drops a second copy. Empty: it drops none."""

    # Meta
    meta_graph_url: AnyHttpUrl = AnyHttpUrl("https://graph.facebook.com")
    """Where Meta's Graph API is."""
    meta_graph_version: str = Field(default="v25.0", pattern=r"^v[0-9]+\.[0-9]+$")
    """The Graph API's version."""
    messenger_page_token: SecretStr | None = None
    """The page's access token, for Messenger."""
    meta_ads_token: SecretStr | None = None
    """A system user's access token with `ads_management`, for Custom Audiences."""

    provider_timeout: Seconds = 20.0
    """Seconds that the API of a provider (Resend, SMS, Meta, push, letters) gets for an answer."""

    # Web push
    push_private_key: SecretStr | None = None
    """Our VAPID key; `python -m channels.push` makes one. Browsers are subscribed with its public half."""
    push_subject: str | None = Field(default=None, pattern="^(mailto:|https://).+")
    """Where a push service reaches whoever runs this: `mailto:…` or `https://…`."""

    # Letters
    letter_folder: Path | None = None
    """The folder that letters are written to as PDF, for a printer's software to take. Or the next one."""
    letter_url: AnyHttpUrl | None = None
    """Where letters are posted as PDF. See `docs/channels.md`."""
    letter_token: SecretStr | None = None
    """The bearer token for that address."""
    letter_sender: str | None = Field(default=None, min_length=1, max_length=120)
    """The sender's name and address on one line, above the recipient's in the window."""
    letter_country: str | None = Field(default=None, pattern="^[A-Z]{2}$")
    """The country that letters are posted in (`CZ`): within it, none stands in the address."""

    # The API
    api_host: str = "127.0.0.1"
    api_port: int = 8080
    api_keys: str = Field(default="required", pattern="^(required|loopback)$")
    """`required`: the API is called with a key. `loopback`: this machine needs none, and nobody else is served."""
    api_key_rate: int = Field(default=60_000, ge=1)
    """Requests a minute, of each API process, for a key without a rate of its own. A batch counts its events."""
    public_url: AnyHttpUrl = AnyHttpUrl("http://127.0.0.1:8080")
    """Where contacts reach the API: the links in messages start with it."""
    signing_key: SecretStr = SecretStr("development-only")
    """Signs the links in messages. Every API and worker must share it. The default works on this machine only:
    with keys required, or an address that others can reach, nothing starts before you set your own.
    """
    signing_keys_previous: Secrets = ()
    """Earlier signing keys, separated by commas: links that they signed still work."""
    api_max_connections: int = Field(default=800, ge=1)
    """Connections that one API process keeps open; whoever comes then gets 503. Each is an open file of the process."""
    max_body_bytes: int = 8 * 1024 * 1024
    import_max_bytes: int = 2 * 1024**3
    """The largest CSV that one request of an import may bring. It is read piece by piece, never as a whole."""
    segment_write_keys: Secrets = ()
    """Write keys for clients of Segment, separated by commas, beside the keys of the API that may send events."""

    # Webhooks
    webhook_allow_private: bool = False
    """Let webhooks reach loopback and private addresses."""
    webhook_secret: SecretStr | None = None
    """Signs webhooks that name no secret of their own (Standard Webhooks, `whsec_…`)."""
    webhook_secrets_previous: Secrets = ()
    """Earlier webhook secrets, separated by commas: webhooks are signed with them too, until receivers have the new."""
    webhook_timeout: Seconds = 20.0

    # Hygiene
    caps: Caps = ()
    """How many messages a contact may get from processes that name no `caps` of their own, as JSON:
    `[{"channel": "email", "messages": 3, "per": "1 week", "over": "hold"}]`; see `docs/hygiene.md`.
    """
    bounces_secret: SecretStr | None = None
    """What reports of bounces and complaints are let in with, as a bearer token or as the password of basic auth."""
    resend_webhook_secret: SecretStr | None = None
    """The signing secret of Resend's webhook (`whsec_…`): its reports are let in by their signature."""

    # The worker
    worker_max_activities: int = 50
    worker_max_workflow_tasks: int = 50
    worker_cached_workflows: int = Field(default=1000, ge=1)
    worker_sandbox: bool = False
    """Run workflows in the Temporal SDK's sandbox. The tests do; a worker in service saves a fifth of its CPU."""
    worker_graceful_shutdown: Seconds = 60.0
    """Seconds that running sends get to finish after SIGTERM."""
    mark_holds: bool = False
    """Show in Temporal who is held: the search attribute `OnwardHeld`, and a timer in the timeline. `true` in Compose
    and `onward dev`; turn it on once you will not roll back to the release before. See `docs/operations.md`.
    """
    worker_deployment_name: str | None = Field(default=None, min_length=1)
    """The Worker Deployment that this worker is a version of. Goes with the build id; see `docs/operations.md`."""
    worker_build_id: str | None = Field(default=None, min_length=1)
    """The version: the release, say. Temporal gives such a worker nothing before the version is made current."""
    worker_metrics_address: ListenAddress | None = None
    """Where the worker serves Prometheus metrics of its own (`0.0.0.0:9464`), or none."""
    sdk_metrics_address: ListenAddress | None = None
    """Where the Temporal SDK serves its Prometheus metrics (`0.0.0.0:9465`), or none."""
    traces_endpoint: AnyHttpUrl | None = None
    """Where OpenTelemetry traces go (OTLP over HTTP, such as `http://127.0.0.1:4318/v1/traces`), or none."""
    traces_share: float = Field(default=1.0, ge=0, le=1)
    """The share of traces that is kept, of those that begin here."""
    sweep_seconds: Seconds = 5.0
    """How often a worker looks for starts, signals and cancellations that did not arrive."""
    retention_days: float | None = Field(default=None, ge=1, le=36_500, allow_inf_nan=False)
    """Days that an instance is kept after its end, then deleted; for ever if not set. See `docs/where-and-why.md`."""
    segment_scan_minutes: int = Field(default=5, ge=1, le=1440)
    """How often to look who has entered or left a segment with a rule that a trigger names."""

    # Operations on many
    operation_rate: Seconds = 1000.0
    """How many a second one group start, mass stop or release does at most."""
    operation_in_flight: int = Field(default=200, ge=1)
    """With so many instances of its process not begun, a group start waits for the workers."""

    # Logs
    log_format: str = Field(default="console", pattern="^(console|json)$")
    log_level: str = Field(default="INFO", pattern="^(DEBUG|INFO|WARNING|ERROR)$")

    @model_validator(mode="after")
    def _without_keys_on_this_machine_only(self) -> Self:
        if self.api_keys == "loopback" and not is_loopback(self.api_host):
            raise ValueError(
                f"ONWARD_API_KEYS=loopback is for this machine only, and ONWARD_API_HOST={self.api_host} is not: "
                "listen on 127.0.0.1, or set ONWARD_API_KEYS=required"
            )
        return self

    @property
    def is_exposed(self) -> bool:
        """Whether others than this machine are meant to reach it: by its address, or since keys are required."""
        hosts = (self.api_host, self.public_url.host or "")
        return self.api_keys == "required" or not all(is_loopback(host.strip("[]")) for host in hosts)

    @model_validator(mode="after")
    def _secrets_are_secret_where_others_come(self) -> Self:
        weak = list(self._weak_secrets()) if self.is_exposed else []
        if weak:
            raise ValueError(
                f"{'; '.join(weak)}. Others can reach this Onward (ONWARD_API_KEYS, ONWARD_API_HOST, "
                f"ONWARD_PUBLIC_URL), so its secrets must be secret. Make one: {MAKE_SECRET}. "
                "On this machine only, with no keys, ONWARD_API_KEYS=loopback accepts the defaults"
            )
        return self

    def _weak_secrets(self) -> Iterator[str]:
        from sqlalchemy.engine import make_url
        from sqlalchemy.exc import ArgumentError

        keys: dict[str, tuple[SecretStr | None, ...]] = {
            "signing_key": (self.signing_key,),
            "signing_keys_previous": self.signing_keys_previous,
            "webhook_secret": (self.webhook_secret,),
            "bounces_secret": (self.bounces_secret,),
            "resend_webhook_secret": (self.resend_webhook_secret,),
            "segment_write_keys": self.segment_write_keys,
        }
        for name, values in keys.items():
            for value in values:
                if value is not None and (why := weakness(value.get_secret_value(), SHORTEST_KEY)):
                    yield f"ONWARD_{name.upper()} {why}"
        try:
            password = make_url(self.database_url).password
        except ArgumentError:
            return
        # None at all is another way to log in: a socket, a certificate, a file of passwords.
        if password and (why := weakness(password, SHORTEST_PASSWORD)):
            yield f"The password in ONWARD_DATABASE_URL {why}"

    @model_validator(mode="after")
    def _senders_are_addresses(self) -> Self:
        why = why_no_sender(self.mail_from, smtputf8=self.address_rules.smtputf8)
        if why is not None:
            raise ValueError(f"ONWARD_MAIL_FROM {why}")
        try:
            ascii_domain(self.mail_domain)
        except ValueError:
            raise ValueError(
                "ONWARD_MAIL_DOMAIN is not a domain: it is the right side of each Message-ID"
            ) from None
        if self.sms_provider == "twilio" and self.sms_sender is not None:
            why = why_no_twilio_sender(self.sms_sender)
            if why is not None:
                raise ValueError(f"ONWARD_SMS_SENDER {why}")
        return self

    @model_validator(mode="after")
    def _credentials_fit_into_a_header(self) -> Self:
        """A line break at the end of a secret that was read from a file is the usual one."""
        for name in _IN_HEADERS:
            value: SecretStr | None = getattr(self, name)
            if value is not None and value.get_secret_value() and not is_header(value.get_secret_value()):
                raise ValueError(
                    f"ONWARD_{name.upper()} has a line break, a blank at an end, or a character that no header takes"
                )
        login = {
            "SMTP_USERNAME": self.smtp_username,
            "SMTP_PASSWORD": self.smtp_password.get_secret_value() if self.smtp_password else None,
        }
        for name, text in login.items():
            if text is not None and not text.isprintable():
                raise ValueError(f"ONWARD_{name} has a line break or another control character")
        return self

    @model_validator(mode="after")
    def _webhooks_can_be_signed(self) -> Self:
        named = {
            "webhook_secret": [self.webhook_secret],
            "webhook_secrets_previous": self.webhook_secrets_previous,
            "resend_webhook_secret": [self.resend_webhook_secret],
        }
        for name, secrets in named.items():
            given = [secret.get_secret_value() for secret in secrets if secret is not None]
            if not all(map(_is_signing_secret, given)):
                raise ValueError(f"ONWARD_{name.upper()} is not `whsec_` and Base64")
        return self

    @model_validator(mode="after")
    def _client_certificate_is_whole(self) -> Self:
        if (self.temporal_tls_client_cert is None) != (self.temporal_tls_client_key is None):
            raise ValueError(
                "ONWARD_TEMPORAL_TLS_CLIENT_CERT and ONWARD_TEMPORAL_TLS_CLIENT_KEY go together: set both or neither"
            )
        return self

    @model_validator(mode="after")
    def _deployment_version_is_whole(self) -> Self:
        if (self.worker_deployment_name is None) != (self.worker_build_id is None):
            raise ValueError(
                "ONWARD_WORKER_DEPLOYMENT_NAME and ONWARD_WORKER_BUILD_ID go together: set both or neither"
            )
        return self

    @model_validator(mode="after")
    def _previous_secrets_have_a_next_one(self) -> Self:
        if self.webhook_secrets_previous and self.webhook_secret is None:
            raise ValueError(
                "ONWARD_WEBHOOK_SECRETS_PREVIOUS needs ONWARD_WEBHOOK_SECRET, the one in use now"
            )
        return self

    @model_validator(mode="after")
    def _sms_body_says_who_and_what(self) -> Self:
        written = json.dumps(self.sms_http_body)
        if "{to}" not in written or "{text}" not in written:
            raise ValueError("ONWARD_SMS_HTTP_BODY needs {to} and {text} in its texts")
        return self

    @model_validator(mode="after")
    def _letters_go_one_way(self) -> Self:
        if self.letter_folder is not None and self.letter_url is not None:
            raise ValueError(
                "ONWARD_LETTER_FOLDER and ONWARD_LETTER_URL: letters go one way, set one of them"
            )
        return self

    @property
    def unconfigured(self) -> dict[str, str | None]:
        """By channel, the variable that must be set before a step can use it; None where all is there."""
        needed: dict[str, dict[str, object]] = {
            "email": {"resend_api_key": self.resend_api_key} if self.mail_provider == "resend" else {},
            "sms": {"sms_provider": self.sms_provider, **self._needed_for_sms()},
            "messenger": {"messenger_page_token": self.messenger_page_token},
            "audience": {"meta_ads_token": self.meta_ads_token},
            "push": {"push_private_key": self.push_private_key, "push_subject": self.push_subject},
            "letter": {
                "letter_folder": self.letter_folder or self.letter_url,
                "letter_sender": self.letter_sender,
            },
        }
        return {
            channel: next((f"ONWARD_{name}".upper() for name, value in values.items() if not value), None)
            for channel, values in needed.items()
        }

    def _needed_for_sms(self) -> dict[str, object]:
        if self.sms_provider == "twilio":
            return {
                "twilio_account_sid": self.twilio_account_sid,
                "twilio_auth_token": self.twilio_auth_token,
                "sms_sender": self.sms_sender,
            }
        return {"sms_http_url": self.sms_http_url} if self.sms_provider == "http" else {}

    @property
    def address_rules(self) -> AddressRules:
        """Which e-mail addresses are taken."""
        return AddressRules(
            smtputf8=self.smtp_smtputf8 and self.mail_provider == "smtp",
            irregular_dots=self.email_irregular_dots,
        )

    @property
    def is_sqlite(self) -> bool:
        """Whether the database is the embedded one."""
        return self.database_url.startswith("sqlite")
