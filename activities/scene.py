"""What surrounds a step while its activity runs: all that it may look at, read in one query, and what it changes.

`activities/stage.py` opens a scene and closes it.
"""

from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from time import monotonic
from typing import Any

from sqlalchemy import bindparam, select
from sqlalchemy.ext.asyncio import AsyncConnection
from temporalio import activity

from activities.goals import GoalsSoFar
from intake.changes import Origin
from intake.effects import Effects
from processes.definition import ProcessDefinition
from processes.instructions import StepCall
from processes.planning import UNCUT, Situation
from processes.steps import StepBase
from processes.values import Json
from store import rows
from store.catalog import CatalogView

_i, _c, _p, _e, _v, _m = (
    rows.instances.c,
    rows.contacts.c,
    rows.processes.c,
    rows.events.c,
    rows.visits.c,
    rows.messages.c,
)

BEFORE_THE_FIRST_STEP = ""
HELD = "held"
"""In a visit's result: what kept it from acting, each with `by` and `until`."""
STOOD = "stood"
"""In a visit's result: for what the instance held here, each with `for` and `until`, when it went on."""
LONGEST_REASON = 300
UNHINDERED = "unhindered"
"""In a visit's result: a person ended the wait for a window or a cap, and neither keeps it any more."""
LET_PASS = (UNHINDERED, "by", "reason")
"""What a visit's result keeps of that."""

_CONTACT_COLUMNS = (
    "external_id",
    "email",
    "phone",
    "token",
    "language",
    "time_zone",
    "fields",
    "email_state",
    "created_at",
    "deleted_at",
    "merged_into",
)

ENTER = (
    select(
        _i.process_key,
        _i.version,
        _i.contact_id,
        _i.key.label("instance_key"),
        _i.state,
        _i.open,
        _i.outcome,
        _i.reason,
        _i.step,
        _i.visit,
        _i.loops,
        _i.data,
        _i.run_id,
        _i.begins_after,
        _i.test_cap,
        _i.cancelled,
        *(_c[name].label(f"contact_{name}") for name in _CONTACT_COLUMNS),
        _p.status.label("process_status"),
        _e.id.label("event_id"),
        _e.type.label("event_type"),
        _e.key.label("event_key"),
        _e.params.label("event_params"),
        _e.depth.label("event_depth"),
        _v.next.label("done"),
        _v.result.label("visit_result"),
        _v.at.label("visit_at"),
        _m.id.label("message_id"),
        _m.state.label("message_state"),
        _m.attempts.label("message_attempts"),
        _m.claimed_at.label("message_claimed_at"),
        select(rows.catalog.c.stamp).where(rows.catalog.c.id == 1).scalar_subquery().label("stamp"),
    )
    .select_from(rows.instances)
    .join(rows.contacts, _c.id == _i.contact_id)
    .join(rows.processes, _p.key == _i.process_key)
    .outerjoin(rows.events, _e.id == _i.event_id)
    .outerjoin(
        rows.visits,
        (_v.instance_id == _i.id) & (_v.step == bindparam("step")) & (_v.visit == bindparam("visit")),
    )
    .outerjoin(
        rows.messages,
        (_m.instance_id == _i.id) & (_m.step == bindparam("step")) & (_m.visit == bindparam("visit")),
    )
    .where(_i.id == bindparam("instance"))
)
ENTER_LOCKED = ENTER.with_for_update(of=rows.instances)
"""The row of a visit, by `instance`, `step` and `visit`."""


class InstanceOver(Exception):
    """The instance ended while this step was under way: what the step did stays, and nothing follows."""


class NeedsLock(Exception):
    """A look without a lock found that the instance must be held, ended or moved: look again with one."""


class InstanceUnknown(Exception):
    """There is no row for the workflow: it was started past the door, or the database was restored behind Temporal."""


@dataclass
class Scene:
    """A step's surroundings. What the step changes in `data` and `effects` is kept and sent by `finish`.

    `new_zone` is the zone that counts after a step which set or unset the contact's. `aside` marks a visit that stands
    beside the instance's path: a person has something sent again.
    `skipped` is the step of this visit if it was cancelled ahead, and is left undone now.
    """

    connection: AsyncConnection
    instance: str
    call: StepCall
    row: Any
    definition: ProcessDefinition
    view: CatalogView
    effects: Effects = field(default_factory=Effects)
    goals: GoalsSoFar = field(default_factory=GoalsSoFar)
    new_data: dict[str, Json] | None = None
    new_fields: dict[str, Json] | None = None
    new_zone: str | None = None
    aside: bool = False
    skipped: str | None = None
    entered: float = field(default_factory=monotonic)

    @property
    def now(self) -> datetime:
        """The workflow's clock (UTC)."""
        return self.call.now

    @property
    def contact_id(self) -> str:
        """Our id of the contact."""
        contact_id: str = self.row.contact_id
        return contact_id

    @property
    def step(self) -> StepBase:
        """The step, as the instance's version defines it."""
        return self.definition.by_id[self.call.step]

    @property
    def origin(self) -> Origin:
        """This visit, as the origin of a change."""
        return Origin(
            source=f"instance {self.instance} step {self.call.step}",
            id=f"{self.instance}/{self.call.step}/{self.call.visit}",
            depth=(self.row.event_depth or 0) + 1,
            test=self.row.test_cap is not None,
        )

    @property
    def fields(self) -> Mapping[str, Json]:
        """The contact's own fields, as they are after this step's effect."""
        if self.new_fields is not None:
            return self.new_fields
        fields: Mapping[str, Json] = self.row.contact_fields
        return fields

    @property
    def held(self) -> list[Any]:
        """What kept this visit from acting so far, and until when."""
        so_far: Mapping[str, Any] = self.row.visit_result or {}
        return list(so_far.get(HELD, ()))

    @property
    def hindrances(self) -> dict[str, Any]:
        """What the visit's result keeps of what kept it from acting: windows and caps, and why it stood still."""
        stood = list((self.row.visit_result or {}).get(STOOD, ()))
        if self.row.state == "holding" and self.row.reason is not None:
            stood.append({"for": self.row.reason[:LONGEST_REASON], "until": self.now.isoformat()})
        so_far: Mapping[str, Any] = self.row.visit_result or {}
        let_pass = {name: so_far[name] for name in LET_PASS if name in so_far} if UNHINDERED in so_far else {}
        return ({HELD: self.held} if self.held else {}) | ({STOOD: stood} if stood else {}) | let_pass

    @property
    def may_run(self) -> bool:
        """Whether the process lets its instances act. A test run acts also where it is paused or not yet active."""
        if self.row.test_cap is not None:
            return bool(self.row.process_status != "archived")
        return bool(self.row.process_status == "active")

    @property
    def unhindered(self) -> bool:
        """Whether windows and caps count no more: a person said so, or this is a test run that they held once."""
        so_far: Mapping[str, Any] = self.row.visit_result or {}
        return UNHINDERED in so_far or (self.row.test_cap is not None and bool(self.held))

    @property
    def cap(self) -> timedelta | None:
        """The longest that a wait of a test run lasts."""
        seconds: int | None = self.row.test_cap
        return None if seconds is None or seconds >= UNCUT else timedelta(seconds=seconds)

    @property
    def limit(self) -> datetime | None:
        """Until when the wait of this visit may last (UTC), as it was recorded when it began."""
        until = (self.row.visit_result or {}).get("until")
        return datetime.fromisoformat(until) if until is not None else None

    @property
    def situation(self) -> Situation:
        """What the planner may look at."""
        return Situation(
            now=self.call.now,
            zone=self.new_zone or self.row.contact_time_zone or self.definition.time_zone,
            fields={**self.fields, "created_at": self.row.contact_created_at.isoformat()},
            event=self.row.event_params or {},
            contact=self.contact_id,
            reached=self.goals.reached,
            came=self.goals.came,
            cap=self.cap,
            cancelled=self.cancelled,
        )

    @property
    def cancelled(self) -> Mapping[str, Mapping[str, Json]]:
        """The steps that a person cancelled ahead, each with what its visit's result will say."""
        cancelled: Mapping[str, Mapping[str, Json]] = self.row.cancelled or {}
        return {step: said for step, said in cancelled.items() if step != self.skipped}

    @property
    def data(self) -> Mapping[str, Json]:
        """What steps before this one put aside for the messages."""
        if self.new_data is not None:
            return self.new_data
        return self.row.data or {}

    def keep(self, name: str, value: Json) -> None:
        """Put something aside for later steps, under a name."""
        self.new_data = {**self.data, name: value}

    def context(self) -> dict[str, Json]:
        """What Liquid sees: contact, event, process, and what earlier steps put aside."""
        contact: dict[str, Json] = {
            **self.fields,
            "id": self.row.contact_external_id or self.row.contact_id,
            "email": self.row.contact_email,
            "phone": self.row.contact_phone,
            "language": self.row.contact_language,
            "time_zone": self.situation.zone,
        }
        event: dict[str, Json] = {
            "id": self.row.event_id,
            "type": self.row.event_type,
            "key": self.row.event_key,
            "params": self.row.event_params or {},
        }
        return {
            **self.data,
            "contact": contact,
            "event": event,
            "process": {"key": self.definition.key, "name": self.definition.name},
        }


def own_instance() -> str:
    """The instance that the running activity belongs to: its workflow's id."""
    workflow_id = activity.info().workflow_id
    if workflow_id is None:
        raise InstanceUnknown("(an activity outside a workflow)")
    return workflow_id
