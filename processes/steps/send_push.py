"""Send a push notification (S2)."""

from collections.abc import Iterator
from typing import Annotated, ClassVar, Literal

from pydantic import AfterValidator, AnyHttpUrl, Field, StringConstraints

from processes.durations import Duration
from processes.steps.base import Needs, SendStep

SHORTEST, LONGEST = Duration.parse("1 minute"), Duration.parse("28 days")
"""Push services keep a notification for four weeks at most."""


def _kept(value: Duration) -> Duration:
    if not SHORTEST <= value <= LONGEST:
        raise ValueError(f"is {value}; a push service keeps a notification for 1 minute to 28 days")
    return value


class SendPush(SendStep):
    """Send a notification to every browser in which the contact allowed it. `title`, `body` and `url` are Liquid.

    `ttl` says for how long it is worth something: so long the push service keeps it for a browser that is away, and
    so long a push service that does not answer is tried again.
    """

    kind: ClassVar[str] = "send_push"

    type: Literal["send_push"]
    title: Annotated[str, StringConstraints(min_length=1, max_length=500)]
    body: Annotated[str, StringConstraints(max_length=3000)] = ""
    url: Annotated[str, StringConstraints(max_length=2000)] | None = Field(
        default=None, description="What a click opens: http or https."
    )
    icon: AnyHttpUrl | None = Field(default=None, description="The address of a picture.")
    ttl: Annotated[Duration, AfterValidator(_kept)] = Field(default=Duration.parse("1 day"), examples=["4h"])

    def needs(self) -> Needs:
        """The channel."""
        return Needs(channels=[("type", "push")])

    def texts(self) -> Iterator[tuple[str, str]]:
        """Title, body and address."""
        yield "title", self.title
        yield "body", self.body
        if self.url is not None:
            yield "url", self.url
