"""Liquid filters for money and dates, in the contact's language and time zone.

    {{ order.total | money: "CZK" }}        1,299.00 CZK; for a contact whose language is cs: 1 299,00 Kč
    {{ contact.renewal | local_date }}      24 December 2026; cs: 24. prosince 2026
    {{ event.params.at | local_time }}      09:00, in the contact's zone

The language is `contact.language`, the zone `contact.time_zone`; without them English and UTC. A value that is missing
gives nothing; one that is no amount or no date is an error, which holds the instance until the data or the template is
mended. Formats are those of the Unicode CLDR, by Babel.
"""

from datetime import UTC, date, datetime
from decimal import ROUND_HALF_EVEN, Decimal, InvalidOperation
from functools import lru_cache
from typing import Any, Final
from zoneinfo import ZoneInfo

from babel import Locale, UnknownLocaleError, dates, numbers
from liquid.context import RenderContext
from liquid.exceptions import FilterArgumentError
from liquid.filter import with_context
from liquid.undefined import Undefined

from processes.dates import read as read_date

STYLES: Final = ("short", "medium", "long", "full")
_ENGLISH = Locale("en", "GB")
_MIDNIGHT = ("T", " ")


@with_context
def money(value: object, currency: object = "", *, context: RenderContext) -> str:
    """An amount with its currency and as many decimals as that has, as the contact's language writes it."""
    if _is_missing(value):
        return ""
    try:
        amount = Decimal(str(value))
    except InvalidOperation:
        amount = Decimal("NaN")
    if isinstance(value, bool) or not amount.is_finite() or abs(amount) >= Decimal(10) ** 24:
        raise FilterArgumentError(f"money: {str(value)[:40]!r} is not an amount", token=None)
    code = "" if _is_missing(currency) else str(currency).strip().upper()
    locale = _language(context)
    if locale is None:
        decimals = numbers.get_currency_precision(code) if code else 2
        return f"{_rounded(amount, decimals):,} {code}".strip()
    if not code:
        return str(numbers.format_decimal(amount, "#,##0.00", locale=locale))
    return str(numbers.format_currency(amount, code, locale=locale))


def _rounded(amount: Decimal, decimals: int) -> Decimal:
    """Halves go to the even neighbour, as where a language is known."""
    return amount.quantize(Decimal(1).scaleb(-decimals), ROUND_HALF_EVEN)


@with_context
def local_date(value: object, style: object = "long", *, context: RenderContext) -> str:
    """The day, in the contact's zone and language. A day without a time is itself in every zone."""
    if _is_missing(value):
        return ""
    moment = _moment("local_date", value)
    day = moment if not isinstance(moment, datetime) else moment.astimezone(_zone(context)).date()
    locale = _language(context) or _ENGLISH
    return str(dates.format_date(day, _style("local_date", style), locale=locale))


@with_context
def local_time(value: object, style: object = "short", *, context: RenderContext) -> str:
    """The time of day, in the contact's zone and language."""
    if _is_missing(value):
        return ""
    moment = _moment("local_time", value)
    if not isinstance(moment, datetime):
        raise FilterArgumentError(f"local_time: {str(value)[:40]!r} has no time of day", token=None)
    local = moment.astimezone(_zone(context))
    locale = _language(context) or _ENGLISH
    return str(dates.format_time(local, _style("local_time", style), tzinfo=local.tzinfo, locale=locale))


def _is_missing(value: object) -> bool:
    return value is None or value == "" or isinstance(value, Undefined)


def _style(name: str, style: object) -> Any:
    if style not in STYLES:
        raise FilterArgumentError(f"{name}: {str(style)[:40]!r} is none of {', '.join(STYLES)}", token=None)
    return style


def _moment(name: str, value: object) -> date:
    """A day, or an aware instant: without an offset it is in UTC. `now` is not known here."""
    text = str(value).strip()
    try:
        if (written := read_date(text)) is not None:
            return written.day if written.clock is None else written.in_utc()
        if len(text) > 10 and text[10] in _MIDNIGHT:
            moment = datetime.fromisoformat(text)
            return moment if moment.tzinfo is not None else moment.replace(tzinfo=UTC)
        return date.fromisoformat(text)
    except (ValueError, OverflowError):
        raise FilterArgumentError(f"{name}: {text[:40]!r} is not a date", token=None) from None


def _of_contact(context: RenderContext, name: str) -> str | None:
    contact: Any = context.resolve("contact", default=None)
    value = contact.get(name) if isinstance(contact, dict) else None
    return value if isinstance(value, str) and value else None


def _language(context: RenderContext) -> Locale | None:
    tag = _of_contact(context, "language")
    return None if tag is None else _locale(tag)


@lru_cache(maxsize=256)
def _locale(tag: str) -> Locale | None:
    """The locale of a language tag, or of its language alone; None where CLDR has neither."""
    for wanted in (tag, tag.partition("-")[0]):
        try:
            return Locale.parse(wanted, sep="-")
        except (UnknownLocaleError, ValueError):
            continue
    return None


def _zone(context: RenderContext) -> ZoneInfo:
    try:
        return ZoneInfo(_of_contact(context, "time_zone") or "UTC")
    except (OSError, LookupError, ValueError):
        return ZoneInfo("UTC")
