"""Reports of bounces and complaints (A3): plain ones, mail about our mail, and the webhooks of Resend and Amazon SES.

A report of a message that is not ours is answered as such (200, `unknown`), so that nobody sends it again; nothing is
stored. What a report does is `intake/bounces.py`'s part.
"""

import asyncio
import secrets
from typing import Any, Literal

import orjson
import structlog
from fastapi import APIRouter, Depends, Request
from pydantic import BaseModel, Field
from standardwebhooks.webhooks import EmptyWebhookSecretError, Webhook, WebhookVerificationError

from api.access import anyone, basic_credentials
from api.bodies import JsonRoute
from api.deps import Parts, PartsDep, ServicesDep
from api.documentation import problems
from api.errors import BadRequest, Unauthorized
from api.models import Body
from channels.dsn import read_mail
from channels.returned import LONGEST_REASON, Returned, from_resend, from_ses, own_id, reported
from intake.bounces import Kind, Report
from runtime import Services
from store.messages import SENDING_REFUSED

log = structlog.get_logger(__name__)

router = APIRouter(prefix="/v1/bounces", tags=["bounces"], route_class=JsonRoute)

_BYTES = {"schema": {"type": "string", "format": "binary"}}
_MAIL = {"requestBody": {"content": {"message/rfc822": _BYTES, "application/octet-stream": _BYTES}}}
_SNS = {
    "requestBody": {
        "content": {
            "application/json": {"schema": {"type": "object"}},
            "text/plain": {"schema": {"type": "string"}},
        }
    }
}

_CHALLENGE = {"WWW-Authenticate": 'Basic realm="Onward bounces", Bearer'}


class BouncePost(Body):
    """A message that came back."""

    message: str = Field(
        max_length=998, description="Its Message-ID, or our id of it.", examples=["<m0123…@shop.example.com>"]
    )
    kind: Kind = Field(
        description="`hard`: the address no longer works. `soft`: this message did not arrive, another may. "
        "`sending_refused`: our sending was refused (reputation, policy, authentication, content), which says nothing "
        "about the address. `complaint`: the person does not want our mail."
    )
    status: str | None = Field(
        default=None, pattern=r"^[245]\.\d{1,3}\.\d{1,3}$", description="The enhanced status code (RFC 3463)."
    )
    reason: str = Field(default="", max_length=LONGEST_REASON, description="What the other side said.")


class BounceAnswer(BaseModel):
    """What a report did."""

    outcome: Literal["recorded", "repeated", "not_sent", "unknown", "ignored"] = Field(
        description="`repeated`: it was known, or something graver. `not_sent`: that message never left. `unknown`: no "
        "message of ours. `ignored`: no bounce and no complaint."
    )
    message: str | None = Field(default=None, description="Our id of the message.")
    state: str | None = Field(default=None, description="The message's state now.")
    suppressed: bool = Field(default=False, description="Whether the address was suppressed by this.")


async def _with_secret(request: Request, services: ServicesDep) -> None:
    secret = services.settings.bounces_secret
    wanted = secret.get_secret_value() if secret is not None else ""
    if not wanted:
        raise Unauthorized("reports are let in once ONWARD_BOUNCES_SECRET is set", headers=_CHALLENGE)
    given = _credential(request.headers.get("authorization", ""))
    if not secrets.compare_digest(given.encode(), wanted.encode()):
        raise Unauthorized(
            "give ONWARD_BOUNCES_SECRET as a bearer token, or as the password of basic auth",
            headers=_CHALLENGE,
        )


WithSecret = Depends(_with_secret)


@router.post(
    "",
    summary="Report a bounce or a complaint",
    dependencies=[anyone("it asks for a secret of its own"), WithSecret],
    responses=problems(401, 415),
)
async def post_bounce(body: BouncePost, parts: PartsDep) -> BounceAnswer:
    """The plain form."""
    returned = reported(own_id(body.message), body.kind, body.status, body.reason)
    return await _take(parts, returned, "report by API")


@router.post(
    "/mail",
    summary="Report by a mail about our mail",
    dependencies=[anyone("it asks for a secret of its own"), WithSecret],
    responses=problems(401),
    openapi_extra=_MAIL,
)
async def post_mail(request: Request, parts: PartsDep) -> BounceAnswer:
    """The whole mail, as it came: a delivery status notification (RFC 3464) or a feedback report (RFC 5965)."""
    return await _take(parts, await asyncio.to_thread(read_mail, await request.body()), "report by mail")


@router.post(
    "/resend",
    dependencies=[anyone("by its signature")],
    summary="Resend's webhook",
    responses=problems(401),
    openapi_extra={"requestBody": {"content": {"application/json": {"schema": {"type": "object"}}}}},
)
async def post_resend(request: Request, parts: PartsDep) -> BounceAnswer:
    """By the signature of `ONWARD_RESEND_WEBHOOK_SECRET`. Events other than bounces and complaints are ignored."""
    body = await request.body()
    _check_signature(request, parts.services, body)
    return await _take(parts, from_resend(_object(body)), "Resend")


@router.post(
    "/ses",
    summary="Notifications of Amazon SES by SNS",
    dependencies=[anyone("it asks for a secret of its own"), WithSecret],
    responses=problems(401),
    openapi_extra=_SNS,
)
async def post_ses(request: Request, parts: PartsDep) -> BounceAnswer:
    """SNS's envelope, or its raw message. The address that confirms a subscription is in the log, for a person."""
    sent = _object(await request.body())
    if sent.get("Type") in {"SubscriptionConfirmation", "UnsubscribeConfirmation"}:
        log.warning("sns_subscription_waits", topic=sent.get("TopicArn"), confirm_at=sent.get("SubscribeURL"))
        return BounceAnswer(outcome="ignored")
    message = sent.get("Message")
    notification = _object(message.encode()) if isinstance(message, str) else sent
    return await _take(parts, from_ses(notification), "Amazon SES")


async def _take(parts: Parts, returned: Returned | None, source: str) -> BounceAnswer:
    if returned is None:
        return BounceAnswer(outcome="ignored")
    if returned.message is None:
        return BounceAnswer(outcome="unknown")
    report = Report(returned.message, returned.kind, returned.status, returned.reason, returned.cause)
    recorded = await parts.services.bounces.take(report, source)
    if recorded.outcome == "recorded" and recorded.state == SENDING_REFUSED:
        parts.metrics.sending_refused.labels(recorded.channel or "email", returned.cause or "unknown").inc()
    return BounceAnswer(
        outcome=recorded.outcome,
        message=returned.message,
        state=recorded.state,
        suppressed=recorded.suppressed,
    )


def _credential(header: str) -> str:
    scheme, _, given = header.partition(" ")
    return given.strip() if scheme.lower() == "bearer" else basic_credentials(header)[1]


def _check_signature(request: Request, services: Services, body: bytes) -> None:
    """Resend signs as Standard Webhooks, under the names of Svix."""
    secret = services.settings.resend_webhook_secret
    if secret is None or not secret.get_secret_value():
        raise Unauthorized("Resend's reports are let in once ONWARD_RESEND_WEBHOOK_SECRET is set")
    named = {
        f"webhook-{part}": request.headers.get(f"svix-{part}", "")
        for part in ("id", "timestamp", "signature")
    }
    try:
        Webhook(secret.get_secret_value()).verify(body, named, json_parse=False)
    except (WebhookVerificationError, EmptyWebhookSecretError, ValueError) as error:
        raise Unauthorized(f"the signature is not right: {error}") from None


def _object(body: bytes) -> dict[str, Any]:
    try:
        value = orjson.loads(body)
    except (orjson.JSONDecodeError, RecursionError):
        raise BadRequest("the body is not JSON") from None
    if not isinstance(value, dict):
        raise BadRequest("the body is not a JSON object")
    return value
