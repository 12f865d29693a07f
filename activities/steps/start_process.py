"""Start another process (S7)."""

from typing import Any, ClassVar

from activities.base import TransactionalStep
from activities.scene import Scene
from processes.steps.start_process import StartProcess


class StartProcessActivity(TransactionalStep[StartProcess]):
    """Asks for another process; admission decides, in this same transaction."""

    model: ClassVar[type[StartProcess]] = StartProcess

    async def apply(self, step: StartProcess, scene: Scene) -> dict[str, Any]:
        """Says what was decided. The event that started this instance lends its params and key."""
        decision, effects = await self.tools.changes.request_process(
            scene.connection,
            scene.contact_id,
            step.process,
            scene.now,
            scene.origin,
            key=scene.row.event_key,
            params={**scene.situation.event, **step.params},
        )
        scene.effects.add(effects)
        return decision.model_dump(exclude_none=True)
