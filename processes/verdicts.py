"""What may become of a rule's answer: whether it holds, and whether what is still to come could change that.

Pure. What a contact will do (an event, an open, a click) nobody knows beforehand; all else counts as it stands.
"""

from collections.abc import Sequence
from dataclasses import dataclass

from processes.rules import AllOf, AnyOf, Counted, Happened, InProcess, Messaged, Not, RuleNode, walk
from processes.values import Json

DONE_BY_OTHERS = frozenset({"opened", "clicked", "soft_bounced", "sending_refused", "bounced", "complained"})
"""States of a message that somebody else brings about, after it was sent."""
BOTH = frozenset({True, False})


@dataclass(frozen=True, slots=True)
class Verdict:
    """A rule with its answer as things stand, the answers that it may have when it is asked, and its parts.

    `value` is what a rule about a field or a param found there, None where there is nothing.
    """

    rule: RuleNode
    holds: bool
    may: frozenset[bool]
    parts: tuple["Verdict", ...] = ()
    value: Json = None

    @property
    def is_open(self) -> bool:
        """Whether the future decides."""
        return self.may == BOTH


def leaf(rule: RuleNode, holds: bool, *, later: bool, was_sent: bool = True, value: Json = None) -> Verdict:
    """A rule without parts. `later` says that time passes before it is asked; `was_sent`, that there is a message of
    which it asks what others do with it.
    """
    may = frozenset({holds})
    if later and _counts_what_may_come(rule, was_sent):
        may |= _with_more(rule, holds)
    return Verdict(rule, holds, may, (), value)


def joined(rule: RuleNode, holds: bool, parts: Sequence[Verdict]) -> Verdict:
    """A rule made of others; a segment's answer is that of its rule."""
    match rule:
        case AllOf():
            may = _possible(
                holding=all(True in part.may for part in parts),
                failing=any(False in part.may for part in parts),
            )
        case AnyOf():
            may = _possible(
                holding=any(True in part.may for part in parts),
                failing=all(False in part.may for part in parts),
            )
        case Not():
            may = frozenset(not one for one in parts[0].may)
        case _:
            may = parts[0].may
    return Verdict(rule, holds, may, tuple(parts))


def stays_true(rule: RuleNode) -> bool:
    """Whether a rule that holds by what a contact did goes on to hold: what was done is not undone."""
    for node in walk(rule):
        if isinstance(node, Not) or (isinstance(node, InProcess) and node.is_ == "in"):
            return False
        if isinstance(node, Counted) and (node.at_most is not None or node.within is not None):
            return False
    return True


def _counts_what_may_come(rule: RuleNode, was_sent: bool) -> bool:
    if isinstance(rule, Happened | InProcess):
        return True
    return isinstance(rule, Messaged) and rule.message.state in DONE_BY_OTHERS and was_sent


def _with_more(rule: RuleNode, holds: bool) -> frozenset[bool]:
    """The answers that more of what is counted may bring about."""
    if not isinstance(rule, Counted):
        return frozenset()
    if isinstance(rule, InProcess) and rule.is_ == "in":
        return BOTH  # a run that goes on now may have ended by then
    _, most = rule.bounds
    if holds:
        return frozenset() if most is None else frozenset({False})
    return frozenset({True, False})


def _possible(*, holding: bool, failing: bool) -> frozenset[bool]:
    return frozenset(answer for answer, possible in ((True, holding), (False, failing)) if possible)
