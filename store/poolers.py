"""PostgreSQL behind a pooler that shares its sessions between clients, such as PgBouncer in transaction mode.

There a prepared statement that has a name stays behind in a session that the next client gets. So statements have no
name and are parsed at each use, which costs a little; without a pooler they are prepared once and kept.
"""

from typing import Any

from sqlalchemy import event, util
from sqlalchemy.engine.interfaces import DBAPIConnection, Dialect
from sqlalchemy.ext.asyncio import AsyncEngine
from sqlalchemy.pool import ConnectionPoolEntry

_UNNAMED = {
    "statement_cache_size": 0,
    "prepared_statement_cache_size": 0,
    "prepared_statement_name_func": lambda: "",
}
"""For asyncpg and for SQLAlchemy's dialect, each of which keeps statements."""


def notice_pooler(engine: AsyncEngine) -> None:
    """Find out by the engine's first connection whether a pooler is in between, and then give statements no names.

    It is there if the session's process is not the one that was named when the connection began: a pooler makes up a
    number, since it does not know yet which session the client will get.
    """
    pooled: bool | None = None

    @event.listens_for(engine.sync_engine, "do_connect")
    def _connect(
        dialect: Dialect, _: ConnectionPoolEntry | None, arguments: tuple[Any, ...], named: dict[str, Any]
    ) -> DBAPIConnection:
        nonlocal pooled
        if pooled is None:
            first = dialect.connect(*arguments, **named, **_UNNAMED)
            session: Any = first.driver_connection
            try:
                pid = util.await_only(session.fetchval("SELECT pg_backend_pid()"))
                pooled = pid != session.get_server_pid()
            finally:
                first.close()
        return dialect.connect(*arguments, **named, **(_UNNAMED if pooled else {}))
