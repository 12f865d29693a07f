"""Lengths of time as people and ISO 8601 write them: calendar months and days, and elapsed seconds.

What a length means at a place and a time (months clipped, gaps, two clocks at once) is `processes/clock.py`'s. The
spellings are in `docs/time.md`.
"""

import functools
import re
from collections.abc import Collection
from typing import Final, Self

from pydantic import GetCoreSchemaHandler, GetJsonSchemaHandler
from pydantic.json_schema import JsonSchemaValue
from pydantic_core import CoreSchema, core_schema

_DAY: Final = 86_400
_AVERAGE_MONTH: Final = 2_629_746  # seconds in a twelfth of the Gregorian year of 365.2425 days
AVERAGE_YEAR: Final = 12 * _AVERAGE_MONTH
_LONGEST: Final = 10 * AVERAGE_YEAR
_LONGEST_TEXT: Final = 100

_UNITS: Final[dict[str, tuple[int, int, int]]] = {
    spelling: parts
    for spellings, parts in (
        ("y yr yrs year years", (12, 0, 0)),
        ("mo month months", (1, 0, 0)),
        ("w wk wks week weeks", (0, 7, 0)),
        ("d day days", (0, 1, 0)),
        ("h hr hrs hour hours", (0, 0, 3600)),
        ("m min mins minute minutes", (0, 0, 60)),
        ("s sec secs second seconds", (0, 0, 1)),
    )
    for spelling in spellings.split()
}
_AMOUNT = re.compile(r"\s*([0-9]+)\s*([a-z]+)\s*")
_ISO = re.compile(
    r"P(?=[0-9T])(?:([0-9]+)Y)?(?:([0-9]+)M)?(?:([0-9]+)W)?(?:([0-9]+)D)?"
    r"(?:T(?=[0-9])(?:([0-9]+)H)?(?:([0-9]+)M)?(?:([0-9]+)S)?)?",
    re.IGNORECASE,
)
IN_WORDS: Final = "durations in words"
"""As the context of a model's dump: lengths of time are written as `3 days`, and not as `P3D`."""
_ISO_UNITS: Final = ("y", "mo", "w", "d", "h", "m", "s")


def quoted(text: str) -> str:
    """What someone wrote, for a message: in quotes, cut where it is long."""
    return repr(text if len(text) <= _LONGEST_TEXT else text[:_LONGEST_TEXT] + "…")


def human(amounts: Collection[tuple[int, str]]) -> str:
    """Amounts with their units, as `1 hour 30 minutes`; those of nothing left out."""
    return " ".join(f"{amount} {unit}{'s' * (amount != 1)}" for amount, unit in amounts if amount)


@functools.total_ordering
class SignedDuration:
    """A length of time with a direction, such as the offset `-3d` from a date. Zero is allowed.

    Months and days count on the calendar, seconds are elapsed time, so `1 day` and `24 hours` differ. All
    parts have one sign. Reads `-3d`, `+2h`, `1h 30m`, `-P3D`, up to ten years; else raises ValueError.
    The order is by average length (a month is a twelfth of 365.2425 days).
    """

    # Not a dataclass: Pydantic writes the defaults of dataclasses as objects into a JSON schema.
    months: int
    days: int
    seconds: int

    def __init__(self, months: int = 0, days: int = 0, seconds: int = 0) -> None:
        self._set(months, days, seconds)
        if fault := self._fault():
            raise ValueError(f"{str(self)!r} {fault}")

    def _fault(self) -> str | None:
        """Say what makes the parts unfit for this class, or None."""
        parts = (self.months, self.days, self.seconds)
        if min(parts) < 0 < max(parts):
            return "mixes signs; one sign holds for all parts, such as '-1d 2h'"
        if abs(self.average_seconds) > _LONGEST:
            return "is longer than 10 years; the longest is '10 years'"
        return None

    @classmethod
    def zero(cls) -> Self:
        """No time at all."""
        return cls._unchecked(0, 0, 0)

    @classmethod
    def _unchecked(cls, months: int, days: int, seconds: int) -> Self:
        value = object.__new__(cls)
        value._set(months, days, seconds)
        return value

    def _set(self, months: int, days: int, seconds: int) -> None:
        self.__dict__.update(months=months, days=days, seconds=seconds)

    def __setattr__(self, name: str, value: object) -> None:
        raise AttributeError(f"{self!r} is a value; make another one")

    def __delattr__(self, name: str) -> None:
        raise AttributeError(f"{self!r} is a value; make another one")

    def __repr__(self) -> str:
        return f"{type(self).__name__}({str(self)!r})"

    @classmethod
    def parse(cls, text: str) -> Self:
        """Read a duration as people or ISO 8601 write it, in any case. Raises ValueError with an example."""
        stripped = text.strip()
        if len(stripped) > _LONGEST_TEXT:
            raise _not_a_duration(text)
        sign = -1 if stripped.startswith("-") else 1
        unsigned = stripped[1:].lstrip() if stripped.startswith(("-", "+")) else stripped
        months, days, seconds = _read_parts(unsigned, text)
        value = cls._unchecked(sign * months, sign * days, sign * seconds)
        if fault := value._fault():
            raise ValueError(f"{quoted(text)} {fault}")
        return value

    @classmethod
    def validate(cls, value: object) -> Self:
        """Take what a model's field was given: text or a duration. A number lacks a unit: ValueError."""
        if isinstance(value, cls):
            return value
        if isinstance(value, SignedDuration):
            return cls(value.months, value.days, value.seconds)
        if isinstance(value, str):
            return cls.parse(value)
        if isinstance(value, int | float) and not isinstance(value, bool):
            raise ValueError(f"{value} has no unit; write text such as '3d' or '1h 30m'")
        raise _not_a_duration(str(value))

    @property
    def average_seconds(self) -> int:
        """The length for comparing and estimating; only exact where there are no months and no days."""
        return self.months * _AVERAGE_MONTH + self.days * _DAY + self.seconds

    @property
    def is_positive(self) -> bool:
        """Whether it points forward; zero does not."""
        return self.average_seconds > 0

    @property
    def is_zero(self) -> bool:
        """Whether it is no time at all."""
        return self.average_seconds == 0

    def iso(self) -> str:
        """Write it as ISO 8601: `P3D`, `PT1H30M`, `-P1Y2M`."""
        years, months, days, hours, minutes, seconds = self._amounts()
        day_part = "".join(f"{n}{u}" for n, u in ((years, "Y"), (months, "M"), (days, "D")) if n)
        time_part = "".join(f"{n}{u}" for n, u in ((hours, "H"), (minutes, "M"), (seconds, "S")) if n)
        if self.is_zero:
            return "PT0S"
        return "-" * (self.average_seconds < 0) + "P" + day_part + ("T" + time_part if time_part else "")

    def _amounts(self) -> tuple[int, int, int, int, int, int]:
        years, months = divmod(abs(self.months), 12)
        minutes, seconds = divmod(abs(self.seconds), 60)
        hours, minutes = divmod(minutes, 60)
        return years, months, abs(self.days), hours, minutes, seconds

    def __str__(self) -> str:
        units = ("year", "month", "day", "hour", "minute", "second")
        text = human(list(zip(self._amounts(), units, strict=True))) or "0 seconds"
        return "-" * (self.average_seconds < 0) + text

    def __neg__(self) -> "SignedDuration":
        return SignedDuration(-self.months, -self.days, -self.seconds)

    def __eq__(self, other: object) -> bool:
        if not isinstance(other, SignedDuration):
            return NotImplemented
        return (self.months, self.days, self.seconds) == (other.months, other.days, other.seconds)

    def __hash__(self) -> int:
        return hash((self.months, self.days, self.seconds))

    def __lt__(self, other: object) -> bool:
        if not isinstance(other, SignedDuration):
            return NotImplemented
        mine = (self.average_seconds, self.months, self.days, self.seconds)
        return mine < (other.average_seconds, other.months, other.days, other.seconds)

    @classmethod
    def __get_pydantic_core_schema__(cls, source: object, handler: GetCoreSchemaHandler) -> CoreSchema:
        write = core_schema.plain_serializer_function_ser_schema(
            _written, info_arg=True, return_schema=core_schema.str_schema()
        )
        return core_schema.no_info_plain_validator_function(cls.validate, serialization=write)

    @classmethod
    def __get_pydantic_json_schema__(
        cls, schema: CoreSchema, handler: GetJsonSchemaHandler
    ) -> JsonSchemaValue:
        return {
            "type": "string",
            "description": "A length of time before (-) or after (+): amounts with units, or ISO 8601.",
            "examples": ["-3d", "+2h", "1 month", "-P3D"],
        }


class Duration(SignedDuration):
    """A length of time to wait or to look back: more than nothing, at most ten years.

    Zero is made by `Duration.zero()` only, and its ISO form `PT0S` is not read back: a field that may hold
    nothing is a `Duration | None`, or a `SignedDuration`.
    """

    def _fault(self) -> str | None:
        if min(self.months, self.days, self.seconds) < 0:
            return "is negative; a duration is positive, such as '3d'"
        if self.is_zero:
            return "is zero; a duration is longer, such as '3d' or '45s'"
        return SignedDuration._fault(self)

    @classmethod
    def __get_pydantic_json_schema__(
        cls, schema: CoreSchema, handler: GetJsonSchemaHandler
    ) -> JsonSchemaValue:
        return {
            "type": "string",
            "description": "A length of time: whole amounts with units, or ISO 8601.",
            "examples": ["3d", "1h 30m", "2 weeks", "1 month", "P3D"],
        }


def _written(value: SignedDuration, info: core_schema.SerializationInfo) -> str:
    return str(value) if info.context == IN_WORDS else value.iso()


def _not_a_duration(text: str) -> ValueError:
    return ValueError(
        f"{quoted(text)} is not a duration; write whole amounts with units, such as '3d', '1h 30m' or 'P3D'"
    )


def _read_parts(unsigned: str, text: str) -> tuple[int, int, int]:
    """Read months, days and seconds out of `unsigned`; `text` is what errors show."""
    if unsigned.isdecimal():
        raise ValueError(f"{quoted(text)} has no unit; write text such as '{unsigned}d' or '{unsigned}h'")
    if iso := _ISO.fullmatch(unsigned):
        amounts = [(int(n), u) for n, u in zip(iso.groups(), _ISO_UNITS, strict=True) if n is not None]
    else:
        amounts = _read_amounts(unsigned.lower(), text)
    months, days, seconds = (
        sum(amount * _UNITS[unit][part] for amount, unit in amounts) for part in range(3)
    )
    return months, days, seconds


def _read_amounts(unsigned: str, text: str) -> list[tuple[int, str]]:
    amounts: list[tuple[int, str]] = []
    seen: set[tuple[int, int, int]] = set()
    position = 0
    while found := _AMOUNT.match(unsigned, position):
        unit = found[2]
        if unit not in _UNITS:
            raise ValueError(
                f"{quoted(text)} has the unknown unit {unit!r}; "
                "use y, month, w, d, h, m or s, such as '1h 30m'"
            )
        if _UNITS[unit] in seen:
            raise ValueError(
                f"{quoted(text)} names the unit {unit!r} twice; write each once, such as '1h 30m'"
            )
        seen.add(_UNITS[unit])
        amounts.append((int(found[1]), unit))
        position = found.end()
    if not amounts or position != len(unsigned):
        raise _not_a_duration(text)
    return amounts
