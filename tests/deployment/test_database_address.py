"""A database's address is understood as providers write it."""

import pytest

from settings import Settings, database_address


@pytest.mark.parametrize(
    ("written", "understood"),
    [
        ("postgres://u:p@h/db", "postgresql+asyncpg://u:p@h/db"),
        ("postgresql://u:p%40@h:5432/db", "postgresql+asyncpg://u:p%40@h:5432/db"),
        ("postgresql+psycopg2://u@h/db", "postgresql+asyncpg://u@h/db"),
        (
            "postgres://u@h/db?sslmode=require&channel_binding=require",
            "postgresql+asyncpg://u@h/db?ssl=require",
        ),
        ("postgresql+asyncpg://u@h/db", "postgresql+asyncpg://u@h/db"),
        ("sqlite:///a.db", "sqlite+aiosqlite:///a.db"),
        ("sqlite+aiosqlite:///a.db", "sqlite+aiosqlite:///a.db"),
    ],
)
def test_an_address_is_understood(written: str, understood: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("ONWARD_DATABASE_URL", written)
    assert Settings(_env_file=None).database_url == understood


@pytest.mark.parametrize("written", ["mysql://u@h/db", "onward.db", ""])
def test_another_address_is_refused_with_one_that_works(written: str) -> None:
    with pytest.raises(ValueError, match="write postgresql://user:password@host/name"):
        database_address(written)
