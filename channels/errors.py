"""What can go wrong between us and a recipient, told apart by whose fault it is and what to do next.

    DeliveryError
    ├── RecipientRefused     theirs: record it, mark the contact where the mailbox is bad, go on
    ├── MessageRefused       this message: the receiver read it and said no; record it, go on
    ├── SenderRefused        ours: credentials, sender address, relay or webhook settings; a person mends it
    │   └── SendingRefused       the other side refuses us: reputation, policy, authentication, content
    ├── ContentFailed        ours: there is no message to send; hold, show it, resume after the fix
    │   ├── TemplateFailed       the template does not render
    │   └── TemplateStopped      the template took too long (`channels/rendering.py`)
    ├── AddressNotAllowed    ours: a webhook that points at a private address
    ├── TryLater             the network's or the provider's: nothing was taken, retry with back-off
    ├── OutcomeUnknown       the line went silent after the message left: it may have been taken, or not
    └── Withdrawn            nobody's: the caller said no at the last moment, nothing was sent

Only after `OutcomeUnknown` may a message have been delivered. After every other error it was not.
"""

import re
from datetime import timedelta
from typing import Any

from processes.refusals import Cause

LONGEST_RETRY_AFTER = timedelta(days=1)
"""Whoever wants to be left alone for longer is asked again once a day: a wrong number must not lose the contact."""

_NOT_KEPT = re.compile("[\x00\ud800-\udfff]")


def kept(said: str) -> str:
    """The other side's words as every database and Temporal take them: without NUL and halves of characters."""
    return _NOT_KEPT.sub("\ufffd", said)


class DeliveryError(Exception):
    """Nothing was delivered, or nobody can tell; the subclass says which and why. Its words can be kept (`kept`).

    Attributes:
        cause: why the other side refused, as a code; None if it did not refuse.
    """

    cause: Cause | None = None

    def __init__(self, words: str = "") -> None:
        super().__init__(kept(words))


class RecipientRefused(DeliveryError):
    """The other side refused this recipient for good.

    Attributes:
        code: the SMTP reply code, or the provider's own.
        text: what the other side said.
        mailbox_is_bad: the address itself does not work, or does not want us, so no message will ever reach it.
            False where the refusal is about policy, size or quota.
    """

    def __init__(self, code: int, text: str, mailbox_is_bad: bool, cause: Cause | None = None) -> None:
        super().__init__(f"The recipient was refused: {code} {text}")
        self.cause = cause or ("no_mailbox" if mailbox_is_bad else "unknown")
        self.code = code
        self.text = kept(text)
        self.mailbox_is_bad = mailbox_is_bad


class MessageRefused(DeliveryError):
    """The receiver refused this message for good (5xx to SMTP DATA; 3xx or 4xx from a webhook).

    Attributes:
        code: the SMTP reply code, the HTTP status, or the provider's own.
        text: what the receiver said.
    """

    def __init__(self, code: int, text: str, cause: Cause = "unknown") -> None:
        super().__init__(f"The message was refused: {code} {text}")
        self.cause = cause
        self.code = code
        self.text = kept(text)


class SenderRefused(DeliveryError):
    """We may not send like this, or asked for something impossible: our settings need a person.

    Attributes:
        text: what is wrong, with the server's words where it was a server that said so.
    """

    def __init__(self, text: str) -> None:
        super().__init__(text)
        self.text = kept(text)


class SendingRefused(SenderRefused):
    """The other side answered, and refuses what we send or how, whoever the recipient is: a blocklist, a policy, SPF
    or DKIM, content. It says nothing about the recipient, so a person looks at it. It always has a cause.
    """

    def __init__(self, text: str, cause: Cause) -> None:
        super().__init__(text)
        self.cause = cause


class TryLater(DeliveryError):
    """Nothing was taken this time; the same message may work later.

    Attributes:
        text: what happened.
        retry_after: seconds that the receiver asked us to wait, at most `LONGEST_RETRY_AFTER`; None where it did
            not say.
    """

    def __init__(self, text: str, retry_after: float | None = None, cause: Cause | None = None) -> None:
        super().__init__(text)
        self.text = kept(text)
        self.cause = cause
        longest = LONGEST_RETRY_AFTER.total_seconds()
        self.retry_after = None if retry_after is None else min(retry_after, longest)


class OutcomeUnknown(DeliveryError):
    """The line was cut or went silent after the message was on its way and before the receiver answered, or the
    answer does not tell.

    Attributes:
        text: what happened.
        final: asking again with the same id will not tell either.
    """

    def __init__(self, text: str, final: bool = False) -> None:
        super().__init__(text)
        self.text = kept(text)
        self.final = final


class ContentFailed(DeliveryError):
    """A message cannot be made from what a person wrote."""


class TemplateFailed(ContentFailed):
    """A part of a template does not parse, render or compile.

    Attributes:
        part: `subject`, `mjml`, `html`, `text`, or the name that the caller gave.
        text: what is wrong.
        line: the line in the part, from 1, or None where it is not known.
    """

    def __init__(self, part: str, text: str, line: int | None = None) -> None:
        where = part if line is None else f"{part}, line {line}"
        super().__init__(f"The template failed in its {where}: {text}")
        self.part = part
        self.text = kept(text)
        self.line = line

    def __reduce__(self) -> tuple[Any, tuple[str, str, int | None]]:
        """It comes back from the process that renders."""
        return type(self), (self.part, self.text, self.line)


class TemplateStopped(ContentFailed):
    """A template took more time or memory than any may have, and its rendering was cut off.

    Attributes:
        why: which limit it reached.
        again: it was stopped a moment ago, and not tried this time.
    """

    def __init__(self, why: str, again: bool = False) -> None:
        super().__init__(f"The template was stopped: {why}")
        self.why = why
        self.again = again


class AddressNotAllowed(DeliveryError):
    """A webhook's host is, or resolves to, an address that is not on the public internet.

    Attributes:
        host: the host as the URL names it.
    """

    def __init__(self, host: str) -> None:
        super().__init__(
            f"{host} is not a public address. Set ONWARD_WEBHOOK_ALLOW_PRIVATE=true to allow it."
        )
        self.host = host


class Withdrawn(DeliveryError):
    """The caller withdrew the message before any of it was sent."""
