"""What a worker counts, beside the Temporal SDK's own metrics: steps by kind, messages by state.

The counters that an alert asks about have all their series from the start: Prometheus sees no increase in a series that
begins with 1.
"""

from itertools import product
from typing import Final, get_args

from prometheus_client import Counter, Histogram

from processes.refusals import Cause

CHANNELS: Final = ("email", "sms", "messenger", "push", "letter", "webhook", "audience")
CLOSED: Final = ("sent", "refused", "skipped", "unknown")
"""The states that a send closes a message with."""

STEPS = Counter(
    "onward_steps", "Visits of steps, by kind and by the instruction that followed.", ["kind", "then"]
)
MESSAGES = Counter("onward_messages", "Messages closed, by channel and state.", ["channel", "state"])
SENDING_REFUSED = Counter(
    "onward_sending_refused",
    "Refusals that are about us and not about the recipient, by channel and cause.",
    ["channel", "cause"],
)
RETRIES = Counter("onward_message_retries", "Tries that the other side put off.", ["channel"])
SENDING = Histogram(
    "onward_message_seconds",
    "Seconds from the prepared message to the closed one.",
    ["channel"],
    buckets=(0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10, 30, 60),
)

for _channel in CHANNELS:
    RETRIES.labels(_channel)
for _channel, _state in product(CHANNELS, CLOSED):
    MESSAGES.labels(_channel, _state)
for _channel, _cause in product(CHANNELS, get_args(Cause)):
    SENDING_REFUSED.labels(_channel, _cause)
