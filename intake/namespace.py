"""Prepares a Temporal namespace: the search attributes that starts and holds set. Safe to repeat, and at once.

It makes no namespace: who may do that differs from cluster to cluster (docs/deployment.md).
"""

import asyncio
from collections.abc import Collection
from typing import Final

import structlog
from temporalio.api.enums.v1 import IndexedValueType
from temporalio.api.operatorservice.v1 import (
    AddSearchAttributesRequest,
    ListSearchAttributesRequest,
    ListSearchAttributesResponse,
)
from temporalio.client import Client
from temporalio.service import RPCError, RPCStatusCode

from intake.dispatch import HELD, SEARCH_ATTRIBUTES

log = structlog.get_logger(__name__)

VISIBLE_SECONDS: Final = 60.0
POLL_SECONDS: Final = 0.5
WANTED: Final[dict[str, IndexedValueType.ValueType]] = {
    key.name: IndexedValueType.ValueType(key.indexed_value_type.value) for key in (*SEARCH_ATTRIBUTES, HELD)
}


class SearchAttributesMissing(Exception):
    """The namespace has no such search attributes, and they could not be added."""


async def register_search_attributes(client: Client, *, timeout: float = VISIBLE_SECONDS) -> list[str]:
    """Add what is missing to the client's namespace, and return once all of it can be used.

    Returns the names added by this call. `timeout` is in seconds. Raises SearchAttributesMissing where an attribute
    has another type than ours, where this client may not add any (Temporal Cloud: use `tcld` or the web page), or
    where they do not appear in time; RPCError where Temporal cannot be asked. `OnwardHeld` alone may be missing.
    """
    found = await _listed(client)
    missing, wanted = _missing(found), dict(WANTED)
    if missing:
        try:
            await _add(client, missing)
        except SearchAttributesMissing as error:
            if missing.keys() != {HELD.name}:
                raise
            log.warning("holds_cannot_be_marked", reason=str(error))
            missing, wanted = {}, {name: kind for name, kind in WANTED.items() if name != HELD.name}
    deadline = asyncio.get_running_loop().time() + timeout
    while not await _usable(client, wanted):
        if asyncio.get_running_loop().time() > deadline:
            raise SearchAttributesMissing(f"{', '.join(wanted)} cannot be used after {timeout:g} s")
        await asyncio.sleep(POLL_SECONDS)
    return list(missing)


async def can_mark_holds(client: Client) -> bool:
    """Whether the namespace has `OnwardHeld`: a workflow that sets an attribute which is not there stands still.

    A namespace that does not let us ask (Temporal Cloud) is taken to have it.
    """
    try:
        return HELD.name not in await missing_search_attributes(client)
    except SearchAttributesMissing:
        return False
    except RPCError as error:
        if error.status in {RPCStatusCode.PERMISSION_DENIED, RPCStatusCode.UNIMPLEMENTED}:
            return True
        raise


async def missing_search_attributes(client: Client) -> list[str]:
    """The names that the client's namespace has not. Raises SearchAttributesMissing where one has another type."""
    return list(_missing(await _listed(client)))


async def _usable(client: Client, wanted: Collection[str]) -> bool:
    """Whether they are listed, and a query may name them: a frontend takes some seconds longer to see them itself."""
    if _missing(await _listed(client)).keys() & set(wanted):
        return False
    try:
        await client.count_workflows(" AND ".join(f"{name} IS NULL" for name in wanted))
    except RPCError as error:
        if error.status in {RPCStatusCode.INVALID_ARGUMENT, RPCStatusCode.NOT_FOUND}:
            return False
        raise
    return True


async def _listed(client: Client) -> ListSearchAttributesResponse:
    return await client.operator_service.list_search_attributes(
        ListSearchAttributesRequest(namespace=client.namespace), retry=True
    )


def _missing(found: ListSearchAttributesResponse) -> dict[str, IndexedValueType.ValueType]:
    for name, kind in WANTED.items():
        there = found.custom_attributes.get(name, kind)
        if there != kind:
            raise SearchAttributesMissing(
                f"{name} is {IndexedValueType.Name(there)} in this namespace, and must be "
                f"{IndexedValueType.Name(kind)}: remove it there first"
            )
    return {name: kind for name, kind in WANTED.items() if name not in found.custom_attributes}


async def _add(client: Client, missing: dict[str, IndexedValueType.ValueType]) -> None:
    try:
        await client.operator_service.add_search_attributes(
            AddSearchAttributesRequest(namespace=client.namespace, search_attributes=missing)
        )
    except RPCError as error:
        if error.status == RPCStatusCode.ALREADY_EXISTS:
            return
        if error.status in {RPCStatusCode.PERMISSION_DENIED, RPCStatusCode.UNIMPLEMENTED}:
            names = ", ".join(f"{name} ({IndexedValueType.Name(kind)})" for name, kind in missing.items())
            raise SearchAttributesMissing(
                f"add {names} to namespace {client.namespace} by hand: {error}"
            ) from error
        raise
    log.info("search_attributes_added", namespace=client.namespace, names=list(missing))
