"""Addresses that a process listens on: read from the settings, taken by another, and said so in one line."""

import socket
from typing import NamedTuple


class Address(NamedTuple):
    """A host and a port."""

    host: str
    port: int

    @classmethod
    def parse(cls, text: str) -> "Address":
        """From `host:port`. An IPv6 host stands in brackets. Raises ValueError."""
        host, colon, port = text.rpartition(":")
        if not colon or not port.isascii() or not port.isdigit() or int(port) > 65535:
            raise ValueError(f"{text!r} is not host:port, such as 0.0.0.0:9464")
        return cls(host.removeprefix("[").removesuffix("]") or "0.0.0.0", int(port))  # noqa: S104


class CannotListen(Exception):
    """A process cannot listen where its settings say. The message names the setting, the address and the reason."""

    def __init__(self, setting: str, address: str, reason: object) -> None:
        super().__init__(f"cannot listen on {address} ({setting}): {reason}")


def bind(host: str, port: int, setting: str) -> list[socket.socket]:
    """Sockets bound to every address that the host has. Raises CannotListen."""
    sockets: list[socket.socket] = []
    try:
        found = socket.getaddrinfo(host or None, port, type=socket.SOCK_STREAM, flags=socket.AI_PASSIVE)
        for family, address in dict.fromkeys((one[0], one[4]) for one in found):
            sockets.append(listener := socket.socket(family, socket.SOCK_STREAM))
            listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            if family == socket.AF_INET6:
                listener.setsockopt(socket.IPPROTO_IPV6, socket.IPV6_V6ONLY, 1)
            listener.bind(address)
    except OSError as error:
        for one in sockets:
            one.close()
        raise CannotListen(setting, f"{host}:{port}", error.strerror or error) from error
    return sockets
