"""The ports of a development stack: which they are, whether they are free, and how to choose others."""

import socket
from collections import Counter
from collections.abc import Iterator
from dataclasses import astuple, dataclass, fields
from typing import Self

HOST = "127.0.0.1"
"""Everything listens on this machine only."""


@dataclass(frozen=True)
class Ports:
    """One port for each part."""

    temporal: int = 7233
    ui: int = 8233
    api: int = 8080
    smtp: int = 1025
    mail: int = 8025

    @classmethod
    def free(cls) -> Self:
        """Ports that nobody listens on now, all different."""
        probes = [socket.socket() for _ in fields(cls)]
        try:
            for probe in probes:
                probe.bind((HOST, 0))
            return cls(*(probe.getsockname()[1] for probe in probes))
        finally:
            for probe in probes:
                probe.close()

    def problems(self) -> Iterator[str]:
        """Each port that cannot be used, with what to change."""
        shared = Counter(astuple(self))
        for field in fields(self):
            port = getattr(self, field.name)
            use = PORT_USES[field.name]
            if shared[port] > 1:
                yield f"Port {port} is given to more than one part: choose another for {use} ({hint(field.name)})."
            elif not is_free(port):
                yield f"Port {port}, for {use}, is taken: free it, or choose another ({hint(field.name)})."


PORT_USES = {
    "temporal": "the Temporal server",
    "ui": "the Temporal Web UI",
    "api": "the API",
    "smtp": "the mail catcher's SMTP",
    "mail": "the mail page",
}
"""What each port is for, in words."""


def option(name: str) -> str:
    """The command-line option that sets a port."""
    return f"--{name}-port"


def variable(name: str) -> str:
    """The environment variable that sets a port."""
    return f"ONWARD_{name.upper()}_PORT"


def hint(name: str) -> str:
    """How to choose another port."""
    return f"{option(name)} or {variable(name)}"


def is_free(port: int) -> bool:
    """Whether nobody listens on the port of this machine."""
    with socket.socket() as probe:
        # Without it a port counts as taken for a minute after its last connection.
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            probe.bind((HOST, port))
        except OSError:
            return False
    return True
