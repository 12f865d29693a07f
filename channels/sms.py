"""What a short message is, whoever carries it, and how many segments it takes: what is paid for.

Lengths by GSM 03.38 and by UTF-16: a text of the GSM alphabet has 160 septets in one segment and 153 in each of
several, any other 70 and 67 code units. No character is cut in two by a segment's end.
"""

import re
from dataclasses import dataclass
from typing import Literal

Encoding = Literal["GSM-7", "UCS-2"]

_TWILIO_SENDER = re.compile(
    r"\+[1-9][0-9]{6,14}|[0-9]{3,8}|MG[0-9a-fA-F]{32}|[a-z]+:.+|"
    r"(?=[A-Za-z0-9+ ._&-]{1,11}$)(?=.*[A-Za-z])[A-Za-z0-9+._&-](?:.*[A-Za-z0-9+._&-])?"
)
_BASIC = frozenset(
    "@£$¥èéùìòÇ\nØø\rÅåΔ_ΦΓΛΩΠΨΣΘΞÆæßÉ !\"#¤%&'()*+,-./0123456789:;<=>?"
    "¡ABCDEFGHIJKLMNOPQRSTUVWXYZÄÖÑÜ§¿abcdefghijklmnopqrstuvwxyzäöñüà"
)
_EXTENDED = frozenset("\f^{}\\[~]|€")
"""Two septets each: an escape, and the character."""
_ROOM: dict[Encoding, tuple[int, int]] = {"GSM-7": (160, 153), "UCS-2": (70, 67)}


def why_no_twilio_sender(sender: str) -> str | None:
    """Why Twilio can never send from it, by its form; None if it may. A number, a short code, a Messaging Service, a
    channel's address (`whatsapp:…`), or a name of at most 11 characters with a letter among them.
    """
    if _TWILIO_SENDER.fullmatch(sender):
        return None
    return (
        "is not a number such as +420601234567, a short code, a Messaging Service (MG and 32 hexadecimal digits), or a "
        "name of at most 11 letters, digits and spaces with a letter among them"
    )


@dataclass(frozen=True)
class Sms:
    """A message to one number. `id` is ours, the same for every try; `recipient` is E.164.

    `sender` is a number, a name, or what else the provider knows as one; None: the setting's.
    """

    id: str
    recipient: str
    text: str
    sender: str | None


@dataclass(frozen=True)
class Length:
    """How long a text is: in septets or UTF-16 code units, and in segments."""

    encoding: Encoding
    units: int
    segments: int


def measure(text: str) -> Length:
    """How long a text is as an SMS. The empty text takes one segment."""
    encoding: Encoding = "GSM-7" if all(c in _BASIC or c in _EXTENDED for c in text) else "UCS-2"
    widths = [_width(character, encoding) for character in text]
    units = sum(widths)
    single, several = _ROOM[encoding]
    if units <= single:
        return Length(encoding, units, 1)
    segments, left = 1, several
    for width in widths:
        if width > left:
            segments, left = segments + 1, several
        left -= width
    return Length(encoding, units, segments)


def _width(character: str, encoding: Encoding) -> int:
    if encoding == "GSM-7":
        return 2 if character in _EXTENDED else 1
    return 2 if ord(character) > 0xFFFF else 1
