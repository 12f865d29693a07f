"""Patterns of page addresses (T4): which visited pages a trigger means. Pure, and linear in the address's length.

A pattern is `host/path` with `*` for any text; `docs/processes.md` says the rules.
"""

import re
from dataclasses import dataclass
from functools import lru_cache
from urllib.parse import parse_qsl, unquote, urlsplit

from processes.addresses import ascii_domain
from processes.values import Json

MAX_PATTERN = 1000
_DEFAULT_PORTS = {"http": ":80", "https": ":443"}
_SCHEME = re.compile(r"(?P<name>[a-zA-Z][a-zA-Z0-9+.-]*)://")
_HOST = re.compile(r"(?:\[[0-9a-f:.]+\]|[^:\[\]]*)(?::(?:[0-9]+|\*))?")
_WRITE = "write host/path, such as shop.example.com/cart/*, or */cart/* for any host"


def check_pattern(text: str) -> str:
    """`text` if it is a pattern. Raises ValueError with what is wrong."""
    if len(text) > MAX_PATTERN:
        raise ValueError(f"a pattern has at most {MAX_PATTERN} characters")
    if any(character.isspace() for character in text):
        raise ValueError("a pattern has no spaces: write %20 for one in a path")
    if "#" in text:
        raise ValueError("leave out what follows «#»: it is not compared")
    scheme = _SCHEME.match(text)
    if scheme is not None and scheme["name"].lower() not in _DEFAULT_PORTS:
        raise ValueError(f"«{scheme['name']}» is no web page's: {_WRITE}")
    host = _Address.read(text).host
    if not host:
        raise ValueError(f"names no host: {_WRITE}")
    if any("*" in label and not label.isascii() for label in host.split(".")):
        raise ValueError("in a host, a * cannot stand beside letters other than a to z in one label")
    return text


def page_matches(pattern: str, url: Json) -> bool:
    """Whether a visited page's address is one that the pattern means. What is no address of a page never is."""
    if not isinstance(url, str):
        return False
    wanted, visited = _parsed(pattern), _Address.read(url)
    return (
        glob_matches(wanted.host, visited.host)
        and glob_matches(wanted.path, visited.path)
        and all(
            any(name == found and glob_matches(value, given) for found, given in visited.query)
            for name, value in wanted.query
        )
    )


def glob_matches(pattern: str, text: str) -> bool:
    """Whether a text is as the pattern, in which each `*` stands for any text, nothing included."""
    first, *rest = pattern.split("*")
    if not rest:
        return text == first
    if not text.startswith(first):
        return False
    *middle, last = rest
    at = len(first)
    for part in middle:
        found = text.find(part, at)
        if found < 0:
            return False
        at = found + len(part)
    return text.endswith(last) and len(text) - at >= len(last)


@dataclass(frozen=True, slots=True)
class _Address:
    """The parts that count: the host with a port that is not the usual one, the path decoded, the query's pairs."""

    host: str
    path: str
    query: tuple[tuple[str, str], ...]

    @classmethod
    def read(cls, text: str) -> "_Address":
        """An address or a pattern. Without a scheme it begins with the host; with one that is no web page's, it is
        nobody's.
        """
        nobodys = cls("", "", ())
        try:
            parts = urlsplit(text if _SCHEME.match(text) else f"//{text.removeprefix('//')}")
            pairs = parse_qsl(parts.query, keep_blank_values=True)
        except ValueError:
            return nobodys
        host = parts.netloc.rpartition("@")[2].lower()
        if not text or parts.scheme not in {"", *_DEFAULT_PORTS} or not _HOST.fullmatch(host):
            return nobodys
        host = _ascii(host.removesuffix(_DEFAULT_PORTS.get(parts.scheme, ":443")))
        return cls(host, _decoded(parts.path).rstrip("/") or "/", tuple(pairs))


@lru_cache(maxsize=4096)
def _parsed(pattern: str) -> _Address:
    return _Address.read("*/*" if pattern == "*" else pattern)


def _decoded(path: str) -> str:
    """Percent-decoded; a `*` stays one only where it was written as such."""
    return "*".join(unquote(part).replace("*", "%2A") for part in path.split("*"))


def _ascii(host: str) -> str:
    """The host as browsers report it: a name in other letters in its `xn--` form."""
    return ".".join(_label(label) for label in host.split("."))


def _label(label: str) -> str:
    if label.isascii() or "*" in label:
        return label
    try:
        return ascii_domain(label)
    except ValueError:
        return label
