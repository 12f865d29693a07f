"""What tests ask and change about the contact of an engine."""

from datetime import UTC, datetime
from typing import Any

from sqlalchemy import insert, update

from intake.changes import Origin
from store import rows
from store.catalog import bump
from tests.support.engine import Engine


async def contact(engine: Engine) -> Any:
    """The row of the test's contact."""
    (row,) = await engine.rows(rows.contacts, rows.contacts.c.external_id == engine.contact)
    return row


async def meet(engine: Engine, **extra: Any) -> Any:
    """Make the test's contact by an event that does nothing else."""
    await engine.event("hello", contact_extra=extra)
    return await contact(engine)


async def tags(engine: Engine) -> list[str]:
    """The contact's tags, sorted."""
    found = await engine.rows(rows.contact_tags, rows.contact_tags.c.contact_id == (await contact(engine)).id)
    return sorted(row.tag for row in found)


async def add_tag(engine: Engine, tag: str) -> None:
    """Tag the contact by hand."""
    services, person = engine.services, await contact(engine)
    async with services.database.write() as connection:
        _, effects = await services.changes.add_tag(
            connection, person.id, tag, datetime.now(UTC), Origin("a test", f"hand/{tag}")
        )
    await services.dispatcher.send(effects)


async def subscription(engine: Engine, list_key: str) -> str | None:
    """The contact's status in a list."""
    s = rows.subscriptions.c
    found = await engine.rows(
        rows.subscriptions, s.list_key == list_key, s.contact_id == (await contact(engine)).id
    )
    return found[0].status if found else None


async def subscription_changes(engine: Engine, list_key: str) -> list[tuple[str | None, str]]:
    """The history of the contact's status in a list: before and after."""
    s = rows.subscription_changes.c
    found = await engine.rows(rows.subscription_changes, s.list_key == list_key)
    return [(row.before, row.after) for row in sorted(found, key=lambda row: row.id)]


async def subscribe(engine: Engine, list_key: str, status: str = "subscribed") -> None:
    """Set the contact's status in a list by hand."""
    services, person = engine.services, await contact(engine)
    async with services.database.write() as connection:
        _, effects = await services.changes.set_subscription(
            connection, person.id, list_key, status, datetime.now(UTC), Origin("a test", f"hand/{list_key}")
        )
    await services.dispatcher.send(effects)


async def change_contact(engine: Engine, **columns: Any) -> None:
    """Write columns of the contact's row."""
    async with engine.services.database.write() as connection:
        await connection.execute(
            update(rows.contacts).where(rows.contacts.c.external_id == engine.contact).values(**columns)
        )


async def make_segment(engine: Engine, key: str, rule: dict[str, Any] | None) -> None:
    """Make a segment by a rule, or by hand."""
    async with engine.services.database.write() as connection:
        await connection.execute(
            insert(rows.segments).values(key=key, name=key, rule=rule, created_at=datetime.now(UTC))
        )
        await bump(connection)


async def change_segment(engine: Engine, key: str, rule: dict[str, Any] | None) -> None:
    """Give a segment another rule, or none."""
    async with engine.services.database.write() as connection:
        await connection.execute(update(rows.segments).where(rows.segments.c.key == key).values(rule=rule))
        await bump(connection)


async def members(engine: Engine, segment: str) -> list[Any]:
    """The rows of a segment's members by hand."""
    return await engine.rows(rows.segment_members, rows.segment_members.c.segment_key == segment)


async def messages(engine: Engine, instance: str) -> list[Any]:
    """The ledger rows of an instance, by the time of their claim."""
    found = await engine.rows(rows.messages, rows.messages.c.instance_id == instance)
    return sorted(found, key=lambda row: row.claimed_at)


async def release(engine: Engine, instance: str) -> None:
    """Tell a held instance to try again."""
    await engine.services.client.get_workflow_handle(instance).signal("release")
