"""Read models in any database that SQLAlchemy has a driver for asyncio for, and that `DIALECTS` names.

    shop.open("sqlite:///shop.db", read_store="sqlalchemy+postgresql+asyncpg://user@host/database")

The log lies elsewhere. SQLite and PostgreSQL are tested; MySQL and MariaDB have not been tried on a server. For SQLite
and PostgreSQL themselves the backends of their own are quicker. Needs SQLAlchemy (`pip install twofold[sql]`) and the
driver that the URL names.
"""

from twofold.backends.sqlalchemy.read_store import SqlReadStore

__all__ = ["SqlReadStore"]
