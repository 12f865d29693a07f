"""Who may call a route. Each one says which scope it needs, or why it is open to anyone.

    @router.post("/{key}/pause", dependencies=[needs("processes:activate", process="key")])

A key comes as `Authorization: Bearer onw_…`. None is needed on loopback, where the settings say so: then this machine
alone is served, and who comes by a proxy, or from a page of somewhere else, counts as not from here. `ActorDep` is who
calls, as the audit log names them.
"""

import base64
import math
from collections.abc import Collection
from dataclasses import dataclass
from functools import lru_cache
from typing import Annotated, Any
from urllib.parse import urlsplit

from fastapi import APIRouter, Depends, Request
from fastapi.routing import APIRoute
from sqlalchemy import Table, select

from api.errors import Forbidden, TooMany, Unauthorized
from intake.keys import LOCAL, SCOPES, Caller, KeyEnded, Scope
from processes.definition import parse
from processes.rules import references
from runtime import Services
from settings import is_loopback
from store import rows

__all__ = ["SCOPES", "ActorDep", "Anyone", "Caller", "CallerDep", "Needs", "Scope", "anyone", "needs"]

CHALLENGE = 'Bearer realm="Onward"'
FORWARDED = ("forwarded", "x-forwarded-for", "x-forwarded-host", "x-real-ip", "via")
"""Headers of a request that came by a proxy: it is not from where it seems to be."""


async def authenticate(request: Request) -> Caller:
    """Who calls. Raises Unauthorized, and TooMany where their requests of this minute are used up."""
    known: Caller | None = getattr(request.state, "caller", None)
    if known is not None:
        return known
    services: Services = request.app.state.parts.services
    scheme, _, given = request.headers.get("authorization", "").partition(" ")
    if scheme.lower() == "bearer":
        caller = await holder(services, given.strip(), CHALLENGE)
        if caller is None:
            raise Unauthorized(
                "the key is not one of ours",
                headers={"WWW-Authenticate": f'{CHALLENGE}, error="invalid_token"'},
            )
    elif services.settings.api_keys == "loopback" and is_local(request):
        caller = LOCAL
    else:
        raise Unauthorized(
            "send a key as Authorization: Bearer onw_…; `onward key new` makes one",
            headers={"WWW-Authenticate": CHALLENGE},
        )
    request.state.caller = caller
    return caller


async def holder(services: Services, token: str, challenge: str) -> Caller | None:
    """Who has this token, with one request paid; None for one that is not ours. Raises Unauthorized and TooMany."""
    try:
        caller = await services.keys.caller(token)
    except KeyEnded as ended:
        raise Unauthorized(
            f"{ended}", headers={"WWW-Authenticate": f'{challenge}, error="invalid_token"'}
        ) from None
    if caller is not None and caller.key_id is not None:
        _not_too_often(services.keys.rates.wait(caller.key_id, caller.rate), caller)
    return caller


def basic_credentials(header: str) -> tuple[str, str]:
    """The user name and the password of an `Authorization` header; both empty where it has none that can be read."""
    scheme, _, given = header.partition(" ")
    if scheme.lower() != "basic":
        return "", ""
    try:
        user, _, password = base64.b64decode(given.strip(), validate=True).decode().partition(":")
    except ValueError:  # no base64, no ASCII, no UTF-8
        return "", ""
    return user, password


def pay(services: Services, caller: Caller, more: int) -> None:
    """Count what a request asks for beyond itself: the other events of a batch. Raises TooMany."""
    if caller.key_id is not None and more > 0:
        _not_too_often(services.keys.rates.take(caller.key_id, caller.rate, more), caller)


def is_local(request: Request) -> bool:
    """Whether it comes from this machine itself: by its peer, by no proxy, under a local name, from no other's page."""
    if request.client is None or not is_loopback(request.client.host):
        return False
    if any(name in request.headers for name in FORWARDED):
        return False
    origin = request.headers.get("origin")
    return all(
        _is_local_name(address) for address in (f"//{request.headers.get('host', '')}", origin) if address
    )


@lru_cache(maxsize=1024)
def _is_local_name(address: str) -> bool:
    try:
        return is_loopback(urlsplit(address).hostname or "")
    except ValueError:
        return False


def _not_too_often(seconds: float, caller: Caller) -> None:
    if seconds > 0:
        raise TooMany(
            f"the key may ask {caller.rate} times a minute; ask again in {math.ceil(seconds)} s",
            facts={"limit": caller.rate},
            headers={"Retry-After": str(math.ceil(seconds))},
        )


def allow(caller: Caller, *, processes: Collection[str] = (), lists: Collection[str] = ()) -> None:
    """Check what a body names. Raises Forbidden where the key is not for it."""
    kept = caller.kept_from(processes, lists)
    if kept is not None:
        raise Forbidden(f"the key is not for the {kept}")


def allow_document(caller: Caller, key: str, document: Any) -> None:
    """Check what a definition names: in its steps, its triggers, its goals, and the rules of each. `key` is the
    process's, which a document may leave out. Raises Forbidden, and DocumentInvalid where it cannot be read.
    """
    if not caller.limited:
        return
    definition = parse({"key": key, **document} if isinstance(document, dict) else document)
    needed = [step.needs() for step in definition.steps]
    needed += [trigger.needs() for trigger in definition.triggers]
    named = [references(rule) for _, rule in definition.rules()]
    own_list = [] if definition.list_key is None else [definition.list_key]
    allow(
        caller,
        processes={name for need in needed for _, name in need.processes}.union(
            *(n.processes for n in named)
        ),
        lists={name for need in needed for _, name in need.lists}.union(own_list, *(n.lists for n in named)),
    )


def must(caller: Caller, scope: Scope) -> None:
    """Check a scope. Raises Forbidden."""
    if not caller.has(scope):
        raise Forbidden(
            f"the key has not the scope {scope}",
            facts={"scope": scope},
            headers={"WWW-Authenticate": f'{CHALLENGE}, error="insufficient_scope", scope="{scope}"'},
        )


@dataclass(frozen=True)
class Needs:
    """A route's demand of a scope. The other fields say which parameter names a process, a list, and so on."""

    scope: Scope
    process: str | None = None
    list: str | None = None
    instance: str | None = None
    operation: str | None = None
    every_process: bool = False

    async def __call__(self, request: Request) -> None:
        """Let the request pass. Raises Unauthorized, Forbidden and TooMany."""
        caller = await authenticate(request)
        must(caller, self.scope)
        if not caller.limited:
            return
        allow(caller, processes=_given(request, self.process), lists=_given(request, self.list))
        if caller.processes is not None:
            if self.every_process and not _given(request, self.process):
                raise Forbidden("this reaches every process, and the key is limited to some")
            for table, named in ((rows.instances, self.instance), (rows.operations, self.operation)):
                for one in _given(request, named):
                    await _allow_process_of(request, caller, table, one)


@dataclass(frozen=True)
class Anyone:
    """A route that no key is needed for, and why."""

    because: str

    async def __call__(self) -> None:
        """Let the request pass."""


def needs(
    scope: Scope,
    *,
    process: str | None = None,
    list: str | None = None,
    instance: str | None = None,
    operation: str | None = None,
    every_process: bool = False,
) -> Any:
    """For a route's `dependencies`: whoever calls it has this scope.

    `process`, `list`, `instance` and `operation` are the parameters, of the path or the query, that name one: a key
    that is limited to some processes or lists is held to them. `every_process`: without a process named it reaches all,
    and such a key none. What a body names is checked with `allow`.
    """
    return Depends(Needs(scope, process, list, instance, operation, every_process))


def anyone(because: str) -> Any:
    """For a route's `dependencies`: no key is needed, because …"""
    return Depends(Anyone(because))


def demand_of(route: APIRoute) -> Needs | Anyone | None:
    """What a route says of who may call it."""
    found = [d.dependency for d in route.dependencies if isinstance(d.dependency, Needs | Anyone)]
    return found[0] if found else None


def check(routers: Collection[APIRouter]) -> None:
    """Raise TypeError for a route that does not say who may call it: it would be open."""
    for router in routers:
        for route in router.routes:
            if isinstance(route, APIRoute) and demand_of(route) is None:
                raise TypeError(f"{route.methods} {route.path} says neither needs(…) nor anyone(…)")


def _given(request: Request, name: str | None) -> tuple[str, ...]:
    if name is None:
        return ()
    if name in request.path_params:
        return (str(request.path_params[name]),)
    return tuple(request.query_params.getlist(name))


async def _allow_process_of(request: Request, caller: Caller, table: Table, named: str) -> None:
    """What is not there is not the key's either: it learns nothing."""
    services: Services = request.app.state.parts.services
    async with services.database.read() as connection:
        process = (await connection.execute(select(table.c.process_key).where(table.c.id == named))).scalar()
    if process is None or process not in (caller.processes or ()):
        raise Forbidden(f"the key is not for the process of «{named}»")


async def _actor(caller: Annotated[Caller, Depends(authenticate)]) -> str:
    return caller.actor


CallerDep = Annotated[Caller, Depends(authenticate)]
"""Who calls, and what their key is limited to."""

ActorDep = Annotated[str, Depends(_actor)]
"""Who calls: `key/<id>`, or `local` where no key is needed."""
