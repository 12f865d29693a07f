"""Signs the links by which a contact leaves a list.

A token says who, which list, and which message led here. It holds no e-mail address, and it does not expire:
an unsubscribe link must work for as long as the message exists (RFC 8058). So a signing key that is replaced
goes on being read by, until nobody can have its messages any more.
"""

from collections.abc import Iterable
from dataclasses import dataclass

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


class LinkSigner:
    """Makes and reads tokens, with keys that every API and worker shares.

    Args:
        key: signs, and is read by.
        previous: earlier keys. They are read by, and sign nothing.
    """

    def __init__(self, key: str, previous: Iterable[str] = ()) -> None:
        self._unsubscribe = URLSafeSerializer([*previous, key], salt="onward.unsubscribe")

    def sign_unsubscribe(self, contact_id: str, list_key: str | None, message_id: str) -> str:
        """A token that is safe in a URL's path or query; the same for the same arguments."""
        token = self._unsubscribe.dumps([contact_id, list_key, message_id])
        return token if isinstance(token, str) else token.decode("ascii")

    def read_unsubscribe(self, token: str) -> Unsubscribe:
        """What the token stands for.

        Raises:
            BadToken: it was signed by none of the keys.
        """
        try:
            value = self._unsubscribe.loads(token)
        except BadData as error:
            raise BadToken from error
        match value:
            case [str(contact_id), str() | None as list_key, str(message_id)]:
                return Unsubscribe(contact_id, list_key, message_id)
        raise BadToken
