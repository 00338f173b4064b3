"""The settings, and the stores that they name."""

import pytest

from orders.opened import stores
from twofold import ConfigurationError

CONNECTION = "AccountEndpoint=http://127.0.0.1:1/;AccountKey=a2V5;"


@pytest.mark.parametrize(
    ("url", "read"),
    [
        ("sqlite:///readmodels.db", "sqlalchemy+sqlite+aiosqlite:///readmodels.db"),
        ("sqlite:////var/lib/rows.db", "sqlalchemy+sqlite+aiosqlite:////var/lib/rows.db"),
        ("postgresql+psycopg://u:p@h/d", "sqlalchemy+postgresql+asyncpg://u:p@h/d"),
        ("postgresql://u:p@h/d", "sqlalchemy+postgresql+asyncpg://u:p@h/d"),
    ],
)
def test_the_read_store_is_what_sqlalchemy_would_open(url: str, read: str) -> None:
    found = stores({"CosmosDBConnection": CONNECTION, "READ_DB_URL": url})
    assert found.read == read
    assert found.log == f"{CONNECTION}Database=ordersdb;Container=orders;Category=order"


@pytest.mark.parametrize(
    ("settings", "said"),
    [
        ({}, "CosmosDBConnection is not set"),
        ({"CosmosDBConnection": CONNECTION}, "READ_DB_URL is not set: .* sqlite:///readmodels.db"),
        ({"CosmosDBConnection": CONNECTION, "READ_DB_URL": "mysql+pymysql://u:secret@h/d"}, "mysql is not supported"),
        ({"CosmosDBConnection": CONNECTION, "READ_DB_URL": "oracle://u:secret@h/d"}, "oracle is not supported"),
        ({"CosmosDBConnection": CONNECTION, "READ_DB_URL": "readmodels.db"}, "'readmodels.db' is not supported"),
    ],
)
def test_a_setting_that_cannot_be_used_is_named(settings: dict[str, str], said: str) -> None:
    with pytest.raises(ConfigurationError, match=said) as refused:
        stores(settings)
    assert "secret" not in str(refused.value)
