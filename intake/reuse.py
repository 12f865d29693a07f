"""Ids of instances that retention has deleted: none is given a second time, since the ids of messages are made of them.

An id with its event's in it is nobody else's; one of a `once` process, of a schedule's day, or that a person chose is
free again once its run is deleted.
"""

from sqlalchemy.ext.asyncio import AsyncConnection

from intake.items import Candidate
from processes import names
from store.retention import deleted_before

ID_USED = "the workflow id was used by an earlier instance"


async def beside_deleted(connection: AsyncConnection, candidates: list[Candidate]) -> list[Candidate]:
    """The starts, each with an id that no deleted run had; one whose id was chosen by a person is told why not."""
    may_repeat = [c for c in candidates if not c.instance.endswith(_own(c))]
    if not may_repeat:
        return candidates
    taken = await deleted_before(connection, [c.instance for c in may_repeat])
    kept: list[Candidate] = []
    for candidate in candidates:
        if candidate.instance not in taken:
            kept.append(candidate)
        elif candidate.item.event.instance is None:
            candidate.instance += _own(candidate)
            kept.append(candidate)
        else:
            reason = f"{ID_USED}: {candidate.instance}"
            candidate.item.say(candidate.process, "skipped", reason, candidate.instance)
    return kept


def _own(candidate: Candidate) -> str:
    return f"/{names.readable(candidate.item.event.id)}"
