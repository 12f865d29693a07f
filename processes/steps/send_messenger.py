"""Send a Messenger message (S2)."""

from collections.abc import Iterator
from typing import Annotated, Any, ClassVar, Literal

from pydantic import Field, StringConstraints, model_validator

from processes.steps.base import Needs, SendStep


class SendMessenger(SendStep):
    """Send a text to the contact by Messenger, from our page. The text is Liquid.

    Meta lets a page write within 24 hours of the person's last message; later only with `messaging_type: MESSAGE_TAG`
    and a `tag` that its policy allows for what is said. What it refuses for this is recorded as refused.
    """

    kind: ClassVar[str] = "send_messenger"

    type: Literal["send_messenger"]
    text: Annotated[str, StringConstraints(min_length=1, max_length=5000)]
    messaging_type: Literal["RESPONSE", "UPDATE", "MESSAGE_TAG"] = "UPDATE"
    tag: Annotated[str, StringConstraints(pattern=r"^[A-Z][A-Z_]{0,63}$")] | None = Field(
        default=None, description="With MESSAGE_TAG only, such as HUMAN_AGENT."
    )
    if_unknown: Literal["skip", "resend"] = "skip"

    @model_validator(mode="after")
    def _tag_where_it_belongs(self) -> Any:
        if (self.tag is not None) != (self.messaging_type == "MESSAGE_TAG"):
            raise ValueError("«tag» and «messaging_type: MESSAGE_TAG» go together: give both or neither")
        return self

    def needs(self) -> Needs:
        """The channel."""
        return Needs(channels=[("type", "messenger")])

    def texts(self) -> Iterator[tuple[str, str]]:
        """The text."""
        yield "text", self.text
