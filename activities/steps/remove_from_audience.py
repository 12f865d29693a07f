"""Remove from a Facebook Custom Audience (S9)."""

from typing import ClassVar, Literal

from activities.audiences import AudienceStep
from activities.scene import Scene
from processes.steps.remove_from_audience import RemoveFromAudience


class RemoveFromAudienceActivity(AudienceStep[RemoveFromAudience]):
    """Tells Meta who is to be taken out, hashed."""

    model: ClassVar[type[RemoveFromAudience]] = RemoveFromAudience
    does: ClassVar[Literal["add", "remove"]] = "remove"

    async def obstacle(self, scene: Scene) -> str | None:
        """None: who wants no marketing wants this all the more."""
        return None
