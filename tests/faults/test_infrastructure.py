"""The harness's own parts do what the harness trusts them to do: they kill, freeze, cut, fill, and mend again."""

import asyncio
import os
import signal
import smtplib
import sqlite3
import sys
import time
from collections.abc import AsyncIterator, Awaitable, Callable
from itertools import pairwise
from pathlib import Path
from tempfile import TemporaryDirectory

import asyncpg
import pytest
from temporalio.client import WorkflowExecutionStatus

from tests.faults.disk import Disk
from tests.faults.mail import MailLine, MailRates, read_log
from tests.faults.mischief import MAIL, Fault, Happened, plan, run
from tests.faults.parts import Part, descendants
from tests.faults.proxy import HOST, Proxy
from tests.faults.system import ROOT, Kind, System, free_ports
from tests.support.waiting import eventually

SENDER = "shop@example.com"


@pytest.fixture(scope="module")
async def system() -> AsyncIterator[System]:
    """A whole system on PostgreSQL. Not in pytest's own folder, which is closed to PostgreSQL's user."""
    with TemporaryDirectory(prefix="onward-faults-") as folder:
        async with System(Path(folder), "postgresql", seed=1) as running:
            yield running


@pytest.mark.temporal
async def test_a_killed_temporal_comes_back_with_its_workflows(system: System) -> None:
    client = await system.client()
    handle = await client.start_workflow("Nobody", id="kept", task_queue="nobody")
    temporal = system.parts["temporal"]
    before = temporal.pid
    await temporal.kill()
    assert temporal.pid is None
    await temporal.start()
    await temporal.ready()
    assert temporal.pid != before
    assert (await handle.describe()).status is WorkflowExecutionStatus.RUNNING
    assert temporal.deaths == []


@pytest.mark.temporal
async def test_a_killed_postgresql_takes_its_backends_along_and_keeps_what_was_committed(
    system: System,
) -> None:
    postgresql = system.parts["postgresql"]
    connection = await _connect(system)
    await connection.execute("CREATE TABLE kept AS SELECT 7 AS number")
    assert postgresql.pid is not None
    backends = descendants(postgresql.pid)
    assert len(backends) > 3
    await postgresql.kill()
    assert not [pid for pid in backends if _runs(pid)]
    await postgresql.start()
    await postgresql.ready()
    connection = await _connect(system)
    assert await connection.fetchval("SELECT number FROM kept") == 7
    await connection.close()


@pytest.mark.temporal
async def test_a_frozen_postgresql_is_silent_until_it_is_thawed(system: System) -> None:
    postgresql = system.parts["postgresql"]
    connection = await _connect(system)
    postgresql.freeze()
    answer = asyncio.create_task(connection.fetchval("SELECT 8"))
    done, _ = await asyncio.wait({answer}, timeout=0.5)
    assert not done
    assert not await postgresql.is_ready()
    postgresql.thaw()
    assert await asyncio.wait_for(answer, 60) == 8
    await connection.close()


@pytest.mark.temporal
async def test_a_restarted_worker_polls_again_under_its_new_number(system: System) -> None:
    worker = system.parts["worker-1"]
    await worker.kill()
    await worker.start()
    await worker.ready()


@pytest.mark.temporal
async def test_a_part_that_dies_by_itself_is_started_again_and_its_death_is_kept(system: System) -> None:
    smtp = system.parts["smtp"]
    before = smtp.pid
    assert before is not None
    os.kill(before, signal.SIGKILL)

    async def runs_anew() -> bool:
        return smtp.pid not in (None, before)

    await eventually(runs_anew)
    await smtp.ready()
    assert [(death.part, death.code) for death in system.unexplained_deaths()] == [("smtp", -signal.SIGKILL)]
    smtp.deaths.clear()


@pytest.mark.temporal
async def test_postgresql_survives_a_full_disk_with_all_that_it_confirmed(system: System) -> None:
    if not system.disk.can_fill:
        pytest.skip("no disk of its own can be mounted here")
    connection = await _connect(system)
    await connection.execute("CREATE TABLE heap (number int, filler text)")
    await connection.close()
    await asyncio.to_thread(system.disk.fill)
    confirmed = await _write_until_it_fails(system)
    assert confirmed < 10_000
    await system.heal()
    connection = await _connect(system)
    assert await connection.fetchval("SELECT count(DISTINCT number) FROM heap") >= confirmed
    await connection.execute("INSERT INTO heap VALUES (-1, 'again')")
    await connection.close()
    assert system.unexplained_deaths() == []


@pytest.mark.temporal
async def test_a_system_goes_through_every_kind_of_fault_and_is_whole_again_and_leaves_nothing(
    tmp_path: Path,
) -> None:
    faults = [
        Fault(0.0, "kill", "worker-1", 0.5),
        Fault(0.0, "mail", "turn_away", 0.5),
        Fault(0.2, "freeze", "api-2", 0.5),
        Fault(0.2, "cut", "temporal", 0.0),
        Fault(0.4, "refuse", "smtp", 0.5),
        Fault(0.4, "restart", "temporal", 0.0),
        Fault(0.6, "stall", "temporal", 0.5),
    ]
    happened: list[Happened] = []
    said: list[str] = []
    async with System(tmp_path, "sqlite", seed=2) as system:
        if system.disk.can_fill:
            faults.append(Fault(0.6, "fill_disk", "disk", 0.5))
        await run(system, faults, said.append, happened)
        assert [part.name for part in system.parts.values() if not await part.is_ready()] == []
        assert system.deaths() == []
        pids = [part.pid for part in system.parts.values() if part.pid is not None]
    assert {happen.fault for happen in happened} == set(faults)
    assert len(said) == len(faults)
    assert all(happen.ended - happen.began >= happen.fault.seconds for happen in happened)
    assert not [pid for pid in pids if _runs(pid)]
    assert not system.disk.folder.is_mount()


@pytest.mark.temporal
async def test_a_system_that_fails_to_start_leaves_nothing(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    seen: list[Part] = []

    async def dies(system: System) -> None:
        await system.parts["smtp"].start()
        seen.append(system.parts["smtp"])
        raise OSError("no database")

    monkeypatch.setattr(System, "_start_database", dies)
    system = System(tmp_path)
    with pytest.raises(OSError, match="no database"):
        async with system:
            pass
    assert [part.pid for part in seen] == [None]
    assert not system.disk.folder.is_mount()


async def test_sqlite_says_that_its_disk_is_full_and_writes_again_when_it_is_not(tmp_path: Path) -> None:
    disk = Disk(tmp_path / "small", megabytes=8)
    disk.mount()
    if not disk.can_fill:
        with pytest.raises(RuntimeError):
            disk.fill()
        pytest.skip("no disk of its own can be mounted here")
    try:
        connection = sqlite3.connect(disk.folder / "file.db", isolation_level=None)
        connection.execute("PRAGMA journal_mode=wal")
        connection.execute("CREATE TABLE heap (filler TEXT)")
        before = time.time()
        assert disk.fill() > 7 << 20
        with pytest.raises(sqlite3.OperationalError, match=r"disk is full|disk I/O error"):
            connection.execute("INSERT INTO heap VALUES (?)", ["x" * 100_000])
        assert disk.was_full(time.time())
        disk.free()
        assert disk.was_full(before + 0.001, after=1)
        assert not disk.was_full(time.time() + 1)
        connection.execute("INSERT INTO heap VALUES (?)", ["x" * 100_000])
        connection.close()
    finally:
        disk.unmount()


async def test_a_line_can_be_cut_refused_and_stalled(echo: Proxy) -> None:
    first_reader, first_writer = await _open(echo)
    assert await _said_back(first_reader, first_writer) == b"hello\n"

    echo.cut()
    with pytest.raises(ConnectionResetError):
        await first_reader.readline()
    reader, writer = await _open(echo)
    assert await _said_back(reader, writer) == b"hello\n"

    echo.refuse()
    with pytest.raises(ConnectionRefusedError):
        await _open(echo)
    assert await _said_back(reader, writer) == b"hello\n"
    await echo.accept()

    echo.stall()
    late_reader, late_writer = await _open(echo)
    for each in (writer, late_writer):
        each.write(b"held back\n")
    lines = [asyncio.create_task(each.readline()) for each in (reader, late_reader)]
    done, _ = await asyncio.wait(lines, timeout=0.3)
    assert not done
    echo.resume()
    assert await asyncio.wait_for(asyncio.gather(*lines), 60) == [b"held back\n"] * 2
    for each in (first_writer, writer, late_writer):
        each.close()
    await eventually(lambda: _none_left(echo))


async def test_a_line_passes_much_and_the_end_of_one_direction(echo: Proxy) -> None:
    reader, writer = await _open(echo)
    much = b"0123456789abcde\n" * 200_000

    async def send() -> None:
        writer.write(much)
        await writer.drain()
        writer.write_eof()

    _, came = await asyncio.wait_for(asyncio.gather(send(), reader.read()), 60)
    assert came == much
    writer.close()


async def test_what_a_message_meets_follows_from_the_seed(mail: "Mail") -> None:
    rates = MailRates(cut_during_data=0.2, cut_after_data=0.3, temporary_failure=0.3, cut_before_data=0.1)
    seen = []
    for name, seed in (("first", 1), ("again", 1), ("other", 2)):
        server = await mail(name, seed, rates)
        for number in range(12):
            for _ in range(2):
                await server.send(f"c{number}@example.com", f"<m{number}@example.com>")
        seen.append([line.model_dump(exclude={"at"}) for line in read_log(server.log)])
    first, again, other = seen
    assert first == again
    assert first != other
    assert {line["what"] for line in first} == {
        "accepted", "cut_before_data", "cut_during_data", "cut_after_data", "temporary_failure"
    }  # fmt: skip
    assert {line["kept"] for line in first if line["what"] == "cut_after_data"} == {True, False}


async def test_a_killed_smtp_server_goes_on_counting_tries(mail: "Mail") -> None:
    server = await mail("counting", 1, MailRates(temporary_failure=1))
    await server.send("c@example.com", "<m@example.com>")
    await server.send("full-c@example.com", "<full@example.com>")
    await server.part.kill()
    with server.log.open("a") as log:
        log.write('{"at": 1, "wh')  # killed amid a line
    MailRates().write(server.settings)
    await server.part.start()
    await server.part.ready()
    for _ in range(2):
        await server.send("full-c@example.com", "<full@example.com>")
    assert (await server.send("c@example.com", "<m@example.com>")) == 250
    assert [(line.what, line.to, line.tries) for line in server.lines()] == [
        ("temporary_failure", "c@example.com", 1),
        ("temporary_failure", "full-c@example.com", 1),
        ("temporary_failure", "full-c@example.com", 2),
        ("accepted", "full-c@example.com", 1),
        ("accepted", "c@example.com", 2),
    ]


async def test_recipients_say_by_their_name_what_is_wrong_with_them(mail: "Mail") -> None:
    server = await mail("names", 1, MailRates())
    assert await server.send("gone-c@example.com", "<a@example.com>") == 550
    assert await server.send("rejected-c@example.com", "<b@example.com>") == 554
    assert await server.send("full-c@example.com", "<c@example.com>") == 452
    lines = server.lines()
    assert [(line.what, line.subject) for line in lines] == [
        ("refused", None),
        ("refused", "Hello"),
        ("temporary_failure", None),
    ]
    assert not any(line.kept for line in lines)


async def test_a_client_that_left_before_the_reply_is_told_from_one_that_was_answered(mail: "Mail") -> None:
    server = await mail("leaving", 1, MailRates(delay=1, delay_from=60, delay_to=60))
    client = await asyncio.to_thread(smtplib.SMTP, HOST, server.port)
    await asyncio.to_thread(_until_data, client, "c@example.com")
    client.send(b"Message-ID: <m@example.com>\r\nSubject: Hello\r\n\r\nText\r\n.\r\n")

    async def said(count: int) -> bool:
        return len(server.lines()) == count

    await eventually(lambda: said(1))
    client.close()
    await eventually(lambda: said(2))
    other = await asyncio.to_thread(smtplib.SMTP, HOST, server.port)
    await asyncio.to_thread(_until_data, other, "c@example.com")
    other.send(b"Message-ID: <m@example.com>\r\n\r\nText")
    other.close()
    await eventually(lambda: said(3))
    assert [(line.what, line.tries, line.kept is None) for line in server.lines()] == [
        ("delayed", 1, True),
        ("client_gone", 1, False),
        ("client_gone_during_data", 2, False),
    ]


async def test_a_relay_may_turn_connections_away(mail: "Mail") -> None:
    server = await mail("full", 1, MailRates(turn_away=1))
    assert await server.send("c@example.com", "<m@example.com>") == 421
    assert server.lines()[-1].what == "turned_away"


@pytest.mark.parametrize("kind", ["sqlite", "postgresql"])
def test_the_schedule_follows_from_the_seed(kind: Kind) -> None:
    assert plan(7, 180, kind, True) == plan(7, 180, kind, True)
    assert plan(7, 180, kind, True) != plan(8, 180, kind, True)
    everything = {(fault.kind, fault.target) for seed in range(20) for fault in plan(seed, 180, kind, True)}
    assert {target for deed, target in everything if deed == "mail"} == set(MAIL)
    assert {deed for deed, _ in everything} == {
        "kill", "freeze", "restart", "fill_disk", "cut", "refuse", "stall", "mail"
    }  # fmt: skip
    assert any(target == "postgresql" for _, target in everything) is (kind == "postgresql")
    for seed in range(20):
        faults = plan(seed, 180, kind, True)
        assert 180 / 6 <= len(faults) <= 180 / 2.5
        assert all(fault.at + fault.seconds <= 180.01 for fault in faults)
        assert not [fault for fault in plan(seed, 180, kind, False) if fault.kind == "fill_disk"]
        for one, next_one in _of_one_target(faults):
            assert one.at + one.seconds < next_one.at


class MailServer:
    """A running SMTP server of the harness, and a client for it."""

    def __init__(self, part: Part, port: int, log: Path, settings: Path) -> None:
        self.part = part
        self.port = port
        self.log = log
        self.settings = settings

    def lines(self) -> list[MailLine]:
        """What its log says of messages."""
        return read_log(self.log)

    async def send(self, to: str, message_id: str) -> int:
        """The code of its last reply, 0 where it cut the line."""
        return await asyncio.to_thread(_send, self.port, to, message_id)


Mail = Callable[[str, int, MailRates], Awaitable[MailServer]]


@pytest.fixture
async def mail(tmp_path: Path) -> AsyncIterator[Mail]:
    """Starts SMTP servers by name, seed and rates."""
    parts: list[Part] = []

    async def start(name: str, seed: int, rates: MailRates) -> MailServer:
        [port] = free_ports(1)
        log, settings = tmp_path / f"{name}.jsonl", tmp_path / f"{name}.json"
        rates.write(settings)

        async def listens(_: Part) -> bool:
            return _listens(port)

        part = Part(
            name,
            [sys.executable, "-m", "tests.faults.mail", "--port", str(port), "--log", log,
             "--settings", settings, "--seed", str(seed)],
            environment=os.environ, log=tmp_path / f"{name}.log", answers=listens, folder=ROOT,
        )  # fmt: skip
        parts.append(part)
        await part.start()
        await part.ready()
        return MailServer(part, port, log, settings)

    yield start
    for part in parts:
        await part.kill()


@pytest.fixture
async def echo() -> AsyncIterator[Proxy]:
    """A proxy before a server that says everything back."""

    async def say_back(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        try:
            while data := await reader.read(65536):
                writer.write(data)
                await writer.drain()
        except ConnectionError:
            pass
        finally:
            writer.close()

    front, back = free_ports(2)
    server = await asyncio.start_server(say_back, HOST, back)
    proxy = Proxy(front, back)
    await proxy.accept()
    yield proxy
    proxy.close()
    server.close()


async def _none_left(proxy: Proxy) -> bool:
    return proxy.connections == 0


async def _open(proxy: Proxy) -> tuple[asyncio.StreamReader, asyncio.StreamWriter]:
    return await asyncio.open_connection(HOST, proxy.port)


async def _said_back(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> bytes:
    writer.write(b"hello\n")
    return await asyncio.wait_for(reader.readline(), 60)


def _send(port: int, to: str, message_id: str) -> int:
    try:
        with smtplib.SMTP(HOST, port) as client:
            client.sendmail(SENDER, [to], f"Message-ID: {message_id}\r\nSubject: Hello\r\n\r\nText\r\n")
    except smtplib.SMTPRecipientsRefused as error:
        return error.recipients[to][0]
    except smtplib.SMTPResponseException as error:
        return error.smtp_code
    except (smtplib.SMTPServerDisconnected, ConnectionError):
        return 0
    return 250


def _until_data(client: smtplib.SMTP, to: str) -> None:
    client.ehlo()
    client.mail(SENDER)
    client.rcpt(to)
    assert client.docmd("DATA")[0] == 354


async def _connect(system: System) -> asyncpg.Connection:
    return await asyncpg.connect(system.database_url.replace("+asyncpg", ""))


async def _write_until_it_fails(system: System) -> int:
    """How many rows PostgreSQL confirmed."""
    connection = await _connect(system)
    confirmed = 0
    try:
        while confirmed < 10_000:
            await connection.execute(
                "INSERT INTO heap VALUES ($1, repeat(md5($2), 500))", confirmed, str(confirmed)
            )
            confirmed += 1
    except (asyncpg.PostgresError, OSError, asyncpg.InterfaceError):
        pass
    connection.terminate()
    return confirmed


def _of_one_target(faults: list[Fault]) -> list[tuple[Fault, Fault]]:
    lines = ("cut", "refuse", "stall")
    targets: dict[tuple[bool, str], list[Fault]] = {}
    for fault in faults:
        target = "mail" if fault.kind == "mail" else fault.target
        targets.setdefault((fault.kind in lines, target), []).append(fault)
    return [pair for one in targets.values() for pair in pairwise(one)]


def _listens(port: int) -> bool:
    """Seen from outside: a greeting asked for would be one more connection, of which the rates depend."""
    return f":{port:04X} 00000000:0000 0A" in Path("/proc/net/tcp").read_text()


def _runs(pid: int) -> bool:
    stat = Path(f"/proc/{pid}/stat")
    return stat.exists() and stat.read_text().rpartition(")")[2].split()[0] not in "ZX"
