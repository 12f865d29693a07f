"""`onward migrate` makes a namespace ready, however often and by however many it is run."""

import asyncio
import itertools
import secrets
from datetime import timedelta

import pytest
from google.protobuf.duration_pb2 import Duration
from temporalio.api.enums.v1 import IndexedValueType
from temporalio.api.operatorservice.v1 import AddSearchAttributesRequest
from temporalio.api.workflowservice.v1 import DescribeNamespaceRequest, RegisterNamespaceRequest
from temporalio.client import Client
from temporalio.common import SearchAttributePair, TypedSearchAttributes
from temporalio.service import RPCError

from intake import namespace
from intake.dispatch import CONTACT, HELD, PROCESS, SEARCH_ATTRIBUTES, VERSION
from intake.namespace import SearchAttributesMissing, can_mark_holds, register_search_attributes
from runtime import DATA_CONVERTER
from tests.support.temporal import TemporalServer
from tests.support.waiting import eventually

NAMES = [key.name for key in (*SEARCH_ATTRIBUTES, HELD)]
_numbers = itertools.count(1)


@pytest.fixture
async def client(temporal: TemporalServer) -> Client:
    """A client of a namespace that was made just now and has no search attributes."""
    namespace = f"namespace-{next(_numbers)}-{secrets.token_hex(3)}"
    client = await Client.connect(temporal.address, namespace=namespace, data_converter=DATA_CONVERTER)
    retention = Duration()
    retention.FromTimedelta(timedelta(days=1))
    await client.workflow_service.register_namespace(
        RegisterNamespaceRequest(namespace=namespace, workflow_execution_retention_period=retention)
    )
    await eventually(lambda: _described(client))
    return client


async def _described(client: Client) -> bool:
    try:
        await client.workflow_service.describe_namespace(DescribeNamespaceRequest(namespace=client.namespace))
    except RPCError:
        return False
    return True


async def test_a_new_namespace_gets_them_and_a_workflow_can_start_with_them(client: Client) -> None:
    assert sorted(await register_search_attributes(client)) == sorted(NAMES)
    handle = await client.start_workflow(
        "Anything",
        id="with-attributes",
        task_queue="nobody",
        search_attributes=TypedSearchAttributes(
            [
                SearchAttributePair(PROCESS, "welcome"),
                SearchAttributePair(CONTACT, "22222"),
                SearchAttributePair(VERSION, 1),
            ]
        ),
    )
    await handle.terminate()


async def test_the_second_time_adds_nothing(client: Client) -> None:
    await register_search_attributes(client)
    assert await register_search_attributes(client) == []


async def test_two_at_once_both_succeed(client: Client) -> None:
    added = await asyncio.gather(register_search_attributes(client), register_search_attributes(client))
    assert {name for names in added for name in names} == set(NAMES)
    assert await register_search_attributes(client) == []


async def test_an_attribute_of_another_type_is_named(client: Client) -> None:
    await client.operator_service.add_search_attributes(
        AddSearchAttributesRequest(
            namespace=client.namespace,
            search_attributes={VERSION.name: IndexedValueType.INDEXED_VALUE_TYPE_KEYWORD},
        )
    )
    with pytest.raises(SearchAttributesMissing, match=r"OnwardVersion is .*KEYWORD.* must be .*INT"):
        await register_search_attributes(client)


@pytest.mark.parametrize("lacking", [[HELD.name], [HELD.name, VERSION.name]])
async def test_of_all_only_what_marks_holds_may_be_missing_where_nobody_may_add_it(
    client: Client, monkeypatch: pytest.MonkeyPatch, lacking: list[str]
) -> None:
    """As on Temporal Cloud, whose namespace has those of the release before."""
    there = {name: kind for name, kind in namespace.WANTED.items() if name not in lacking}
    await client.operator_service.add_search_attributes(
        AddSearchAttributesRequest(namespace=client.namespace, search_attributes=there)
    )

    async def refused(_: Client, missing: dict[str, IndexedValueType.ValueType]) -> None:
        raise SearchAttributesMissing(f"add {', '.join(missing)} by hand")

    assert not await can_mark_holds(client)
    with monkeypatch.context() as patched:
        patched.setattr(namespace, "_add", refused)
        if lacking == [HELD.name]:
            assert await register_search_attributes(client) == []
        else:
            with pytest.raises(SearchAttributesMissing, match="OnwardVersion"):
                await register_search_attributes(client)
    assert sorted(await register_search_attributes(client)) == sorted(lacking)
    assert await can_mark_holds(client)


async def test_a_namespace_that_is_not_there_is_an_error_of_temporal(temporal: TemporalServer) -> None:
    client = await Client.connect(temporal.address, namespace="nowhere")
    with pytest.raises(RPCError):
        await register_search_attributes(client, timeout=1)
