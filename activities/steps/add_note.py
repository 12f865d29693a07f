"""Add a note (S8)."""

from typing import Any, ClassVar

from activities.base import TransactionalStep
from activities.scene import Scene
from channels.rendering import rendered_text
from processes.steps.add_note import AddNote


class AddNoteActivity(TransactionalStep[AddNote]):
    """Adds a note to the contact."""

    model: ClassVar[type[AddNote]] = AddNote

    async def apply(self, step: AddNote, scene: Scene) -> dict[str, Any]:
        """Says what was noted."""
        text = await rendered_text(step.text, scene.context())
        effects = await self.tools.changes.add_note(
            scene.connection, scene.contact_id, text, scene.now, scene.origin
        )
        scene.effects.add(effects)
        return {"note": text[:200]}
