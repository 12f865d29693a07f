"""Stories for the preview: random processes, contacts and events, of all kinds of steps that need no provider.

A story is drawn from its number, so that a failing one can be told again. Nothing here runs anything.
"""

from collections import Counter
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from random import Random
from typing import Any

ZONES = [None, "Europe/Prague", "America/New_York", "Asia/Kolkata", "Pacific/Auckland"]
TAGS = ["a", "b", "c"]
LISTS = ["news", "shop"]
HAND, RULED = "hand", "ruled"
RULED_SEGMENT = {"any": [{"tag": "b"}, {"contact": "score", "at_least": 5}]}
SUBJECT = "Hi {{ contact.plan | default: 'you' }}, {{ order.number }} {{ event.params.total }}"
BODY = """
<p>{{ contact.email }}, {{ contact.id }}, {{ contact.language }}, in {{ contact.time_zone }}: {{ contact.greeting }}</p>
<p>{{ process.name }} by {{ event.type }} {{ event.key }}: {{ order.items[0].name }} {{ contact.score | plus: 1 }}</p>
<p><a href="{{ unsubscribe_url }}">Leave</a> <a href="{{ preferences_url }}">Choose</a></p>
"""
COMES = "comes"
"""The type of the event that is waited for at the beginning of some stories, and that comes then."""


@dataclass
class Story:
    """A process's document, a contact as a sender writes one, and the event that starts it."""

    number: int
    key: str
    document: dict[str, Any]
    contact: dict[str, Any]
    tags: list[str]
    lists: dict[str, str]
    in_segment: bool
    email_state: str
    params: dict[str, Any]
    event_key: str | None
    seen: list[int]
    """Events of the type `seen`: so many hours ago."""
    answered: bool
    """Whether what the first step waits for comes."""


def story(number: int, now: datetime) -> Story:
    """The story with a number, told at `now`."""
    random = Random(number)
    return _Teller(random, now).story(number)


def many_sided(number: int) -> list[int]:
    """So many stories that have as much in them as there can be, by their numbers."""
    left = {n: _sides(story(n, datetime(2026, 11, 23, tzinfo=UTC))) for n in range(100)}
    chosen: list[int] = []
    seen: Counter[str] = Counter()
    while len(chosen) < number:
        best = max(left, key=lambda n: (sum(1 / (1 + seen[side]) for side in left[n]), -n))
        seen.update(left.pop(best))
        chosen.append(best)
    return chosen


def _sides(one: Story) -> set[str]:
    found: set[str] = {
        name for name in ("goals", "window", "caps", "purpose", "time_zone") if name in one.document
    }
    found |= {f"of the contact: {name}" for name in one.contact} | ({"answered"} if one.answered else set())
    for step in one.document["steps"]:
        found |= {step["type"], *(f"{step['type']} {name}" for name in step)}
        found.add(f"{step['type']} of {len(step.get('branches', ()))}")
    return found


class _Teller:
    def __init__(self, random: Random, now: datetime) -> None:
        self.random = random
        self.now = now
        self.key = ""

    def story(self, number: int) -> Story:
        random = self.random
        self.key = f"p{number}"
        answered = random.random() < 0.2
        ids = [f"s{n}" for n in range(random.randint(3, 9))]
        steps = [self.step(ids, index) for index in range(len(ids))]
        if answered:
            steps.insert(
                0,
                {
                    "id": "first",
                    "type": "wait_for_event",
                    "event": COMES,
                    "within": "5 days",
                    "next": ids[0],
                    "on_timeout": ids[-1],
                },
            )
        self.loop(steps)
        document: dict[str, Any] = {
            "key": self.key,
            "name": f"Story {number}",
            "recurrence": random.choice(["once", "each_time", "when_finished"]),
            "triggers": [{"type": "event", "event": f"go{number}"}],
            "steps": _reachable(steps, []),
        }
        self.surroundings(document)
        return Story(
            number=number,
            key=self.key,
            document=document,
            contact=self.contact(number),
            tags=[tag for tag in TAGS if random.random() < 0.3],
            lists={
                key: random.choice(["subscribed", "unsubscribed"]) for key in LISTS if random.random() < 0.6
            },
            in_segment=random.random() < 0.5,
            email_state="ok" if random.random() < 0.85 else "unsubscribed",
            params=self.params(),
            event_key=random.choice([None, "K-1"]),
            seen=[random.randint(1, 60) for _ in range(random.randint(0, 2))],
            answered=answered,
        )

    def contact(self, number: int) -> dict[str, Any]:
        random = self.random
        own: dict[str, Any] = {
            "fields": {
                name: value
                for name, value in {
                    "plan": random.choice(["free", "pro", None]),
                    "score": random.choice([1, 5, 9, None]),
                    "birthday": random.choice(["1990-02-29", "1985-07-14", "--11-30", None]),
                    "visit": self.day(random.randint(-3, 9)),
                }.items()
                if value is not None
            }
        }
        known = {"time_zone": random.choice(ZONES), "language": random.choice(["de", None])}
        return own | {name: value for name, value in known.items() if value}

    def params(self) -> dict[str, Any]:
        random = self.random
        params: dict[str, Any] = {"total": random.choice([10, 250]), "when": self.day(random.randint(-2, 8))}
        if random.random() < 0.6:
            params["order"] = {"number": "A-7", "items": [{"name": "cup", "price": 3, "quantity": 2}]}
        return params

    def surroundings(self, document: dict[str, Any]) -> None:
        random = self.random
        zone = random.choice(ZONES)
        if zone:
            document["time_zone"] = zone
        if random.random() < 0.3:
            document["purpose"] = "transactional"
        if random.random() < 0.3:
            document["window"] = random.choice(
                [
                    {"from": "09:00", "to": "17:30"},
                    {"days": ["monday", "thursday"]},
                    {"from": "22:00", "to": "06:00"},
                ]
            )
        if random.random() < 0.3:
            document["caps"] = [
                {
                    "messages": 1,
                    "per": random.choice(["6h", "3 days"]),
                    "over": random.choice(["hold", "skip"]),
                }
            ]
        if random.random() < 0.3:
            document["triggers"].append({"type": "tag_added", "tag": "c", "does": "stop"})
        ids = [step["id"] for step in document["steps"]]
        if random.random() < 0.3:
            goal: dict[str, Any] = {"name": "g", "then": random.choice(["end", random.choice(ids)])}
            goal |= random.choice(
                [
                    {"when": self.rule(0)},
                    {"event": "tag.added", "filter": {"event": "tag", "equals": "b"}},
                    {"event": "contact.changed"},
                ]
            )
            document["goals"] = [goal]

    def loop(self, steps: list[dict[str, Any]]) -> None:
        """Sometimes a way back, with a wait on it."""
        random = self.random
        if random.random() < 0.3 and len(steps) > 2:
            back = steps[random.randrange(len(steps) - 1)]["id"]
            steps[-1] = {"id": steps[-1]["id"], "type": "wait", "for": "26h", "next": back}
            steps[-1]["max_visits"] = random.randint(1, 3)

    def step(self, ids: list[str], index: int) -> dict[str, Any]:
        """A step that leads forward."""
        random = self.random

        def to() -> str | None:
            later = ids[index + 1 :]
            return random.choice(later[:3]) if later else None

        kind = random.choice(
            ["add_tag", "remove_tag", "subscribe", "unsubscribe", "move", "edit", "note", "segment", "block", "order",
             "send", "send", "send", "condition", "condition", "condition", "wait", "wait", "wait", "event", "rule",
             "split", "start", "stop", "end"]
        )  # fmt: skip
        made: dict[str, Any] = getattr(self, f"_{kind}")(to)
        return {"id": ids[index], **{name: value for name, value in made.items() if value is not None}}

    def _add_tag(self, to: Any) -> dict[str, Any]:
        return {"type": "add_tag", "tag": self.random.choice(TAGS), "next": to()}

    def _remove_tag(self, to: Any) -> dict[str, Any]:
        return {"type": "remove_tag", "tag": self.random.choice(TAGS), "next": to()}

    def _subscribe(self, to: Any) -> dict[str, Any]:
        again = self.random.random() < 0.3
        return {"type": "subscribe", "list": self.random.choice(LISTS), "resubscribe": again, "next": to()}

    def _unsubscribe(self, to: Any) -> dict[str, Any]:
        return {"type": "unsubscribe", "list": self.random.choice(LISTS), "next": to()}

    def _move(self, to: Any) -> dict[str, Any]:
        one, other = self.random.sample(LISTS, 2)
        return {"type": "move", "from": one, "to": other, "next": to()}

    def _edit(self, to: Any) -> dict[str, Any]:
        random = self.random
        values: dict[str, Any] = random.choice(
            [
                {"set": {"plan": "pro"}},
                {"set": {"score": 9, "greeting": "{{ contact.plan }} {{ event.params.total }}"}},
                {"unset": ["plan"]},
                {"set": {"time_zone": "Asia/Tokyo"}},
                {"unset": ["time_zone"]},
                {"set": {"visit": self.day(4), "language": "cs"}},
            ]
        )
        return {"type": "edit_contact", **values, "next": to()}

    def _note(self, to: Any) -> dict[str, Any]:
        return {"type": "add_note", "text": "Saw {{ event.type }} as {{ contact.plan }}", "next": to()}

    def _segment(self, to: Any) -> dict[str, Any]:
        kind = self.random.choice(["add_to_segment", "remove_from_segment"])
        return {"type": kind, "segment": HAND, "next": to()}

    def _block(self, to: Any) -> dict[str, Any]:
        random = self.random
        return {
            "type": "block",
            "channel": random.choice(["email", "email", "sms"]),
            "delete_address": random.random() < 0.3,
            "next": to(),
        }

    def _order(self, to: Any) -> dict[str, Any]:
        return {"type": "get_order", "if_missing": "continue", "next": to()}

    def _send(self, to: Any) -> dict[str, Any]:
        return {"type": "send_email", "template": "mail", "next": to()}

    def _condition(self, to: Any) -> dict[str, Any]:
        branches = [{"when": self.rule(0), "next": to()} for _ in range(self.random.randint(1, 3))]
        return {"type": "condition", "branches": branches, "else": to()}

    def _wait(self, to: Any) -> dict[str, Any]:
        random = self.random
        past = random.choice(["continue", "end"])
        moment = (
            self.now + timedelta(days=random.randint(-1, 6), minutes=random.randint(7, 900))
        ).astimezone(UTC)
        kinds: list[dict[str, Any]] = [
            {"for": random.choice(["90m", "1 day", "2 days", "1 week", "1 month"])},
            {"until": moment.strftime("%Y-%m-%dT%H:%M"), "if_past": past},
            {"weekday": {"days": random.sample(["monday", "wednesday", "saturday"], 2), "at": "10:15"}},
            {
                "date": {
                    "field": random.choice(["birthday", "visit"]),
                    "at": "08:45",
                    "offset": random.choice(["0d", "-2d", "1 week"]),
                    "every_year": random.random() < 0.4,
                    "if_missing": random.choice(["continue", "end"]),
                },
                "if_past": past,
            },
            {
                "event_date": {"param": "when", "at": "11:30", "offset": "1d", "if_missing": "end"},
                "if_past": past,
            },
        ]
        made = {"type": "wait", **random.choice(kinds), "next": to()}
        return made | ({"zone": "Europe/Lisbon"} if random.random() < 0.2 else {})

    def _event(self, to: Any) -> dict[str, Any]:
        random = self.random
        look_back = random.choice([None, "2 days"])
        event = random.choice(["never", "tag.added", "seen"])
        return {
            "type": "wait_for_event", "event": event, "within": random.choice(["3h", "2 days"]),
            "look_back": look_back, "next": to(), "on_timeout": to(),
        }  # fmt: skip

    def _rule(self, to: Any) -> dict[str, Any]:
        random = self.random
        return {
            "type": "wait_for_rule", "when": self.rule(0), "within": random.choice(["5h", "3 days"]),
            "every": random.choice(["90m", "1 day"]), "next": to(), "on_timeout": to(),
        }  # fmt: skip

    def _split(self, to: Any) -> dict[str, Any]:
        made: dict[str, Any] = {
            "type": "split",
            "branches": [
                {"name": "x", "share": 0.4, "next": to()},
                {"name": "y", "share": 0.35, "next": to()},
            ],
            "hold_out": {"share": 0.25, "next": to()},
        }
        return made

    def _start(self, to: Any) -> dict[str, Any]:
        return {"type": "start_process", "process": "side", "next": to()}

    def _stop(self, to: Any) -> dict[str, Any]:
        return {"type": "stop_process", "process": "side", "next": to()}

    def _end(self, to: Any) -> dict[str, Any]:
        return {"type": "end", "outcome": self.random.choice(["completed", "early"])}

    def rule(self, depth: int) -> dict[str, Any]:
        random = self.random
        if depth < 2 and random.random() < 0.3:
            inner = [self.rule(depth + 1) for _ in range(2)]
            return random.choice([{"all": inner}, {"any": inner}, {"not": inner[0]}])
        leaves: list[dict[str, Any]] = [
            {"tag": random.choice(TAGS)},
            {"list": random.choice(LISTS), "status": random.choice(["subscribed", "unsubscribed"])},
            {"segment": random.choice([HAND, RULED])},
            {"contact": "plan", "equals": "pro"},
            {"contact": "score", "at_least": random.choice([2, 6])},
            {"contact": "greeting", "exists": True},
            {"contact": "visit", "before": random.choice(["now", "now-2d", "now+3d"])},
            {"event": "total", "greater_than": 100},
            {"happened": "tag.added", "at_least": random.choice([1, 2])},
            {"happened": "seen", "within": random.choice(["1d", "20d"])},
            {"message": {"process": self.key}, "at_least": random.choice([1, 2])},
            {"message": {"process": self.key, "state": "skipped"}},
            {"message": {"process": self.key, "state": "clicked"}},
            {"contact": "time_zone", "equals": "Asia/Tokyo"},
        ]
        return random.choice(leaves)

    def day(self, later: int) -> str:
        return (self.now + timedelta(days=later)).date().isoformat()


def _reachable(steps: list[dict[str, Any]], aims: list[str]) -> list[dict[str, Any]]:
    by_id = {step["id"]: step for step in steps}
    seen: set[str] = set()
    todo: list[Any] = [steps[0]["id"], *aims]
    while todo:
        here = todo.pop()
        if here is None or here in seen:
            continue
        seen.add(here)
        one = by_id[here]
        parts = [one, *one.get("branches", []), one.get("hold_out", {})]
        todo += [part.get(name) for part in parts for name in ("next", "else", "on_timeout")]
    return [step for step in steps if step["id"] in seen]
