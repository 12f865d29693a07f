"""What rows of an import do, a chunk of them in one transaction: contacts, tags, lists, and the record of each row.

An import never makes anything looser: who has left a list, bounced or complained stays as they are, and a suppressed
address is subscribed to nothing. Events that start processes are made only where the import asks for them.
"""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from datetime import datetime
from typing import Literal

from pydantic import BaseModel, ConfigDict, Field
from sqlalchemy.ext.asyncio import AsyncConnection

from intake.events import IncomingEvent
from intake.import_columns import Rest, Row
from intake.import_people import People, Person, Rules
from processes.builtin_events import CONTACT_CHANGED, LIST_SUBSCRIBED, LIST_UNSUBSCRIBED, TAG_ADDED
from processes.changed_fields import differences
from processes.facts import SUBSCRIBED
from processes.values import Json, Key, Tag
from store import contacts, imports
from store.catalog import CatalogView

MOST_COLUMNS = 500
SAYS_YES = ("subscribed", "unconfirmed")
"""The statuses in a list that an import may change, to one that says no."""


class ImportOptions(BaseModel):
    """What an import is to do."""

    model_config = ConfigDict(extra="forbid", populate_by_name=True)

    name: str | None = Field(default=None, max_length=200, description="For people: the file's name, say.")
    header: list[str] | None = Field(
        default=None,
        min_length=1,
        max_length=MOST_COLUMNS,
        description="The columns' names, where rows are sent before the file's first one, or it has none.",
    )
    has_header: bool = Field(default=True, description="Whether the file's first row is the header.")
    columns: dict[str, str | None] = Field(
        default_factory=dict,
        description="What a column means, by its name: `email`, `phone`, `external_id`, `token`, `language`, "
        "`time_zone`, `tags`, `lists`, `email_state`, `consent`, `status` (another system's status of a subscription), "
        "`opt_in` or `opt_out` (yes or no, for e-mail), `sms_opt_in` or `sms_opt_out`, a field's name, or a field's "
        "name with a colon and `number`, `boolean`, `date`, `date_dmy`, `date_mdy` or `json`. null: it is left out. "
        "The second of two equal names is `name#2`. Others mean what they are called (docs/imports.md).",
    )
    rest: Rest = Field(
        default="keep",
        description="Columns that are not known: keep them as fields under a name made of theirs, or drop them.",
    )
    country: str | None = Field(
        default=None,
        pattern=r"^[A-Z]{2}$",
        description="Country (ISO 3166) of phone numbers without an international prefix, such as `US`.",
    )
    delimiter: Literal[",", ";", "\t", "|"] | None = Field(
        default=None, description="Without it the header tells."
    )
    list_key: Key | None = Field(default=None, alias="list", description="Subscribe them to this list.")
    tags: list[Tag] = Field(default_factory=list, max_length=100, description="Add these tags.")
    trigger: bool = Field(
        default=False, description="Let processes start: on tags added, lists subscribed to, fields changed."
    )
    update: bool = Field(default=True, description="Change contacts that are there already.")
    on_conflict: Literal["replace", "keep"] = Field(
        default="replace",
        description="Which value counts where the contact has another one: the file's or its.",
    )


@dataclass(slots=True)
class Summary:
    """What became of the rows of a call. `repeated` were taken by an earlier one, and nothing was done."""

    received: int = 0
    created: int = 0
    updated: int = 0
    kept: int = 0
    refused: int = 0
    repeated: int = 0
    last_line: int = 0

    def count(self, status: str) -> None:
        """One more of a status."""
        setattr(self, status, getattr(self, status) + 1)

    def add(self, other: "Summary") -> None:
        """Another call's rows too."""
        for name in ("received", "created", "updated", "kept", "refused", "repeated"):
            setattr(self, name, getattr(self, name) + getattr(other, name))
        self.last_line = max(self.last_line, other.last_line)


@dataclass(slots=True)
class _Outcome:
    row: Row
    status: str
    person: Person | None


class Chunk:
    """Rows of one transaction. `now` (UTC) is when they are taken; the import is locked and open."""

    def __init__(
        self,
        connection: AsyncConnection,
        import_id: str,
        options: ImportOptions,
        view: CatalogView,
        now: datetime,
    ) -> None:
        self._connection = connection
        self._id = import_id
        self._options = options
        self._view = view
        self._now = now
        self._source = f"import {import_id}"
        self._events: list[IncomingEvent] = []
        self.touched: list[str] = []
        """The contacts of the rows that were taken."""
        self.changed: dict[str, set[str]] = {}
        """The names of the fields that have another value now, of contacts that were there before."""

    async def take(self, rows: Sequence[Row]) -> tuple[Summary, list[IncomingEvent]]:
        """Take the rows that were not taken before; returns the counts and what is to be told. Safe to repeat."""
        done = await imports.taken(self._connection, self._id, [row.line for row in rows])
        new = [replace(row, problems=list(row.problems)) for row in rows if row.line not in done]
        summary = Summary(received=len(rows), repeated=len(rows) - len(new), last_line=rows[-1].line)
        if not new:
            return summary, []
        outcomes = await self._settle(new)
        touched = list({o.person.id: o.person for o in outcomes if o.person and o.person.line}.values())
        self.touched = [person.id for person in touched]
        await self._write(touched)
        await self._tag(touched)
        await self._subscribe(touched, outcomes)
        await self._record(outcomes)
        for outcome in outcomes:
            summary.count(outcome.status)
        return summary, self._events

    async def _settle(self, rows: list[Row]) -> list[_Outcome]:
        for row in rows:
            for key in row.lists:
                if key not in self._view.lists:
                    row.leave_out("lists", f"there is no list «{key}»")
            row.lists = {key: status for key, status in row.lists.items() if key in self._view.lists}
            if (
                self._options.list_key is None
                and row.subscription == "unsubscribed"
                and row.email_state == "ok"
            ):
                row.email_state = "unsubscribed"  # there is no list that could keep it
            said = {"at": self._now.isoformat(), "source": self._source}
            row.consent = {
                name: {**said, **one} if isinstance(one, dict) else one for name, one in row.consent.items()
            }
        people = People(
            self._connection,
            Rules(self._options.update, self._options.on_conflict == "replace", self._source),
            self._now,
        )
        await people.load([row for row in rows if not row.refused])
        outcomes: list[_Outcome] = []
        for row in rows:
            outcome = _Outcome(row, imports.REFUSED, None)
            if not row.refused:
                outcome.status, outcome.person = await people.settle(row)
            outcomes.append(outcome)
        return outcomes

    async def _write(self, touched: list[Person]) -> None:
        await contacts.create(self._connection, [p.now for p in touched if p.before is None])
        await imports.change_people(self._connection, [p.now for p in touched if p.changed], self._now)
        for person in touched:
            for params in differences(*person.told()):
                if person.before is not None:
                    self.changed.setdefault(person.id, set()).add(str(params["field"]))
                self._tell(person, CONTACT_CHANGED, str(params["field"]), params)

    async def _tag(self, touched: list[Person]) -> None:
        people = {person.id: person for person in touched}
        wanted = {(p.id, tag) for p in touched for tag in p.tags.union(self._options.tags)}
        for contact_id, tag in await imports.add_tags(self._connection, wanted, self._now, self._source):
            self._tell(people[contact_id], TAG_ADDED, tag, {"tag": tag})

    async def _subscribe(self, touched: list[Person], outcomes: list[_Outcome]) -> None:
        if self._options.list_key is not None:
            for person in touched:
                status = person.subscription or SUBSCRIBED
                if status != "none":
                    person.lists.setdefault(self._options.list_key, status)
        keys = {key for person in touched for key in person.lists}
        if not keys:
            return
        people = {person.id: person for person in touched}
        before = await imports.statuses(self._connection, people.keys(), keys)
        suppressed = await imports.suppressed(
            self._connection, {p.now["email"] for p in touched if p.now["email"] is not None}
        )
        rows = {o.person.id: o.row for o in outcomes if o.person is not None}
        changes: list[imports.ListChange] = []
        for person in touched:
            for key, status in person.lists.items():
                change = imports.ListChange(person.id, key, before.get((person.id, key)), status)
                reason = _why_not(change, person, suppressed)
                if reason is not None:
                    rows[person.id].leave_out("lists", f"not subscribed to the list {key}: {reason}")
                elif _is_wanted(change):
                    changes.append(change)
        for change in await imports.set_statuses(self._connection, changes, self._now, self._source):
            self._tell_of_list(people[change.contact_id], change)

    async def _record(self, outcomes: list[_Outcome]) -> None:
        await imports.add_rows(
            self._connection,
            self._id,
            [
                {
                    "import_id": self._id,
                    "line": one.row.line,
                    "status": one.status,
                    "contact_id": one.person.id if one.person is not None else None,
                    "problems": [problem.model_dump() for problem in one.row.problems] or None,
                }
                for one in outcomes
            ],
            self._now,
        )

    def _tell_of_list(self, person: Person, change: imports.ListChange) -> None:
        if change.after == SUBSCRIBED:
            self._tell(person, LIST_SUBSCRIBED, change.list_key, {"list": change.list_key})
        elif change.before == SUBSCRIBED:
            self._tell(person, LIST_UNSUBSCRIBED, change.list_key, {"list": change.list_key})

    def _tell(self, person: Person, event_type: str, name: str, params: dict[str, Json]) -> None:
        if self._options.trigger:
            self._events.append(
                IncomingEvent(
                    id=f"import/{self._id}/{person.line}/{event_type}/{name}",
                    type=event_type,
                    contact_id=person.id,
                    params=params,
                    source=self._source,
                )
            )


def _is_wanted(change: imports.ListChange) -> bool:
    """Whether a change is one that an import makes: into a list for the first time, or out of it."""
    return change.before is None or (change.before in SAYS_YES and change.after not in SAYS_YES)


def _why_not(change: imports.ListChange, person: Person, suppressed: set[str]) -> str | None:
    """Why a contact is not subscribed although the import says so."""
    if change.after != SUBSCRIBED or change.before == SUBSCRIBED:
        return None
    if change.before is not None:
        return f"the contact is {change.before} there"
    if person.now["email_state"] != "ok":
        return f"mail to the contact is {person.now['email_state']}"
    if person.now["email"] in suppressed:
        return "its address is suppressed"
    return None
