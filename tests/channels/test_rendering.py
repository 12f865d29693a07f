"""Whatever a template does, it is stopped: the process that asked goes on, and so do all other messages."""

import asyncio
import operator
import os
import signal
import subprocess
import sys
from collections.abc import Iterator

import pytest

from channels import rendering
from channels.errors import TemplateFailed, TemplateStopped
from channels.rendering import RenderPool, checked, rendered, rendered_texts
from channels.templates import TemplateSource, partials_of, render_text
from store.catalog import TemplateView
from tests.support.waiting import eventually


def endless(which: int) -> range:
    """Looking for a number in it that isn't there takes weeks, in C code that holds the interpreter's lock."""
    return range(10**15 + which)


@pytest.fixture(scope="module")
def pool() -> Iterator[RenderPool]:
    """Two processes that stop a job after half a second of processor time."""
    pool = RenderPool(2, seconds=0.5)
    yield pool
    pool.close()


@pytest.fixture
def patient() -> Iterator[RenderPool]:
    """Two processes that stop no job by themselves while a test runs."""
    pool = RenderPool(2, seconds=10_000)
    yield pool
    pool.close()


async def test_a_job_that_holds_the_interpreters_lock_is_killed_and_the_next_one_runs(
    pool: RenderPool,
) -> None:
    with pytest.raises(TemplateStopped, match=r"more than 0\.5 seconds of processor time"):
        await pool.run(operator.contains, endless(1), 5.5)

    assert await pool.run(render_text, "{{ x }}", {"x": 1}) == "1"


async def test_others_are_answered_while_a_job_runs_away(patient: RenderPool) -> None:
    running = asyncio.ensure_future(patient.run(operator.contains, endless(2), 5.5))

    assert [await patient.run(render_text, "{{ x }}", {"x": n}) for n in range(20)] == [
        str(n) for n in range(20)
    ]

    assert not running.done()
    patient.close()
    with pytest.raises(TemplateStopped):
        await running


async def test_a_template_that_was_stopped_is_not_tried_again_at_once(pool: RenderPool) -> None:
    with pytest.raises(TemplateStopped) as first:
        await pool.run(operator.contains, endless(3), 5.5)
    with pytest.raises(TemplateStopped, match="a moment ago") as second:
        await pool.run(operator.contains, endless(3), 6.5)

    assert (first.value.again, second.value.again) == (False, True)
    assert await pool.run(operator.contains, range(5), 3)


async def test_it_is_tried_again_later(pool: RenderPool, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(rendering, "REFUSED_FOR_SECONDS", 0.0)

    for _ in range(2):
        with pytest.raises(TemplateStopped) as stopped:
            await pool.run(operator.contains, endless(4), 5.5)
        assert not stopped.value.again


async def test_a_job_that_eats_memory_is_stopped(pool: RenderPool) -> None:
    with pytest.raises(TemplateStopped, match="more than 1500 MB of memory"):
        await pool.run(operator.mul, b"x" * 1_000_000, 10**9)
    with pytest.raises(TemplateStopped, match="more than 1500 MB of memory"):
        await pool.run(eval, "[bytes(n) for n in [100_000_000] * 50]")


@pytest.fixture
def single() -> Iterator[RenderPool]:
    """One process."""
    pool = RenderPool(1)
    yield pool
    pool.close()


async def test_a_process_that_somebody_else_killed_costs_no_message(single: RenderPool) -> None:
    for _ in range(3):
        os.kill(await _pid(single), signal.SIGKILL)
        assert await single.run(render_text, "{{ x }}", {"x": 1}) == "1"


async def test_a_signal_to_the_whole_group_leaves_what_is_under_way_alone(single: RenderPool) -> None:
    before = await _pid(single)

    for number in (signal.SIGINT, signal.SIGTERM):
        os.kill(before, number)

    assert await _pid(single) == before


async def test_it_knows_no_secret_of_ours(pool: RenderPool, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("ONWARD_SIGNING_KEY", "secret")

    assert await pool.run(eval, "[n for n in __import__('os').environ if n.startswith('ONWARD')]") == []


async def test_it_leaves_with_the_process_that_it_renders_for() -> None:
    program = """
import os
from channels.rendering import render_pool
print(render_pool().call(eval, "__import__('os').getpid()"), flush=True)
os.kill(os.getpid(), 9)
"""
    parent = await asyncio.create_subprocess_exec(sys.executable, "-c", program, stdout=subprocess.PIPE)
    output, _ = await parent.communicate()
    pid = int(output)

    async def gone() -> bool:
        try:
            os.kill(pid, 0)
        except ProcessLookupError:
            return True
        return False

    await eventually(gone)


async def test_what_fails_is_told_as_it_would_be_here() -> None:
    with pytest.raises(TemplateFailed) as failed:
        await rendered_texts({"text": "a\n{{ 1 | divided_by: 0 }}"}, {})

    assert (failed.value.part, failed.value.line) == ("text", 2)


async def test_a_text_without_liquid_needs_no_process(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(rendering, "render_pool", None)

    assert await rendered_texts({"a": "Hello", "b": "100 % } {"}, {}) == {"a": "Hello", "b": "100 % } {"}


def template(key: str, text: str) -> TemplateView:
    return TemplateView(key, 1, "s", None, None, text, None, None)


async def test_the_partials_of_a_template_and_theirs_go_with_it_however_they_are_named() -> None:
    templates = {
        "a": template("a", 'A{%- liquid\nrender   "b"\n-%}'),
        "b": template("b", "B{% render'c' %}"),
        "c": template("c", "C{% render 'a.b' for list as x %}"),
        "a.b": template("a.b", "{{ x }}"),
        "d": template("d", "D"),
    }
    source = TemplateSource(subject="s", text="{% render 'a' %}")

    assert list(partials_of(templates, source)) == ["a", "b", "c", "a.b"]
    assert (await rendered(source, {"list": [1, 2]}, templates)).text == "ABC12"


async def test_a_check_that_has_to_be_stopped_finds_that(
    pool: RenderPool, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(rendering, "render_pool", lambda: pool)
    long_to_read = TemplateSource(subject="s", html="{% assign a = 1 %}" * 100_000)

    (problem,) = await checked(long_to_read, {})

    assert (problem.part, problem.line) == ("html", None)
    assert "more than 0.5 seconds of processor time" in problem.message


async def _pid(pool: RenderPool) -> int:
    return int(await pool.run(eval, "__import__('os').getpid()"))
