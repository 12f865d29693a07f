"""Bring a database to the newest schema. `create_schema` is for tests; people run the migrations."""

from sqlalchemy import insert

from store.database import Database
from store.tables import Catalog, SQLModel


async def create_schema(url: str) -> None:
    """Make all tables in an empty database, as the migrations would."""
    database = Database.connect(url)
    try:
        async with database.write() as connection:
            await connection.run_sync(SQLModel.metadata.create_all)
            await connection.execute(insert(Catalog).values(id=1, stamp=1))
    finally:
        await database.close()
