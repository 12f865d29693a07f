"""What a database says it will do for a statement."""

from collections.abc import Awaitable, Callable
from typing import Any

from sqlalchemy import event, text
from sqlalchemy.ext.asyncio import AsyncConnection

from store.database import Database


async def plan_of(
    database: Database, ask: Callable[[AsyncConnection], Awaitable[Any]], *, no_scans: bool = False
) -> str:
    """The plan of the last statement that `ask` sends, line by line. With `no_scans` PostgreSQL takes the way that
    it takes with large tables: it reads none as a whole where there is another.
    """
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
    statement, parameters = said[-1]
    async with database.read() as connection:
        if connection.dialect.name == "sqlite":
            found = await connection.exec_driver_sql(f"EXPLAIN QUERY PLAN {statement}", parameters)
        else:
            if no_scans:
                for way in ("seqscan", "bitmapscan"):
                    await connection.execute(text(f"SET LOCAL enable_{way} = off"))
            found = await connection.exec_driver_sql(f"EXPLAIN {statement}", parameters)
        return "\n".join(str(row[-1]) for row in found)
