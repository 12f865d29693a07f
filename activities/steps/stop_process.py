"""Stop another process (S7)."""

from typing import Any, ClassVar

from activities.base import TransactionalStep
from activities.scene import Scene
from intake.effects import Effects, stop_instances
from processes.steps.stop_process import StopProcess
from store import rows


class StopProcessActivity(TransactionalStep[StopProcess]):
    """Stops the contact's open instances of another process."""

    model: ClassVar[type[StopProcess]] = StopProcess

    async def apply(self, step: StopProcess, scene: Scene) -> dict[str, Any]:
        """Says which were stopped. Never the instance that this step belongs to; a test run stops test runs only."""
        i = rows.instances.c
        others = [i.test_cap.is_not(None)] if scene.origin.test else []
        stopped, outbox = await stop_instances(
            scene.connection,
            [
                i.process_key == step.process,
                i.contact_id == scene.contact_id,
                i.id != scene.instance,
                *others,
            ],
            step.reason or scene.origin.source,
            scene.now,
        )
        scene.effects.add(Effects(outbox=outbox))
        return {"process": step.process, "stopped": stopped}
