"""`onward dev`: the stack in the foreground until Ctrl-C."""

import asyncio
import re
import signal
from contextlib import suppress
from pathlib import Path

from rich.console import Console
from rich.markup import escape

from dev.mailbox import Mail
from dev.ports import HOST, PORT_USES, Ports
from dev.stack import NAMESPACE, Stack, StackError

_CONTROL_SEQUENCE = re.compile(r"\x1b\[[0-?]*[ -/]*[@-~]")
NOT_UP_YET = "Frontend is not healthy yet"
COLOURS = {"temporal": "magenta", "database": "blue", "api": "cyan", "worker": "green", "mail": "yellow"}


class Terminal:
    """Prints what the parts say, each line behind the part's name."""

    def __init__(self, console: Console) -> None:
        self._console = console

    def say(self, part: str, line: str) -> None:
        """A line of a part, but for empty ones, the Temporal server's banner, and its errors of not being up yet."""
        if line.strip() and not (part == "temporal" and (line.startswith("Temporal ") or NOT_UP_YET in line)):
            self._print(part, escape(plain(line)))

    def caught(self, mail: Mail, url: str) -> None:
        """A message that was caught."""
        subject = escape(plain(mail.subject)) or "(no subject)"
        self._print("mail", f"to {escape(plain(mail.to))}: [bold]{subject}[/bold]  {url}/messages/{mail.id}")

    def _print(self, part: str, text: str) -> None:
        colour = COLOURS.get(part, "white")
        self._console.print(f"[{colour}]{part:>8}[/{colour}] │ {text}", soft_wrap=True, highlight=False)


def plain(text: str) -> str:
    """Text that cannot steer a terminal."""
    return "".join(c for c in _CONTROL_SEQUENCE.sub("", text) if c.isprintable() or c == "\t")


def banner(console: Console, stack: Stack) -> None:
    """What runs where, once it runs."""
    places = [
        ("API", f"{stack.api_url}/docs"),
        ("Temporal Web UI", f"{stack.ui_url}/namespaces/{NAMESPACE}/workflows"),
        ("Mail", f"{stack.mail_url}  (SMTP {HOST}:{stack.ports.smtp})"),
        ("Temporal", stack.temporal_address),
        ("State", str(stack.folder)),
    ]
    console.print("\n[bold green]Onward is ready.[/bold green]")
    for name, place in places:
        console.print(f"  {name:<16} {escape(place)}", soft_wrap=True, highlight=False)
    console.print("  The API needs no key: it serves this machine only.", soft_wrap=True, highlight=False)


def stop_on_signals(stack: Stack) -> asyncio.Event:
    """An event that the first Ctrl-C, SIGTERM or hang-up sets; the second kills all children at once."""
    stop = asyncio.Event()

    def ask() -> None:
        if stop.is_set():
            stack.kill()
        stop.set()

    loop = asyncio.get_running_loop()
    for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):
        loop.add_signal_handler(number, ask)
    return stop


async def run(folder: Path, ports: Ports, database_url: str | None, *, own_signing_key: bool = True) -> int:
    """Run the stack until a signal; returns the exit code. `database_url` takes the place of the embedded one;
    without `own_signing_key` there is one in the environment or in `.env`.
    """
    console = Console()
    terminal = Terminal(console)
    stack = Stack(
        folder,
        ports,
        say=terminal.say,
        caught=lambda mail: terminal.caught(mail, stack.mail_url),
        database_url=database_url,
        own_signing_key=own_signing_key,
    )
    stop = stop_on_signals(stack)
    started = asyncio.Event()

    async def serve() -> None:
        async with stack.running():
            started.set()
            banner(console, stack)
            elsewhere = "" if ports.api == Ports().api else f" --api {stack.api_url}"
            console.print(
                f"  Next             onward process apply --activate examples/welcome.yaml{elsewhere}",
                highlight=False,
                soft_wrap=True,
            )
            console.print("  Ctrl-C ends everything; the state stays.\n", highlight=False)
            await stop.wait()
            console.print("\nEnding …")

    listed = ", ".join(f"{getattr(ports, name)} for {use}" for name, use in PORT_USES.items())
    console.print(f"Onward starts on the ports {listed}.", highlight=False, soft_wrap=True)
    serving = asyncio.create_task(serve())
    stopping = asyncio.create_task(stop.wait())
    await asyncio.wait({serving, stopping}, return_when=asyncio.FIRST_COMPLETED)
    stopping.cancel()
    if not started.is_set():
        serving.cancel()
    try:
        with suppress(asyncio.CancelledError):
            await serving
    except StackError as error:
        Console(stderr=True).print(
            f"[bold red]Onward cannot start.[/bold red] {escape(str(error))}", soft_wrap=True
        )
        return 1
    console.print("Everything has ended.")
    return 0
