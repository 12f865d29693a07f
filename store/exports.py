"""What an export of contacts reads: which fields there are and what they hold, and pages with tags and lists."""

from collections import defaultdict
from collections.abc import Collection
from typing import Any

from sqlalchemy import ColumnElement, func, literal_column, select, true
from sqlalchemy.ext.asyncio import AsyncConnection

from store import rows

_c, _t, _s = rows.contacts.c, rows.contact_tags.c, rows.subscriptions.c

_BLANK = " \t\r\n"
_KINDS = {
    "text": "text",
    "string": "text",
    "integer": "number",
    "real": "number",
    "number": "number",
    "true": "boolean",
    "false": "boolean",
    "boolean": "boolean",
}
"""What the two databases call a JSON value's type."""


async def field_kinds(connection: AsyncConnection) -> dict[str, str]:
    """The fields that contacts have, by name, each with what all its values are: text, number or boolean; json where
    they are of several kinds, or a text is blank (an empty cell says nothing).
    """
    kind: ColumnElement[Any]
    text: ColumnElement[Any]
    if connection.dialect.name == "sqlite":
        each = func.json_each(_c.fields).table_valued("key", "value", "type", name="each")
        kind, text = each.c.type, each.c.value
        blank = func.trim(text, _BLANK) == ""
    else:
        each = func.jsonb_each(_c.fields).table_valued("key", "value", name="each")
        kind, text = func.jsonb_typeof(each.c.value), each.c.value.op("#>>")(literal_column("'{}'"))
        blank = func.btrim(text, _BLANK) == ""
    found = await connection.execute(
        select(each.c.key.label("name"), kind.label("kind"), blank.label("blank"))
        .select_from(rows.contacts.join(each, true()))
        .where(_c.deleted_at.is_(None))
        .distinct()
    )
    kinds: dict[str, set[str]] = defaultdict(set)
    for row in found:
        known = _KINDS.get(row.kind, "json")
        kinds[row.name].add("json" if known == "text" and row.blank else known)
    return {
        name: next(iter(several)) if len(several) == 1 else "json" for name, several in sorted(kinds.items())
    }


async def tags_of(connection: AsyncConnection, contact_ids: Collection[str]) -> dict[str, list[str]]:
    """The tags of each contact, by name."""
    found = await connection.execute(
        select(_t.contact_id, _t.tag).where(_t.contact_id.in_(contact_ids)).order_by(_t.contact_id, _t.tag)
    )
    tags: dict[str, list[str]] = defaultdict(list)
    for row in found:
        tags[row.contact_id].append(row.tag)
    return tags


async def lists_of(connection: AsyncConnection, contact_ids: Collection[str]) -> dict[str, dict[str, str]]:
    """The status of each contact in its lists."""
    found = await connection.execute(
        select(_s.contact_id, _s.list_key, _s.status).where(_s.contact_id.in_(contact_ids))
    )
    lists: dict[str, dict[str, str]] = defaultdict(dict)
    for row in found:
        lists[row.contact_id][row.list_key] = row.status
    return lists
