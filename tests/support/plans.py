"""What a database says it will do for a statement."""

from collections.abc import Awaitable, Callable
from typing import Any

from sqlalchemy import event, text
from sqlalchemy.ext.asyncio import AsyncConnection

from store.database import Database

Ask = Callable[[AsyncConnection], Awaitable[Any]]


async def plan_of(database: Database, ask: Ask, *, no_scans: bool = False) -> str:
    """The plan of the last statement that `ask` sends, line by line. With `no_scans` PostgreSQL takes the way that
    it takes with large tables: it reads none as a whole where there is another.
    """
    return (await plans_of(database, ask, no_scans=no_scans))[-1]


async def plans_of(database: Database, ask: Ask, *, no_scans: bool = False) -> list[str]:
    """The plan of each statement."""
    said: list[tuple[str, Any]] = []

    def note(_: Any, __: Any, statement: str, parameters: Any, *more: Any) -> None:
        said.append((statement, parameters))

    engine = database.engine.sync_engine
    event.listen(engine, "before_cursor_execute", note)
    try:
        async with database.read() as connection:
            await ask(connection)
    finally:
        event.remove(engine, "before_cursor_execute", note)
    async with database.read() as connection:
        verb = "EXPLAIN QUERY PLAN"
        if connection.dialect.name != "sqlite":
            verb = "EXPLAIN"
            if no_scans:
                for way in ("seqscan", "bitmapscan"):
                    await connection.execute(text(f"SET LOCAL enable_{way} = off"))
        plans = []
        for statement, parameters in said:
            found = await connection.exec_driver_sql(f"{verb} {statement}", parameters)
            plans.append("\n".join(str(row[-1]) for row in found))
        return plans
