"""The process that renders templates for a `RenderPool` (`channels/rendering.py`), and may be killed at any time.

Started as `python -m channels.render_process SECONDS MEGABYTES`. It reads jobs from standard input and writes outcomes
to standard output, each a pickle behind its length: a job is a function of `channels/templates.py` with its arguments.

The process limits itself, so that no limit depends on a parent that may be busy or gone. The kernel ends it when a job
has used up its processor time, even inside a C function that holds the interpreter's lock. It leaves by itself when the
parent closes its input.
"""

import os
import pickle
import resource
import signal
import struct
import sys
from contextlib import suppress
from pathlib import Path
from typing import IO

OUT_OF_MEMORY = 77
"""The exit code after a job that needed more memory than it may have."""

_LENGTH = struct.Struct("!Q")


def main(seconds: float, megabytes: int) -> None:
    """Run one job after another, each for at most so many seconds of processor time, until the input ends."""
    for number in (signal.SIGINT, signal.SIGTERM):
        # Ctrl-C and service managers tell the whole process group; the parent still finishes what is under way.
        signal.signal(number, signal.SIG_IGN)
    signal.signal(signal.SIGPROF, signal.SIG_DFL)
    with suppress(ValueError, OSError):  # some systems have no such limit
        resource.setrlimit(resource.RLIMIT_AS, (megabytes << 20, megabytes << 20))
    jobs, outcomes = _streams()
    import channels.templates  # noqa: F401 - loaded before the first job, whose time is counted

    while (job := read_message(jobs)) is not None:
        signal.setitimer(signal.ITIMER_PROF, seconds)
        outcome = _outcome(job)
        signal.setitimer(signal.ITIMER_PROF, 0)
        write_message(outcomes, outcome)


def read_message(stream: IO[bytes]) -> bytes | None:
    """The next message, or None if the other side is gone."""
    head = stream.read(_LENGTH.size)
    if len(head) < _LENGTH.size:
        return None
    (length,) = _LENGTH.unpack(head)
    body = stream.read(length)
    return body if len(body) == length else None


def write_message(stream: IO[bytes], message: bytes) -> None:
    """Write a message, whole."""
    stream.write(_LENGTH.pack(len(message)))
    stream.write(message)
    stream.flush()


def _outcome(job: bytes) -> bytes:
    try:
        function, arguments = pickle.loads(job)  # noqa: S301 - the parent's own
        return pickle.dumps((True, function(*arguments)), pickle.HIGHEST_PROTOCOL)
    except MemoryError:
        os._exit(OUT_OF_MEMORY)
    except Exception as error:
        try:
            return pickle.dumps((False, error), pickle.HIGHEST_PROTOCOL)
        except Exception:
            return pickle.dumps((False, RuntimeError(f"{type(error).__name__}: {error}")))


def _streams() -> tuple[IO[bytes], IO[bytes]]:
    """Where jobs come from and outcomes go to. What any library prints goes to standard error instead."""
    jobs, outcomes = os.fdopen(os.dup(0), "rb"), os.fdopen(os.dup(1), "wb")
    with Path(os.devnull).open("rb") as nothing:
        os.dup2(nothing.fileno(), 0)
    os.dup2(2, 1)
    return jobs, outcomes


if __name__ == "__main__":
    main(float(sys.argv[1]), int(sys.argv[2]))
