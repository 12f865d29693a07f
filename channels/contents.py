"""What a message says to one contact: rendered from its step, for the step that sends it and for the preview.

Pure: whether it may go at all, and to which address, is asked before (`processes/obstacles.py`). Everything here raises
NothingToSend where there is nothing to be sent to this contact, and ContentFailed (a TemplateFailed, say) where a
person must mend something.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from channels.audiences import Person
from channels.errors import ContentFailed, TemplateFailed
from channels.letter_page import html_of
from channels.messenger import LONGEST_TEXT
from channels.rendering import rendered, rendered_text, rendered_texts
from channels.templates import Rendered, TemplateSource
from processes.steps.send_email import SendEmail
from processes.steps.send_letter import SendLetter
from processes.steps.send_messenger import SendMessenger
from processes.steps.send_push import SendPush
from processes.steps.webhook import Webhook
from processes.values import Json

Context = Mapping[str, Json]
Templates = Mapping[str, Any]
"""All there are, by key, as they are kept."""


class NothingToSend(Exception):
    """There is nothing to be sent to this contact; its words say why."""


@dataclass(frozen=True)
class MailContent:
    """An e-mail before its links are made to tell of opens and clicks."""

    rendered: Rendered
    sender: str
    reply_to: str | None


@dataclass(frozen=True)
class PushContent:
    """A notification. `url` is what a click opens, None where nothing."""

    title: str
    body: str
    url: str | None


@dataclass(frozen=True)
class LetterContent:
    """What is printed below the address: the page as HTML, and the same as text."""

    subject: str
    text: str
    html: str


async def mail(step: SendEmail, templates: Templates, context: Context, sender: str) -> MailContent:
    """By the step's template; from the step's sender, the template's, or else `sender`."""
    template = _template(templates, step.template)
    return MailContent(
        rendered=await _rendered(template, templates, context),
        sender=step.sender or template.sender or sender,
        reply_to=step.reply_to or template.reply_to,
    )


async def text(source: str, context: Context) -> str:
    """A short text, such as an SMS."""
    found = (await rendered_text(source, context)).strip()
    if not found:
        raise NothingToSend("the text is empty for this contact")
    return found


async def messenger_text(step: SendMessenger, context: Context) -> str:
    """The text, as long as Messenger takes it."""
    found = await text(step.text, context)
    if len(found) > LONGEST_TEXT:
        raise ContentFailed(f"the text has {len(found)} characters; Messenger takes {LONGEST_TEXT}")
    return found


async def push(step: SendPush, context: Context) -> PushContent:
    """A click opens a web address only: a browser would run a script."""
    written = {"title": step.title, "body": step.body, "url": step.url or ""}
    texts = {name: found.strip() for name, found in (await rendered_texts(written, context)).items()}
    title, body, url = texts["title"], texts["body"], texts["url"]
    if not title:
        raise NothingToSend("the title is empty for this contact")
    if url and not url.startswith(("https://", "http://")):
        raise TemplateFailed("url", f"{url[:100]!r} is neither http nor https")
    return PushContent(title, body, url or None)


async def letter(step: SendLetter, templates: Templates, context: Context) -> LetterContent:
    """By the step's text or template. MJML is for screens: of it, and where there is no HTML, the text is printed."""
    if step.text is not None:
        own = await rendered_text(step.text, context)
        return LetterContent("", own, html_of(own))
    template = _template(templates, step.template or "")
    made = await _rendered(template, templates, context)
    on_paper = made.html if template.mjml is None else None
    page = html_of(made.text) if on_paper is None else on_paper
    return LetterContent(made.subject, made.text, page)


async def webhook_data(step: Webhook, context: Context) -> dict[str, Json]:
    """What the step adds to what is posted."""
    return await with_texts(step.data, context)


async def with_texts(values: Mapping[str, Json], context: Context) -> dict[str, Json]:
    """The values, those that are texts rendered."""
    texts = {name: value for name, value in values.items() if isinstance(value, str)}
    return {**values, **await rendered_texts(texts, context)}


def person(email: str | None, phone: str | None, fields: Context) -> Person:
    """What is known of the contact that Meta has a key for."""
    named = ("first_name", "last_name", "city", "postal_code", "country")
    return Person(email, phone, **{name: text_of_field(fields.get(name)) for name in named})


def text_of_field(value: Json) -> str | None:
    """A field that people write as text or as a number (a postal code, say); None where it is neither."""
    if isinstance(value, bool) or not isinstance(value, str | int):
        return None
    return str(value).strip() or None


def _template(templates: Templates, key: str) -> Any:
    found = templates.get(key)
    if found is None:
        raise ContentFailed(f"there is no template «{key}»")
    return found


async def _rendered(template: Any, templates: Templates, context: Context) -> Rendered:
    return await rendered(TemplateSource.of(template), context, templates)
