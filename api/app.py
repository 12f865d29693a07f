"""The FastAPI app, put together. No rule of the business lives in `api/`."""

import re
from functools import cache

from fastapi import APIRouter, FastAPI
from pydantic import BaseModel
from starlette.routing import BaseRoute

from api import access, documentation, errors
from api.addresses import Addresses
from api.deps import Parts
from api.edge import Edge
from api.local_only import LocalOnly
from api.request_traces import trace_requests
from api.routes import (
    bounces,
    bundles,
    contact_history,
    contacts,
    docs,
    edits,
    endpoints,
    event_types,
    events,
    exports,
    health,
    imports,
    instances,
    keys,
    lists,
    one_step,
    operations,
    overview,
    preferences,
    previews,
    processes,
    refusals,
    retention,
    segment_spec,
    segments,
    suppressions,
    templates,
    test_runs,
    tracking,
    unsubscribe,
    where,
    why,
)
from api.routes.events import EventBatch, PlainEvent, SeedEvent
from api.routes.processes import ProcessDocument
from api.routes.segment_spec import SegmentBatch, SegmentMessage
from runtime import Services

DESCRIPTION = """Durable marketing automation on Temporal.

Send events; processes that listen to them start, stop and go on. Every error is `application/problem+json`
(RFC 9457) with a pointer to each wrong place. Lists are pages: `next_cursor` asks for the next one."""

ROUTERS = (
    events.router,
    event_types.router,
    exports.router,
    contacts.router,
    contact_history.router,
    imports.streamed,
    imports.router,
    segment_spec.router,
    endpoints.router,
    lists.router,
    segments.router,
    templates.router,
    processes.router,
    edits.router,
    bundles.router,
    previews.router,
    operations.router,
    one_step.router,
    test_runs.router,
    instances.router,
    overview.router,
    where.router,
    why.router,
    retention.router,
    keys.router,
    keys.audit_router,
    suppressions.router,
    bounces.router,
    refusals.router,
    health.router,
    unsubscribe.router,
    tracking.router,
    preferences.router,
    docs.router,
)

MODELS: tuple[type[BaseModel], ...] = (
    SeedEvent,
    PlainEvent,
    EventBatch,
    ProcessDocument,
    SegmentMessage,
    SegmentBatch,
)
"""Bodies that routes read by hand."""

STREAMED = re.compile(r"/v1/imports/(?:csv|[^/]+/rows)")
"""Where a body of any size is read piece by piece."""


@cache
def _routes() -> list[BaseRoute]:
    """All routes. FastAPI prepares a route when it is first asked for, and again for each app that includes its router:
    apps of one process share them, so it is done once.
    """
    whole = APIRouter(
        strict_content_type=False,
        redirect_slashes=False,
        generate_unique_id_function=documentation.operation_id,
    )
    for router in ROUTERS:
        whole.include_router(router)
    return whole.routes


def create_app(services: Services) -> FastAPI:
    """The app over these parts. Who made them closes them. Raises TypeError where a route says not who may call it."""
    access.check(ROUTERS)
    parts = Parts.of(services)
    app = FastAPI(
        title="Onward",
        version="1",
        routes=_routes(),
        redirect_slashes=False,
        strict_content_type=False,
        docs_url=None,
        redoc_url=None,
        generate_unique_id_function=documentation.operation_id,
    )
    app.state.parts = parts
    if services.settings.api_keys == "loopback":
        app.add_middleware(LocalOnly)
    app.add_middleware(
        Edge,
        max_body_bytes=services.settings.max_body_bytes,
        streamed=STREAMED,
        max_streamed_bytes=services.settings.import_max_bytes,
        metrics=parts.metrics,
    )
    app.add_middleware(Addresses)
    errors.install(app)
    trace_requests(app, services.settings)
    documentation.install(app, DESCRIPTION, MODELS, ROUTERS)
    return app
