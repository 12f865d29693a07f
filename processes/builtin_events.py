"""Event types that Onward itself sends, so that one mechanism triggers everything."""

from collections.abc import Mapping
from typing import Final

LIST_SUBSCRIBED: Final = "list.subscribed"
LIST_UNSUBSCRIBED: Final = "list.unsubscribed"
TAG_ADDED: Final = "tag.added"
TAG_REMOVED: Final = "tag.removed"
CONTACT_CHANGED: Final = "contact.changed"
"""A field of the contact has another value: params `field`, `before`, `after`; one event for each field."""
NOTE_ADDED: Final = "note.added"
"""Params `text`."""
SEGMENT_ENTERED: Final = "segment.entered"
SEGMENT_LEFT: Final = "segment.left"
"""Params `segment`."""
MESSAGE_OPENED: Final = "message.opened"
"""Params `message`, `process`, `step`, `template`, `by` (person or machine), and `machine` (which) where it was one."""
MESSAGE_CLICKED: Final = "message.clicked"
"""Params as of an open, and `url`, and `tags` where the click adds any."""
MESSAGE_BOUNCED: Final = "message.bounced"
MESSAGE_COMPLAINED: Final = "message.complained"
"""Params as of an open as far as known, and `channel`, `address`, `reason`."""
PAGE_VISITED: Final = "page.visited"
"""Sent by the site: params `url`, `title`, `referrer`."""
ORDER_CHANGED: Final = "order.changed"
"""Sent by the shop: params `order` (its number, or the order as `get_order` reads it) and `state` (initialized,
in_progress, delivered, cancelled)."""
SCHEDULE_DUE: Final = "schedule.due"
"""A date trigger or a daily one has found the contact: params `process`, `trigger`, `date`."""
PROCESS_REQUESTED: Final = "process.requested"
"""Someone, or a step, asked for a process to start: params `process`, and what they passed."""

PERSON: Final = "person"
MACHINE: Final = "machine"
"""Who opened or clicked, as far as can be told: the param `by`."""

BUILTIN: Final[dict[str, tuple[str, str]]] = {
    LIST_SUBSCRIBED: ("Subscribed to a list", "Subscribe/Unsubscribe"),
    LIST_UNSUBSCRIBED: ("Left a list", "Subscribe/Unsubscribe"),
    TAG_ADDED: ("Tag added", "Contact"),
    TAG_REMOVED: ("Tag removed", "Contact"),
    CONTACT_CHANGED: ("Field of a contact changed", "Contact"),
    NOTE_ADDED: ("Note added", "Contact"),
    SEGMENT_ENTERED: ("Segment entered", "Contact"),
    SEGMENT_LEFT: ("Segment left", "Contact"),
    MESSAGE_OPENED: ("Message opened", "View"),
    MESSAGE_CLICKED: ("Link in a message clicked", "Click"),
    MESSAGE_BOUNCED: ("Message bounced", "Subscription"),
    MESSAGE_COMPLAINED: ("Complaint about a message", "Subscription"),
    PAGE_VISITED: ("Page visited", "View"),
    ORDER_CHANGED: ("Order changed its state", "Order"),
    SCHEDULE_DUE: ("Date or schedule came", "Automation"),
    PROCESS_REQUESTED: ("Process started by hand, API or step", "Automation"),
}
"""Name and category of each."""

SENT_BY_OTHERS: Final = frozenset({PAGE_VISITED, ORDER_CHANGED})
"""Built-in types that a site or a shop sends; all others only Onward itself can send."""

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


def by_machine(event_type: str, params: Mapping[str, object]) -> bool:
    """Whether an event tells of an open or a click that no person made: nothing follows it that was not asked for."""
    return event_type in {MESSAGE_OPENED, MESSAGE_CLICKED} and params.get("by") == MACHINE
