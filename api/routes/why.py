"""Why (O10): for a contact and a process, every decision with its reason, where they are, and what comes next."""

from datetime import UTC, datetime
from typing import Annotated

from fastapi import APIRouter, Path
from pydantic import BaseModel, Field

from api.access import needs
from api.bodies import JsonRoute
from api.deps import ServicesDep
from api.documentation import problems
from api.models import ContactBrief, InstanceRow
from api.rows import instance_row
from intake.why.service import why
from processes.values import Key

router = APIRouter(prefix="/v1/processes", tags=["where"], route_class=JsonRoute)


class WhyLine(BaseModel):
    """Something that happened or was decided, in the order of time."""

    at: datetime
    what: str = Field(description="event, step, held, message, goal, change or end")
    code: str = Field(description="A stable word for the reason.")
    says: str = Field(description="The same for people; times in it are in `zone`.")
    instance: str | None = None
    step: str | None = None
    visit: int | None = None
    event: str | None = None
    by: str | None = Field(default=None, description="Who did it, where somebody did.")
    rules: list[dict[str, bool]] = Field(
        default=[],
        description="The conditions of each rule that was looked at, with whether they held.",
    )


class WhyAnswer(BaseModel):
    """Everything that happened to a contact in a process, and where they are in it now."""

    process: str
    name: str
    status: str
    contact: ContactBrief
    zone: str = Field(description="The contact's time zone, else the process's.")
    at: datetime
    says: str = Field(description="The answer in a sentence.")
    now: list[InstanceRow] = Field(description="The runs under way, each with what comes next, and when.")
    lines: list[WhyLine]
    complete: bool = Field(description="Whether nothing was left out at the beginning.")


@router.get(
    "/{key}/why/{ref:path}",
    dependencies=[needs("contacts:read", process="key")],
    summary="Why a contact is where it is in a process",
    responses=problems(404),
)
async def get_why(
    key: Annotated[Key, Path()],
    ref: Annotated[
        str, Path(max_length=320, description="Our id, ContactId, e-mail address, phone number or token.")
    ],
    services: ServicesDep,
) -> WhyAnswer:
    """Why they entered or not, which way they went, what they were sent or not, and what comes next."""
    now = datetime.now(UTC)
    async with services.database.read() as connection:
        found = await why(connection, services.catalog, key, ref, now)
    contact = found.contact
    return WhyAnswer(
        process=found.process,
        name=found.name,
        status=found.status,
        contact=ContactBrief(id=contact.id, external_id=contact.external_id, email=contact.email),
        zone=found.zone,
        at=now,
        says=found.says,
        now=[instance_row(row, found.definitions) for row in found.open],
        lines=[WhyLine(**vars(line)) for line in found.lines],
        complete=found.complete,
    )
