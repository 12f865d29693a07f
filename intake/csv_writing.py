"""CSV as we write it: comma, CRLF (RFC 4180), and no cell that a spreadsheet takes for a formula."""

import csv
import io
from collections.abc import Iterable

from intake.csv_cells import defused


def csv_line(cells: Iterable[str]) -> str:
    """One record, with its line's end."""
    text = io.StringIO()
    csv.writer(text).writerow([defused(cell) for cell in cells])
    return text.getvalue()


def csv_text(records: Iterable[Iterable[str]]) -> str:
    """Many."""
    text = io.StringIO()
    writer = csv.writer(text)
    for cells in records:
        writer.writerow([defused(cell) for cell in cells])
    return text.getvalue()
