"""A span for each request of the API. Apart from `tracing.py`, so that a worker does not load a web framework."""

from fastapi import FastAPI
from opentelemetry.instrumentation.fastapi import FastAPIInstrumentor

from settings import Settings

UNTRACED = "/health/,/metrics"
"""What machines ask every few seconds."""


def trace_requests(app: FastAPI, settings: Settings) -> None:
    """A span for each request of the API, within the caller's trace where it names one (W3C `traceparent`)."""
    if settings.traces_endpoint is not None:
        FastAPIInstrumentor.instrument_app(app, excluded_urls=UNTRACED, exclude_spans=["receive", "send"])
