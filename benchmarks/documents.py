"""The processes that benches run, as a person would write them."""

from datetime import UTC, datetime
from typing import Any

TEMPLATES = ("one", "two", "three")
HTML = "<h1>Hello {{ contact.name }}</h1>{% for i in (1..5) %}<p>Offer {{ i }} for {{ contact.email }}</p>{% endfor %}"


def process(key: str, steps: list[dict[str, Any]]) -> dict[str, Any]:
    """A process that the event `<key>_wanted` starts each time."""
    return {
        "key": key,
        "name": key.capitalize(),
        "recurrence": "each_time",
        "triggers": [{"type": "event", "event": f"{key}_wanted"}],
        "steps": steps,
    }


JOURNEY = process(
    "journey",
    [
        {"id": "one", "type": "send_email", "template": "one", "next": "first"},
        {"id": "first", "type": "add_tag", "tag": "first", "next": "two"},
        {"id": "two", "type": "send_email", "template": "two", "next": "second"},
        {"id": "second", "type": "add_tag", "tag": "second", "next": "three"},
        {"id": "three", "type": "send_email", "template": "three"},
    ],
)
"""Three e-mails and two tags, no waits: all of it is work."""

MAIL = process("mail", [{"id": "one", "type": "send_email", "template": "one"}])
"""Enter, send, end."""

SLEEPER = process(
    "sleeper",
    [
        {"id": "sleep", "type": "wait", "for": "30 days", "next": "one"},
        {"id": "one", "type": "send_email", "template": "one"},
    ],
)
"""Waits for longer than any bench."""


def due_at(key: str, moment: datetime) -> dict[str, Any]:
    """A process that waits until a moment, then sends. Raises ValueError where the moment is not of whole seconds."""
    if moment.microsecond:
        raise ValueError(f"{moment} is not of whole seconds")
    return process(
        key,
        [
            {
                "id": "sleep",
                "type": "wait",
                "until": moment.astimezone(UTC).strftime("%Y-%m-%dT%H:%M:%S"),
                "zone": "UTC",
                "next": "one",
            },
            {"id": "one", "type": "send_email", "template": "one"},
        ],
    )


BIRTHDAY: dict[str, Any] = {
    "key": "birthday",
    "name": "Birthday",
    "recurrence": "when_finished",
    "time_zone": "Europe/Prague",
    "triggers": [{"type": "date", "field": "birthday", "every_year": True, "at": "09:00"}],
    "steps": [{"id": "hello", "type": "send_email", "template": "one"}],
}
"""Starts those whose day it is."""
