"""Events a second against bare `start_workflow` calls on the same server, in turn.

No worker runs: what is measured is letting in, not carrying out. The bare side starts the same workflow type with
the same id shape, search attributes and summary.
"""

import asyncio
import secrets
import time
from dataclasses import dataclass
from statistics import median

import orjson
from temporalio.common import SearchAttributePair, TypedSearchAttributes

from benchmarks.cpu import Cpu, medians
from benchmarks.http_load import Connection, post_all
from benchmarks.stage import Bench
from intake.dispatch import CONTACT, PROCESS, VERSION
from processes.instructions import WORKFLOW

CONCURRENCY = 32
BATCH = 200
QUIET_TIMES = 10


@dataclass
class Intake:
    """Medians of the rates (a second), and the ratios round by round."""

    bare: float
    single: float
    batched: float
    quiet: float
    single_ratio: float
    batched_ratio: float
    quiet_ratio: float
    cpu: dict[str, dict[str, float]]
    """Milliseconds a piece, by process, for each of the four; medians."""


async def measure(stage: Bench, *, rounds: int, count: int) -> Intake:
    """Rounds of all four, in turn."""
    await stage.spawn("-m", "cli", "api")
    await _ready(stage)
    rates: dict[str, list[float]] = {"bare": [], "single": [], "batched": [], "quiet": []}
    measures = {"bare": _bare, "single": _single, "batched": _batched, "quiet": _quiet}
    cpu: dict[str, list[dict[str, float]]] = {name: [] for name in measures}
    for round_number in range(rounds + 1):
        for name, one in measures.items():
            before = Cpu()
            rate = await one(stage, count)
            spent = before.milliseconds(count * QUIET_TIMES if name == "quiet" else count)
            if round_number:
                cpu[name].append(spent)
                rates[name].append(rate)

    def ratio(name: str) -> float:
        return median(a / b for a, b in zip(rates[name], rates["bare"], strict=True))

    return Intake(
        bare=median(rates["bare"]),
        single=median(rates["single"]),
        batched=median(rates["batched"]),
        quiet=median(rates["quiet"]),
        single_ratio=ratio("single"),
        batched_ratio=ratio("batched"),
        quiet_ratio=ratio("quiet"),
        cpu={name: medians(rounds_) for name, rounds_ in cpu.items()},
    )


async def _bare(stage: Bench, count: int) -> float:
    todo = iter(range(count))
    run = secrets.token_hex(4)

    async def one() -> None:
        for number in todo:
            contact = f"{run}{number}"
            await stage.services.client.start_workflow(
                WORKFLOW,
                {"process": "journey", "contact": contact},
                id=f"bare/{contact}/e{contact}",
                task_queue="nobody",
                search_attributes=TypedSearchAttributes(
                    [
                        SearchAttributePair(PROCESS, "journey"),
                        SearchAttributePair(CONTACT, contact),
                        SearchAttributePair(VERSION, 1),
                    ]
                ),
                static_summary=f"Journey · contact {contact}",
            )

    began = time.perf_counter()
    await asyncio.gather(*(one() for _ in range(CONCURRENCY)))
    return count / (time.perf_counter() - began)


async def _single(stage: Bench, count: int) -> float:
    names = await stage.contacts(count)
    bodies = [orjson.dumps(_event("journey_wanted", name)) for name in names]
    began = time.perf_counter()
    answers = await post_all(stage.settings.api_port, "/v1/events", bodies, connections=CONCURRENCY)
    rate = count / (time.perf_counter() - began)
    _all_started(answers, count)
    return rate


async def _batched(stage: Bench, count: int) -> float:
    names = await stage.contacts(count)
    bodies = [_batch("journey_wanted", names[n : n + BATCH]) for n in range(0, count, BATCH)]
    began = time.perf_counter()
    answers = await post_all(stage.settings.api_port, "/v1/events/batch", bodies, connections=2)
    rate = count / (time.perf_counter() - began)
    _all_started(answers, count)
    return rate


async def _quiet(stage: Bench, count: int) -> float:
    many = count * QUIET_TIMES
    names = await stage.contacts(count)
    events = [names[n % count] for n in range(many)]
    bodies = [_batch("page_seen", events[n : n + 1000]) for n in range(0, many, 1000)]
    began = time.perf_counter()
    await post_all(stage.settings.api_port, "/v1/events/batch", bodies, connections=2)
    return many / (time.perf_counter() - began)


def _event(event_type: str, contact: str) -> dict[str, object]:
    return {
        "type": event_type,
        "id": secrets.token_hex(8),
        "contact": {"external_id": contact},
        "params": {"source": "bench", "total": 12.5},
    }


def _batch(event_type: str, names: list[str]) -> bytes:
    return orjson.dumps({"events": [_event(event_type, name) for name in names]})


def _all_started(answers: list[bytes], count: int) -> None:
    started = sum(answer.count(b'"started"') for answer in answers)
    if started != count:
        raise RuntimeError(f"{started} of {count} events started an instance: {answers[0][:300]!r}")


async def _ready(stage: Bench) -> None:
    for _ in range(200):
        try:
            await Connection(stage.settings.api_port).post("/v1/events", b"{}")
        except OSError:
            await asyncio.sleep(0.1)
        else:
            return
    raise RuntimeError("the API did not come up")
