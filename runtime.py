"""Puts the parts together from the settings: one place that the API, the worker, the CLI and the tests share."""

import logging
import os
import sys
from dataclasses import dataclass
from functools import cache
from typing import Literal, NoReturn, cast

import structlog
from pydantic import SecretStr
from temporalio.client import Client, TLSConfig
from temporalio.contrib.pydantic import PydanticPayloadConverter, ToJsonOptions
from temporalio.converter import DataConverter
from temporalio.runtime import PrometheusConfig, Runtime, TelemetryConfig

from activities.base import LetterSettings, MailSettings, Tools
from activities.stage import Stage
from channels.audiences import AudienceChange, CustomAudiences
from channels.graph import GraphApi
from channels.http_sms import HttpSms
from channels.letters import LetterFolder, LetterProvider, PrintedLetter
from channels.links import LinkSigner
from channels.mail import MailChannel, SmtpMail
from channels.messenger import Messenger, MessengerMessage
from channels.protocol import Channel
from channels.push import Notification, WebPush
from channels.resend import ResendMail
from channels.sms import Sms
from channels.smtp import SmtpPool
from channels.twilio import TwilioSms
from channels.webhook import WebhookSender
from closing import close_all
from intake.admission import Admission
from intake.bounces import Bounces
from intake.changes import Changes
from intake.dispatch import Dispatcher
from intake.keys import Keys
from intake.operating import Operating
from intake.operations import Operations
from intake.scans import Scans
from intake.segment_scans import SegmentScans
from intake.service import Intake
from intake.tracking import Tracking
from listening import Address, CannotListen
from processes.addresses import ascii_domain
from settings import Settings
from store.catalog import CatalogCache
from store.database import Database
from tracing import temporal_plugins


class _CompactConverter(PydanticPayloadConverter):
    """Pydantic's JSON without the fields that were not set: histories stay small."""

    def __init__(self) -> None:
        super().__init__(ToJsonOptions(exclude_unset=True))


DATA_CONVERTER = DataConverter(payload_converter_class=_CompactConverter)


async def connect_temporal(settings: Settings, *, lazy: bool = True) -> Client:
    """A client by the settings. Lazy: nothing is opened before the first call, so Temporal may come up later."""
    tls: bool | TLSConfig = settings.temporal_tls
    if settings.temporal_tls_server_ca or settings.temporal_tls_client_cert:
        certificate, key = settings.temporal_tls_client_cert, settings.temporal_tls_client_key
        tls = TLSConfig(
            server_root_ca_cert=_read(settings.temporal_tls_server_ca),
            client_cert=_read(certificate),
            client_private_key=_read(key),
        )
    runtime = None if settings.sdk_metrics_address is None else _measured(settings.sdk_metrics_address)
    return await Client.connect(
        settings.temporal_address,
        namespace=settings.temporal_namespace,
        data_converter=DATA_CONVERTER,
        tls=tls,
        api_key=settings.temporal_api_key.get_secret_value() if settings.temporal_api_key else None,
        lazy=lazy,
        runtime=runtime,
        plugins=temporal_plugins(settings),
    )


@cache
def _measured(address: str) -> Runtime:
    """The SDK's runtime with metrics: one for the process, since it listens until the process ends.

    Raises CannotListen.
    """
    host, port = Address.parse(address)
    bind_address = f"[{host}]:{port}" if ":" in host else f"{host}:{port}"
    try:
        return Runtime(telemetry=TelemetryConfig(metrics=PrometheusConfig(bind_address=bind_address)))
    except (RuntimeError, ValueError) as error:
        raise CannotListen("ONWARD_SDK_METRICS_ADDRESS", address, error) from error


def _plain(*secrets: SecretStr | None) -> tuple[str, ...]:
    return tuple(secret.get_secret_value() for secret in secrets if secret is not None)


def _read(path: object) -> bytes | None:
    from pathlib import Path

    return Path(str(path)).read_bytes() if path is not None else None


@dataclass
class Services:
    """Everything that one process of Onward works with. `close()` it at the end."""

    settings: Settings
    database: Database
    catalog: CatalogCache
    client: Client
    admission: Admission
    changes: Changes
    dispatcher: Dispatcher
    intake: Intake
    tracking: Tracking
    operating: Operating
    operations: Operations
    bounces: Bounces
    links: LinkSigner
    keys: Keys
    smtp: SmtpPool
    mailer: MailChannel
    sms: Channel[Sms] | None
    messenger: Channel[MessengerMessage] | None
    push: Channel[Notification] | None
    audiences: Channel[AudienceChange] | None
    letters: Channel[PrintedLetter] | None
    webhooks: WebhookSender

    def tools(self) -> Tools:
        """What activities work with."""
        settings = self.settings
        return Tools(
            database=self.database,
            catalog=self.catalog,
            stage=Stage(self.catalog),
            changes=self.changes,
            dispatcher=self.dispatcher,
            mailer=self.mailer,
            mail=MailSettings(
                sender=settings.mail_from,
                domain=settings.mail_domain,
                public_url=str(settings.public_url).rstrip("/"),
            ),
            links=self.links,
            webhooks=self.webhooks,
            webhook_secrets=_plain(settings.webhook_secret, *settings.webhook_secrets_previous),
            sms=self.sms,
            messenger=self.messenger,
            push=self.push,
            audiences=self.audiences,
            letters=self.letters,
            letter=LetterSettings(sender=settings.letter_sender or "", country=settings.letter_country),
            unconfigured=settings.unconfigured,
            scans=Scans(self.database, self.catalog, self.admission, self.dispatcher),
            operating=self.operating,
            segment_scans=SegmentScans(self.database, self.catalog, self.admission, self.dispatcher),
            caps=settings.caps,
            bounces=self.bounces,
        )

    async def close(self) -> None:
        """Let what is under way finish, then close every connection. A part that fails to close is logged."""
        names = ("sms", "messenger", "push", "audiences", "letters")
        channels = {name: channel.close for name in names if (channel := getattr(self, name)) is not None}
        await close_all(
            keys=self.keys.close,
            intake=self.intake.close,
            tracking=self.tracking.close,
            dispatcher=self.dispatcher.close,
            mailer=self.mailer.close,
            smtp=self.smtp.close,
            **channels,
            webhooks=self.webhooks.close,
            database=self.database.close,
        )


async def connect_services(
    settings: Settings, *, lazy: bool = True, client: Client | None = None
) -> Services:
    """Make the parts. The database, and Temporal where `lazy`, are met at their first use: they may come up later.

    A worker needs a connected client (`lazy=False`): then a Temporal that is down raises RuntimeError.
    """
    temporal = client or await connect_temporal(settings, lazy=lazy)
    database = Database.connect(settings.database_url, pool_size=settings.database_pool_size)
    catalog = CatalogCache()
    admission = Admission(catalog)
    changes = Changes(admission, catalog)
    smtp = _smtp(settings)
    dispatcher = Dispatcher(
        temporal,
        database,
        task_queue=settings.temporal_task_queue,
        timeout=settings.temporal_start_timeout,
        definition_url=str(settings.public_url),
    )
    operating = Operating(
        database,
        catalog,
        admission,
        dispatcher,
        rate=settings.operation_rate,
        in_flight=settings.operation_in_flight,
    )
    return Services(
        settings=settings,
        database=database,
        catalog=catalog,
        client=temporal,
        admission=admission,
        changes=changes,
        dispatcher=dispatcher,
        intake=Intake(database, admission, dispatcher, temporal),
        tracking=Tracking(database, admission, changes, dispatcher),
        operating=operating,
        operations=Operations(
            database,
            catalog,
            temporal,
            operating,
            task_queue=settings.temporal_task_queue,
            timeout=settings.temporal_start_timeout,
        ),
        bounces=Bounces(database, admission, changes, dispatcher),
        links=LinkSigner(settings.signing_key.get_secret_value(), _plain(*settings.signing_keys_previous)),
        keys=Keys(database, rate=settings.api_key_rate),
        smtp=smtp,
        mailer=_mailer(settings, smtp),
        sms=_sms(settings),
        messenger=_messenger(settings),
        push=_push(settings),
        audiences=_audiences(settings),
        letters=_letters(settings),
        webhooks=WebhookSender(settings.webhook_timeout, settings.webhook_allow_private),
    )


def _smtp(settings: Settings) -> SmtpPool:
    return SmtpPool(
        _ascii_host(settings.smtp_host),
        settings.smtp_port,
        settings.smtp_username,
        settings.smtp_password.get_secret_value() if settings.smtp_password else None,
        cast(Literal["none", "starttls", "tls"], settings.smtp_tls),
        settings.smtp_timeout,
        settings.smtp_connections,
    )


def _ascii_host(host: str) -> str:
    """The host as DNS knows it: asyncio would encode other letters by IDNA 2003."""
    return host if host.isascii() else ascii_domain(host)


def _mailer(settings: Settings, smtp: SmtpPool) -> MailChannel:
    if settings.mail_provider == "resend" and settings.resend_api_key is not None:
        key = settings.resend_api_key.get_secret_value()
        return ResendMail(str(settings.resend_url), key, settings.provider_timeout)
    return SmtpMail(smtp, smtputf8=settings.address_rules.smtputf8)


def _sms(settings: Settings) -> Channel[Sms] | None:
    timeout = settings.provider_timeout
    if settings.unconfigured["sms"] is not None:
        return None
    if settings.sms_provider == "twilio":
        account, token = settings.twilio_account_sid or "", settings.twilio_auth_token
        return TwilioSms(
            str(settings.twilio_url),
            account,
            settings.twilio_api_key_sid or account,
            token.get_secret_value() if token else "",
            settings.sms_sender or "",
            timeout,
        )
    credential = settings.sms_http_credential
    return HttpSms(
        str(settings.sms_http_url),
        {settings.sms_http_header: credential.get_secret_value()} if credential else {},
        settings.sms_http_body,
        settings.sms_http_idempotency_header or None,
        settings.sms_sender,
        timeout,
    )


def _messenger(settings: Settings) -> Channel[MessengerMessage] | None:
    token = settings.messenger_page_token
    return None if token is None else Messenger(_graph(settings, token))


def _audiences(settings: Settings) -> Channel[AudienceChange] | None:
    token = settings.meta_ads_token
    return None if token is None else CustomAudiences(_graph(settings, token))


def _graph(settings: Settings, token: SecretStr) -> GraphApi:
    return GraphApi(
        str(settings.meta_graph_url),
        settings.meta_graph_version,
        token.get_secret_value(),
        settings.provider_timeout,
    )


def _push(settings: Settings) -> Channel[Notification] | None:
    key, subject = settings.push_private_key, settings.push_subject
    if key is None or subject is None:
        return None
    return WebPush(key.get_secret_value(), subject, settings.provider_timeout, settings.webhook_allow_private)


def _letters(settings: Settings) -> Channel[PrintedLetter] | None:
    if settings.letter_folder is not None:
        return LetterFolder(settings.letter_folder)
    if settings.letter_url is None:
        return None
    token = settings.letter_token
    return LetterProvider(
        str(settings.letter_url), token.get_secret_value() if token else None, settings.provider_timeout
    )


def configure_logs(settings: Settings) -> None:
    """Structured logs: one line an event, with the ids of instance and contact bound where they are known."""
    shared: list[structlog.types.Processor] = [
        structlog.contextvars.merge_contextvars,
        structlog.processors.add_log_level,
        structlog.processors.TimeStamper(fmt="iso", utc=True),
        structlog.processors.format_exc_info,
    ]
    renderer: structlog.types.Processor = (
        structlog.processors.JSONRenderer()
        if settings.log_format == "json"
        else structlog.dev.ConsoleRenderer()
    )
    level = logging.getLevelNamesMapping()[settings.log_level]
    structlog.configure(
        processors=[*shared, renderer],
        wrapper_class=structlog.make_filtering_bound_logger(level),
        logger_factory=structlog.PrintLoggerFactory(sys.stderr),
        cache_logger_on_first_use=True,
    )
    logging.basicConfig(
        level=max(level, logging.WARNING), format="%(asctime)s %(levelname)s %(name)s %(message)s"
    )


def leave(code: int) -> NoReturn:
    """End the process without Python's own tidying up where Temporal's client was in use.

    Its threads may return into an interpreter that is going down, which then aborts and turns a success into exit
    code 134 (temporalio/sdk-python issue 300; 4 of 24 runs of `onward migrate` here). All must be closed by then.
    """
    if "temporalio.bridge" not in sys.modules:
        sys.exit(code)
    sys.stdout.flush()
    sys.stderr.flush()
    os._exit(code)
