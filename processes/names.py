"""The readable ids of instances. An instance's id is its workflow's id; no e-mail address is ever in one."""

import hashlib
import re

ERASED_EVENT = "erased/"
"""How the id of an event begins whose contact was erased."""

_READABLE = re.compile(r"[A-Za-z0-9._:-]{1,64}")
_NEVER = re.compile(r"\.{1,2}|h-[0-9a-f]{16}")
"""Plain, and still hashed: dot segments, which URLs cannot carry, and what looks like another's hash."""
_OUR_CONTACT = re.compile(r"c[0-9a-f]{16}")


def readable(part: str) -> str:
    """`part` as it is if it is short, plain and no e-mail address; otherwise a short hash of it."""
    if _is_readable(part):
        return part
    return "h-" + hashlib.sha256(part.encode()).hexdigest()[:16]


def contact_reference(contact_id: str, external_id: str | None) -> str:
    """How ids, search attributes and logs name a contact: the ContactId of the sender's system, else ours."""
    if external_id is not None and _is_readable(external_id) and not _OUR_CONTACT.fullmatch(external_id):
        return external_id
    return contact_id


def _is_readable(part: str) -> bool:
    return _READABLE.fullmatch(part) is not None and _NEVER.fullmatch(part) is None


def instance_id(process: str, reference: str, key: str, start: str | None) -> str:
    """`welcome/22222`, `order/22222/<event id>`; the key of P7 stands between where there is one."""
    parts = [process, reference]
    if key:
        parts.append(readable(key))
    if start is not None:
        parts.append(readable(start))
    return "/".join(parts)


def erased_event_id(event: str) -> str:
    """What stands for an event's id once its contact was erased: the same event that comes again is known by it."""
    return ERASED_EVENT + hashlib.sha256(event.encode()).hexdigest()
