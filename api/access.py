"""Who may call a route. Each one says which scope it needs, or why it is open to anyone.

    @router.post("/{key}/pause", dependencies=[needs("processes:activate")])

`ActorDep` is who calls, as the audit log names them.
"""

from dataclasses import dataclass
from typing import Annotated, Any, Literal, get_args

from fastapi import Depends, Request

from intake.audit import LOCAL

Scope = Literal[
    "events:write",
    "processes:start",
    "processes:edit",
    "processes:activate",
    "contacts:read",
    "contacts:write",
    "reports:read",
    "admin",
]
SCOPES: tuple[Scope, ...] = get_args(Scope)


@dataclass(frozen=True)
class Needs:
    """A route's demand of a scope; `admin` has every one."""

    scope: Scope

    async def __call__(self, request: Request) -> None:
        """Let the request pass."""


@dataclass(frozen=True)
class Anyone:
    """A route that no key is needed for, and why."""

    because: str

    async def __call__(self) -> None:
        """Let the request pass."""


def needs(scope: Scope) -> Any:
    """For a route's `dependencies`: whoever calls it has this scope."""
    return Depends(Needs(scope))


def anyone(because: str) -> Any:
    """For a route's `dependencies`: no key is needed, because …"""
    return Depends(Anyone(because))


async def _actor(request: Request) -> str:
    return LOCAL


ActorDep = Annotated[str, Depends(_actor)]
"""Who calls: `key/<id>`, or `local` where no key is needed."""
