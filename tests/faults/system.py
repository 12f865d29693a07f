"""Starts the real system as separate processes on the loopback, and ends every one of them with the block.

Workers and API processes reach Temporal, PostgreSQL and the SMTP server through proxies (`lines`). A part that dies by
itself is started again, as a supervisor in service does, and its death is kept. What is done to them is decided
elsewhere (`mischief.py`).
"""

import asyncio
import os
import random
import socket
import sys
import time
from contextlib import suppress
from pathlib import Path
from types import TracebackType
from typing import Literal, Self

import httpx
from temporalio.api.enums.v1 import TaskQueueType
from temporalio.api.taskqueue.v1 import TaskQueue
from temporalio.api.workflowservice.v1 import CountWorkflowExecutionsRequest, DescribeTaskQueueRequest
from temporalio.client import Client

from processes.instructions import SEARCH_CONTACT, SEARCH_HELD, SEARCH_PROCESS, SEARCH_VERSION
from runtime import DATA_CONVERTER
from store.migrate import migrate
from tests.faults.disk import Disk
from tests.faults.mail import MailRates
from tests.faults.parts import Answers, Death, Part
from tests.faults.postgresql import Cluster
from tests.faults.proxy import HOST, Proxy

ROOT = Path(__file__).parents[2]
TEMPORAL = Path(sys.executable).with_name("temporal")
NAMESPACE = "default"
TASK_QUEUE = "onward"
PORTS = range(15_000, 32_000)
"""Below the range that Linux takes outgoing ports from: a part that is down for a while gets its port back."""
KEEPER_SECONDS = 0.5
START_SECONDS = 150.0
"""What each part may take at the start, on a machine that has other work too."""
FULL_DISK_AFTERMATH = 5.0
"""Seconds after a full disk in which a death of PostgreSQL is still its doing."""

Kind = Literal["sqlite", "postgresql"]


class System:
    """Everything that runs, as an async context manager."""

    def __init__(self, folder: Path, database: Kind = "sqlite", seed: int = 0) -> None:
        """`folder` gets all files. For PostgreSQL under root, every folder above it is opened to other users."""
        self.folder = folder.resolve()
        self.database = database
        self.seed = seed
        self.disk = Disk(self.folder / "disk")
        self.mail_log = self.folder / "mail.jsonl"
        self.mail_settings = self.folder / "mail.json"
        self.parts: dict[str, Part] = {}
        """By name: temporal, postgresql (only there), smtp, worker-1, worker-2, api-1, api-2."""
        self.lines: dict[str, Proxy] = {}
        """By what is behind it: temporal, smtp, postgresql (only there)."""
        self.api_urls: list[str] = []
        self.temporal_address = ""
        """host:port, past the proxy."""
        self.database_url = ""
        """Past the proxy."""
        self._cluster: Cluster | None = None
        self._keeping: asyncio.Task[None] | None = None
        self._http = httpx.AsyncClient(timeout=3)
        self._client: Client | None = None

    async def __aenter__(self) -> Self:
        try:
            await self._start()
        except BaseException:
            await self.close()
            raise
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        await self.close()

    async def close(self) -> None:
        """End everything and give the disk back. What counts is done before the first wait."""
        if self._keeping is not None:
            self._keeping.cancel()
        for part in self.parts.values():
            part.kill_now()
        for line in self.lines.values():
            line.close()
        await asyncio.gather(*(part.kill() for part in self.parts.values()))
        self.disk.unmount()
        await self._http.aclose()
        if self._keeping is not None:
            with suppress(asyncio.CancelledError):
                await self._keeping

    async def heal(self, timeout: float = 180.0) -> None:
        """Start, thaw and connect everything, free the disk, let the mail through; return once all parts answer.

        Raises PartSilent, for a part that still does not answer after `timeout` seconds.
        """
        self.disk.free()
        self.set_mail(MailRates())
        for line in self.lines.values():
            await line.heal()
        for part in self.parts.values():
            part.thaw()
            await part.start()
        deadline = time.monotonic() + timeout
        while not all(await asyncio.gather(*(part.is_ready() for part in self.parts.values()))):
            if time.monotonic() > deadline:
                await asyncio.gather(*(part.ready(1) for part in self.parts.values()))
                return
            await asyncio.sleep(0.1)

    def set_mail(self, rates: MailRates) -> None:
        """What the SMTP server does from now on."""
        rates.write(self.mail_settings)

    async def client(self) -> Client:
        """A Temporal client of the harness's own, past the proxy. Connected lazily, kept over restarts."""
        if self._client is None:
            self._client = await Client.connect(
                self.temporal_address, namespace=NAMESPACE, data_converter=DATA_CONVERTER, lazy=True
            )
        return self._client

    def deaths(self) -> list[Death]:
        """Every death that nobody ordered, oldest first."""
        return sorted((death for part in self.parts.values() for death in part.deaths), key=lambda d: d.at)

    def unexplained_deaths(self) -> list[Death]:
        """The same without PostgreSQL's on a full disk, where it gives up by design."""
        return [
            death
            for death in self.deaths()
            if not (death.part == "postgresql" and self.disk.was_full(death.at, after=FULL_DISK_AFTERMATH))
        ]

    async def _start(self) -> None:
        self.folder.mkdir(parents=True, exist_ok=True)
        (self.folder / "logs").mkdir(exist_ok=True)
        self.disk.mount()
        self.set_mail(MailRates())
        self._make_parts()
        for line in self.lines.values():
            await line.accept()
        await asyncio.gather(self._start_database(), self._begin("temporal"), self._begin("smtp"))
        await asyncio.gather(*(self._begin(name) for name in ("worker-1", "worker-2", "api-1", "api-2")))
        self._keeping = asyncio.create_task(self._keep())

    async def _begin(self, name: str) -> None:
        part = self.parts[name]
        await part.start()
        await part.ready(START_SECONDS)

    async def _start_database(self) -> None:
        if self._cluster is not None:
            await self._cluster.create()
            await self._begin("postgresql")
        await migrate(self.database_url)

    async def _keep(self) -> None:
        while True:
            await asyncio.sleep(KEEPER_SECONDS)
            for part in self.parts.values():
                with suppress(OSError):
                    await part.ensure_running()

    def _make_parts(self) -> None:
        ports = iter(free_ports(8 if self.database == "postgresql" else 6))
        self.lines = {"temporal": Proxy(next(ports), next(ports)), "smtp": Proxy(next(ports), next(ports))}
        self.temporal_address = f"{HOST}:{self.lines['temporal'].target_port}"
        api_ports = [next(ports), next(ports)]
        self.api_urls = [f"http://{HOST}:{port}" for port in api_ports]
        self._add("temporal", [TEMPORAL, *self._temporal_arguments()], self._temporal_answers)
        if self.database == "postgresql":
            line = self.lines["postgresql"] = Proxy(next(ports), next(ports))
            self._cluster = Cluster(self.disk.folder / "pg", line.target_port)
            self.parts["postgresql"] = self._cluster.part(self._log_of("postgresql"))
            self.database_url = self._cluster.url(line.target_port)
            seen_url = self._cluster.url(line.port)
        else:
            seen_url = self.database_url = f"sqlite+aiosqlite:///{self.disk.folder / 'onward.db'}"
        self._add(
            "smtp", [sys.executable, "-m", "tests.faults.mail", *self._mail_arguments()], self._mail_answers
        )
        ours = self._environment(seen_url)
        for number, port in enumerate(api_ports, 1):
            self._add(
                f"api-{number}", [sys.executable, "-m", "api.server"], self._api_answers,
                **ours, ONWARD_API_PORT=str(port),
            )  # fmt: skip
            self._add(f"worker-{number}", [sys.executable, "worker.py"], self._worker_polls, **ours)

    def _add(self, name: str, command: list[str | Path], answers: Answers, **environment: str) -> None:
        inherited = {key: value for key, value in os.environ.items() if not key.startswith("ONWARD_")}
        self.parts[name] = Part(
            name,
            command,
            environment={**inherited, **environment},
            log=self._log_of(name),
            answers=answers,
            folder=ROOT,
        )

    def _log_of(self, name: str) -> Path:
        return self.folder / "logs" / f"{name}.log"

    def _environment(self, database_url: str) -> dict[str, str]:
        return {
            "ONWARD_DATABASE_URL": database_url,
            "ONWARD_TEMPORAL_ADDRESS": self.lines["temporal"].address,
            "ONWARD_TEMPORAL_TASK_QUEUE": TASK_QUEUE,
            "ONWARD_SMTP_HOST": HOST,
            "ONWARD_SMTP_PORT": str(self.lines["smtp"].port),
            "ONWARD_SMTP_TIMEOUT": "5",
            "ONWARD_SWEEP_SECONDS": "1",
            "ONWARD_PUBLIC_URL": self.api_urls[0],
            "ONWARD_API_KEYS": "loopback",
            "ONWARD_SIGNING_KEY": f"faults-{self.seed}",
            "ONWARD_LOG_FORMAT": "json",
        }

    def _temporal_arguments(self) -> list[str]:
        return [
            "server", "start-dev", "--headless", "--log-level", "error",
            "--port", str(self.lines["temporal"].target_port),
            "--db-filename", str(self.folder / "temporal.db"),
            "--sqlite-pragma", "journal_mode=wal", "--sqlite-pragma", "synchronous=1",
            "--search-attribute", f"{SEARCH_PROCESS}=Keyword",
            "--search-attribute", f"{SEARCH_CONTACT}=Keyword",
            "--search-attribute", f"{SEARCH_VERSION}=Int",
            "--search-attribute", f"{SEARCH_HELD}=Keyword",
            "--dynamic-config-value", "matching.enableFairness=true",
        ]  # fmt: skip

    def _mail_arguments(self) -> list[str]:
        return [
            "--port", str(self.lines["smtp"].target_port), "--log", str(self.mail_log),
            "--settings", str(self.mail_settings), "--seed", str(self.seed),
        ]  # fmt: skip

    async def _temporal_answers(self, _: Part) -> bool:
        client = await self.client()
        # Not by `count_workflows`, which goes on asking and warns of each time.
        await client.workflow_service.count_workflow_executions(
            CountWorkflowExecutionsRequest(namespace=NAMESPACE, query="WorkflowType = 'none'")
        )
        return True

    async def _mail_answers(self, _: Part) -> bool:
        reader, writer = await asyncio.open_connection(HOST, self.lines["smtp"].target_port)
        try:
            return (await reader.readline()).startswith((b"220", b"421"))
        finally:
            writer.close()

    async def _api_answers(self, part: Part) -> bool:
        url = self.api_urls[int(part.name[-1]) - 1]
        return (await self._http.get(f"{url}/health/ready")).status_code == 200

    async def _worker_polls(self, part: Part) -> bool:
        client = await self.client()
        answer = await client.workflow_service.describe_task_queue(
            DescribeTaskQueueRequest(
                namespace=NAMESPACE,
                task_queue=TaskQueue(name=TASK_QUEUE),
                task_queue_type=TaskQueueType.TASK_QUEUE_TYPE_WORKFLOW,
            )
        )
        return any(poller.identity.startswith(f"{part.pid}@") for poller in answer.pollers)


def free_ports(count: int) -> list[int]:
    """Ports of the loopback that nobody listens on now."""
    found: list[int] = []
    probes: list[socket.socket] = []
    try:
        while len(found) < count:
            probe = socket.socket()
            probes.append(probe)
            with suppress(OSError):
                port = random.choice(PORTS)
                probe.bind((HOST, port))
                found.append(port)
    finally:
        for probe in probes:
            probe.close()
    return found
