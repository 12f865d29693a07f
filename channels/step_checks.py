"""What in a step its channel can never take, whoever the contact is.

It is found before a process is published, since it would hold, or skip, everybody. What shows only when a message is
made (a value of the contact, a name that resolves to a private address) is the step's own affair then. Pure: it knows
the settings that matter, and calls nobody.
"""

from collections.abc import Iterator
from dataclasses import dataclass

import orjson

from channels.messenger import LONGEST_TEXT
from channels.public import why_never
from channels.push import PAYLOAD_LIMIT
from channels.rendering import constant
from channels.sms import why_no_twilio_sender
from channels.webhook import is_secret
from processes.addresses import why_no_sender
from processes.steps import Step
from processes.steps.send_email import SendEmail
from processes.steps.send_letter import SendLetter
from processes.steps.send_messenger import SendMessenger
from processes.steps.send_push import SendPush
from processes.steps.send_sms import SendSms
from processes.steps.webhook import Webhook

LONGEST_TWILIO_TEXT = 1600
"""Characters, by Twilio's error 21617."""
NOBODY_GETS_IT = "it is empty for every contact: nobody would get anything"

Found = Iterator[tuple[str, str]]
"""A field of the step, and why its value can never work."""


@dataclass(frozen=True)
class StepChecks:
    """The checks, by the settings that they depend on."""

    smtputf8: bool
    sms_provider: str | None
    webhook_allow_private: bool

    def __call__(self, step: Step) -> Found:
        """Everything that is wrong with one step's own values."""
        match step:
            case SendEmail():
                yield from self._email(step)
            case SendSms():
                yield from self._sms(step)
            case SendMessenger():
                yield from _text("text", step.text, LONGEST_TEXT, "Messenger")
            case SendPush():
                yield from _push(step)
            case SendLetter():
                yield from _text("text", step.text or "a template", None, "")
            case Webhook():
                yield from self._webhook(step)

    def _email(self, step: SendEmail) -> Found:
        for name, value in (("sender", step.sender), ("reply_to", step.reply_to)):
            why = None if value is None else why_no_sender(value, smtputf8=self.smtputf8)
            if why is not None:
                yield name, f"«{value}» {why}"

    def _sms(self, step: SendSms) -> Found:
        by_twilio = self.sms_provider == "twilio"
        yield from _text("text", step.text, LONGEST_TWILIO_TEXT if by_twilio else None, "Twilio")
        if step.sender is None:
            return
        if not step.sender.strip():
            yield "sender", "is blank"
        elif by_twilio and (why := why_no_twilio_sender(step.sender)) is not None:
            yield "sender", f"«{step.sender}» {why}"

    def _webhook(self, step: Webhook) -> Found:
        why = why_never(str(step.url), self.webhook_allow_private)
        if why is not None:
            yield "url", why
        if step.secret is not None and not is_secret(step.secret):
            yield "secret", "is not `whsec_` and Base64"


def _push(step: SendPush) -> Found:
    yield from _text("title", step.title, None, "")
    url = None if step.url is None else constant(step.url)
    if url is not None and url.strip() and not url.strip().startswith(("https://", "http://")):
        yield "url", f"{url.strip()[:100]!r} is neither http nor https"
    title, body = constant(step.title), constant(step.body)
    if title is not None and body is not None:
        size = len(orjson.dumps({"title": title.strip(), "body": body.strip()}))
        if size > PAYLOAD_LIMIT:
            yield "body", f"title and body are {size:,} bytes; a push service takes {PAYLOAD_LIMIT:,}"


def _text(name: str, source: str, longest: int | None, who: str) -> Found:
    said = constant(source)
    if said is None:
        return
    if not said.strip():
        yield name, NOBODY_GETS_IT
    elif longest is not None and len(said.strip()) > longest:
        yield name, f"has {len(said.strip()):,} characters; {who} takes {longest:,}"
