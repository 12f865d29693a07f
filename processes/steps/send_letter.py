"""Send a letter (S2)."""

from collections.abc import Iterator
from typing import Annotated, Any, ClassVar, Literal

from pydantic import Field, StringConstraints, model_validator

from processes.steps.base import EffectStep, Needs
from processes.values import Key


class SendLetter(EffectStep):
    """Print a template, or a text, and send it to the contact by post.

    The address is in the contact's fields: `name` (or `first_name` and `last_name`), `street`, `city`, `postal_code`
    and `country`. Where one is missing the letter is skipped.
    """

    kind: ClassVar[str] = "send_letter"

    type: Literal["send_letter"]
    template: Key | None = Field(
        default=None,
        description="Its subject is the letter's, its HTML the page; of MJML the text is printed.",
    )
    text: Annotated[str, StringConstraints(min_length=1, max_length=20_000)] | None = Field(
        default=None, description="Plain text in Liquid; a blank line begins a paragraph."
    )

    @model_validator(mode="after")
    def _one_source(self) -> Any:
        if (self.template is None) == (self.text is None):
            raise ValueError("give one of «template» and «text»")
        return self

    def needs(self) -> Needs:
        """The template, where it is one, and the channel."""
        templates = [("template", self.template)] if self.template is not None else []
        return Needs(templates=templates, channels=[("type", "letter")])

    def texts(self) -> Iterator[tuple[str, str]]:
        """The text."""
        if self.text is not None:
            yield "text", self.text

    def summary(self) -> str | None:
        """Which template."""
        return f"template {self.template}" if self.template is not None else None
