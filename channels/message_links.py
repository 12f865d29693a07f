"""The links that lead from one message to us: leaving a list, the preference page, opens and clicks. Pure."""

import re

from channels import merge_tags
from channels.links import Click, LinkSigner, Preferences, Sent
from channels.templates import Rendered
from channels.tracking import track

_LEADS_NOWHERE = re.compile(r"\[([^\[\]]*)\]\(\)")


def untracked(rendered: Rendered) -> Rendered:
    """The content of a message that is only looked at: nothing could act on its merge tags, so they are left out."""
    html = rendered.html
    return rendered.model_copy(
        update={
            "html": None if html is None else merge_tags.removed(html),
            "text": _text(rendered.text),
        }
    )


class MessageLinks:
    """The links of one message, the same each time that they are made for it.

    Args:
        signer: signs them.
        public_url: where contacts reach us, without a slash at its end.
        sent: the message, to whom it goes, and what it is made from.
    """

    def __init__(self, signer: LinkSigner, public_url: str, sent: Sent) -> None:
        self._signer = signer
        self._ours = f"{public_url}/t/"
        self._sent = sent

    def unsubscribe(self, list_key: str | None) -> str:
        """Where one click leaves the list, or all marketing mail."""
        token = self._signer.sign_unsubscribe(self._sent.contact_id, list_key, self._sent.message_id)
        return f"{self._ours}unsubscribe/{token}"

    def preferences(self) -> str:
        """Where the contact chooses its lists."""
        preferences = Preferences(self._sent.contact_id, self._sent.message_id)
        return f"{self._ours}p/{self._signer.sign_preferences(preferences)}"

    def tracked(self, rendered: Rendered, *, opens: bool, clicks: bool) -> Rendered:
        """The content with its HTML telling of opens and clicks. The text tells of nothing: a merge tag in it is left
        out, since nothing could act on it.

        Raises TemplateFailed for a merge tag that cannot be carried out.
        """
        html = rendered.html
        if html is not None:
            html = track(
                html,
                through=self._click,
                own=self._ours,
                clicks=clicks,
                pixel=self._pixel() if opens else None,
            )
        return rendered.model_copy(update={"html": html, "text": _text(rendered.text)})

    def _click(self, url: str, tags: tuple[str, ...]) -> str:
        return f"{self._ours}c/{self._signer.sign_click(Click(self._sent, url, tags))}"

    def _pixel(self) -> str:
        return f"{self._ours}o/{self._signer.sign_open(self._sent)}.gif"


def _text(text: str) -> str:
    kept = merge_tags.removed(text)
    return text if kept == text else _LEADS_NOWHERE.sub(r"\1", kept)
