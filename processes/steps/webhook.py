"""Call a webhook (S3)."""

from collections.abc import Iterator
from typing import Annotated, ClassVar, Literal

from pydantic import AnyHttpUrl, Field, StringConstraints

from processes.steps.base import EffectStep
from processes.values import Json


class Webhook(EffectStep):
    """POST the contact, the event and the step to a URL, signed as Standard Webhooks.

    2xx is done; 408, 425, 429, 5xx and network errors are retried with back-off; anything else is refused, and
    `if_refused` says whether the instance goes on or holds. `set_fields` takes `{"fields": {…}}` from the reply.
    """

    kind: ClassVar[str] = "webhook"

    type: Literal["webhook"]
    url: AnyHttpUrl
    secret: Annotated[str, StringConstraints(pattern=r"^whsec_[A-Za-z0-9+/=]+$")] | None = None
    data: dict[str, Json] = Field(default_factory=dict, description="Sent as `data`; Liquid in its texts.")
    if_refused: Literal["continue", "hold"] = "continue"
    set_fields: bool = False

    def texts(self) -> Iterator[tuple[str, str]]:
        """The texts of `data`."""
        for name, value in self.data.items():
            if isinstance(value, str):
                yield f"data/{name}", value

    def summary(self) -> str:
        """Which host."""
        return f"to {self.url.host}"
