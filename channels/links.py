"""Signs the links in messages: by which a contact leaves a list or chooses lists, and which tell of opens and clicks.

A token says who, which message led here, and what for: a list, or the address that a click leads to. It holds no e-mail
address, and it does not expire: an unsubscribe link must work for as long as the message exists (RFC 8058). So a
signing key that is replaced goes on being read by, until nobody can have its messages any more. Each purpose has a salt
of its own: a token for one is none for another.
"""

from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any

from itsdangerous import BadData, URLSafeSerializer


class BadToken(Exception):
    """The token was not made by us, or was changed on its way."""

    def __init__(self) -> None:
        super().__init__("The link is not valid. Use the link from the message as it is.")


@dataclass(frozen=True)
class Unsubscribe:
    """What an unsubscribe link stands for. Without a `list_key` it stands for everything we send."""

    contact_id: str
    list_key: str | None
    message_id: str


@dataclass(frozen=True)
class Sent:
    """The message that a link or a picture stands in, to whom it went, and the template that it was made from."""

    message_id: str
    contact_id: str
    template: str | None = None


@dataclass(frozen=True)
class Click:
    """What a click on a link of a message stands for. The `url` is empty where it leads nowhere and only adds tags."""

    sent: Sent
    url: str
    tags: tuple[str, ...] = ()


@dataclass(frozen=True)
class Preferences:
    """What a link to the preference page stands for."""

    contact_id: str
    message_id: str


class LinkSigner:
    """Makes and reads tokens, with keys that every API and worker shares.

    Args:
        key: signs, and is read by.
        previous: earlier keys. They are read by, and sign nothing.
    """

    def __init__(self, key: str, previous: Iterable[str] = ()) -> None:
        keys = [*previous, key]
        self._unsubscribe = URLSafeSerializer(keys, salt="onward.unsubscribe")
        self._open = URLSafeSerializer(keys, salt="onward.open")
        self._click = URLSafeSerializer(keys, salt="onward.click")
        self._preferences = URLSafeSerializer(keys, salt="onward.preferences")

    def sign_unsubscribe(self, contact_id: str, list_key: str | None, message_id: str) -> str:
        """A token that is safe in a URL's path or query; the same for the same arguments."""
        return _signed(self._unsubscribe, [contact_id, list_key, message_id])

    def read_unsubscribe(self, token: str) -> Unsubscribe:
        """What the token stands for.

        Raises:
            BadToken: it was signed by none of the keys.
        """
        match _read(self._unsubscribe, token):
            case [str(contact_id), str() | None as list_key, str(message_id)]:
                return Unsubscribe(contact_id, list_key, message_id)
        raise BadToken

    def sign_open(self, sent: Sent) -> str:
        """A token for the picture that tells of an open; the same for the same message."""
        return _signed(self._open, [sent.message_id, sent.contact_id, sent.template])

    def read_open(self, token: str) -> Sent:
        """What the token stands for. Raises BadToken."""
        match _read(self._open, token):
            case [str(message_id), str(contact_id), str() | None as template]:
                return Sent(message_id, contact_id, template)
        raise BadToken

    def sign_click(self, click: Click) -> str:
        """A token for a link; the same for the same message, address and tags."""
        sent = click.sent
        return _signed(self._click, [sent.message_id, sent.contact_id, sent.template, click.url, *click.tags])

    def read_click(self, token: str) -> Click:
        """What the token stands for. Raises BadToken."""
        match _read(self._click, token):
            case [str(message_id), str(contact_id), str() | None as template, str(url), *tags] if all(
                isinstance(tag, str) for tag in tags
            ):
                return Click(Sent(message_id, contact_id, template), url, tuple(tags))
        raise BadToken

    def sign_preferences(self, preferences: Preferences) -> str:
        """A token for the preference page of a contact; the same for the same message."""
        return _signed(self._preferences, [preferences.contact_id, preferences.message_id])

    def read_preferences(self, token: str) -> Preferences:
        """What the token stands for. Raises BadToken."""
        match _read(self._preferences, token):
            case [str(contact_id), str(message_id)]:
                return Preferences(contact_id, message_id)
        raise BadToken


def _signed(serializer: URLSafeSerializer, value: list[Any]) -> str:
    token = serializer.dumps(value)
    return token if isinstance(token, str) else token.decode("ascii")


def _read(serializer: URLSafeSerializer, token: str) -> Any:
    try:
        return serializer.loads(token)
    except (BadData, UnicodeError) as error:
        raise BadToken from error
