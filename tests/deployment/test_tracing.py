"""One trace leads from an event's request to the message that leaves. The provider of traces is a process's: the test
has its own, and hands it to the parts that it makes.
"""

from collections.abc import Iterator

import pytest
from opentelemetry import trace
from opentelemetry.sdk.trace import ReadableSpan
from opentelemetry.sdk.trace.export import SimpleSpanProcessor
from opentelemetry.sdk.trace.export.in_memory_span_exporter import InMemorySpanExporter
from opentelemetry.util._once import Once

from api.app import create_app
from runtime import connect_services
from settings import Settings
from tests.api.conftest import client_of
from tests.guarantees.processes import mail, process
from tests.support.engine import Engine
from tests.support.smtp_server import RecordingSmtpServer
from tracing import start_tracing, temporal_plugins

pytestmark = pytest.mark.parametrize("database_url", ["sqlite"], indirect=True)
CALLER = "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01"


@pytest.fixture
def spans(settings: Settings, monkeypatch: pytest.MonkeyPatch) -> Iterator[InMemorySpanExporter]:
    """What the process traces while the test runs."""
    monkeypatch.setattr(trace, "_TRACER_PROVIDER", None)
    monkeypatch.setattr(trace, "_TRACER_PROVIDER_SET_ONCE", Once())
    kept = InMemorySpanExporter()
    end = start_tracing(_traced(settings), "test", SimpleSpanProcessor(kept))
    yield kept
    end()


def _traced(settings: Settings) -> Settings:
    return Settings(**{**settings.model_dump(), "traces_endpoint": "http://127.0.0.1:9/v1/traces"})


async def test_a_trace_leads_from_the_request_through_the_workflow_to_the_send(
    settings: Settings, smtp: RecordingSmtpServer, spans: InMemorySpanExporter
) -> None:
    services = await connect_services(_traced(settings), lazy=False)
    async with Engine.running(services) as engine:
        await engine.template("hello")
        await engine.publish(process(mail("hello"), recurrence="once"))
        async with client_of(create_app(services)) as api:
            body = {"type": "go", "contact": {"id": engine.contact, "email": engine.address}}
            answer = await api.post("/v1/events", json=body, headers={"traceparent": CALLER})
            assert answer.status_code == 200, answer.text
            assert (await api.get("/health/live")).status_code == 200
        await engine.ended(engine.id("p"))
        assert len(smtp.messages) == 1
        # The last task of the workflow, whose span is the workflow's, ends after what its activity has written.
        await services.client.get_workflow_handle(engine.id("p")).result()
    await services.close()
    found = [span for span in spans.get_finished_spans() if span.context is not None]
    ours = {span.name: span for span in found if f"{span.context.trace_id:032x}" == CALLER.split("-")[1]}
    for name in (
        "POST /v1/events", "StartWorkflow:ProcessInstance", "RunWorkflow:ProcessInstance",
        "StartActivity:send_email", "RunActivity:send_email", "send email",
    ):  # fmt: skip
        assert name in ours, sorted(ours)
    assert _ancestors(ours["send email"], found) >= {"POST /v1/events", "RunWorkflow:ProcessInstance"}
    assert not any("health" in span.name for span in found)
    attributes = ours["send email"].attributes
    assert attributes is not None
    assert str(attributes["onward.message"]).startswith("m")


def _ancestors(span: ReadableSpan, among: list[ReadableSpan]) -> set[str]:
    by_id = {one.context.span_id: one for one in among if one.context is not None}
    names = set()
    parent = span.parent
    while parent is not None and parent.span_id in by_id:
        names.add(by_id[parent.span_id].name)
        parent = by_id[parent.span_id].parent
    return names


def test_without_an_address_nothing_is_traced(settings: Settings) -> None:
    assert temporal_plugins(settings) == ()
    before = trace.get_tracer_provider()
    start_tracing(settings, "test")()
    assert trace.get_tracer_provider() is before
