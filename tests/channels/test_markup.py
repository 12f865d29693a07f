"""Markup that somebody else wrote neither makes our readers of it raise nor keeps them busy."""

import pytest

from channels.absolute import relative_addresses
from channels.tracking import track

UNENDING = [
    "<a ",
    '<a href="',
    "<a b='",
    "<!--",
    "<!--[if href",
    "<!",
    "<![",
    "<?",
    "</a",
    "&#",
    "<script>",
]


def tracked(html: str) -> str:
    """The document with its links marked."""
    return track(html, through=lambda url, tags: "ours", own="-")


@pytest.mark.parametrize("piece", UNENDING)
@pytest.mark.parametrize("end", ["", ">"])
def test_what_begins_and_never_ends_is_read_once(piece: str, end: str) -> None:
    html = piece * (150_000 // len(piece)) + end
    assert tracked(html) == html
    list(relative_addresses(html))


@pytest.mark.parametrize(
    "odd", ["<![odd]>", "<![if !mso]>", "<![endif]>", "<![CDATA[x]]>", "<!odd>", "<?odd>"]
)
def test_odd_declarations_are_passed_over(odd: str) -> None:
    assert tracked(f'{odd}<a href="http://x">') == f'{odd}<a href="ours">'
    assert list(relative_addresses(f'{odd}\n<a href="x">')) == [(2, "the link «x» is not absolute")]


def test_a_link_that_the_document_ends_in_is_none() -> None:
    assert tracked('<a href="http://x">x</a><a href="http://y"') == '<a href="ours">x</a><a href="http://y"'
