"""OpenTelemetry traces, where `ONWARD_TRACES_ENDPOINT` is set: one trace leads from an event's request through the
workflow that it starts to the message that leaves. `docs/operations.md` says what stands in one.
"""

from collections.abc import Callable, Sequence

from opentelemetry import trace
from opentelemetry.exporter.otlp.proto.http.trace_exporter import OTLPSpanExporter
from opentelemetry.sdk.resources import Resource
from opentelemetry.sdk.trace import SpanProcessor
from opentelemetry.sdk.trace.export import BatchSpanProcessor
from opentelemetry.sdk.trace.sampling import ParentBased, TraceIdRatioBased
from temporalio.client import Plugin
from temporalio.contrib.opentelemetry import OpenTelemetryPlugin, create_tracer_provider

from settings import Settings


def start_tracing(
    settings: Settings, service: str, processor: SpanProcessor | None = None
) -> Callable[[], None]:
    """Send this process's spans where the settings say, or nowhere. `service` is its name in them; `processor` takes
    them in the place of what sends them.

    Returns what sends the last of them, to be called before the process ends.
    """
    if settings.traces_endpoint is None:
        return lambda: None
    provider = create_tracer_provider(
        resource=Resource.create({"service.name": service}),
        sampler=ParentBased(TraceIdRatioBased(settings.traces_share)),
    )
    provider.add_span_processor(
        processor or BatchSpanProcessor(OTLPSpanExporter(endpoint=str(settings.traces_endpoint)))
    )
    trace.set_tracer_provider(provider)
    return provider.shutdown


def temporal_plugins(settings: Settings) -> Sequence[Plugin]:
    """What hands a trace on through Temporal: starts, signals, workflows, activities."""
    if settings.traces_endpoint is None:
        return ()
    return (OpenTelemetryPlugin(add_temporal_spans=True),)
