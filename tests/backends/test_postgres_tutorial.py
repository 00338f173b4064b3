"""docs/sql.md is run on a real PostgreSQL, block by block."""

import ast
import inspect
import re
from collections.abc import Callable
from pathlib import Path
from types import ModuleType

from devservers.postgres import execute

PAGE = Path(__file__).parents[2] / "docs" / "sql.md"
_BLOCK = re.compile(r"^```(sql|python no-run)\n(.*?)^```$", re.MULTILINE | re.DOTALL)


async def test_the_page_works_as_it_stands(new_store: Callable[[], str]) -> None:
    url, page = new_store(), ModuleType("page_sql")
    blocks = _BLOCK.findall(PAGE.read_text("utf-8"))
    assert len(blocks) >= 5
    for info, text in blocks:
        if "tenant_reader" in text:
            continue  # test_postgres_tenants.py runs it
        if info == "sql":
            execute(url, text)
            continue
        code = text.replace("postgresql://localhost/blog", url)
        running = eval(compile(code, str(PAGE), "exec", flags=ast.PyCF_ALLOW_TOP_LEVEL_AWAIT), vars(page))
        if inspect.iscoroutine(running):
            await running
