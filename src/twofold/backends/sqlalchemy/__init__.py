"""Read models in a database of one of the `DIALECTS`, through any asyncio driver of SQLAlchemy.

    shop.open("sqlite:///shop.db", read_store="sqlalchemy+postgresql+asyncpg://user@host/database")

The log is in another store. SQLite and PostgreSQL are tested; MySQL and MariaDB have not been tried on a server. For
SQLite and PostgreSQL their own backends are faster. Needs SQLAlchemy (`pip install 'twofold[sql]'`) and the driver that
the URL names.
"""

from twofold.backends.sqlalchemy.read_store import SqlReadStore

__all__ = ["SqlReadStore"]
