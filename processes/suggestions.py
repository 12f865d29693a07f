"""What somebody may have meant by a name that is not known. Pure."""

import difflib
from collections.abc import Collection

MOST_LISTED = 12


def did_you_mean(name: object, known: Collection[str]) -> str:
    """The end of a message: "; did you mean «welcome»?", or nothing if no known name is near."""
    near = nearest(name, known)
    return f"; did you mean «{near}»?" if near is not None else ""


def nearest(name: object, known: Collection[str]) -> str | None:
    """The known name that is most like this one, in any case of its letters; None if none is."""
    by_lower = {one.lower().replace("-", "_"): one for one in sorted(known)}
    plain = str(name).lower().replace("-", "_")
    found = difflib.get_close_matches(plain, by_lower, n=1, cutoff=0.6)
    return by_lower[found[0]] if found else None


def one_of(known: Collection[str]) -> str:
    """The known names as a message lists them: all if they are few, else the first."""
    names = [f"«{name}»" for name in known]
    if len(names) > MOST_LISTED:
        return f"{', '.join(names[:MOST_LISTED])}, …"
    return " or ".join((", ".join(names[:-1]), names[-1])) if len(names) > 1 else "".join(names)
