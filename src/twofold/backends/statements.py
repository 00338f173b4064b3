"""SQL statements from `.sql` files beside the code that runs them, each after a line `-- name:` with its name."""

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
    """An identifier, quoted for use in a statement. Values are never quoted: they are parameters."""
    return '"' + identifier.replace('"', '""') + '"'
