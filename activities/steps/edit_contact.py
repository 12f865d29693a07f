"""Edit the contact (S8)."""

from typing import Any, ClassVar

from activities.base import Held, TransactionalStep
from activities.scene import Scene
from channels.contents import with_texts
from processes.clock import check_zone
from processes.steps.edit_contact import OWN_COLUMNS, EditContact


class EditContactActivity(TransactionalStep[EditContact]):
    """Sets and unsets fields of the contact."""

    model: ClassVar[type[EditContact]] = EditContact

    async def apply(self, step: EditContact, scene: Scene) -> dict[str, Any]:
        """Says what was set. Raises Held where a time zone comes out that is none."""
        values = await with_texts(step.set, scene.context()) | dict.fromkeys(step.unset)
        if values.get("time_zone") is not None:
            try:
                check_zone(str(values["time_zone"]))
            except ValueError as error:
                raise Held(str(error)) from error
        own = {name: value for name, value in values.items() if name not in OWN_COLUMNS}
        if "time_zone" in values:
            scene.new_zone = str(values["time_zone"] or scene.definition.time_zone)
        scene.new_fields, effects = await self.tools.changes.edit(
            scene.connection,
            scene.contact_id,
            scene.now,
            scene.origin,
            fields=own,
            columns={name: values[name] for name in OWN_COLUMNS if name in values},
        )
        scene.effects.add(effects)
        return {"set": values}
