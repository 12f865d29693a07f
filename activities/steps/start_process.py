"""Start another process (S7)."""

from typing import Any, ClassVar

from activities.base import TransactionalStep
from activities.scene import Scene
from intake.starts import RESERVED
from processes.steps.start_process import StartProcess


class StartProcessActivity(TransactionalStep[StartProcess]):
    """Asks for another process; admission decides, in this same transaction."""

    model: ClassVar[type[StartProcess]] = StartProcess

    async def apply(self, step: StartProcess, scene: Scene) -> dict[str, Any]:
        """Says what was decided. The event that started this instance lends its params and key, but not the words
        of a request: a start that was forced, or named its workflow, does not force or name this one.
        """
        params = {**scene.situation.event, **step.params}
        decision, effects = await self.tools.changes.request_process(
            scene.connection,
            scene.contact_id,
            step.process,
            scene.now,
            scene.origin,
            key=scene.row.event_key,
            params={name: value for name, value in params.items() if name not in RESERVED},
        )
        scene.effects.add(effects)
        return decision.model_dump(exclude_none=True)
