"""References in the path of a URL: any text as one path segment that no client, proxy or server changes on its way.

HTTP clients resolve `.` and `..` before they send a request, percent-encoded or not, and some proxies decode `%2F`. So
a text that is not plainly safe can also be written as `base64url:` and the base64url encoding (RFC 4648, without
padding) of its UTF-8 bytes: `..` is `base64url:Li4`.
"""

import re
from base64 import urlsafe_b64decode, urlsafe_b64encode

PREFIX = "base64url:"

_PLAIN = re.compile(r"[A-Za-z0-9._~@:+-]+")
_ENCODED = re.compile(r"[A-Za-z0-9_-]+")


def segment(text: str) -> str:
    """`text` as one segment of a URL's path, ready to be sent: as it is if it is plainly safe, else encoded."""
    if _PLAIN.fullmatch(text) and text.strip(".") and not text.startswith(PREFIX):
        return text
    return PREFIX + _encoded(text)


def read_segment(value: str) -> str:
    """What a path segment stands for, once its percent-encoding is decoded. What is not a valid encoding stands for
    itself.
    """
    encoded = value.removeprefix(PREFIX)
    if encoded == value or not _ENCODED.fullmatch(encoded):
        return value
    try:
        text = urlsafe_b64decode(encoded + "=" * (-len(encoded) % 4)).decode()
    except ValueError:  # not base64, or not UTF-8
        return value
    return text if _encoded(text) == encoded else value


def _encoded(text: str) -> str:
    return urlsafe_b64encode(text.encode()).decode().rstrip("=")
