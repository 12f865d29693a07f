"""The standard library's HTML parser without two traps of it, as Python 3.11 has them: markup that somebody else wrote
can neither make it raise nor keep it busy.
"""

from html.parser import HTMLParser


class MarkupParser(HTMLParser):
    """Reads a document handed over whole: `feed` once, then `close`.

    - `<![…>` is a comment up to its `>` in HTML. The library raises AssertionError for most of them.
    - What begins and does not end before the document does reaches to the document's end (WHATWG, «EOF in tag»). The
      library takes the first character for text and looks again from the next one: the time grows with the square.
    """

    _closing = False

    def close(self) -> None:
        """Read what is left."""
        self._closing = True
        super().close()

    def parse_marked_section(self, i: int, report: int = 1) -> int:
        """A comment."""
        return self.parse_bogus_comment(i, False)

    def parse_starttag(self, i: int) -> int:
        """Or to the document's end."""
        return self._or_to_the_end(super().parse_starttag(i))

    def parse_endtag(self, i: int) -> int:
        """Or to the document's end."""
        return self._or_to_the_end(super().parse_endtag(i))

    def parse_comment(self, i: int, report: bool = True) -> int:
        """Or to the document's end."""
        return self._or_to_the_end(super().parse_comment(i, report))

    def parse_html_declaration(self, i: int) -> int:
        """Or to the document's end."""
        return self._or_to_the_end(super().parse_html_declaration(i))

    def parse_pi(self, i: int) -> int:
        """Or to the document's end."""
        return self._or_to_the_end(super().parse_pi(i))

    def _or_to_the_end(self, found: int) -> int:
        return len(self.rawdata) if found < 0 and self._closing else found
