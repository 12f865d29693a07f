"""What the columns of the usual systems' exports mean, by their headers. A table, and how a header is looked up in it.

`docs/imports.md` lists the systems; `tests/imports/test_usual_exports.py` has a header line of each.
"""

import re
import unicodedata
from collections.abc import Iterable, Mapping
from typing import Final

OPT_IN, OPT_OUT, STATUS = "opt_in", "opt_out", "status"
SMS_OPT_IN, SMS_OPT_OUT = "sms_opt_in", "sms_opt_out"
INTERNATIONAL: Final = "phone:international"
"""A phone number without a plus in front, country first, as Brevo writes it."""

LONGEST_NAME: Final = 64
_SEPARATORS = re.compile(r"[^a-z0-9]+")


def plain(header: str) -> str:
    """A header without accents, case, and what stands between its words: `E-mail Address` and `email_address` are
    `email address`.
    """
    folded = unicodedata.normalize("NFKD", header.casefold().replace("ł", "l").replace("ß", "ss"))
    ascii_only = "".join(c for c in folded if not unicodedata.combining(c))
    words = _SEPARATORS.sub(" ", ascii_only).strip()
    return re.sub(r"\be mail\b", "email", words)


def field_name(header: str, taken: Iterable[str]) -> str | None:
    """A field's name made of a header that is none: `Member Rating` is `member_rating`. None if nothing is left."""
    folded = unicodedata.normalize("NFKD", header.casefold().replace("ł", "l").replace("ß", "ss"))
    name = _SEPARATORS.sub("_", "".join(c for c in folded if not unicodedata.combining(c))).strip("_")
    if not name:
        return None
    if name[0].isdigit():
        name = f"_{name}"
    name, used = name[:LONGEST_NAME], set(taken)
    number, base = 2, name[: LONGEST_NAME - 4]
    while name in used:
        name, number = f"{base}_{number}", number + 1
    return name


def usual(header: str) -> str | None:
    """What a header of a usual export means: a target, or the name of a field. None if it is not known."""
    return _KNOWN.get(plain(header))


def rank(header: str) -> int:
    """Of several columns that mean the same, the one with the lowest rank is taken."""
    return _RANKS.get(plain(header), len(_RANKS))


_HEADERS: Final[Mapping[str, tuple[str, ...]]] = {
    "email": (
        "email",
        "email address",
        "emailaddress",
        "subscriber email",
        "contact email",
        "customer email",
        "user email",
        "primary email",
        "billing email",
        "email 1 value",
        "email work",
        "person email",
        "subscriber",
        "person email work",
        "email adresa",
        "emailova adresa",
        "mail",
        "adresse email",
        "adresse electronique",
        "correo electronico",
        "correo",
        "direccion de correo electronico",
        "email adresse",
        "emailadresse",
        "indirizzo email",
        "adres email",
        "endereco de email",
    ),
    "phone": (
        "mobile phone",
        "mobile phone number",
        "mobile",
        "mobile number",
        "cell phone",
        "sms phone number",
        "sms number",
        "phone number",
        "phone",
        "phonenumber",
        "phone mobile",
        "person phone mobile",
        "phone 1 value",
        "phone 1",
        "telephone",
        "telefon",
        "telefonni cislo",
        "mobil",
        "numero de telephone",
        "telefono",
        "telefonnummer",
        "handynummer",
        "numer telefonu",
        "billing phone",
    ),
    INTERNATIONAL: ("sms", "whatsapp"),
    "external_id": (
        "external id",
        "contactid",
        "contact id",
        "id",
        "customer id",
        "user id",
        "userid",
        "client id",
        "record id",
        "record id contact",
        "lead id",
        "person id",
    ),
    "token": ("token",),
    "language": ("language", "lang", "locale language", "jazyk", "sprache", "langue", "idioma"),
    "time_zone": ("time zone", "timezone"),
    "tags": ("tags", "tag", "contact tags", "labels", "stitky", "etiketten", "etiquettes", "etiquetas"),
    OPT_OUT: (
        "email blacklisted",
        "email opt out",
        "has opted out of email",
        "hasoptedoutofemail",
        "opted out of email",
        "unsubscribed from all email",
        "unsubscribed",
        "unsubscribed from emails",
        "opt out",
        "optout",
        "email blocked",
        "do not email",
        "do not contact",
        "donotcontact",
        "dnc",
    ),
    OPT_IN: (
        "accepts email marketing",
        "accepts marketing",
        "email marketing opt in",
        "email opt in",
        "marketing opt in",
        "newsletter subscription",
        "marketing emails",
    ),
    STATUS: (
        "status",
        "subscription status",
        "subscriber status",
        "subscribe status",
        "email status",
        "email marketing consent",
        "email marketing status",
        "email marketing",
        "email subscription status",
        "email permission status",
        "email subscribe",
        "email channel status",
        "marketing status",
        "marketing permission",
        "member status",
        "stav",
        "stav odberu",
        "statut",
        "subscription state",
        "emailconsent",
    ),
    SMS_OPT_OUT: ("sms blacklisted", "sms opt out", "opted out of sms"),
    SMS_OPT_IN: ("accepts sms marketing", "sms opt in", "sms marketing consent", "sms marketing opt in"),
    "first_name": (
        "first name",
        "firstname",
        "given name",
        "fname",
        "prenom",
        "jmeno",
        "krestni jmeno",
        "vorname",
        "nombre",
        "imie",
        "meno",
        "nome",
        "contact first name",
        "person first name",
    ),
    "last_name": (
        "last name",
        "lastname",
        "surname",
        "family name",
        "lname",
        "nom",
        "nom de famille",
        "prijmeni",
        "nachname",
        "apellido",
        "apellidos",
        "nazwisko",
        "priezvisko",
        "cognome",
        "sobrenome",
        "contact last name",
        "person last name",
    ),
    "name": ("name", "full name", "fullname", "contact name", "subscriber name", "person name"),
    "company": (
        "company",
        "company name",
        "organization",
        "organisation",
        "organization name",
        "organization 1 name",
        "account name",
        "default address company",
        "billing company",
        "firma",
        "empresa",
        "entreprise",
        "societe",
    ),
    "street": (
        "street",
        "street address",
        "address",
        "address 1",
        "address1",
        "address line 1",
        "mailing street",
        "default address address1",
        "billing address 1",
        "address 1 street",
        "home street",
        "ulice",
        "strasse",
    ),
    "city": (
        "city",
        "town",
        "mailing city",
        "default address city",
        "billing city",
        "address 1 city",
        "home city",
        "mesto",
        "ort",
        "stadt",
        "ville",
        "ciudad",
        "miasto",
    ),
    "postal_code": (
        "postal code",
        "postcode",
        "zip",
        "zip code",
        "zip postal code",
        "postalcode",
        "mailing zip postal code",
        "mailing postal code",
        "default address zip",
        "billing postcode",
        "address 1 postal code",
        "home postal code",
        "psc",
        "plz",
        "code postal",
        "codigo postal",
    ),
    "country": (
        "country",
        "country region",
        "mailing country",
        "default address country code",
        "billing country",
        "address 1 country",
        "zeme",
        "stat",
        "land",
        "pays",
        "pais",
        "kraj",
    ),
    "birthday": (
        "birthday",
        "birthdate",
        "birth date",
        "date of birth",
        "dob",
        "narozeniny",
        "datum narozeni",
        "geburtstag",
        "geburtsdatum",
        "date de naissance",
        "fecha de nacimiento",
    ),
}
_KNOWN: Final = {header: target for target, headers in _HEADERS.items() for header in headers}
_RANKS: Final = {header: number for headers in _HEADERS.values() for number, header in enumerate(headers)}

_SUBSCRIBED = frozenset(
    {
        "subscribed",
        "subscriber",
        "active",
        "confirmed",
        "opted_in",
        "opt_in",
        "optin",
        "explicit",
        "implicit",
        "express",
        "implied",
        "allowed",
        "yes",
        "true",
        "1",
        "y",
        "t",
        "on",
        "ano",
        "ja",
        "oui",
        "si",
        "tak",
        "sim",
        "aktivni",
        "aktywny",
        "aktiv",
        "actif",
        "activo",
        "prihlasen",
        "odebira",
        "single_opt_in",
        "double_opt_in",
        "confirmed_opt_in",
        "enabled",
        "member",
    }
)
_UNSUBSCRIBED = frozenset(
    {
        "unsubscribed",
        "unsubscribe",
        "opted_out",
        "opt_out",
        "optout",
        "inactive",
        "removed",
        "deleted",
        "suppressed",
        "blacklisted",
        "blocked",
        "archived",
        "no",
        "false",
        "0",
        "n",
        "f",
        "off",
        "ne",
        "nein",
        "non",
        "nie",
        "nao",
        "odhlasen",
        "odhlaseny",
        "neaktivni",
        "desinscrit",
        "abgemeldet",
        "globally_unsubscribed",
        "unsubscribed_from_all",
        "never",
        "disallowed",
    }
)
_BOUNCED = frozenset(
    {
        "bounced",
        "cleaned",
        "bounce",
        "hard_bounce",
        "hard_bounced",
        "invalid",
        "undeliverable",
        "undelivered",
    }
)
_COMPLAINED = frozenset(
    {
        "complained",
        "complaint",
        "spam",
        "junk",
        "abuse",
        "marked_as_spam",
        "spam_complaint",
    }
)
_NOT_YET = frozenset(
    {
        "pending",
        "unconfirmed",
        "non_subscribed",
        "nonsubscribed",
        "not_subscribed",
        "never_subscribed",
        "unknown",
        "not_set",
        "none",
        "transactional",
        "unsure",
        "awaiting_confirmation",
        "not_confirmed",
        "nepotvrzen",
        "nepotvrzeny",
        "redacted",
    }
)
YES: Final = frozenset(
    {
        "yes",
        "true",
        "1",
        "y",
        "t",
        "on",
        "x",
        "ano",
        "ja",
        "oui",
        "si",
        "tak",
        "sim",
        "wahr",
        "vrai",
    }
)
NO: Final = frozenset(
    {
        "no",
        "false",
        "0",
        "n",
        "f",
        "off",
        "ne",
        "nein",
        "non",
        "nie",
        "nao",
        "falsch",
        "faux",
    }
)


def yes_or_no(cell: str) -> bool:
    """What a cell of a consent says. Raises ValueError."""
    word = plain(cell).replace(" ", "_")
    if word in YES or word in _SUBSCRIBED:
        return True
    if word in NO or word in _UNSUBSCRIBED or word in _NOT_YET:
        return False
    raise ValueError("must be yes or no (true, false, 1, 0, in several languages)")


def subscription(cell: str) -> str:
    """The status that a cell of another system's means: one of a list's, or `none`. Raises ValueError."""
    word = plain(cell).replace(" ", "_")
    for words, status in (
        (_SUBSCRIBED, "subscribed"),
        (_UNSUBSCRIBED, "unsubscribed"),
        (_BOUNCED, "bounced"),
        (_COMPLAINED, "complained"),
        (_NOT_YET, "none"),
    ):
        if word in words:
            return status
    raise ValueError("is no status of a subscription, such as subscribed, unsubscribed, bounced or pending")
