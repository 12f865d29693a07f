"""Writes a moment by the letters of Ruby's `strftime`, in English whatever the machine's language. Pure."""

import re
from collections.abc import Callable, Mapping
from datetime import datetime
from typing import Final

MOST_WIDTH: Final = 100
"""Characters that one directive may be padded to."""

_DIRECTIVE = re.compile(r"%(?P<flags>[-0^#_]*)(?P<width>\d*)(?P<colons>:{0,2})(?P<letter>[A-Za-z%+])")
_DAYS: Final = ("Monday", "Tuesday", "Wednesday", "Thursday", "Friday", "Saturday", "Sunday")
_MONTHS: Final = (
    "January", "February", "March", "April", "May", "June", "July", "August", "September", "October", "November",
    "December",
)  # fmt: skip
_COMPOSED: Final = {
    "c": "%a %b %e %H:%M:%S %Y", "D": "%m/%d/%y", "F": "%Y-%m-%d", "r": "%I:%M:%S %p", "R": "%H:%M",
    "T": "%H:%M:%S", "v": "%e-%^b-%Y", "x": "%m/%d/%y", "X": "%H:%M:%S", "+": "%a %b %e %H:%M:%S %Z %Y",
}  # fmt: skip
_FIXED: Final = {"n": "\n", "t": "\t", "%": "%"}

_Numbers = Mapping[str, tuple[Callable[[datetime], int], int, str]]
_NUMBERS: Final[_Numbers] = {
    "C": (lambda at: at.year // 100, 2, "0"),
    "d": (lambda at: at.day, 2, "0"),
    "e": (lambda at: at.day, 2, " "),
    "G": (lambda at: at.isocalendar().year, 4, "0"),
    "g": (lambda at: at.isocalendar().year % 100, 2, "0"),
    "H": (lambda at: at.hour, 2, "0"),
    "I": (lambda at: at.hour % 12 or 12, 2, "0"),
    "j": (lambda at: at.timetuple().tm_yday, 3, "0"),
    "k": (lambda at: at.hour, 2, " "),
    "l": (lambda at: at.hour % 12 or 12, 2, " "),
    "M": (lambda at: at.minute, 2, "0"),
    "m": (lambda at: at.month, 2, "0"),
    "S": (lambda at: at.second, 2, "0"),
    "s": (lambda at: int(at.timestamp()), 1, "0"),
    "U": (lambda at: int(at.strftime("%U")), 2, "0"),
    "u": (lambda at: at.isoweekday(), 1, "0"),
    "V": (lambda at: at.isocalendar().week, 2, "0"),
    "W": (lambda at: int(at.strftime("%W")), 2, "0"),
    "w": (lambda at: at.isoweekday() % 7, 1, "0"),
    "Y": (lambda at: at.year, 4, "0"),
    "y": (lambda at: at.year % 100, 2, "0"),
}
_TEXTS: Final[Mapping[str, Callable[[datetime], str]]] = {
    "A": lambda at: _DAYS[at.weekday()],
    "a": lambda at: _DAYS[at.weekday()][:3],
    "B": lambda at: _MONTHS[at.month - 1],
    "b": lambda at: _MONTHS[at.month - 1][:3],
    "h": lambda at: _MONTHS[at.month - 1][:3],
    "P": lambda at: "am" if at.hour < 12 else "pm",
    "p": lambda at: "AM" if at.hour < 12 else "PM",
    "Z": lambda at: at.tzname() or "UTC",
}


def formatted(moment: datetime, pattern: str) -> str:
    """The pattern with its directives replaced. What is no directive stays as it is. Without a zone it is UTC's."""
    return _DIRECTIVE.sub(lambda found: _written(moment, found), pattern)


def _written(moment: datetime, found: re.Match[str]) -> str:
    letter, flags = found["letter"], found["flags"]
    width = min(int(found["width"][:6] or 0), MOST_WIDTH)
    if letter in _NUMBERS:
        value, usual, fill = _NUMBERS[letter]
        fill = " " if "_" in flags else "0" if "0" in flags else fill
        return str(value(moment)).rjust(1 if "-" in flags else width or usual, fill)
    if letter in ("L", "N"):
        digits = width or (3 if letter == "L" else 9)
        return f"{moment.microsecond:06d}000".ljust(digits, "0")[:digits]
    if letter == "z":
        text = _offset(moment, len(found["colons"]))
    elif letter in _COMPOSED:
        text = formatted(moment, _COMPOSED[letter])
    elif letter in _TEXTS:
        text = _TEXTS[letter](moment)
    elif letter in _FIXED:
        text = _FIXED[letter]
    else:
        return found[0]
    if "^" in flags:
        text = text.upper()
    elif "#" in flags:
        text = text.lower() if letter == "p" else text.upper()
    return text.rjust(width, "0" if "0" in flags else " ")


def _offset(moment: datetime, colons: int) -> str:
    seconds = int(
        (moment.utcoffset() or moment.replace(tzinfo=None) - moment.replace(tzinfo=None)).total_seconds()
    )
    sign, seconds = "-" if seconds < 0 else "+", abs(seconds)
    hours, minutes, rest = seconds // 3600, seconds // 60 % 60, seconds % 60
    parts = [f"{hours:02d}", f"{minutes:02d}", *([f"{rest:02d}"] if colons == 2 else [])]
    return sign + (":" if colons else "").join(parts)
