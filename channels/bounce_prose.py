"""Finds the reason for a failure in the text that a mail system wrote for people. Pure.

Such text is courtesy around one sentence that counts: usually a server's reply with its code, sometimes words only.
"""

import re
from collections.abc import Iterator
from typing import Final

from channels.refusals import judge

_CODE = re.compile(
    r"(?<![0-9.:/_-])[45][0-9]{2}(?=[ -]\D|[ -][245]\.[0-9])"
    r"|(?<![0-9.])[45]\.[0-9]{1,3}\.[0-9]{1,3}(?![0-9.])"
)
_MAIL_FROM = re.compile(r"\bmail from\b", re.IGNORECASE)
_COURTESY = re.compile(
    r"^(?:hi|hello|dear|sorry|i'm (?:afraid|sorry|not going)|this report relates"
    r"|this (?:is|message was|e-?mail)|a message that you|your message"
    r"|the following (?:message|address|recipient)|could not be delivered"
    r"|delivery (?:has )?(?:to the following|failed)|for (?:further|more) (?:help|assistance|information)"
    r"|if you do so|please (?:include|contact|do not)|undeliver\w+)\b",
    re.IGNORECASE,
)
_TOO_GENERAL: Final = frozenset({"unknown", "policy", "server_error"})
"""What any sentence about mail may seem to say."""
_LONGEST: Final = 16_000
_MOST_LINES: Final = 400


def has_code(said: str) -> bool:
    """Whether a server's reply code stands in a text."""
    return _CODE.search(said) is not None


def refusal_in(prose: str) -> str | None:
    """The part of a text that says why a message was not delivered, on one line; None if no part says so."""
    paragraphs = list(_paragraphs(prose[:_LONGEST]))
    with_code = [said for said in paragraphs if _CODE.search(said)]
    for said in with_code:
        found = _from_the_code(said)
        if judge(found).cause != "unknown":
            return found
    for said in paragraphs:
        for line in (said, *said.splitlines()):
            if not _COURTESY.match(line) and judge(line).cause not in _TOO_GENERAL:
                return " ".join(line.split())
    return " ".join(with_code[0].split()) if with_code else None


def _from_the_code(said: str) -> str:
    """The reply in a paragraph; the words before it too if they say that it answered MAIL FROM."""
    code = _CODE.search(said)
    begin = 0 if code is None or _MAIL_FROM.search(said[: code.start()]) else code.start()
    return " ".join(said[begin:].split())


def _paragraphs(prose: str) -> Iterator[str]:
    lines = [line.strip(" \t\r>*|") for line in prose.splitlines()[:_MOST_LINES]]
    yield from (said for said in "\n".join(lines).split("\n\n") if said.strip())
