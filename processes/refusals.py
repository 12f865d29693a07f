"""Why the other side refused a message, as codes, and whose fault each of them is.

Values only. `channels/refusals.py` reads a cause out of what a server said; `docs/hygiene.md` says what follows.
"""

from collections.abc import Mapping
from typing import Final, Literal

Cause = Literal[
    "no_mailbox",
    "no_mail_for_domain",
    "mailbox_full",
    "rate",
    "try_again",
    "unreachable",
    "server_error",
    "recipient_policy",
    "sender_address",
    "authentication",
    "reputation",
    "relay",
    "content",
    "policy",
    "unknown",
]
"""`no_mailbox` is also said of a phone number, a browser or a Messenger id that is gone."""

Fault = Literal["recipient", "temporary", "sender", "unknown"]
"""`recipient`: nothing will ever reach this address. `temporary`: full, busy, unreachable; another time may do.
`sender`: the other side refuses us, whoever the recipient is. `unknown`: the refusal does not say."""

FAULTS: Final[Mapping[Cause, Fault]] = {
    "no_mailbox": "recipient",
    "no_mail_for_domain": "recipient",
    "mailbox_full": "temporary",
    "rate": "temporary",
    "try_again": "temporary",
    "unreachable": "temporary",
    "server_error": "temporary",
    "recipient_policy": "temporary",
    "sender_address": "sender",
    "authentication": "sender",
    "reputation": "sender",
    "relay": "sender",
    "content": "sender",
    "policy": "sender",
    "unknown": "unknown",
}

REMEDIES: Final[Mapping[Cause, str]] = {
    "sender_address": "see that the From address exists and that its domain has MX records and may be sent from",
    "authentication": "check the SPF, DKIM and DMARC records of the From domain, and the relay's user and password",
    "reputation": "look the sending IP address and domain up in the blocklist that the refusal names, ask to be "
    "taken off, and send more slowly",
    "relay": "let the relay send for us: its networks, user and password, and the domains that it may send from",
    "content": "look at the message that was refused: its links, attachments, size and headers",
    "policy": "read what the server said: it refuses our mail by a rule of its own",
}
"""For each cause that is ours, what a person does about it."""


def causes_of(fault: Fault) -> tuple[Cause, ...]:
    """The causes with this fault."""
    return tuple(cause for cause, found in FAULTS.items() if found == fault)
