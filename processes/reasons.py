"""Every reason that Onward gives for what it did or did not do, with a stable word and what it means. Pure.

A reason is kept as it was said (`once: this contact has entered before`); here it is recognised by how it begins. A
test goes through the code for reasons that are not here: `why` is to have words for each of them.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Final

UNEXPLAINED: Final = "unexplained"


@dataclass(frozen=True, slots=True)
class Reason:
    """A reason: a word for programs, and what it means."""

    code: str
    means: str


ADMISSION: Final[Mapping[str, Reason]] = {
    "contact not found": Reason("contact_not_found", "no contact was found for the event"),
    "filter does not hold": Reason("filter", "the trigger's filter did not hold"),
    "the stop's filter does not hold": Reason("stop_filter", "it is not what stops the process"),
    "the wait's filter does not hold": Reason("wait_filter", "it is not what the run waits for"),
    "the goal's filter does not hold": Reason("goal_filter", "it is not what the goal is"),
    "process is ": Reason("not_active", "a process lets contacts in while it is active only"),
    "no such process": Reason("no_process", "no process of this key was published"),
    "loop: ": Reason("loop", "processes that start one another are cut at a depth"),
    "a test run led to it": Reason("of_a_test", "what a test run leads to starts nothing"),
    "late: ": Reason("late", "it came too long after it happened"),
    "out of order: ": Reason("out_of_order", "what stops the process happened after it, and came before it"),
    "the event has no ": Reason("no_key", "the process counts by a value that the event does not have"),
    "not subscribed to the list ": Reason("not_subscribed", "the process is for the subscribers of its list"),
    "unfinished: ": Reason(
        "unfinished", "the contact is in it already, and it starts anew when that has ended"
    ),
    "once: ": Reason("once", "a contact enters this process once"),
    "once per ": Reason("once_per", "a contact enters this process once in that time"),
    "the workflow id was used by an earlier instance": Reason("id_used", "each run has an id of its own"),
    "nothing to stop": Reason(
        "nothing_to_stop", "the event stops the process, and the contact was not in it"
    ),
    "asked for already": Reason("asked_already", "the same start was asked for before"),
    "Temporal has not confirmed the start yet": Reason(
        "start_pending", "it is started again until Temporal answers"
    ),
    "it begins when ": Reason("begins_after", "it was let in, and the run before it is being stopped"),
    "bad input": Reason("bad_input", "what the workflow was started with cannot be read"),
    "this instance has begun in another run": Reason("begun_elsewhere", "another run of the workflow has it"),
}
"""Why a contact was let in, or not."""

HOLDS: Final[Mapping[str, Reason]] = {
    "paused: ": Reason("paused", "the process was paused: it goes on when that is active again"),
    "failed: ": Reason("failed", "a person must mend something, then release it"),
    "sending_refused: ": Reason(
        "sending_refused", "the other side refuses our sending: a person must mend it, then release it"
    ),
    "Held by the delivery window": Reason("window", "messages go within the delivery window only"),
    "Held by the cap": Reason("cap", "the contact has had as many messages as it may have in that time"),
    "the delivery window": Reason("window", "messages go within the delivery window only"),
    "the cap of ": Reason("cap", "the contact has had as many messages as it may have in that time"),
    "after": Reason("begins_after", "it begins when the run that is being stopped has ended"),
    "stopping": Reason("stopping", "it was stopped, and ends as soon as its workflow has heard"),
}
"""Why an instance stands, or a message waits."""

MESSAGES: Final[Mapping[str, Reason]] = {
    "the contact has no e-mail address": Reason("no_address", "there is nowhere to send it to"),
    "the contact has no phone number": Reason("no_address", "there is nowhere to send it to"),
    "the contact is not reached by Messenger": Reason("no_address", "there is nowhere to send it to"),
    "the contact has allowed push in no browser": Reason("no_address", "there is nowhere to send it to"),
    "the contact has neither an e-mail address nor a phone number": Reason(
        "no_address", "there is nothing to find the person by"
    ),
    "the contact has no postal address": Reason("no_address", "there is nowhere to send it to"),
    "the address is suppressed: ": Reason("suppressed", "the address bounced, or its owner complained"),
    "suppressed: ": Reason("suppressed", "the address gets nothing on this channel, whoever sends"),
    "the contact wants no marketing": Reason("no_consent", "the contact said so"),
    "not subscribed to the list ": Reason(
        "not_subscribed", "the process writes to the subscribers of its list"
    ),
    "over the cap of ": Reason(
        "over_cap", "the contact has had as many messages as it may have in that time"
    ),
    "the letter's font has no ": Reason("unprintable", "the letter would not say what it is to say"),
    "the text is empty": Reason("empty", "there was nothing to send"),
    "the title is empty": Reason("empty", "there was nothing to send"),
    "a worker ended between claim and answer": Reason(
        "outcome_open", "nobody can say whether it went, and a second copy would be worse than none"
    ),
    "the instance ended meanwhile": Reason("ended_meanwhile", "the run ended before it could go"),
    "the instance or its process was stopped meanwhile": Reason(
        "ended_meanwhile", "a stop came before it went"
    ),
    "left by hand: ": Reason("by_hand", "a person skipped the step, or moved the run on"),
    "sending it again failed: ": Reason("resend_failed", "a defect kept it: the worker's log says more"),
    "an edit removed the step": Reason("step_removed", "the process was edited, and the step is gone"),
    "a goal was met": Reason("goal", "the run left this step for a goal"),
    "the step was cancelled": Reason(
        "step_cancelled", "a person cancelled the step before the run came to it"
    ),
}
"""Why a message was not sent, or nobody can say whether it was."""

OUTCOMES: Final[Mapping[str, Reason]] = {
    "completed": Reason("completed", "it went to its end"),
    "stopped": Reason("stopped", "it was stopped"),
    "contact_deleted": Reason("contact_deleted", "the contact was deleted"),
    "goal_reached": Reason("goal_reached", "it came to its goal"),
    "held_out": Reason("held_out", "chance put the contact into the hold-out, which gets nothing"),
    "max_visits": Reason("max_visits", "it came to a step more often than it may"),
    "step_removed": Reason("step_removed", "the process was edited, and the step where it was is gone"),
    "refused": Reason("refused", "it was not let in"),
    "terminated": Reason("terminated", "someone terminated its workflow in Temporal"),
    "failed": Reason("failed", "its workflow failed in Temporal"),
    "canceled": Reason("canceled", "its workflow was cancelled in Temporal"),
    "timed_out": Reason("timed_out", "its workflow ran out of time in Temporal"),
    "lost": Reason("lost", "Temporal does not know its workflow any more"),
}
"""How a run ended."""

STATES: Final[Mapping[str, Reason]] = {
    "claimed": Reason("leaving", "it is on its way"),
    "sent": Reason("sent", "the other side took it"),
    "retrying": Reason("retrying", "the other side put it off: it is tried again"),
    "refused": Reason("refused", "the other side does not take it"),
    "skipped": Reason("skipped", "it was not sent"),
    "unknown": Reason("outcome_open", "nobody can say whether it arrived"),
    "withdrawn": Reason("withdrawn", "it was not sent: the run had ended or moved on"),
    "sending_refused": Reason(
        "sending_refused", "it came back: the other side refuses our sending, not the contact"
    ),
    "soft_bounced": Reason("soft_bounced", "it came back, and the address may work again"),
    "bounced": Reason("bounced", "it came back: the address gets nothing any more"),
    "complained": Reason("complained", "the contact called it spam: the address gets nothing any more"),
}
"""What became of a message."""

STEPS: Final[Mapping[str, Reason]] = {
    "it is that moment now": Reason("now", "the moment was there already"),
    "already past: ": Reason("past", "the moment was over"),
    "no date in ": Reason("no_date", "there was no date to wait for"),
    "the rule holds already": Reason("holds_already", "the rule held on arrival"),
    "not subscribed": Reason("not_subscribed", "there was no subscription to change"),
    "the contact has ": Reason("status_stays", "who left, bounced or complained stays as they are"),
}
"""Why a step did nothing, or did not wait."""

KINDS: Final = {
    "admission": ADMISSION,
    "hold": HOLDS,
    "message": MESSAGES,
    "outcome": OUTCOMES,
    "state": STATES,
    "step": STEPS,
}

WHOLE: Final = frozenset({"outcome", "state"})
"""Of these kinds a reason is one word: a process may name an outcome of its own that begins as one of ours."""


def reason(kind: str, said: str) -> Reason:
    """The reason that was said: the longest beginning that fits counts. One that is none of ours stands for itself."""
    known = KINDS[kind]
    if kind in WHOLE:
        return known.get(said, Reason(UNEXPLAINED, said))
    begins = max((one for one in known if said.startswith(one)), key=len, default=None)
    return known[begins] if begins is not None else Reason(UNEXPLAINED, said)
