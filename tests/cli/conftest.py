"""The command line against a real API: uvicorn on a free port, over this test's own parts, with a worker."""

import asyncio
import io
import json
import sys
from collections.abc import AsyncIterator
from contextlib import redirect_stderr, redirect_stdout
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from unittest.mock import patch

import pytest

from cli import run_command
from tests.support.engine import Engine
from tests.support.serving import serving
from tests.support.temporal import free_port

ROOT = Path(__file__).parents[2]
CLI = ROOT / "cli.py"
EXAMPLES = sorted((ROOT / "examples").glob("*.yaml"))


@dataclass(frozen=True)
class Said:
    """What a command printed, and its exit code."""

    code: int
    out: str
    err: str

    @property
    def json(self) -> Any:
        """The output as JSON."""
        return json.loads(self.out)


class Onward:
    """The console script, in this process. Not for two commands at once: what they print would mix."""

    def __init__(self, url: str) -> None:
        self.url = url

    async def __call__(self, *arguments: str | Path, stdin: str = "") -> Said:
        """Run a command to its end."""
        return await asyncio.to_thread(self._run, [str(argument) for argument in arguments], stdin)

    def _run(self, arguments: list[str], stdin: str) -> Said:
        out, err = io.StringIO(), io.StringIO()
        with (
            patch.dict("os.environ", {"ONWARD_API_URL": self.url}),
            patch.object(sys, "stdin", io.StringIO(stdin)),
            redirect_stdout(out),
            redirect_stderr(err),
        ):
            try:
                run_command(arguments)
            except SystemExit as end:
                code = end.code
        assert isinstance(code, int)
        return Said(code, out.getvalue(), err.getvalue())


@pytest.fixture
async def onward(engine: Engine) -> AsyncIterator[Onward]:
    """The command line, and an API with a worker behind it."""
    async with serving(engine.services) as url:
        yield Onward(url)


@pytest.fixture
def nobody() -> Onward:
    """The command line where no API listens."""
    return Onward(f"http://127.0.0.1:{free_port()}")
