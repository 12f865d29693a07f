"""A step's message as it would go to a contact, rendered and not sent: for previews.

The order of what is asked is that of the activities (`activities/steps/`): what keeps the message from going, then
its content. A letter's page is shown as HTML, not printed. Links lead to `#preview`: a click in a preview does nothing.
"""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any, Final

from channels import merge_tags
from channels.audiences import Person, payload_of
from channels.errors import TemplateFailed
from channels.letter_page import html_of
from channels.message_links import untracked
from channels.messenger import LONGEST_TEXT
from channels.post_address import NoAddress, address_lines
from channels.templates import Rendered, TemplateSource, partials_of, render, render_text
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
    still misses, or None; `sender` and `country` the settings' own.
    """

    definition: ProcessDefinition
    templates: Mapping[str, Any]
    unconfigured: Mapping[str, str | None]
    sender: str
    country: str | None

    def compose(self, asked: Compose) -> Composed:
        """The message, or why there is none."""
        missing = self.unconfigured.get(asked.channel)
        if missing is not None:
            return CannotRender(f"the channel «{asked.channel}» is not configured: set {missing}")
        try:
            return _KINDS[type(asked.step)](self, asked.step, asked)
        except TemplateFailed as error:
            return CannotRender(str(error))

    def render(self, asked: Render) -> dict[str, str] | CannotRender:
        """A step's own texts, by their place."""
        try:
            return {place: render_text(text, asked.context) for place, text in asked.step.texts()}
        except TemplateFailed as error:
            return CannotRender(str(error))

    def email(self, step: SendEmail, asked: Compose) -> Composed:
        """By its template."""
        facts, status = asked.facts, self._status(asked.facts)
        reason = no_mail(self.definition, facts.email_state, status)
        if reason is not None or facts.email is None:
            return Unsent("email", reason or "the contact has no e-mail address", facts.email or "")
        template = self.templates.get(step.template)
        if template is None:
            return CannotRender(f"there is no template «{step.template}»")
        transactional = self.definition.purpose == TRANSACTIONAL
        links: dict[str, Json] = {
            "unsubscribe_url": None if transactional else NOWHERE,
            "preferences_url": NOWHERE,
        }
        rendered = self._rendered(template, {**asked.context, **links})
        for _, fault in merge_tags.problems(rendered.html or ""):
            raise TemplateFailed("html", fault)
        shown = untracked(rendered)
        sender = step.sender or template.sender or self.sender
        return Message("email", facts.email, shown.subject, shown.text, shown.html, sender)

    def sms(self, step: SendSms, asked: Compose) -> Composed:
        """Its text."""
        phone = asked.facts.phone
        if phone is None:
            return Unsent("sms", "the contact has no phone number")
        reason = self._unwanted(asked)
        if reason is not None:
            return Unsent("sms", reason, phone)
        text = render_text(step.text, asked.context).strip()
        if not text:
            return Unsent("sms", "the text is empty for this contact", phone)
        return Message("sms", phone, text=text, sender=step.sender)

    def messenger(self, step: SendMessenger, asked: Compose) -> Composed:
        """Its text, to the endpoint that was put last."""
        endpoints = asked.facts.endpoints.get("messenger", ())
        if not endpoints:
            return Unsent("messenger", "the contact is not reached by Messenger")
        reason = self._unwanted(asked)
        if reason is not None:
            return Unsent("messenger", reason, endpoints[0])
        text = render_text(step.text, asked.context).strip()
        if not text:
            return Unsent("messenger", "the text is empty for this contact", endpoints[0])
        if len(text) > LONGEST_TEXT:
            return CannotRender(f"the text has {len(text)} characters; Messenger takes {LONGEST_TEXT}")
        return Message("messenger", endpoints[0], text=text)

    def push(self, step: SendPush, asked: Compose) -> Composed:
        """Title and body, to every browser."""
        browsers = asked.facts.endpoints.get("push", ())[:MOST_BROWSERS]
        if not browsers:
            return Unsent("push", "the contact has allowed push in no browser")
        reason = self._unwanted(asked)
        if reason is not None:
            return Unsent("push", reason)
        title = render_text(step.title, asked.context).strip()
        if not title:
            return Unsent("push", "the title is empty for this contact")
        url = "" if step.url is None else render_text(step.url, asked.context).strip()
        if url and not url.startswith(("https://", "http://")):
            raise TemplateFailed("url", f"{url[:100]!r} is neither http nor https")
        body = render_text(step.body, asked.context).strip()
        return Message("push", f"{len(browsers)} browsers", title, body)

    def letter(self, step: SendLetter, asked: Compose) -> Composed:
        """The page, and the address on it."""
        reason = self._unwanted(asked)
        if reason is not None:
            return Unsent("letter", reason)
        fields = {name: text_of_field(value) for name, value in asked.facts.fields.items()}
        try:
            recipient = ", ".join(address_lines(fields, self.country))
        except NoAddress as error:
            return Unsent("letter", str(error))
        if step.text is not None:
            text = render_text(step.text, asked.context)
            return Message("letter", recipient, None, text, html_of(text))
        template = self.templates.get(step.template or "")
        if template is None:
            return CannotRender(f"there is no template «{step.template}»")
        rendered = self._rendered(template, asked.context)
        return Message("letter", recipient, rendered.subject or None, rendered.text, rendered.html)

    def audience(self, step: AddToAudience | RemoveFromAudience, asked: Compose) -> Composed:
        """What Meta would be told is hashed, and shown to nobody."""
        facts = asked.facts
        if isinstance(step, AddToAudience):
            reason = no_audience(self.definition, facts.email_state) or self._unwanted(asked)
            if reason is not None:
                return Unsent("audience", reason, step.audience)
        named = ("first_name", "last_name", "city", "postal_code", "country")
        known = {name: text_of_field(facts.fields.get(name)) for name in named}
        if payload_of(Person(facts.email, facts.phone, **known)) is None:
            return Unsent(
                "audience", "the contact has neither an e-mail address nor a phone number", step.audience
            )
        return Message("audience", step.audience)

    def webhook(self, step: Webhook, asked: Compose) -> Composed:
        """What is posted beside the contact, the event and the step."""
        texts = {place: render_text(text, asked.context) for place, text in step.texts()}
        data = {name: texts.get(f"data/{name}", str(value)) for name, value in step.data.items()}
        shown = "\n".join(f"{name}: {value}" for name, value in data.items())
        return Message("webhook", str(step.url), text=shown or None)

    def _rendered(self, template: Any, context: Mapping[str, Json]) -> Rendered:
        return render(TemplateSource.of(template), context, partials_of(self.templates))

    def _status(self, facts: Facts) -> str | None:
        return facts.lists.get(self.definition.list_key or "")

    def _unwanted(self, asked: Compose) -> str | None:
        return unwanted(
            self.definition,
            asked.channel,
            consent=asked.facts.consent,
            status=self._status(asked.facts),
        )


def text_of_field(value: Json) -> str | None:
    """A field that people write as text or as a number (a postal code, say); None where it is neither."""
    if isinstance(value, bool) or not isinstance(value, str | int):
        return None
    return str(value).strip() or None


_KINDS: Mapping[type[StepBase], Callable[[Composer, Any, Compose], Composed]] = {
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
