"""Every text and JSON column is classed: what a deletion does to it, and whether the export of one person has it."""

import pytest
from sqlalchemy import Boolean, Column, Integer
from sqlmodel import SQLModel

from store import rows
from store.personal_data import PERSONAL_DATA, Kept, RowDeleted, emptied, wiped_tables
from store.personal_export import NOT_EXPORTED, SECTIONS, columns
from store.types import UtcDateTime

TABLES = SQLModel.metadata.tables
SAYS_LITTLE = Integer | Boolean | UtcDateTime
TEXTS = {
    name: [c.name for c in table.c if not isinstance(c.type, SAYS_LITTLE)] for name, table in TABLES.items()
}


@pytest.mark.parametrize("table", TABLES)
def test_every_text_and_json_column_is_classed(table: str) -> None:
    """A new column fails here until somebody says in `store/personal_data.py` what erasing a person does to it."""
    assert set(PERSONAL_DATA[table]) == set(TEXTS[table])


def test_nothing_is_classed_that_is_not_there() -> None:
    assert set(PERSONAL_DATA) == set(TABLES)


@pytest.mark.parametrize("table", TABLES)
def test_a_row_is_deleted_whole_or_not_at_all(table: str) -> None:
    deleted = [isinstance(how, RowDeleted) for how in PERSONAL_DATA[table].values()]
    assert all(deleted) or not any(deleted)
    assert (table in wiped_tables()) == (bool(deleted) and all(deleted))


@pytest.mark.parametrize("table", TABLES)
def test_what_is_emptied_can_be_written(table: str) -> None:
    for name, value in emptied(table).items():
        column: Column[object] = TABLES[table].c[name]
        assert value is not None or column.nullable, f"{table}.{name} cannot be null"


@pytest.mark.parametrize("table", TABLES)
def test_what_is_erased_is_exported_or_named_as_not_exported(table: str) -> None:
    exported = [columns(section.table) for section in SECTIONS.values() if section.table.name == table]
    for name, how in PERSONAL_DATA[table].items():
        if isinstance(how, Kept):
            continue
        left_out = (table, name) in NOT_EXPORTED or (table, "*") in NOT_EXPORTED
        assert left_out != any(name in section for section in exported), f"{table}.{name}"


def test_nothing_is_named_as_not_exported_that_is_not_there() -> None:
    for table, name in NOT_EXPORTED:
        assert name == "*" or name in TABLES[table].c, f"{table}.{name}"


def test_no_export_pages_by_what_is_not_unique() -> None:
    for section in SECTIONS.values():
        key = {column.name for column in section.table.primary_key}
        assert key <= set(section.by), section.table.name
    assert next(iter(SECTIONS.values())).table is rows.contacts
