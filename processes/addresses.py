"""E-mail addresses and domains: one spelling of each from the door to the wire. Pure; no DNS is asked.

A contact has an address in its Unicode form, as `email-validator` advises: NFC, the local part in lower case, the
domain mapped by UTS 46 (non-transitional) and valid in IDNA 2008. The same domain's ASCII form (`xn--…`) is what goes
to mail servers. Each follows from the other, so `straße.example` never becomes `strasse.example`, which is somebody
else's, as it does in IDNA 2003 (Python's own `idna` codec). See `docs/addresses.md`.
"""

import re
import unicodedata
from dataclasses import dataclass
from functools import lru_cache
from typing import Final

import idna

_ATOM: Final = r"[^\s\x00-\x20\x7f()<>\[\]:;@\\,.\"]"
_ATOMS_AND_DOTS: Final = re.compile(rf"(?:{_ATOM}|\.)+")
_LONGEST: Final = 1000
"""Characters of what is looked at. An address has 254 octets at most."""
_NAMED: Final = re.compile(r"(?P<name>[^<>]*)<(?P<address>[^<>]*)>")
_CONTROLS: Final = re.compile(r"[\x00-\x1f\x7f]")
NEEDS_SMTPUTF8: Final = "needs SMTPUTF8, which ONWARD_SMTP_SMTPUTF8 allows where the mail server offers it"
_QUOTED: Final = re.compile(r'"((?:[^"\\\r\n]|\\[^\r\n])*)"')
_ESCAPED: Final = re.compile(r"\\(.)")


@dataclass(frozen=True, slots=True)
class AddressRules:
    """Which addresses are taken beyond those that every mail server takes.

    Attributes:
        smtputf8: letters beyond ASCII before the @ (RFC 6531): the mail relay must offer SMTPUTF8.
        irregular_dots: dots at the beginning, at the end, or one after another before the @, as Japanese mobile
            operators once gave out (`a..b@docomo.ne.jp`). On the wire such a local part is quoted.
    """

    smtputf8: bool = False
    irregular_dots: bool = False


STRICT: Final = AddressRules()
ANY: Final = AddressRules(smtputf8=True, irregular_dots=True)
"""For what only looks an address up, or keeps mail from it."""


def read_address(text: str, rules: AddressRules) -> str:
    """An address as contacts have it. Raises ValueError, in words that follow the field's name."""
    from email_validator import EmailNotValidError, validate_email  # workflow modules stay light

    if len(text) > _LONGEST:
        raise ValueError("is not an e-mail address: it has 254 octets at most")
    local, _, domain = text.strip().rpartition("@")
    local = _unquoted(local)
    irregular = rules.irregular_dots and _has_irregular_dots(local)
    # The validator knows no irregular dots: it sees another character in their place, of the same length.
    shown = local.replace(".", "-") if irregular else local
    written = f"{shown}@{domain}" if shown or domain else text
    try:
        checked = validate_email(written, check_deliverability=False, test_environment=True)
    except EmailNotValidError as error:
        raise ValueError(f"is not an e-mail address: {error}") from None
    if checked.smtputf8 and not rules.smtputf8:
        raise ValueError(
            "has letters beyond a to z before the @: it can only be written to by a mail server that offers SMTPUTF8, "
            "and ONWARD_SMTP_SMTPUTF8 does not say that ours does"
        )
    return f"{_folded(local if irregular else checked.local_part)}@{checked.domain}"


def known_as(text: str) -> str:
    """An address, however it is spelled, as a contact would have it. Never fails: what is no address is only put in
    lower case, and is nobody's.
    """
    local, at, domain = text.strip().rpartition("@")
    if not at:
        return text.lower()
    return f"{_folded(_unquoted(local))}@{unicode_domain(domain)}"


def part_known_as(text: str) -> str:
    """A part of an address (`@straße.example`, `xn--strae-oqa`), each whole label spelled as contacts have it."""
    if text.isascii() and "xn--" not in text.lower():
        return text
    before, at, after = text.rpartition("@")
    labels = [unicode_domain(label) if label else "" for label in after.split(".")]
    return f"{before}{at}{'.'.join(labels)}"


def on_the_wire(address: str) -> str:
    """The address as it stands in SMTP commands and headers: its domain in ASCII, its local part quoted where it has
    to be. Raises ValueError where the domain is none.
    """
    local, _, domain = address.rpartition("@")
    plain = _unquoted(local)
    if not _has_atoms(plain) or _has_irregular_dots(plain):
        escaped = re.sub(r"([\\\"])", r"\\\1", plain)
        plain = f'"{escaped}"'
    return f"{plain}@{ascii_domain(domain)}"


def split_mailbox(mailbox: str) -> tuple[str, str]:
    """Name and address of `Name <address>`, or of an address alone. The name may be quoted or not: people write
    `Smith, Jane <jane@example.com>`.
    """
    found = _NAMED.fullmatch(mailbox.strip())
    if not found:
        return "", mailbox.strip()
    name = found["name"].strip()
    if len(name) > 1 and name.startswith('"') and name.endswith('"'):
        name = _ESCAPED.sub(r"\1", name[1:-1])
    return name, found["address"].strip()


def why_no_sender(mailbox: str, *, smtputf8: bool) -> str | None:
    """Why `Name <address>` can never stand in From or Reply-To; None if it can."""
    if _CONTROLS.search(mailbox):
        return "has a line break or another control character"
    _, address = split_mailbox(mailbox)
    if not is_writable(address):
        return "is not an e-mail address such as Shop <shop@example.com>"
    if not smtputf8 and not on_the_wire(address).isascii():
        return NEEDS_SMTPUTF8
    return None


def is_writable(address: str) -> bool:
    """Whether the address has the form of one: something that SMTP can be asked to deliver to."""
    local, at, domain = address.rpartition("@")
    if not at or not _has_atoms(_unquoted(local)):
        return False
    try:
        return bool(ascii_domain(domain))
    except ValueError:
        return False


@lru_cache(maxsize=4096)
def ascii_domain(domain: str) -> str:
    """The domain as DNS and SMTP know it: lower case, other letters in their `xn--` form (IDNA 2008).

    Raises ValueError where it is no domain.
    """
    if len(domain) > _LONGEST:
        raise ValueError("a domain has 253 characters at most")
    if domain.isascii() and "xn--" not in domain.lower():
        # The names of hosts that only a local network knows may have characters that IDNA does not.
        if not re.fullmatch(r"[A-Za-z0-9_-]{1,63}(\.[A-Za-z0-9_-]{1,63})*", domain):
            raise ValueError(f"{domain!r} is not a domain")
        return domain.lower()
    try:
        return idna.encode(domain, uts46=True, transitional=False).decode("ascii")
    except UnicodeError as error:
        raise ValueError(f"{domain!r} is not a domain: {error}") from None


@lru_cache(maxsize=4096)
def unicode_domain(domain: str) -> str:
    """The domain as contacts have it. What is no domain is put in lower case, and is nobody's."""
    try:
        plain = ascii_domain(domain)
        return idna.decode(plain) if "xn--" in plain else plain
    except ValueError:
        return domain.lower()


def _folded(local: str) -> str:
    return unicodedata.normalize("NFC", unicodedata.normalize("NFC", local).lower())


def _unquoted(local: str) -> str:
    """Without quotes that it does not need: `"a..b"@` and `a..b@` are one mailbox (RFC 5321, 4.1.2)."""
    quoted = _QUOTED.fullmatch(local)
    if quoted is None:
        return local
    inside = _ESCAPED.sub(r"\1", quoted[1])
    return inside if _has_atoms(inside) else local


def _has_atoms(local: str) -> bool:
    """Whether a local part is made of dots and what needs no quotes, and of more than dots."""
    return _ATOMS_AND_DOTS.fullmatch(local) is not None and local.strip(".") != ""


def _has_irregular_dots(local: str) -> bool:
    return _has_atoms(local) and "" in local.split(".")
