"""Makes the tables and functions of sql/ in a database: `python -m blog.install URL`.

Repeated, it replaces the functions and keeps the rest.
"""

import asyncio
import sys

import asyncpg

from blog.app import blog
from blog.views import SQL

FILES = ("tables.sql", "functions.sql")


async def install(url: str) -> None:
    async with blog.look(url, create=True):
        pass  # twofold's own tables, which ours refer to
    connection = await asyncpg.connect(url)
    try:
        async with connection.transaction():
            for file in FILES:
                await connection.execute((SQL / file).read_text("utf-8"))
    finally:
        await connection.close()


if __name__ == "__main__":
    asyncio.run(install(sys.argv[1]))
