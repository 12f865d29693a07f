"""What routes are given, as `Annotated` aliases."""

from dataclasses import dataclass
from typing import Annotated

from fastapi import Depends, Path, Query, Request

from api.access import ActorDep
from api.lifecycle import process_lifecycle, process_previews
from api.metrics import Metrics
from intake.bundles import Bundles
from intake.changes import Origin
from intake.events import new_event_id
from intake.imports import Imports
from intake.one_step import OneStep
from intake.people import People
from intake.previews import Previews
from intake.processes import ProcessLifecycle
from intake.refusals import Missing
from intake.segment_spec.service import SegmentSpec
from intake.starts import Starts
from intake.stops import Stops
from intake.test_runs import TestRuns
from runtime import Services
from store import contacts

SOURCE = "api"


@dataclass(frozen=True)
class Parts:
    """Everything that routes work with, made once for an app."""

    services: Services
    lifecycle: ProcessLifecycle
    bundles: Bundles
    previews: Previews
    starts: Starts
    stops: Stops
    one_step: OneStep
    test_runs: TestRuns
    people: People
    imports: Imports
    segment_spec: SegmentSpec
    metrics: Metrics

    @classmethod
    def of(cls, services: Services) -> "Parts":
        """Made from the services."""
        lifecycle = process_lifecycle(services)
        addresses = services.settings.address_rules
        return cls(
            services=services,
            lifecycle=lifecycle,
            bundles=Bundles(services.database, services.catalog, lifecycle),
            previews=process_previews(services),
            starts=Starts(
                services.database, services.catalog, services.changes, services.dispatcher, services.intake
            ),
            one_step=OneStep(services.database, services.client),
            test_runs=TestRuns(
                services.database,
                services.catalog,
                services.dispatcher,
                services.client,
                lifecycle.validate,
                addresses,
            ),
            stops=Stops(services.database, services.dispatcher),
            people=People(services.database, services.changes, services.dispatcher, addresses),
            imports=Imports(
                services.database,
                services.catalog,
                services.changes,
                services.dispatcher,
                addresses=addresses,
            ),
            segment_spec=SegmentSpec(
                services.database,
                services.admission,
                services.changes,
                services.dispatcher,
                services.intake,
            ),
            metrics=Metrics(),
        )


async def _parts(request: Request) -> Parts:
    parts: Parts = request.app.state.parts
    return parts


async def _services(request: Request) -> Services:
    parts: Parts = request.app.state.parts
    return parts.services


async def _origin(actor: ActorDep) -> Origin:
    return Origin(source=SOURCE, id=f"{SOURCE}/{new_event_id()}", actor=actor)


PartsDep = Annotated[Parts, Depends(_parts)]
ServicesDep = Annotated[Services, Depends(_services)]


async def _contact_id(
    ref: Annotated[
        str, Path(max_length=320, description="Our id, ContactId, e-mail address, phone number or token.")
    ],
    services: ServicesDep,
) -> str:
    async with services.database.read() as connection:
        found = await contacts.resolve(connection, ref)
    if found is None:
        raise Missing("contact", ref)
    return found


ContactDep = Annotated[str, Depends(_contact_id)]
"""Our id of the contact that the path names."""

OriginDep = Annotated[Origin, Depends(_origin)]
"""Who makes the change of this request."""

LimitQuery = Annotated[int, Query(ge=1, le=500, description="Rows on a page.")]
CursorQuery = Annotated[str | None, Query(max_length=2000, description="`next_cursor` of the page before.")]
WaitQuery = Annotated[
    float,
    Query(ge=0, le=60, description="Seconds to wait for messages that were leaving when the stop came."),
]
