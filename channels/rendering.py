"""Renders and checks templates in processes of their own, which are killed when a template takes too long.

Liquid is interpreted in Python, and one filter, comparison or regular expression can run for hours inside C code that
holds the interpreter's lock: no limit that is checked between two steps of a render can stop it, and while it runs, no
other thread of the process does anything. So whatever somebody wrote is rendered by a child process
(`channels/render_process.py`). The limits of `channels/template_limits.py` apply there and say what is wrong and on
which line; this is the limit behind them, which needs no cooperation.

A template that had to be stopped is refused for a minute without another try. Thousands of instances may be about to
render the same one, and each try would keep a process from everybody else's messages.
"""

import asyncio
import atexit
import os
import pickle
import select
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Hashable, Mapping
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import suppress
from functools import cache
from typing import Any, Final, ParamSpec, TypeVar

from channels import templates
from channels.errors import TemplateStopped
from channels.render_process import OUT_OF_MEMORY, read_message, write_message
from channels.templates import (
    Partials,
    Rendered,
    TemplateProblem,
    TemplateSource,
    check,
    is_literal,
    partials_of,
    render,
    render_texts,
)
from processes.values import Json

PROCESSES: Final = 2
"""How many render at a time: one runaway template leaves the other for everybody else until it is stopped."""
SECONDS: Final = 5.0
"""Processor time of one job. A message takes some milliseconds; Liquid's own clock stops a part after two seconds."""
MEGABYTES: Final = 1500
"""Address space of a rendering process. An idle one has about 500 mapped and 70 in memory."""
WALL_SECONDS: Final = 60.0
"""How long a job may take by the clock on the wall, whether or not it uses the processor."""
REFUSED_FOR_SECONDS: Final = 60.0
"""How long a template that was stopped is not tried again."""

P = ParamSpec("P")
T = TypeVar("T")


class RenderPool:
    """Processes that run functions which may not come back.

    Each thread of the pool owns a process: it starts it when it has a job, hands over one job at a time, and starts
    another after one that died.

    Args:
        processes: at most so many.
        seconds: the processor time that one job may use.
        megabytes: the address space of a process.
    """

    def __init__(
        self, processes: int = PROCESSES, seconds: float = SECONDS, megabytes: int = MEGABYTES
    ) -> None:
        self._seconds = seconds
        self._megabytes = megabytes
        self._threads = ThreadPoolExecutor(processes, thread_name_prefix="render")
        self._own = threading.local()
        self._children: set[subprocess.Popen[bytes]] = set()
        self._closed = False
        self._stopped: dict[Hashable, tuple[float, str]] = {}

    async def run(self, function: Callable[P, T], *arguments: P.args, **_: P.kwargs) -> T:
        """What the function returns or raises. Its first argument is what an author wrote: by it a template that was
        stopped is known again.

        Raises:
            TemplateStopped: it used up its time or memory, or brought its process down.
        """
        return await asyncio.wrap_future(self._submitted(function, arguments))

    def call(self, function: Callable[P, T], *arguments: P.args, **_: P.kwargs) -> T:
        """The same for a thread that may wait. Raises TemplateStopped."""
        return self._submitted(function, arguments).result()

    def close(self) -> None:
        """Stop every process, whatever it is doing."""
        self._closed = True
        for child in list(self._children):
            child.kill()  # its thread sees the end of its output
        self._threads.shutdown(cancel_futures=True)
        for child in list(self._children):
            self._bury(child)

    def _submitted(self, function: Callable[..., T], arguments: tuple[Any, ...]) -> "Future[T]":
        job = pickle.dumps((function, arguments), pickle.HIGHEST_PROTOCOL)
        return self._threads.submit(self._outcome, job, _mark(arguments[0]))

    def _refuse_again(self, mark: Hashable) -> None:
        until, why = self._stopped.get(mark, (0.0, ""))
        if time.monotonic() < until:
            raise TemplateStopped(f"{why}, a moment ago", again=True)

    def _outcome(self, job: bytes, mark: Hashable) -> Any:
        self._refuse_again(mark)
        answer, why = self._asked(job)
        if answer is None and why is None:  # killed by somebody else, which says nothing about the template
            answer, why = self._asked(job)
        if answer is None:
            why = why or "its rendering process was killed twice"
            now = time.monotonic()
            self._stopped = {key: value for key, value in self._stopped.items() if value[0] > now}
            self._stopped[mark] = (now + REFUSED_FOR_SECONDS, why)
            raise TemplateStopped(why)
        done, result = pickle.loads(answer)  # noqa: S301 - our own process's
        if not done:
            raise result
        return result

    def _asked(self, job: bytes) -> tuple[bytes | None, str | None]:
        """The answer of the thread's process, or why the job ended it: None if others did."""
        child = self._child()
        in_time = True
        with suppress(BrokenPipeError, ConnectionError):
            if child.stdin is not None and child.stdout is not None:
                write_message(child.stdin, job)
                in_time = _readable(child.stdout.fileno(), WALL_SECONDS)
                answer = read_message(child.stdout) if in_time else None
                if answer is not None:
                    return answer, None
        return None, self._why_it_died(child, in_time)

    def _child(self) -> subprocess.Popen[bytes]:
        child: subprocess.Popen[bytes] | None = getattr(self._own, "child", None)
        if child is None or child.poll() is not None:
            if child is not None:
                self._bury(child)
            if self._closed:
                raise TemplateStopped("this process is ending")
            child = self._own.child = _started(self._seconds, self._megabytes)
            self._children.add(child)
        return child

    def _why_it_died(self, child: subprocess.Popen[bytes], in_time: bool) -> str | None:
        if in_time:
            with suppress(subprocess.TimeoutExpired):
                child.wait(5)
        code = child.poll()
        self._bury(child)
        self._own.child = None
        if code == -signal.SIGPROF:
            return f"it takes more than {self._seconds:g} seconds of processor time"
        if code == OUT_OF_MEMORY:
            return f"it needs more than {self._megabytes} MB of memory"
        if code == -signal.SIGKILL:
            return None
        if code is None:
            return f"it takes more than {WALL_SECONDS:g} seconds"
        return f"its rendering process ended ({code})"

    def _bury(self, child: subprocess.Popen[bytes]) -> None:
        self._children.discard(child)
        child.kill()
        child.wait()
        for stream in (child.stdin, child.stdout):
            if stream is not None:
                with suppress(OSError):
                    stream.close()


@cache
def render_pool() -> RenderPool:
    """The pool of this process, started with the first job and ended with the process."""
    pool = RenderPool()
    atexit.register(pool.close)
    return pool


async def rendered(
    source: TemplateSource, context: Mapping[str, Json], stored: Mapping[str, Any]
) -> Rendered:
    """`render`, in a process of its own. `stored` are all templates that `render` tags may name, by key.

    Raises:
        TemplateFailed: as `render`.
        TemplateStopped: it took too long.
    """
    return await render_pool().run(render, source, context, partials_of(stored, source))


async def rendered_text(source: str, context: Mapping[str, Json]) -> str:
    """`render_text`, in a process of its own. Raises as `rendered`."""
    return (await rendered_texts({"text": source}, context))["text"]


async def rendered_texts(sources: Mapping[str, str], context: Mapping[str, Json]) -> dict[str, str]:
    """Some pieces of plain text by their names, in a process of its own. Raises as `rendered`."""
    if all(is_literal(source) for source in sources.values()):
        return dict(sources)
    return await render_pool().run(render_texts, dict(sources), context)


async def checked(source: TemplateSource, stored: Mapping[str, Any]) -> list[TemplateProblem]:
    """`check`, in a process of its own. A template that has to be stopped has that problem."""
    try:
        return await render_pool().run(check, source, partials_of(stored, source))
    except TemplateStopped as stopped:
        return [_problem(source, stopped)]


def checked_here(source: TemplateSource, partials: Partials) -> list[TemplateProblem]:
    """`check`, for a thread that may wait. Raises TemplateStopped."""
    return render_pool().call(check, source, partials)


def problems_here(source: TemplateSource, stored: Mapping[str, Any]) -> list[TemplateProblem]:
    """`checked`, for a thread that may wait."""
    try:
        return checked_here(source, partials_of(stored, source))
    except TemplateStopped as stopped:
        return [_problem(source, stopped)]


def constant(source: str) -> str | None:
    """What a text says to everybody, or None (`templates.constant`), for a thread that may wait."""
    if is_literal(source):
        return source
    try:
        return render_pool().call(templates.constant, source)
    except TemplateStopped:
        return None


def _problem(source: TemplateSource, stopped: TemplateStopped) -> TemplateProblem:
    *_, (part, _) = source.parts()
    return TemplateProblem(part=part, line=None, message=str(stopped))


def _readable(descriptor: int, seconds: float) -> bool:
    """Whether there is something to read, or an end, within so many seconds."""
    waiting = select.poll()  # unlike `select.select`, it takes descriptors above 1023
    waiting.register(descriptor, select.POLLIN)
    return bool(waiting.poll(seconds * 1000))


def _mark(written: object) -> Hashable:
    """What an author wrote, as a key."""
    return tuple(written.items()) if isinstance(written, dict) else written


def _started(seconds: float, megabytes: int) -> subprocess.Popen[bytes]:
    """A process that finds the same modules, and knows none of our secrets."""
    environment = {name: value for name, value in os.environ.items() if not name.startswith("ONWARD_")}
    environment["PYTHONPATH"] = os.pathsep.join(path or os.curdir for path in sys.path)
    return subprocess.Popen(  # noqa: S603 - our own module
        [sys.executable, "-P", "-m", "channels.render_process", str(seconds), str(megabytes)],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        env=environment,
    )
