"""Forms as browsers and mail clients send them (application/x-www-form-urlencoded)."""

from urllib.parse import parse_qs

from api.errors import Invalid
from processes.problems import Problem, pointer

MOST_FIELDS = 1000


def read_form(body: bytes) -> dict[str, list[str]]:
    """The values of each field; none of a body that is something else. Raises Invalid with the field that has a NUL
    character, which no database keeps.
    """
    try:
        form = parse_qs(body.decode("utf-8", "replace"), max_num_fields=MOST_FIELDS)
    except ValueError:
        return {}
    bad = [name for name, values in form.items() if any("\x00" in text for text in (name, *values))]
    if bad:
        raise Invalid(
            [
                Problem(pointer=pointer([name.replace("\x00", "\ufffd")]), message="holds a NUL character")
                for name in bad
            ]
        )
    return form
