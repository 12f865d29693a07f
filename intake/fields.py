"""Which fields of a contact have another value: what `contact.changed` tells (`processes/changed_fields.py`)."""

from processes.changed_fields import COLUMNS, difference, differences, values_of

__all__ = ["COLUMNS", "difference", "differences", "values_of"]
