"""SQL lives in `.sql` files beside the code that runs it: one named statement after each `-- name:` line."""

from __future__ import annotations

import re
from functools import cache
from importlib.resources import files

_NAME = re.compile(r"^-- name: (\w+)$", re.MULTILINE)


@cache
def statements(package: str, file: str) -> dict[str, str]:
    """The statements of a file, by name."""
    text = files(package).joinpath(file).read_text(encoding="utf-8")
    parts = _NAME.split(text)
    return {name: sql.strip() for name, sql in zip(parts[1::2], parts[2::2], strict=True)}


def quoted(identifier: str) -> str:
    """An identifier of ours inside a statement. Values never go this way: they are parameters."""
    return '"' + identifier.replace('"', '""') + '"'
