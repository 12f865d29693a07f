"""Whose fault a refusal is: one judgement for SMTP replies, delivery reports and providers' webhooks.

A refusal comes as a basic code (`550`), an enhanced one (`5.1.1`, RFC 3463) and text, and the three often contradict
each other: `5.1.1` with a blocklist's address beside it, `5.7.1` with "User unknown". They are read together. The
reply of the server that refused counts more than what another server summed it up as. Text that blames the sender or
the moment is believed before text that blames the mailbox, because an address that was suppressed by mistake is lost,
while one that was kept by mistake is only refused again.

Pure: it decides nothing about contacts or instances. The phrases are in `channels/refusal_phrases.py`.
"""

import re
from dataclasses import dataclass
from typing import Final

from channels.refusal_phrases import BLOCKLISTS, PHRASES
from processes.refusals import FAULTS, Cause, Fault

_ENHANCED = re.compile(r"(?<![0-9.])([245])\.([0-9]{1,3})\.([0-9]{1,3})(?![0-9]|\.[0-9])")
_BASIC = re.compile(r"(?<![0-9.:/_-])([45][0-9]{2})(?=[\s#;:,-]|$)(?!-?[0-9]{2})")
_CONTINUED = re.compile(r"(?<![0-9.])([245][0-9]{2})[ -](?:([245]\.[0-9]{1,3}\.[0-9]{1,3})\s+)?")
_URL = re.compile(r"\b[a-z][a-z0-9+.-]*://\S+|\bwww\.\S+")
_ADDRESS = re.compile(r"<?(?<![\w.+-])[^\s<>@,;:\"'()\[\]]+@[^\s<>@,;:\"'()\[\]]+>?")
_HOST = re.compile(
    r"(?<![\w.-])(?:[a-z0-9_-]+\.)+(?:com|net|org|edu|gov|info|biz|example|test|local|[a-z]{2})(?![\w-])"
)
_NULL_MX = re.compile(r"\bnull ?mx\b")
_SUMMED_UP = re.compile(r"^\s*[245]\.\d+\.\d+ - [^'\d]{0,80}(?=[245]\d\d[ -]')")
"""What some gateways write before the reply that they got."""
_QUOTES = re.compile("[\u2018\u2019\u00b4`]")

_LONGEST: Final = 8000
"""Characters of a refusal that are read."""

_BY_DETAIL: Final[dict[tuple[int, int], Cause]] = {
    (1, 1): "no_mailbox",
    (1, 2): "no_mail_for_domain",
    (1, 3): "no_mailbox",
    (1, 6): "no_mailbox",
    (1, 10): "no_mail_for_domain",
    (1, 90): "rate",
    (2, 1): "no_mailbox",
    (2, 2): "mailbox_full",
    (2, 3): "content",
    (3, 4): "content",
    (4, 4): "no_mail_for_domain",
    (4, 310): "no_mail_for_domain",
    (7, 510): "no_mail_for_domain",
}
"""What an enhanced code means if the text does not say more (RFC 3463, RFC 7505, Microsoft's list of NDR codes).
5.1.7 and 5.1.8 are about the sender's address, Exchange's 5.1.90 about the sender's quota."""
_SURE: Final[dict[tuple[int, int], Cause]] = {
    (1, 7): "sender_address",
    (1, 8): "sender_address",
    **{(7, detail): "authentication" for detail in (20, 21, 22, 23, 24, 26, 27, 29, 30, 515)},
    (7, 25): "reputation",
    # The recipient's server takes no addresses beyond ASCII (RFC 6531): another message in ASCII may reach it.
    **{(6, detail): "recipient_policy" for detail in (7, 8, 9, 10)},
}
"""Codes that are used for nothing else, whatever the text says (RFC 3463, 6531, 7372 and 7505, IANA)."""
_BY_SUBJECT: Final[dict[int, Cause]] = {
    3: "server_error",
    4: "unreachable",
    6: "content",
    7: "policy",
}
_BY_BASIC: Final[dict[str, Cause]] = {
    "530": "authentication",
    "535": "authentication",
    "552": "mailbox_full",
    "556": "no_mail_for_domain",
}
"""What a basic code means if nothing else tells. 550, 551, 553 and 554 are used for everything."""


@dataclass(frozen=True, slots=True)
class Verdict:
    """What a refusal means. `status` is the enhanced code that counted, None if there was none."""

    cause: Cause
    status: str | None = None

    @property
    def fault(self) -> Fault:
        """Whose fault it is."""
        return FAULTS[self.cause]


def judge(text: str, *, status: str = "", code: int | None = None) -> Verdict:
    """What a refusal means.

    Args:
        text: what the other side said, on one line or several, with or without its codes; may be empty.
        status: an enhanced code that somebody else summed the refusal up as (a report's `Status`).
        code: the basic code, if it does not stand in the text.
    """
    words = _SUMMED_UP.sub("", text.lower()[:_LONGEST])
    said = [match.groups() for match in _ENHANCED.finditer(words)]
    summed_up = [match.groups() for match in _ENHANCED.finditer(status.lower())]
    codes = [(major, int(subject), int(detail)) for major, subject, detail in [*said, *summed_up]]
    telling = next((one for one in codes if one[1:] != (0, 0)), codes[0] if codes else None)
    basic = str(code) if code is not None else _basic_code(words)
    known = None if telling is None else ".".join(map(str, telling))
    cause = _cause(words, telling, basic)
    may_change = FAULTS[cause] in {"recipient", "unknown"} and not _NULL_MX.search(words)
    if may_change and _is_temporary(said, summed_up, basic):
        cause = "try_again"
    return Verdict(cause, known)


def _basic_code(words: str) -> str | None:
    found = _BASIC.search(words)
    return found[1] if found else None


def _is_temporary(said: list[tuple[str, ...]], summed_up: list[tuple[str, ...]], basic: str | None) -> bool:
    """Whether the refusal calls itself temporary: the server's own words first, then the summary."""
    if said:
        return said[0][0] == "4"
    if basic is not None:
        return basic[0] == "4"
    return bool(summed_up) and summed_up[0][0] == "4"


def _cause(words: str, telling: tuple[str, int, int] | None, basic: str | None) -> Cause:
    if any(name in words for name in BLOCKLISTS):
        return "reputation"
    if telling is not None and telling[1:] in _SURE:
        return _SURE[telling[1:]]
    plain = _without_names(words)
    if _NULL_MX.search(plain):
        return "no_mail_for_domain"
    for cause, phrases in PHRASES:
        if phrases.search(plain):
            return cause
    if telling is not None and telling[1:] != (0, 0):
        _, subject, detail = telling
        by_code = _BY_DETAIL.get((subject, detail)) or _BY_SUBJECT.get(subject)
        if by_code is not None:
            return by_code
    return _BY_BASIC.get(basic or "", "unknown")


def _without_names(words: str) -> str:
    """The text on one line, without codes, addresses, links and hosts: a host may be called `spam` or `unknown`."""
    plain = _QUOTES.sub("'", words)
    plain = _URL.sub(" ", plain)
    plain = _ADDRESS.sub(" @ ", plain)
    plain = _HOST.sub(" @ ", plain)
    plain = _CONTINUED.sub(" ", plain)
    return " ".join(plain.split())
