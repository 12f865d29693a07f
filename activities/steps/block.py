"""Block the contact's address (S11)."""

from typing import Any, ClassVar

from sqlalchemy import select

from activities.base import TransactionalStep
from activities.scene import Scene
from processes.steps.block import Block
from store import contacts, rows
from store.suppressions import suppress

COLUMNS = {"email": "email", "sms": "phone"}
WORDS = {"email": "e-mail address", "sms": "phone number"}


class BlockActivity(TransactionalStep[Block]):
    """Suppresses the address, and takes it from the contact where the step says so."""

    model: ClassVar[type[Block]] = Block

    async def apply(self, step: Block, scene: Scene) -> dict[str, Any]:
        """Says whether the address got messages before. The address itself is not kept with the visit."""
        column = COLUMNS[step.channel]
        await contacts.lock(scene.connection, [scene.contact_id])
        address: str | None = (
            await scene.connection.execute(
                select(rows.contacts.c[column]).where(rows.contacts.c.id == scene.contact_id)
            )
        ).scalar()
        if address is None:
            return {"channel": step.channel, "skipped": f"the contact has no {WORDS[step.channel]}"}
        blocked = await suppress(
            scene.connection, step.channel, address, step.reason, scene.origin.source, scene.now
        )
        if step.delete_address:
            _, effects = await self.tools.changes.edit(
                scene.connection, scene.contact_id, scene.now, scene.origin, columns={column: None}
            )
            scene.effects.add(effects)
        return {"channel": step.channel, "blocked": blocked, "deleted": step.delete_address}
