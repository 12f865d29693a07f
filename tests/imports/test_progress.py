"""What a person sees while an import runs."""

import io
from unittest.mock import patch

from console.contacts_csv import _progress


class Terminal(io.StringIO):
    """A standard error that is a terminal."""

    def isatty(self) -> bool:
        """It is."""
        return True


def shown(stream: io.StringIO, *, silent: bool = False) -> str:
    """What half of a file and the whole of it make on a stream."""
    with patch("sys.stderr", stream), _progress(1000, silent) as done:
        done(500, 40)
        done(1000, 80)
    return stream.getvalue()


def test_a_terminal_has_a_bar() -> None:
    text = shown(Terminal())
    assert "80 rows" in text
    assert "100%" in text


def test_programs_see_nothing() -> None:
    assert shown(io.StringIO()) == ""
    assert shown(Terminal(), silent=True) == ""
