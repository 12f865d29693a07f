"""What a rule hears: the types of the events with which its answer may change. Pure.

Not all that changes an answer is an event (time that passes, a message sent): who needs to be sure asks again.
"""

from collections.abc import Iterator, Mapping

from processes.builtin_events import (
    CONTACT_CHANGED,
    LIST_SUBSCRIBED,
    LIST_UNSUBSCRIBED,
    MESSAGE_BOUNCED,
    MESSAGE_CLICKED,
    MESSAGE_COMPLAINED,
    MESSAGE_OPENED,
    SEGMENT_ENTERED,
    SEGMENT_LEFT,
    TAG_ADDED,
    TAG_REMOVED,
)
from processes.rules import ContactFact, Happened, HasTag, InSegment, Messaged, OnList, Rule, RuleNode, walk

_HEARD: Mapping[type[RuleNode], tuple[str, ...]] = {
    HasTag: (TAG_ADDED, TAG_REMOVED),
    OnList: (LIST_SUBSCRIBED, LIST_UNSUBSCRIBED, MESSAGE_BOUNCED, MESSAGE_COMPLAINED),
    ContactFact: (CONTACT_CHANGED, MESSAGE_BOUNCED, MESSAGE_COMPLAINED),
    InSegment: (SEGMENT_ENTERED, SEGMENT_LEFT),
    Messaged: (MESSAGE_OPENED, MESSAGE_CLICKED, MESSAGE_BOUNCED, MESSAGE_COMPLAINED),
}


def heard_by(rule: Rule, segments: Mapping[str, Rule | None]) -> frozenset[str]:
    """The event types. `segments` gives the rule of every segment, None for one made by hand."""
    return frozenset(_heard(rule, segments, set()))


def _heard(rule: Rule, segments: Mapping[str, Rule | None], seen: set[str]) -> Iterator[str]:
    for node in walk(rule):
        yield from _HEARD.get(type(node), ())
        if isinstance(node, Happened):
            yield node.happened
        if isinstance(node, InSegment) and node.segment not in seen:
            seen.add(node.segment)
            inside = segments.get(node.segment)
            if inside is not None:
                yield from _heard(inside, segments, seen)
