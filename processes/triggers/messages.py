"""A contact opens a message, or clicks in it (T3)."""

from collections.abc import Mapping
from typing import Annotated, ClassVar, Literal

from pydantic import Field, StrictBool, StringConstraints

from processes.builtin_events import MESSAGE_CLICKED, MESSAGE_OPENED, by_machine
from processes.steps.base import Needs
from processes.triggers.base import TriggerBase
from processes.values import Json, Key, StepId

LinkPattern = Annotated[str, StringConstraints(pattern=r"^https?://[^\s*]+\*?$", max_length=2000)]
"""An address exactly as it stands in the message, or its beginning with a `*` at the end."""


class _MessageTrigger(TriggerBase):
    """Which messages are meant: those of a process, of a step, of a template; all that is named must fit."""

    event_type: ClassVar[str]

    process: Key | None = None
    step: StepId | None = None
    template: Key | None = None
    machines: StrictBool = Field(
        default=False,
        description="Whether what is taken for a machine (a scanner, a prefetcher) counts, too.",
    )

    def listens_to(self) -> tuple[str, dict[str, str]]:
        """The built-in event of the messages named."""
        named = {"process": self.process, "step": self.step, "template": self.template}
        return self.event_type, {name: key for name, key in named.items() if key is not None}

    def matches(self, params: Mapping[str, Json]) -> bool:
        """With the params named, and by a person unless machines count."""
        return super().matches(params) and (self.machines or not by_machine(self.event_type, params))

    def needs(self) -> Needs:
        """The process and the template."""
        return Needs(
            processes=[] if self.process is None else [("process", self.process)],
            templates=[] if self.template is None else [("template", self.template)],
        )


class MessageOpenedTrigger(_MessageTrigger):
    """A contact opens a message (T3): the first time that it does."""

    kind: ClassVar[str] = "message_opened"
    event_type: ClassVar[str] = MESSAGE_OPENED

    type: Literal["message_opened"]


class MessageClickedTrigger(_MessageTrigger):
    """A contact clicks in a message (T3): on any link, or on those that `url` names."""

    kind: ClassVar[str] = "message_clicked"
    event_type: ClassVar[str] = MESSAGE_CLICKED

    type: Literal["message_clicked"]
    url: LinkPattern | None = None

    def matches(self, params: Mapping[str, Json]) -> bool:
        """And on such a link."""
        return super().matches(params) and self._is_meant(params.get("url"))

    def _is_meant(self, url: Json) -> bool:
        if self.url is None:
            return True
        if not isinstance(url, str):
            return False
        return url.startswith(self.url[:-1]) if self.url.endswith("*") else url == self.url
