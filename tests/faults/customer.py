"""One contact's life in a fault run: what is done about it, one thing after another, and what was replied."""

import calendar
import random
import time
from collections.abc import Awaitable, Callable, Mapping
from typing import Any

from tests.faults.caller import Caller, Reply
from tests.faults.pacing import pause
from tests.faults.world import WORLD
from tests.oracle.actions import Action, EventSent, InstanceSeen, Looked, Said, SentAgain, StopSent

LATE_SECONDS = 90_000.0
OVERTAKEN_SECONDS = 3_600.0
WAIT_POLL = 0.5
WAIT_PATIENCE = 12.0
STUCK_SECONDS = 120.0
"""Where nothing changes for anybody for so long, what is open is stuck."""
BACK_OFF_SECONDS = 660.0
"""The same while a message waits for its next try: ten minutes, after many faults."""

PLAIN = {
    "signed_up": 3,
    "cart_left": 4,
    "order_created": 3,
    "visited": 3,
    "asked": 3,
    "answered": 3,
    "confirmed": 2,
    "left": 1,
}
"""Event types by how often they are sent."""


class Progress:
    """When anything was last seen to change, for whomever."""

    def __init__(self) -> None:
        self.backing_off = False
        """Whether any message waits for its next try now."""
        self._changed = time.time()

    def note(self) -> None:
        """Something changed now."""
        self._changed = time.time()

    @property
    def is_stuck(self) -> bool:
        """Whether nothing has changed for long."""
        return time.time() - self._changed > (BACK_OFF_SECONDS if self.backing_off else STUCK_SECONDS)


class Customer:
    """A contact and its log of actions. Each action begins when the one before it was answered."""

    def __init__(self, contact: str, caller: Caller, seed: int, *, email: str) -> None:
        self.contact = contact
        self.email = email
        self.actions: list[Action] = []
        self._caller = caller
        self._random = random.Random(f"{seed} {contact}")
        self._seed = seed
        self._number = 0
        self._events: list[dict[str, Any]] = []
        self._instances: dict[str, str] = {}
        """Instances that were said to be started, with their processes."""

    async def live(self, until: float) -> None:
        """Do one thing after another until the instant `until` (epoch seconds)."""
        await pause(self._random.uniform(0, max(0.0, min(60.0, (until - time.time()) / 2))))
        ways: list[tuple[int, Callable[[], Awaitable[object]]]] = [
            (20, self._plain),
            (3, self._several),
            (3, self._again),
            (2, self._twice_at_once),
            (1, self._late),
            (2, self._overtaken),
            (2, self._stop_instance),
            (2, self._stop_process),
            (4, self.look),
            (4, self._answer_who_waits),
        ]
        while time.time() < until:
            do = self._random.choices([way for _, way in ways], [weight for weight, _ in ways])[0]
            await do()
            await pause(self._gap(), until)

    async def finish(self, progress: Progress) -> None:
        """Answer whoever still asks, until all instances have ended or all are stuck."""
        before: Mapping[str, InstanceSeen] = {}
        progress.note()
        while not progress.is_stuck:
            seen = await self.look()
            if seen.instances != before:
                progress.note()
            before = seen.instances
            still = {name: i for name, i in seen.instances.items() if i.state != "ended"}
            if not still:
                return
            for event in sorted({e for name, i in still.items() if (e := self._wanted(name, i)) is not None}):
                await self.send(event)
            await pause(self._random.uniform(1, 2))

    async def look(self) -> Looked:
        """See all instances of the contact."""
        found: dict[str, InstanceSeen] = {}
        began, cursor = time.time(), ""
        while True:
            path = f"/v1/instances?contact={self.contact}&limit=100{cursor}"
            reply = await self._caller.once("GET", path, also=(404,))
            if reply.status == 404:  # no event has made it known yet
                break
            for item in reply.body["items"]:
                step = item["next"]["step"] if item.get("next") else None
                found[item["id"]] = InstanceSeen(item["state"], step, item.get("outcome"))
            if not reply.body.get("next_cursor"):
                break
            cursor = f"&cursor={reply.body['next_cursor']}"
        looked = Looked(began, time.time(), found)
        self.actions.append(looked)
        return looked

    async def send(self, type: str, *, occurred: float | None = None) -> None:
        """Send an event."""
        body = self.event(type, occurred=occurred)
        reply = await self._caller.safe("POST", "/v1/events", body)
        self.record(body, reply.body, reply.began, reply.acked)

    def event(self, type: str, *, occurred: float | None = None) -> dict[str, Any]:
        """The body of a new event."""
        self._number += 1
        body: dict[str, Any] = {
            "id": f"s{self._seed}-{self.contact}-{self._number}",
            "type": type,
            "contact": {"id": self.contact, "email": self.email},
        }
        if type == "order_created":
            body["key"] = f"A{self._number}" if self._random.random() < 0.8 or self._number < 2 else "A1"
        if occurred is not None:
            body["occurred_at"] = time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime(occurred))
        self._events.append(body)
        return body

    def record(self, body: dict[str, Any], answer: dict[str, Any], began: float, acked: float) -> None:
        """Keep what was replied to an event that was sent for the first time."""
        said = _said(answer)
        occurred = body.get("occurred_at")
        self.actions.append(
            EventSent(
                id=body["id"],
                type=body["type"],
                key=body.get("key"),
                occurred=None if occurred is None else _epoch(occurred),
                began=began,
                acked=acked,
                said=said,
            )
        )
        self._instances |= {
            s.instance: s.process for s in said if s.instance and s.decision in {"started", "pending"}
        }

    async def _plain(self) -> None:
        await self.send(self._random.choices(list(PLAIN), list(PLAIN.values()))[0])

    async def _several(self) -> None:
        """A batch, which may be cut in half."""
        wanted = [self.event(t) for t in self._random.choices(list(PLAIN), k=self._random.randint(2, 5))]
        reply = await self._caller.safe("POST", "/v1/events/batch", {"events": wanted})
        for body, answer in zip(wanted, reply.body["results"], strict=True):
            self.record(body, answer, reply.began, reply.acked)

    async def _again(self) -> None:
        """An event that was sent before, out of order."""
        if not self._events:
            return
        body = self._random.choice(self._events)
        reply = await self._caller.safe("POST", "/v1/events", body)
        self.actions.append(SentAgain(body["id"], reply.began, reply.acked, _said(reply.body)))

    async def _twice_at_once(self) -> None:
        """The same event by both doors."""
        body = self.event(self._random.choice(["signed_up", "cart_left", "visited", "order_created"]))
        replies = await self._caller.to_all("/v1/events", body)
        acked = max(reply.acked for reply in replies)
        self.record(body, replies[0].body, replies[0].began, acked)
        for reply in replies[1:]:
            self.actions.append(SentAgain(body["id"], reply.began, acked, _said(reply.body)))

    async def _late(self) -> None:
        await self.send(self._random.choice(["cart_left", "visited"]), occurred=time.time() - LATE_SECONDS)

    async def _overtaken(self) -> None:
        """Something of an hour ago, after what stops it may have come."""
        await self.send(
            self._random.choice(["cart_left", "visited"]), occurred=time.time() - OVERTAKEN_SECONDS
        )

    async def _stop_instance(self) -> None:
        if not self._instances:
            return
        instance = self._random.choice(list(self._instances))
        reply = await self._caller.once(
            "POST", f"/v1/instances/{instance}/stop", {"reason": "the harness"}, also=(404, 409)
        )
        if reply.status != 404:
            self._stopped(self._instances[instance], reply, instance)

    async def _stop_process(self) -> None:
        if not self._instances:
            return
        process = self._random.choice(list(self._instances.values()))
        path = f"/v1/contacts/{self.contact}/processes/{process}/stop"
        self._stopped(process, await self._caller.once("POST", path, {"reason": "the harness"}), None)

    def _stopped(self, process: str, reply: Reply, instance: str | None) -> None:
        answered = reply.status not in {404, 409}
        self.actions.append(
            StopSent(
                process=process,
                began=reply.began,
                acked=reply.acked,
                instance=instance,
                stopped=tuple(reply.body["instances"]) if answered else (),
                in_flight=bool(reply.body["in_flight"]) if answered else False,
                ended_already=not answered,
                tries=reply.tries,
            )
        )

    async def _answer_who_waits(self) -> None:
        """Wait until an instance is seen asking, and answer it: this must be heard."""
        deadline = time.time() + WAIT_PATIENCE
        while time.time() < deadline:
            seen = await self.look()
            asked = {e for name, i in seen.instances.items() if (e := self._wanted(name, i)) is not None}
            if asked:
                await self.send(self._random.choice(sorted(asked)))
                return
            if all(i.state == "ended" for i in seen.instances.values()):
                return
            await pause(WAIT_POLL)

    def _wanted(self, instance: str, seen: InstanceSeen) -> str | None:
        """The event that an instance waits for without a limit."""
        process = WORLD[instance.partition("/")[0]]
        for number in range(len(process.versions)):
            ask = process.ask(number + 1)
            if ask is not None and ask.patient and ask.id == seen.step and seen.state == "waiting":
                return ask.event
        return None

    def _gap(self) -> float:
        kind = self._random.random()
        if kind < 0.3:
            return 0.0
        return self._random.uniform(0.3, 2) if kind < 0.6 else self._random.uniform(4, 40)


def _said(answer: dict[str, Any]) -> tuple[Said, ...]:
    return tuple(
        Said(d["process"], d["decision"], d.get("reason") or "", d.get("instance"))
        for d in answer["decisions"]
    )


def _epoch(written: str) -> float:
    return float(calendar.timegm(time.strptime(written, "%Y-%m-%dT%H:%M:%SZ")))
