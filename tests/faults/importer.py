"""Batches over many contacts at once, as a shop's nightly job sends them. The contacts are the importer's own."""

import random
import time
from collections.abc import Sequence

from tests.faults.caller import Caller
from tests.faults.customer import Customer
from tests.faults.pacing import pause

TYPES = ("signed_up", "cart_left", "visited", "order_created", "asked", "answered", "left")


async def import_batches(customers: Sequence[Customer], caller: Caller, seed: int, until: float) -> None:
    """Send batch after batch until the instant `until` (epoch seconds): one or two events of each contact."""
    chance = random.Random(f"importer {seed}")
    while time.time() < until:
        await pause(chance.uniform(10, 25))
        wanted = [
            (customer, customer.event(chance.choice(TYPES)))
            for customer in customers
            for _ in range(chance.randint(1, 2))
        ]
        reply = await caller.safe("POST", "/v1/events/batch", {"events": [body for _, body in wanted]})
        for (customer, body), answer in zip(wanted, reply.body["results"], strict=True):
            customer.record(body, answer, reply.began, reply.acked)
