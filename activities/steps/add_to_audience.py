"""Add to a Facebook Custom Audience (S9)."""

from typing import ClassVar, Literal

from activities.audiences import AudienceStep
from activities.scene import Scene
from processes.obstacles import no_audience
from processes.steps.add_to_audience import AddToAudience


class AddToAudienceActivity(AudienceStep[AddToAudience]):
    """Tells Meta who the contact is, hashed."""

    model: ClassVar[type[AddToAudience]] = AddToAudience
    does: ClassVar[Literal["add", "remove"]] = "add"

    async def obstacle(self, scene: Scene) -> str | None:
        """Advertising is marketing, whoever shows it."""
        reason = no_audience(scene.definition, scene.row.contact_email_state)
        return reason if reason is not None else await self.unwanted(scene)
