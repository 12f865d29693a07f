"""Events as they are sent, in the seed's body (Reteno) or the plain one, brought to what intake checks.

Every problem points into the body as the sender wrote it. Whether the values are good is `intake.events`' question.
"""

import re
from collections.abc import Iterator, Mapping
from datetime import datetime
from typing import Any

from intake.events import PARAM_NAME, IncomingEvent, check_event
from processes.addresses import STRICT, AddressRules
from processes.builtin_events import BUILTIN, SENT_BY_OTHERS
from processes.problems import DocumentInvalid, Problem
from processes.values import Json

SEED_KEYS = frozenset({"eventTypeKey", "keyValue", "params"})
PLAIN_KEYS = frozenset({"type", "key", "id", "occurred_at", "contact", "params"})
IDENTITIES: Mapping[str, str] = {
    "ContactId": "external_id",
    "EmailAddress": "email",
    "Phone": "phone",
    "Token": "token",
}
"""The names that the seed's payload has for what a contact is found by."""
PLAIN_IDENTITIES = ("id", "email", "phone", "token")
"""The same in the plain body's `contact`, in the same order."""
_MEANT = {
    **dict.fromkeys(("contactid", "customerid", "userid", "externalid", "contact", "customer"), "ContactId"),
    **dict.fromkeys(
        ("emailaddress", "email", "mail", "emailadress", "useremail", "customeremail"), "EmailAddress"
    ),
    **dict.fromkeys(("phone", "phonenumber", "mobile", "tel", "telephone"), "Phone"),
    **dict.fromkeys(("token", "anonymousid", "deviceid"), "Token"),
}
ID_HEADER = "header Idempotency-Key"

Places = dict[str, str]
_Parts = tuple[dict[str, Any], Places]


def read_event_with_places(
    body: Any,
    received_at: datetime,
    *,
    fallback_id: str | None = None,
    under: str = "",
    addresses: AddressRules = STRICT,
) -> tuple[IncomingEvent, Places]:
    """An event from either body, with the map from our pointers to the sender's, for problems that are found later.

    `fallback_id` is used where the body has no id; `under` is the body's own place; `addresses` says which e-mail
    addresses are taken. Raises DocumentInvalid with every problem.
    """
    found: list[Problem] = []
    if not isinstance(body, dict):
        raise DocumentInvalid([Problem(pointer=under, message="an event is an object")])
    values, places = _seed(body, found) if "eventTypeKey" in body else _plain(body, found)
    if values["id"] is None and fallback_id is not None:
        values["id"], places["/id"] = fallback_id, ID_HEADER
    if isinstance(values["type"], str) and values["type"] in BUILTIN.keys() - SENT_BY_OTHERS:
        found.append(
            Problem(
                pointer=moved("/type", places),
                message=f"«{values['type']}» is an event that Onward itself sends",
            )
        )
    try:
        event = check_event(received_at=received_at, addresses=addresses, **values)
    except DocumentInvalid as invalid:
        found += relocated(invalid.problems, places)
    if found:
        raise DocumentInvalid([p.model_copy(update={"pointer": _under(p.pointer, under)}) for p in found])
    return event, places


def relocated(found: list[Problem], places: Mapping[str, str]) -> list[Problem]:
    """The problems with our pointers replaced by the sender's."""
    return [p.model_copy(update={"pointer": moved(p.pointer, places)}) for p in found]


def no_identity(body: Mapping[str, Any]) -> dict[str, Any]:
    """What to tell the sender of an event without any identity: the `names` that count, in their order, and a
    `message` that says which of its own names may have been meant as one.
    """
    seed = "eventTypeKey" in body
    names = list(IDENTITIES) if seed else [f"contact.{name}" for name in PLAIN_IDENTITIES]
    where = "params named" if seed else "one of"
    message = f"the event names no contact, so it starts nothing for anyone: {where} {', '.join(names)} say whose it is"
    params = body.get("params")
    given = [one.get("name") for one in params] if isinstance(params, list) else list(params or {})
    meant = {_MEANT.get(re.sub(r"[^a-z]", "", str(name).lower())): name for name in given}
    for position, name in enumerate(IDENTITIES):
        if name in meant and meant[name] != name:
            message += f"; the param «{meant[name]}» is not one of them: did you mean {names[position]}?"
    return {"message": message, "names": names}


def _under(pointer: str, under: str) -> str:
    return pointer if pointer == ID_HEADER else under + pointer


def moved(pointer: str, places: Mapping[str, str]) -> str:
    """Our pointer as the sender's."""
    head, rest = pointer, ""
    while head:
        if head in places:
            return places[head] + rest
        head, slash, last = head.rpartition("/")
        rest = slash + last + rest
    return pointer


def _seed(body: dict[str, Any], found: list[Problem]) -> _Parts:
    found += _unknown(body, SEED_KEYS)
    places = {"/type": "/eventTypeKey", "/key": "/keyValue", "/contact": "/params"}
    contact: dict[str, Json] = {}
    params: dict[str, Json] = {}
    listed = body.get("params", [])
    if not isinstance(listed, list):
        found.append(Problem(pointer="/params", message="must be a list of objects with name and value"))
        listed = []
    seen: set[str] = set()
    for index, param in enumerate(listed):
        place = f"/params/{index}"
        name = _param_name(param, place, found)
        if name is None:
            continue
        if name in seen:
            found.append(Problem(pointer=f"{place}/name", message=f"the param «{name}» stands twice"))
            continue
        seen.add(name)
        own = IDENTITIES.get(name)
        if own is not None:
            contact[own] = param["value"]
            places[f"/contact/{own}"] = f"{place}/value"
        elif not PARAM_NAME.fullmatch(name):
            found.append(
                Problem(
                    pointer=f"{place}/name",
                    message="a param's name has 1 to 100 characters, no dot, and no space in front",
                )
            )
        else:
            params[name] = param["value"]
            places[f"/params/{_escaped(name)}"] = f"{place}/value"
    return (
        {
            "id": None,
            "type": _text(body, "eventTypeKey", found, needed=True) or "",
            "key": _key(body, "keyValue", found),
            "contact": contact,
            "occurred_at": None,
            "params": params,
        },
        places,
    )


def _param_name(param: Any, place: str, found: list[Problem]) -> str | None:
    if not isinstance(param, dict):
        found.append(Problem(pointer=place, message="a param is an object with name and value"))
        return None
    found += [
        Problem(pointer=f"{place}/{_escaped(name)}", message="unknown field")
        for name in param
        if name not in {"name", "value"}
    ]
    if not isinstance(param.get("name"), str):
        message = "this field is required" if "name" not in param else "must be a text"
        found.append(Problem(pointer=f"{place}/name", message=message))
        return None
    if "value" not in param:
        found.append(Problem(pointer=f"{place}/value", message="this field is required"))
        return None
    name_of: str = param["name"]
    return name_of


def _plain(body: dict[str, Any], found: list[Problem]) -> _Parts:
    found += _unknown(body, PLAIN_KEYS)
    values = {
        "id": _text(body, "id", found),
        "type": _text(body, "type", found, needed=True) or "",
        "key": _key(body, "key", found),
        "contact": _object(body, "contact", found),
        "occurred_at": _text(body, "occurred_at", found),
        "params": _object(body, "params", found),
    }
    contact = values["contact"]
    places: Places = {}
    if isinstance(contact, dict) and "id" in contact and "external_id" not in contact:
        places["/contact/external_id"] = "/contact/id"
    return values, places


def _unknown(body: dict[str, Any], known: frozenset[str]) -> Iterator[Problem]:
    for name in body:
        if name not in known:
            yield Problem(pointer=f"/{_escaped(name)}", message="unknown field")


def _text(body: dict[str, Any], name: str, found: list[Problem], *, needed: bool = False) -> str | None:
    value = body.get(name)
    if isinstance(value, str):
        return value
    if value is not None:
        found.append(Problem(pointer=f"/{name}", message="must be a text"))
    elif needed:
        found.append(Problem(pointer=f"/{name}", message="this field is required"))
    return "unknown" if needed else None


def _key(body: dict[str, Any], name: str, found: list[Problem]) -> str | None:
    value = body.get(name)
    if value is None or value == "":
        return None
    if isinstance(value, int) and not isinstance(value, bool):
        return str(value)
    return _text(body, name, found)


def _object(body: dict[str, Any], name: str, found: list[Problem]) -> dict[str, Any]:
    value = body.get(name)
    if value is None:
        return {}
    if not isinstance(value, dict):
        found.append(Problem(pointer=f"/{name}", message="must be an object"))
        return {}
    return value


def _escaped(name: str) -> str:
    return name.replace("~", "~0").replace("/", "~1")
