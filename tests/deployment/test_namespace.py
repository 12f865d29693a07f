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

from intake.dispatch import CONTACT, PROCESS, SEARCH_ATTRIBUTES, VERSION
from intake.namespace import SearchAttributesMissing, register_search_attributes
from runtime import DATA_CONVERTER
from tests.support.temporal import TemporalServer
from tests.support.waiting import eventually

NAMES = [key.name for key in SEARCH_ATTRIBUTES]
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
    await eventually(lambda: _described(client), 30)
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


async def test_a_namespace_that_is_not_there_is_an_error_of_temporal(temporal: TemporalServer) -> None:
    client = await Client.connect(temporal.address, namespace="nowhere")
    with pytest.raises(RPCError):
        await register_search_attributes(client, timeout=1)
