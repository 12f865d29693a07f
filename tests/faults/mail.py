"""An SMTP server in a process of its own that misbehaves by seed and writes a JSON line for each thing that happened.

What the n-th try of a message meets follows from a hash of the seed, the Message-ID and n, and from the rates in the
settings file, which is read again when it changes. Before the message is there, the recipient and the number of its
DATA commands take the place of the Message-ID. Recipients `gone-…` are refused for ever (550), `full-…` twice (452),
messages to `rejected-…` for ever (554, after DATA).

The log is append-only; tries are counted from it at the start, so that the process may be killed at any time. A line is
written before the reply: what is `accepted` or `kept` counts as delivered, whatever became of the reply.
"""

import argparse
import asyncio
import hashlib
import json
import os
import signal
import time
import warnings
from collections import Counter
from pathlib import Path
from typing import Annotated, Literal, cast

from aiosmtpd.smtp import SMTP, Envelope, Session
from pydantic import BaseModel, ConfigDict, Field, ValidationError

HOST = "127.0.0.1"
FULL_TRIES = 2
"""How often a `full-…` recipient is put off."""

Rate = Annotated[float, Field(ge=0, le=1)]
Fate = Literal["accepted", "delayed", "temporary_failure", "cut_during_data", "cut_after_data"]
What = Literal[
    "accepted",  # kept, and answered with 250
    "delayed",  # the reply waits; what became of it follows in a line of its own
    "temporary_failure",  # 4xx, not kept
    "refused",  # 5xx, not kept
    "cut_before_data",  # in the place of 354: not kept
    "cut_during_data",  # amid the message: not kept
    "cut_after_data",  # after the final dot, in the place of the reply: `kept` says whether it is delivered
    "client_gone",  # the client left after its final dot, before the reply: `kept` says whether it is delivered
    "client_gone_during_data",  # the client left amid the message: not kept
    "turned_away",  # 421 in the place of the greeting
]


class MailRates(BaseModel):
    """How often it misbehaves, from 0 (never, the default) to 1. The first four share one dice: 1 in all at most."""

    model_config = ConfigDict(extra="forbid")

    cut_during_data: Rate = 0
    cut_after_data: Rate = 0
    temporary_failure: Rate = 0
    """451 4.3.0 in reply to the message."""
    delay: Rate = 0
    """The reply comes late: between `delay_from` and `delay_to` seconds."""
    cut_before_data: Rate = 0
    turn_away: Rate = 0
    """Of connections: 421 in the place of the greeting."""
    delay_from: float = 0.5
    delay_to: float = 7.0

    def write(self, path: Path) -> None:
        """Put it in force: whoever reads sees the whole of it."""
        draft = path.with_suffix(".draft")
        draft.write_text(self.model_dump_json())
        draft.replace(path)


class MailLine(BaseModel):
    """A line of the log."""

    at: float
    """Epoch seconds, UTC."""
    what: What
    message_id: str | None = None
    """With its angle brackets; None before the message is there."""
    to: str | None = None
    subject: str | None = None
    """As sent, with its encoding if it has one."""
    tries: int = Field(default=0, alias="try")
    """Counts the message's tries from 1; the recipient's where there is no message yet."""
    kept: bool | None = None
    """Whether the message counts as delivered."""


def read_log(path: Path) -> list[MailLine]:
    """All whole lines, oldest first."""
    if not path.exists():
        return []
    whole = path.read_bytes().rpartition(b"\n")[0].splitlines()
    return [MailLine.model_validate_json(line) for line in whole]


def dice(seed: int, *about: object) -> float:
    """A number from 0 to below 1 that follows from what it is about."""
    text = json.dumps([seed, *about])
    return int.from_bytes(hashlib.sha256(text.encode()).digest()[:8]) / 2**64


def fate_of(seed: int, rates: MailRates, message_id: str, tries: int) -> Fate:
    """What the whole message meets at its n-th try."""
    thrown = dice(seed, "message", message_id, tries)
    shares: list[tuple[Fate, float]] = [
        ("cut_during_data", rates.cut_during_data),
        ("cut_after_data", rates.cut_after_data),
        ("temporary_failure", rates.temporary_failure),
        ("delayed", rates.delay),
    ]
    for fate, share in shares:
        thrown -= share
        if thrown < 0:
            return fate
    return "accepted"


class Recorder:
    """The log, the rates and the counts of one server process."""

    def __init__(self, log: Path, settings: Path, seed: int) -> None:
        self.seed = seed
        self.messages: Counter[str] = Counter()
        """Tries by Message-ID."""
        self.recipients: Counter[str] = Counter()
        """DATA commands and refusals at RCPT, by recipient."""
        self.connections = 0
        self._settings = settings
        self._stamp: int | None = None
        self._rates = MailRates()
        for line in read_log(log):
            self._count(line)
        self._file = os.open(log, os.O_WRONLY | os.O_APPEND | os.O_CREAT, 0o644)
        # A line that a kill tore was not acted upon.
        os.ftruncate(self._file, log.read_bytes().rfind(b"\n") + 1)

    @property
    def rates(self) -> MailRates:
        """The rates in force now."""
        try:
            stamp = self._settings.stat().st_mtime_ns
            if stamp != self._stamp:
                self._rates = MailRates.model_validate_json(self._settings.read_text())
                self._stamp = stamp
        except (FileNotFoundError, ValidationError):
            pass  # the last ones stay
        return self._rates

    def write(self, what: What, to: str | None = None, **more: object) -> None:
        """Append a line."""
        line = MailLine.model_validate({"at": time.time(), "what": what, "to": to, **more})
        text = line.model_dump_json(by_alias=True, exclude_none=True)
        os.write(self._file, text.encode() + b"\n")

    def _count(self, line: MailLine) -> None:
        if line.message_id is not None:
            self.messages[line.message_id] = max(self.messages[line.message_id], line.tries)
        elif line.to is not None:
            self.recipients[line.to] = max(self.recipients[line.to], line.tries)


class _Handler:
    def __init__(self, recorder: Recorder) -> None:
        self._recorder = recorder

    async def handle_RCPT(  # noqa: N802
        self, server: SMTP, session: Session, envelope: Envelope, address: str, options: list[str]
    ) -> str:
        recorder = self._recorder
        if address.startswith(("gone-", "full-")):
            tries = recorder.recipients[address] + 1
            if address.startswith("gone-"):
                recorder.recipients[address] = tries
                recorder.write("refused", address, **{"try": tries})
                return "550 5.1.1 No such mailbox"
            if tries <= FULL_TRIES:
                recorder.recipients[address] = tries
                recorder.write("temporary_failure", address, **{"try": tries})
                return "452 4.2.2 Mailbox full"
        envelope.rcpt_tos.append(address)
        return "250 OK"


class Protocol(SMTP):
    """aiosmtpd's server with a DATA of our own, which may cut the line anywhere."""

    def __init__(self, recorder: Recorder) -> None:
        self._recorder = recorder
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            super().__init__(_Handler(recorder), hostname="recorder.test", loop=asyncio.get_running_loop())

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        recorder = self._recorder
        recorder.connections += 1
        if dice(recorder.seed, "connection", recorder.connections) < recorder.rates.turn_away:
            recorder.write("turned_away")
            greeted = cast(asyncio.Transport, transport)
            greeted.write(b"421 4.3.2 Not now\r\n")
            greeted.close()
            return
        super().connection_made(transport)

    def connection_lost(self, error: Exception | None) -> None:
        if self.session is not None:
            super().connection_lost(error)

    def eof_received(self) -> bool | None:
        return super().eof_received() if self.session is not None else False

    async def smtp_DATA(self, arg: str) -> None:  # noqa: N802
        assert self.envelope is not None
        if not self.envelope.rcpt_tos:
            await self.push("503 Need RCPT first")
            return
        recorder, to = self._recorder, str(self.envelope.rcpt_tos[0])
        recorder.recipients[to] += 1
        tries = recorder.recipients[to]
        if dice(recorder.seed, "recipient", to, tries) < recorder.rates.cut_before_data:
            recorder.write("cut_before_data", to, **{"try": tries})
            self._cut()
            return
        await self.push("354 Go on")
        await _Message(self, recorder, to).receive()
        self._set_post_data_state()  # type: ignore[no-untyped-call]

    def _cut(self) -> None:
        if self.transport is not None:
            cast(asyncio.Transport, self.transport).abort()


class _Message:
    """One message on its way in."""

    def __init__(self, server: Protocol, recorder: Recorder, to: str) -> None:
        self._server = server
        self._recorder = recorder
        self._to = to
        self._reader = server._reader
        self._about: dict[str, object] = {}
        self._id = ""
        self._tries = 0
        self._taken = False

    async def receive(self) -> None:
        """Read it, and do with it what is its fate."""
        whole = False
        try:
            await self._read_headers()
            fate = fate_of(self._recorder.seed, self._recorder.rates, self._id, self._tries)
            if fate == "cut_during_data":
                self._write("cut_during_data", kept=False)
                self._server._cut()
                return
            while await self._line() != b".\r\n":
                pass
            whole = True
            await self._answer(fate)
        except asyncio.CancelledError:  # aiosmtpd's way to say that the client has left
            if self._taken:  # while it was told so: that it was taken is written already
                self._write("client_gone")
            elif whole or self._rest_is_here():
                self._write("client_gone", kept=self._kept())
            else:
                self._write("client_gone_during_data", kept=False)
            raise

    async def _answer(self, fate: Fate) -> None:
        if self._to.startswith("rejected-"):
            self._write("refused", kept=False)
            await self._server.push("554 5.3.0 Not this message")
        elif fate == "cut_after_data":
            self._write("cut_after_data", kept=self._kept())
            self._server._cut()
        elif fate == "temporary_failure":
            self._write("temporary_failure", kept=False)
            await self._server.push("451 4.3.0 Try again")
        else:
            if fate == "delayed":
                rates = self._recorder.rates
                share = dice(self._recorder.seed, "delay", self._id, self._tries)
                self._write("delayed")
                await asyncio.sleep(rates.delay_from + share * (rates.delay_to - rates.delay_from))
            self._write("accepted", kept=True)
            self._taken = True
            await self._server.push("250 OK")

    async def _read_headers(self) -> None:
        """Up to the blank line. Folded headers are of no interest here."""
        headers: dict[str, str] = {}
        while (line := await self._line()) not in (b"\r\n", b".\r\n"):
            name, _, value = line.decode(errors="replace").partition(":")
            headers.setdefault(name.strip().lower(), value.strip())
        self._id = headers.get("message-id", "")
        self._tries = self._recorder.messages[self._id] + 1
        self._recorder.messages[self._id] = self._tries
        self._about = {"message_id": self._id, "subject": headers.get("subject"), "try": self._tries}

    async def _line(self) -> bytes:
        try:
            return await self._reader.readuntil(b"\r\n")
        except asyncio.LimitOverrunError as long:
            return await self._reader.read(long.consumed)

    def _rest_is_here(self) -> bool:
        """Whether the client left behind the whole message, unread."""
        return bool(self._about) and bytes(self._reader._buffer).endswith(b"\r\n.\r\n")  # type: ignore[attr-defined]

    def _kept(self) -> bool:
        return dice(self._recorder.seed, "kept", self._id, self._tries) < 0.5

    def _write(self, what: What, kept: bool | None = None) -> None:
        self._recorder.write(what, self._to, kept=kept, **self._about)


async def serve(port: int, log: Path, settings: Path, seed: int) -> None:
    """Serve until SIGTERM or Ctrl-C."""
    recorder = Recorder(log, settings, seed)
    loop = asyncio.get_running_loop()
    stop = asyncio.Event()
    for number in (signal.SIGTERM, signal.SIGINT):
        loop.add_signal_handler(number, stop.set)
    server = await loop.create_server(lambda: Protocol(recorder), HOST, port)
    await stop.wait()
    server.close()


def main() -> None:
    """The process."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--port", type=int, required=True)
    parser.add_argument("--log", type=Path, required=True)
    parser.add_argument("--settings", type=Path, required=True)
    parser.add_argument("--seed", type=int, required=True)
    given = parser.parse_args()
    asyncio.run(serve(given.port, given.log, given.settings, given.seed))


if __name__ == "__main__":
    main()
