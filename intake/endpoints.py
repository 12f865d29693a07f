"""Endpoints as they are given to us: which channels have them, and how an address must look on each."""

import re
from collections.abc import Iterator, Mapping
from typing import Literal

from intake.events import check_json
from processes.problems import DocumentInvalid, Problem
from processes.values import Json

EndpointChannel = Literal["push", "messenger"]

_PSID = re.compile(r"[0-9]{5,32}")
_PUSH_URL = re.compile(r"https://[!-~]+")
_BASE64URL = re.compile(r"[A-Za-z0-9_-]+={0,2}")
_PUSH_KEYS = {"p256dh": 87, "auth": 22}
"""The characters of each key in Base64 without padding: 65 bytes and 16 (RFC 8291)."""


def check_endpoint(channel: EndpointChannel, address: str, details: Mapping[str, Json] | None) -> None:
    """Raises DocumentInvalid with everything that is wrong: a Messenger id that is none, a push subscription
    (`PushSubscription.toJSON()` of the browser) without its keys.
    """
    problems = list(_problems(channel, address, details or {}))
    if problems:
        raise DocumentInvalid(problems)


def _problems(channel: EndpointChannel, address: str, details: Mapping[str, Json]) -> Iterator[Problem]:
    unfit: list[Problem] = []
    check_json(dict(details), "details", lambda at, why: unfit.append(Problem(pointer=f"/{at}", message=why)))
    yield from unfit
    if channel == "messenger":
        if not _PSID.fullmatch(address):
            yield Problem(pointer="/address", message="is not a page-scoped id of Messenger: digits only")
        return
    if not _PUSH_URL.fullmatch(address):
        yield Problem(pointer="/address", message="is not the https URL of a push subscription")
    keys = details.get("keys")
    if not isinstance(keys, dict):
        yield Problem(pointer="/details/keys", message="a push subscription has the keys p256dh and auth")
        return
    for name, length in _PUSH_KEYS.items():
        key = keys.get(name)
        if not isinstance(key, str) or not _BASE64URL.fullmatch(key) or len(key.rstrip("=")) != length:
            yield Problem(
                pointer=f"/details/keys/{name}", message=f"is not {length} characters of URL-safe Base64"
            )
