"""Test runs (O7): a process sent through for one address, with its waits cut short (Ecomail, «Testování»).

The address is put on the process's list, and whoever is in the process with it is stopped first. A test run stands
beside admission: no recurrence, filter or status keeps it out, it counts for none, and what it does starts nothing
else. Its messages are sent.

It runs the published version, or the draft, which is kept as it is at that moment: nobody else is ever let in by it.
"""

from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass, replace
from datetime import UTC, datetime, timedelta
from typing import Any

from google.protobuf.field_mask_pb2 import FieldMask
from sqlalchemy import insert
from sqlalchemy.ext.asyncio import AsyncConnection
from temporalio.api.common.v1 import TimeSkippingConfig, WorkflowExecution
from temporalio.api.workflow.v1 import WorkflowExecutionOptions
from temporalio.api.workflowservice.v1 import UpdateWorkflowExecutionOptionsRequest
from temporalio.client import Client
from temporalio.service import RPCError, RPCStatusCode

from intake import audit
from intake.dispatch import Dispatcher
from intake.effects import Effects, Start, lease, stop_instances
from intake.events import Decision, new_event_id, read_contact
from intake.refusals import Missing, NoTimeSkipping, WrongStatus
from intake.service import retried
from processes import names
from processes.addresses import STRICT, AddressRules
from processes.builtin_events import PROCESS_REQUESTED
from processes.definition import ProcessDefinition, parse
from processes.facts import SUBSCRIBED
from processes.planning import UNCUT
from processes.problems import DocumentInvalid, Problem
from processes.values import Json
from store import contacts, definitions, rows
from store.catalog import CatalogCache
from store.database import Database

_i = rows.instances.c

USUAL_CAP = timedelta(minutes=5)
LONGEST_CAP = timedelta(days=366)
NOBODY = "onward-asks-whether-time-can-be-skipped"
PROBE_TIMEOUT = timedelta(seconds=5)
RESTARTED = "a test run starts again from the beginning"

Check = Callable[[Any], Awaitable[tuple[list[Problem], list[Problem]]]]
"""Says of a document what keeps it from being published, and what it is warned of."""


@dataclass(frozen=True)
class TestRun:
    """A test run that was started, and the instances that were stopped for it. `version` is None for the draft."""

    __test__ = False

    instance: str
    contact: str
    stopped: list[str]
    confirmed: bool
    version: int | None


class TestRuns:
    """Starts test runs."""

    __test__ = False

    def __init__(
        self,
        database: Database,
        catalog: CatalogCache,
        dispatcher: Dispatcher,
        client: Client,
        check: Check,
        addresses: AddressRules = STRICT,
    ) -> None:
        """`check` is asked before a draft is run; `addresses` says which e-mail addresses are taken."""
        self._check = check
        self._addresses = addresses
        self._database = database
        self._catalog = catalog
        self._dispatcher = dispatcher
        self._client = client

    async def start(
        self,
        process: str,
        email: str,
        *,
        cap: timedelta | None,
        skip_time: bool,
        key: str | None,
        params: Mapping[str, Json],
        actor: str,
        draft: bool | None = None,
    ) -> TestRun:
        """Start the published version for an address, or the draft: with `draft`, and if nothing is published unless it
        is false. Without a `cap` waits last five minutes at most; where time is skipped they are as long as they are.

        Raises DocumentInvalid, also with what keeps the draft from being published; Missing, WrongStatus for an
        archived process, and NoTimeSkipping.
        """
        address = _address(email, self._addresses)
        seconds = _seconds(cap, skip_time)
        definition, version = await self._chosen(process, draft)
        instance_key = definition.key_of(key, params)
        if instance_key is None:
            where = "/key" if definition.instance_key == "event.key" else "/params"
            raise DocumentInvalid(
                [Problem(pointer=where, message=f"the process counts by {definition.instance_key}")]
            )
        if skip_time:
            await self._check_skipping()
        number = version if version is not None else await self._keep(process, definition)
        event = f"test-{new_event_id()}"

        async def work(connection: AsyncConnection) -> tuple[TestRun, Effects]:
            now = datetime.now(UTC)
            await _row(connection, process)
            person = await _contact(connection, address, now)
            await _subscribe(connection, definition, person["id"], now)
            stopped, outbox = await stop_instances(
                connection, [_i.process_key == process, _i.contact_id == person["id"]], RESTARTED, now
            )
            reference = names.contact_reference(person["id"], person["external_id"])
            instance = names.instance_id(process, reference, instance_key, event)
            decision = Decision(process=process, decision="started", instance=instance)
            await connection.execute(
                insert(rows.events).values(
                    id=event, type=PROCESS_REQUESTED, key=key, contact_id=person["id"], occurred_at=now,
                    received_at=now, params={**params, "process": process}, source=f"test run by {actor}",
                    depth=0, outcome=[decision.model_dump(exclude_none=True)],
                )
            )  # fmt: skip
            await connection.execute(
                insert(rows.instances).values(
                    id=instance, process_key=process, version=number, contact_id=person["id"],
                    key=instance_key, event_id=event, event_at=now, state="pending", open=True, exclusive=False,
                    visit=1, lease_until=lease(), test_cap=seconds, skips_time=skip_time,
                    created_at=now, updated_at=now,
                )
            )  # fmt: skip
            said = {
                "instance": instance,
                "version": version,
                "cap": None if seconds == UNCUT else seconds,
                "skip_time": skip_time,
                "stopped": stopped,
            }
            await audit.record(connection, actor, "process.test_run", f"process/{process}", now, after=said)
            start = Start(
                instance=instance,
                process=process,
                process_name=definition.name,
                version=number,
                contact=reference,
                test=True,
                skip_time=skip_time,
            )
            made = TestRun(instance, person["id"], stopped, False, version)
            return made, Effects([start], outbox)

        made, effects = await retried(self._database, work)
        started = await self._dispatcher.send(effects)
        return replace(made, confirmed=made.instance in started)

    async def _chosen(self, process: str, draft: bool | None) -> tuple[ProcessDefinition, int | None]:
        """What is to be run, with its version; the draft, if it could be published, has none."""
        async with self._database.read() as connection:
            row = await _row(connection, process)
            if draft is None:
                draft = row.version is None
            if not draft:
                if row.version is None:
                    raise Missing("published process", process, "test its draft, with `draft`")
                return await self._catalog.definition(connection, process, row.version), row.version
        if row.draft is None:
            raise Missing("draft of process", process, f"version {row.version} is its newest state")
        found, _ = await self._check(row.draft)
        if found:
            raise DocumentInvalid(found)
        return parse(row.draft), None

    async def _keep(self, process: str, definition: ProcessDefinition) -> int:
        """The number that stands for the draft's version. In a transaction of its own: whoever holds the lock of a
        process's row asks for no instance's after it.
        """

        async def work(connection: AsyncConnection) -> int:
            now = datetime.now(UTC)
            return await definitions.keep_tested_draft(connection, process, definition.document(), now)

        return await retried(self._database, work)

    async def _check_skipping(self) -> None:
        """Ask the server about a workflow that nobody has: one that allows no skipping says so first."""
        asked = UpdateWorkflowExecutionOptionsRequest(
            namespace=self._client.namespace,
            workflow_execution=WorkflowExecution(workflow_id=NOBODY),
            workflow_execution_options=WorkflowExecutionOptions(
                time_skipping_config=TimeSkippingConfig(enabled=True)
            ),
            update_mask=FieldMask(paths=["time_skipping_config"]),
        )
        try:
            await self._client.workflow_service.update_workflow_execution_options(
                asked, timeout=PROBE_TIMEOUT
            )
        except RPCError as error:
            if error.status == RPCStatusCode.NOT_FOUND:
                return
            if error.status == RPCStatusCode.UNIMPLEMENTED:
                raise NoTimeSkipping(
                    "this Temporal server skips no time: set frontend.WorkflowTimeSkippingEnabled in its dynamic "
                    "config, or test without skip_time"
                ) from error
            raise NoTimeSkipping(f"whether Temporal can skip time is not known: {error}") from error
        except RuntimeError as error:
            raise NoTimeSkipping(f"whether Temporal can skip time is not known: {error}") from error


async def _row(connection: AsyncConnection, process: str) -> Any:
    """The process, which is there and not archived."""
    row = await definitions.published_and_draft(connection, process)
    if row is None:
        raise Missing("process", process)
    if row.status == "archived":
        raise WrongStatus(f"cannot test process «{process}» while it is archived", status=row.status)
    return row


def _address(email: str, addresses: AddressRules) -> str:
    found: list[Problem] = []
    identities, _ = read_contact(
        {"email": email},
        lambda _, message: found.append(Problem(pointer="/email", message=message)),
        addresses,
    )
    if found:
        raise DocumentInvalid(found)
    if identities.email is None:
        raise DocumentInvalid([Problem(pointer="/email", message="must be an e-mail address")])
    return identities.email


def _seconds(cap: timedelta | None, skip_time: bool) -> int:
    if cap is None:
        return UNCUT if skip_time else int(USUAL_CAP.total_seconds())
    if not timedelta(seconds=1) <= cap <= LONGEST_CAP:
        raise DocumentInvalid([Problem(pointer="/cap", message="must be between 1 second and 366 days")])
    return int(cap.total_seconds())


async def _contact(connection: AsyncConnection, address: str, now: datetime) -> Mapping[str, Any]:
    """The contact with this address, made where there is none. Nobody is told."""
    found = await contacts.find(connection, {"email": {address}}, set())
    if found:
        person: Mapping[str, Any] = found[0]._mapping
        if await contacts.lock(connection, [person["id"]]) != {person["id"]}:
            raise contacts.ContactRace  # merged or deleted meanwhile: look again
        return person
    new = contacts.new_row(now, {"email": address}, {})
    await contacts.create(connection, [new])
    return new


async def _subscribe(
    connection: AsyncConnection, definition: ProcessDefinition, contact_id: str, now: datetime
) -> None:
    """Put the contact on the process's list, where it has one. No trigger hears of it."""
    if definition.list_key is None:
        return
    before = await contacts.subscription(connection, contact_id, definition.list_key)
    if before == SUBSCRIBED:
        return
    if before is None and not await contacts.first_subscription(
        connection, contact_id, definition.list_key, SUBSCRIBED, now
    ):
        raise contacts.ContactRace
    await contacts.set_subscription(
        connection,
        contact_id,
        definition.list_key,
        before=before,
        after=SUBSCRIBED,
        now=now,
        source=f"test run of {definition.key}",
    )
