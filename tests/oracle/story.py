"""The story of one contact, in the order in which it happened: what a person reads where the oracle disagrees."""

from collections.abc import Iterable
from datetime import UTC, datetime

from tests.oracle.actions import Action, EventSent, Looked, SentAgain, StopSent
from tests.oracle.outcome import ContactOutcome


def story(
    actions: Iterable[Action],
    outcome: ContactOutcome,
    differences: Iterable[str],
    faults: Iterable[tuple[float, str]] = (),
) -> str:
    """Every line with its time (UTC), the differences at the end."""
    lines = [(_began(action), _told(action)) for action in actions]
    lines += [
        (mail.at, f"    mail {mail.what}{' (kept)' if mail.kept else ''}: {mail.subject}")
        for mail in outcome.mails
    ]
    lines += [(at, f"        fault: {text}") for at, text in faults]
    told = [f"{_clock(at)}  {text}" for at, text in sorted(lines, key=lambda line: line[0])]
    told.append("in the end:")
    for instance in outcome.instances.values():
        path = " → ".join(visit.step for visit in instance.visits) or "(nothing)"
        told.append(
            f"  {instance.id} v{instance.version}: {instance.state} {instance.outcome or ''} "
            f"({instance.reason or 'no reason'}), workflow {instance.workflow}; passed {path}"
        )
        told += [
            f"      {m.step}: {m.state}, {m.attempts} tries, claimed {_clock(m.claimed_at)} {m.detail}"
            for m in instance.messages
        ]
    told.append("differences:")
    told += [f"  - {difference}" for difference in differences]
    return f"--- the story of {outcome.contact}\n" + "\n".join(told)


def _began(action: Action) -> float:
    return action.began


def _told(action: Action) -> str:
    took = f"(replied after {action.acked - action.began:.1f} s)"
    match action:
        case EventSent():
            said = "; ".join(
                f"{s.process} {s.decision} {s.reason} {s.instance or ''}".strip() for s in action.said
            )
            when = f" of {_clock(action.occurred)}" if action.occurred is not None else ""
            return f"event {action.id} {action.type}{when}: {said or 'nothing'} {took}"
        case SentAgain():
            return f"event {action.id} sent again {took}"
        case StopSent():
            what = action.instance or f"all of {action.process}"
            return f"stop {what}: {', '.join(action.stopped) or 'nobody'} {took}, {action.tries} tries"
        case Looked():
            seen = ", ".join(
                f"{name} {i.state}@{i.step}" for name, i in action.instances.items() if i.state != "ended"
            )
            return f"looked: {seen or 'nothing open'}"


def _clock(at: float) -> str:
    return datetime.fromtimestamp(at, UTC).strftime("%H:%M:%S.%f")[:-3]
