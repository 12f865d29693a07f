"""The person who pauses, edits and resumes the processes while contacts are in them."""

import random
import time
from typing import Any

from tests.faults.caller import Caller
from tests.faults.pacing import pause
from tests.faults.world import EDITED, WORLD
from tests.oracle.actions import Pause, Published, Timeline
from tests.oracle.model import document

CONFLICT = 409
QUIET_SECONDS = 6.0


class Editor:
    """Sets the world up, and changes it."""

    def __init__(self, caller: Caller, seed: int) -> None:
        self.timeline = Timeline()
        self._caller = caller
        self._random = random.Random(f"editor {seed}")

    async def set_up(self) -> None:
        """Templates, then the processes, the one that others start first."""
        for key, subject in WORLD.templates():
            body = {"name": key, "subject": subject, "html": f"<p>{key} for {{{{ contact.email }}}}</p>"}
            await self._caller.safe("PUT", f"/v1/templates/{key}", body)
        for process in sorted(WORLD.processes, key=lambda p: p.starts is not None):
            await self._caller.safe("PUT", f"/v1/processes/{process.key}", document(process, 1))
            await self._caller.once("POST", f"/v1/processes/{process.key}/activate", also=(CONFLICT,))

    async def work(self, until: float) -> None:
        """Pause one process at a time, sometimes edit it, resume it; the last is resumed at `until` (epoch seconds)."""
        edited: set[str] = set()
        while time.time() < until - QUIET_SECONDS:
            await pause(self._random.uniform(2, 10))
            key = self._random.choice(EDITED)
            new = key not in edited and self._random.random() < 0.5
            if new:
                edited.add(key)
            await self._pause_for_a_while(key, until, edit=new)

    async def _pause_for_a_while(self, key: str, until: float, *, edit: bool) -> None:
        paused = await self._change(key, "pause")
        self.timeline.pauses.append(Pause(key, paused[0], paused[1]))
        await pause(self._random.uniform(1, 6), until)
        if edit:
            await self._caller.once("PUT", f"/v1/processes/{key}", document(WORLD[key], 2))
        began, acked = await self._change(key, "activate")
        self.timeline.pauses[-1] = Pause(key, *paused, began, acked)
        if edit:
            self.timeline.published.append(Published(key, 2, began, acked))

    async def _change(self, key: str, action: str) -> tuple[float, float]:
        """Done now, or by a try whose reply was lost: then it is refused, since it is so already."""
        reply = await self._caller.once("POST", f"/v1/processes/{key}/{action}", also=(CONFLICT,))
        if reply.status == CONFLICT:
            state: Any = (await self._caller.safe("GET", f"/v1/processes/{key}")).body
            assert state["status"] == ("paused" if action == "pause" else "active"), state
        return reply.began, reply.acked
