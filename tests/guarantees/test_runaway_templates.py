"""A template that doesn't come back holds its instances, and never the worker."""

from collections.abc import Iterator

import pytest

from channels import rendering
from channels.rendering import RenderPool
from tests.guarantees.processes import mail, process, start_on
from tests.support.engine import Engine
from tests.support.smtp_server import RecordingSmtpServer

HOSTILE = "<p>{{ '" + "<" * 2_000_000 + "' | strip_html }}</p>"
"""A pattern looks at the rest of the text from each of its characters: minutes in C code that holds the lock."""


@pytest.fixture(autouse=True)
def strict(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """A template may use half a second of processor time."""
    pool = RenderPool(2, seconds=0.5)
    monkeypatch.setattr(rendering, "render_pool", lambda: pool)
    yield
    pool.close()


async def test_its_instances_hold_and_say_why_and_everybody_else_gets_their_mail(
    engine: Engine, smtp: RecordingSmtpServer
) -> None:
    await engine.template("hostile", html=HOSTILE)
    await engine.template("honest", html="<p>Hello</p>")
    await engine.publish(
        process(mail("m", "hostile"), key="bad", recurrence="once", triggers=[start_on("bad")])
    )
    await engine.publish(
        process(mail("m", "honest"), key="good", recurrence="once", triggers=[start_on("good")])
    )

    people = [f"{engine.contact}-{number}" for number in range(5)]
    for event in ("bad", "good"):
        for person in people:
            await engine.event(event, person)

    for person in people:
        await engine.ended(f"good/{person}")
    held = [await engine.in_state(f"bad/{person}", "holding") for person in people]
    assert len(smtp.messages) == 5
    stopped = "failed: The template was stopped: it takes more than 0.5 seconds of processor time"
    assert {row.reason.removesuffix(", a moment ago") for row in held} == {stopped}
