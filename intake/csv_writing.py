"""CSV as we write it: comma, CRLF (RFC 4180), and no cell that a spreadsheet takes for a formula."""

import csv
import io
from collections.abc import Iterable

from intake.csv_cells import defused


def csv_text(records: Iterable[Iterable[str]]) -> str:
    """Records, each with its line's end."""
    text = io.StringIO()
    writer = csv.writer(text)
    for cells in records:
        writer.writerow([defused(cell) for cell in cells])
    return text.getvalue()
