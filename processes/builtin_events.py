"""Event types that Onward itself sends, so that one mechanism triggers everything."""

from typing import Final

LIST_SUBSCRIBED: Final = "list.subscribed"
LIST_UNSUBSCRIBED: Final = "list.unsubscribed"
TAG_ADDED: Final = "tag.added"
TAG_REMOVED: Final = "tag.removed"
PROCESS_REQUESTED: Final = "process.requested"
"""Someone, or a step, asked for a process to start: params `process`, and what they passed."""

BUILTIN: Final[dict[str, tuple[str, str]]] = {
    LIST_SUBSCRIBED: ("Subscribed to a list", "Subscribe/Unsubscribe"),
    LIST_UNSUBSCRIBED: ("Left a list", "Subscribe/Unsubscribe"),
    TAG_ADDED: ("Tag added", "Contact"),
    TAG_REMOVED: ("Tag removed", "Contact"),
    PROCESS_REQUESTED: ("Process started by hand, API or step", "Automation"),
}
"""Name and category of each."""

CATEGORIES: Final = (
    "Click",
    "Subscribe/Unsubscribe",
    "Import",
    "RFM",
    "Subscription",
    "View",
    "Order",
    "Contact",
    "Automation",
    "Other",
)
"""The seed's categories (Reteno, step 2), and two for what Onward itself sends."""
