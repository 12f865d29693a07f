"""What a worker counts, beside the Temporal SDK's own metrics: steps by kind, messages by state."""

from prometheus_client import Counter, Histogram

STEPS = Counter(
    "onward_steps", "Visits of steps, by kind and by the instruction that followed.", ["kind", "then"]
)
MESSAGES = Counter("onward_messages", "Messages closed, by channel and state.", ["channel", "state"])
RETRIES = Counter("onward_message_retries", "Tries that the other side put off.", ["channel"])
SENDING = Histogram(
    "onward_message_seconds",
    "Seconds from the prepared message to the closed one.",
    ["channel"],
    buckets=(0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10, 30, 60),
)
