"""Previews of messages: what would go to a contact on each channel, or why nothing would."""

import asyncio
from dataclasses import replace
from typing import Any

import pytest

from channels.composing import COMPOSED, NOWHERE, Composer
from processes.definition import ProcessDefinition, parse
from processes.facts import Facts
from processes.steps import STEP_KINDS
from processes.timeline import CannotRender, Compose, Message, Unsent
from store.catalog import TemplateView

ADDRESS: dict[str, Any] = {
    "first_name": "Anna", "last_name": "Nová", "street": "Dlouhá 1", "postal_code": 11000, "city": "Praha",
    "country": "CZ",
}  # fmt: skip
ANNA = Facts(
    id="c1",
    email="anna@example.com",
    phone="+420123456789",
    fields=ADDRESS,
    endpoints={"messenger": ("psid-2", "psid-1"), "push": ("https://push.example.com/1",)},
)
NO: dict[str, Any] = {"granted": False}
CONTEXT: dict[str, Any] = {"contact": {"name": "Anna", "nothing": " "}}


def template(key: str, **parts: str) -> TemplateView:
    given = {"subject": "For {{ contact.name }}", **parts}
    own: dict[str, Any] = {name: given.get(name) for name in ("mjml", "html", "text", "sender", "reply_to")}
    return TemplateView(key, 1, given["subject"], **own)


WORDS = "<mj-text>Hi {{ contact.name }}</mj-text>"
MJML = f"<mjml><mj-body><mj-section><mj-column>{WORDS}</mj-column></mj-section></mj-body></mjml>"
TEMPLATES = {
    "html": template("html", html='<p>Hi {{ contact.name }}, <a href="{{ unsubscribe_url }}">leave</a></p>'),
    "mjml": template("mjml", mjml=MJML),
    "text": template("text", text="Hi {{ contact.name }}\n\nBye"),
    "own": template("own", html="<p>Hi</p>", sender="Own <own@example.com>"),
    "blank": template("blank", html="<p>{{ contact.nothing }}</p>"),
}


def composer(**more: Any) -> Composer:
    return Composer(
        definition=definition(**more),
        templates=TEMPLATES,
        unconfigured={},
        sender="Shop <shop@example.com>",
        letter_sender="Shop · Praha",
        country="CZ",
    )


def definition(**more: Any) -> ProcessDefinition:
    end = {"id": "a", "type": "end"}
    return parse({"key": "p", "name": "P", "recurrence": "once", "steps": [end], **more})


def composed(kind: str, facts: Facts = ANNA, own: Composer | None = None, **step: Any) -> Any:
    made: Any = STEP_KINDS[kind].model_validate({"id": "s", "type": kind, **step})
    channel = next((name for _, name in made.needs().channels), "webhook")
    return asyncio.run((own or composer()).compose(Compose(made, channel, facts, CONTEXT)))


def test_every_step_that_writes_to_a_person_has_a_preview() -> None:
    named = {kind for kind, model in STEP_KINDS.items() if kind.startswith("send_")}
    assert named < COMPOSED


def test_an_email_is_rendered_with_links_that_lead_nowhere() -> None:
    found = composed("send_email", template="html")
    assert (found.sender, found.recipient, found.subject) == (
        "Shop <shop@example.com>", "anna@example.com", "For Anna",
    )  # fmt: skip
    assert found.html == f'<p>Hi Anna, <a href="{NOWHERE}">leave</a></p>'
    assert found.text == f"Hi Anna, [leave]({NOWHERE})\n"
    assert composed("send_email", template="own").sender == "Own <own@example.com>"
    assert (
        composed("send_email", template="own", sender="Me <me@example.com>").sender == "Me <me@example.com>"
    )


def test_a_short_text_goes_to_the_phone_and_to_the_newest_messenger_endpoint() -> None:
    text: dict[str, Any] = {"text": " Hi {{ contact.name }} "}
    assert composed("send_sms", **text) == Message("sms", "+420123456789", text="Hi Anna")
    assert composed("send_messenger", **text) == Message("messenger", "psid-2", text="Hi Anna")
    long = "{% for n in (1..2001) %}x{% endfor %}"
    assert composed("send_messenger", text=long) == CannotRender(
        "the text has 2001 characters; Messenger takes 2000"
    )


def test_a_notification_goes_to_every_browser() -> None:
    found = composed("send_push", title="Hi {{ contact.name }}", body=" New! ", url="https://example.com/")
    assert found == Message("push", "1 browsers", "Hi Anna", "New!")
    refused = composed("send_push", title="Hi", url="javascript:{{ contact.name }}")
    assert refused == CannotRender(
        "The template failed in its url: 'javascript:Anna' is neither http nor https"
    )


def test_of_a_letter_the_page_is_shown_that_would_be_printed() -> None:
    found = composed("send_letter", template="html")
    assert (found.recipient, found.subject) == ("Anna Nová, Dlouhá 1, 11000 Praha", "For Anna")
    assert found.html.startswith("<p>Hi Anna, ")
    assert composed("send_letter", text="Hi {{ contact.name }}").html == "<p>Hi Anna</p>"
    assert composed("send_letter", template="text").html == "<p>Hi Anna</p><p>Bye</p>"
    assert composed("send_letter", template="mjml").html == "<p>Hi Anna</p>", "not the layout for screens"


def test_a_letter_that_cannot_be_printed_is_told_of_before() -> None:
    skipped = composed("send_letter", text="你好")
    assert skipped == Unsent("letter", "the letter's font has no «你好»", "Anna Nová, Dlouhá 1, 11000 Praha")
    blank = composed("send_letter", template="blank")
    assert blank == CannotRender("The template failed in its html: the letter has nothing to read")


def test_what_meta_is_told_is_not_shown() -> None:
    assert composed("add_to_audience", audience="123") == Message("audience", "123")
    nobody = Facts(fields={"first_name": "Anna"})
    assert composed("remove_from_audience", nobody, audience="123") == Unsent(
        "audience", "the contact has neither an e-mail address nor a phone number", "123"
    )


def test_of_a_webhook_its_own_data_is_shown() -> None:
    found = composed("webhook", url="https://example.com/hook", data={"who": "{{ contact.name }}", "n": 3})
    assert found == Message("webhook", "https://example.com/hook", text="who: Anna\nn: 3")


TEXT, EMPTY = {"text": "Hi"}, {"text": "{{ contact.nothing }}"}
TITLE, NO_TITLE = {"title": "Hi"}, {"title": "{{ contact.nothing }}"}


@pytest.mark.parametrize(
    ("kind", "step", "facts", "reason"),
    [
        ("send_email", {"template": "html"}, {"email": None}, "the contact has no e-mail address"),
        ("send_sms", TEXT, {"phone": None}, "the contact has no phone number"),
        ("send_sms", TEXT, {"consent": {"sms": NO}}, "the contact wants no marketing by sms"),
        ("send_sms", EMPTY, {}, "the text is empty for this contact"),
        ("send_messenger", TEXT, {"endpoints": {}}, "the contact is not reached by Messenger"),
        ("send_messenger", EMPTY, {}, "the text is empty for this contact"),
        ("send_push", TITLE, {"endpoints": {}}, "the contact has allowed push in no browser"),
        ("send_push", NO_TITLE, {}, "the title is empty for this contact"),
        ("send_push", TITLE, {"consent": {"push": NO}}, "the contact wants no marketing by push"),
        ("send_letter", TEXT, {"consent": {"letter": NO}}, "the contact wants no marketing by letter"),
        ("send_letter", TEXT, {"fields": {}}, "the contact has no postal address"),
        (
            "add_to_audience",
            {"audience": "1"},
            {"email_state": "unsubscribed"},
            "the contact wants no marketing",
        ),
    ],
)
def test_what_keeps_a_message_back_is_said(
    kind: str, step: dict[str, Any], facts: dict[str, Any], reason: str
) -> None:
    found = composed(kind, replace(ANNA, **facts), **step)
    assert isinstance(found, Unsent)
    assert found.reason.startswith(reason)


@pytest.mark.parametrize("kind", ["send_email", "send_letter"])
def test_a_template_that_is_not_there_is_to_be_mended(kind: str) -> None:
    assert composed(kind, template="ghost") == CannotRender("there is no template «ghost»")


def test_a_channel_that_is_not_configured_is_to_be_mended() -> None:
    without = replace(composer(), unconfigured={"sms": "ONWARD_SMS_PROVIDER"})
    assert composed("send_sms", own=without, text="Hi") == CannotRender(
        "the channel «sms» is not configured: set ONWARD_SMS_PROVIDER"
    )
