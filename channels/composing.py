"""A step's message as it would go to a contact, rendered and not sent: for previews.

The order of what is asked is that of the activities (`activities/steps/`): what keeps the message from going, then
its content, which is theirs (`channels/contents.py`). A letter's page is shown as HTML, not printed. Links lead to
`#preview`: a click in a preview does nothing.
"""

import asyncio
from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass
from typing import Any, Final

from channels import contents, merge_tags
from channels.audiences import payload_of
from channels.errors import ContentFailed, TemplateFailed
from channels.letter_page import Letter, Unprintable, check_letter
from channels.message_links import untracked
from channels.post_address import NoAddress, address_lines
from channels.rendering import rendered_texts
from processes.definition import ProcessDefinition
from processes.facts import Facts
from processes.obstacles import TRANSACTIONAL, no_audience, no_mail, unwanted
from processes.steps import StepBase
from processes.steps.add_to_audience import AddToAudience
from processes.steps.remove_from_audience import RemoveFromAudience
from processes.steps.send_email import SendEmail
from processes.steps.send_letter import SendLetter
from processes.steps.send_messenger import SendMessenger
from processes.steps.send_push import SendPush
from processes.steps.send_sms import SendSms
from processes.steps.webhook import Webhook
from processes.timeline import CannotRender, Compose, Message, Render, Unsent
from processes.values import Json

NOWHERE: Final = "#preview"
"""Where the links of a preview lead that would act for the contact."""
MOST_BROWSERS: Final = 20

Composed = Message | Unsent | CannotRender


@dataclass(frozen=True)
class Composer:
    """Composes for one process. `templates` are all there are, by key; `unconfigured` the setting that each channel
    still misses, or None; `sender`, `letter_sender` and `country` the settings' own.
    """

    definition: ProcessDefinition
    templates: Mapping[str, Any]
    unconfigured: Mapping[str, str | None]
    sender: str
    letter_sender: str
    country: str | None

    async def compose(self, asked: Compose) -> Composed:
        """The message, or why there is none."""
        missing = self.unconfigured.get(asked.channel)
        if missing is not None:
            return CannotRender(f"the channel «{asked.channel}» is not configured: set {missing}")
        try:
            return await _KINDS[type(asked.step)](self, asked.step, asked)
        except ContentFailed as error:
            return CannotRender(str(error))

    async def render(self, asked: Render) -> dict[str, str] | CannotRender:
        """A step's own texts, by their place."""
        try:
            return await rendered_texts(dict(asked.step.texts()), asked.context)
        except ContentFailed as error:
            return CannotRender(str(error))

    async def email(self, step: SendEmail, asked: Compose) -> Composed:
        """By its template."""
        facts, status = asked.facts, self._status(asked.facts)
        reason = no_mail(self.definition, facts.email_state, status)
        if reason is not None or facts.email is None:
            return Unsent("email", reason or "the contact has no e-mail address", facts.email or "")
        transactional = self.definition.purpose == TRANSACTIONAL
        links: dict[str, Json] = {
            "unsubscribe_url": None if transactional else NOWHERE,
            "preferences_url": NOWHERE,
        }
        said = await contents.mail(step, self.templates, {**asked.context, **links}, self.sender)
        for _, fault in merge_tags.problems(said.rendered.html or ""):
            raise TemplateFailed("html", fault)
        shown = untracked(said.rendered)
        return Message("email", facts.email, shown.subject, shown.text, shown.html, said.sender)

    async def sms(self, step: SendSms, asked: Compose) -> Composed:
        """Its text."""
        phone = asked.facts.phone
        if phone is None:
            return Unsent("sms", "the contact has no phone number")
        reason = self._unwanted(asked)
        if reason is not None:
            return Unsent("sms", reason, phone)
        try:
            text = await contents.text(step.text, asked.context)
        except contents.NothingToSend as nothing:
            return Unsent("sms", str(nothing), phone)
        return Message("sms", phone, text=text, sender=step.sender)

    async def messenger(self, step: SendMessenger, asked: Compose) -> Composed:
        """Its text, to the endpoint that was put last."""
        endpoints = asked.facts.endpoints.get("messenger", ())
        if not endpoints:
            return Unsent("messenger", "the contact is not reached by Messenger")
        reason = self._unwanted(asked)
        if reason is not None:
            return Unsent("messenger", reason, endpoints[0])
        try:
            text = await contents.messenger_text(step, asked.context)
        except contents.NothingToSend as nothing:
            return Unsent("messenger", str(nothing), endpoints[0])
        return Message("messenger", endpoints[0], text=text)

    async def push(self, step: SendPush, asked: Compose) -> Composed:
        """Title and body, to every browser."""
        browsers = asked.facts.endpoints.get("push", ())[:MOST_BROWSERS]
        if not browsers:
            return Unsent("push", "the contact has allowed push in no browser")
        reason = self._unwanted(asked)
        if reason is not None:
            return Unsent("push", reason)
        try:
            said = await contents.push(step, asked.context)
        except contents.NothingToSend as nothing:
            return Unsent("push", str(nothing))
        return Message("push", f"{len(browsers)} browsers", said.title, said.body)

    async def letter(self, step: SendLetter, asked: Compose) -> Composed:
        """The page, and the address on it."""
        reason = self._unwanted(asked)
        if reason is not None:
            return Unsent("letter", reason)
        fields = {name: contents.text_of_field(value) for name, value in asked.facts.fields.items()}
        try:
            lines = address_lines(fields, self.country)
        except NoAddress as error:
            return Unsent("letter", str(error))
        said, recipient = await contents.letter(step, self.templates, asked.context), ", ".join(lines)
        try:
            page = Letter(self.letter_sender, lines, "", said.subject, said.html)
            await asyncio.to_thread(check_letter, page)
        except Unprintable as error:
            return Unsent("letter", str(error), recipient)
        return Message("letter", recipient, said.subject or None, said.text, said.html)

    async def audience(self, step: AddToAudience | RemoveFromAudience, asked: Compose) -> Composed:
        """What Meta would be told is hashed, and shown to nobody."""
        facts = asked.facts
        if isinstance(step, AddToAudience):
            reason = no_audience(self.definition, facts.email_state) or self._unwanted(asked)
            if reason is not None:
                return Unsent("audience", reason, step.audience)
        if payload_of(contents.person(facts.email, facts.phone, facts.fields)) is None:
            return Unsent(
                "audience", "the contact has neither an e-mail address nor a phone number", step.audience
            )
        return Message("audience", step.audience)

    async def webhook(self, step: Webhook, asked: Compose) -> Composed:
        """What is posted beside the contact, the event and the step."""
        data = await contents.webhook_data(step, asked.context)
        shown = "\n".join(f"{name}: {value}" for name, value in data.items())
        return Message("webhook", str(step.url), text=shown or None)

    def _status(self, facts: Facts) -> str | None:
        return facts.lists.get(self.definition.list_key or "")

    def _unwanted(self, asked: Compose) -> str | None:
        return unwanted(
            self.definition,
            asked.channel,
            consent=asked.facts.consent,
            status=self._status(asked.facts),
        )


_KINDS: Mapping[type[StepBase], Callable[[Composer, Any, Compose], Awaitable[Composed]]] = {
    AddToAudience: Composer.audience,
    RemoveFromAudience: Composer.audience,
    SendEmail: Composer.email,
    SendLetter: Composer.letter,
    SendMessenger: Composer.messenger,
    SendPush: Composer.push,
    SendSms: Composer.sms,
    Webhook: Composer.webhook,
}
COMPOSED = frozenset(model.kind for model in _KINDS)
"""The kinds of step that write to someone."""
