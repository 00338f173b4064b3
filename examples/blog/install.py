"""Makes the tables and functions of sql/ in a database; repeated, it replaces the functions and keeps the rest."""

import asyncpg

from blog.views import SQL

FILES = ("tables.sql", "functions.sql")


async def install(url: str) -> None:
    connection = await asyncpg.connect(url)
    try:
        async with connection.transaction():
            for file in FILES:
                await connection.execute((SQL / file).read_text("utf-8"))
    finally:
        await connection.close()
