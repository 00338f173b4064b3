"""How a side is told where its data lies. Only the standard library is used: every side's Python can import this."""

import json
import sys
from dataclasses import dataclass
from typing import Any
from urllib.parse import parse_qs, urlsplit


@dataclass(frozen=True)
class Arguments:
    """`url` as twofold takes it; `more` is for this side alone."""

    url: str
    more: dict[str, Any]

    @staticmethod
    def read() -> "Arguments":
        """From the command line."""
        given = json.loads(sys.argv[1])
        return Arguments(given.pop("url"), given)

    @property
    def is_postgres(self) -> bool:
        """Else it is SQLite."""
        return self.url.startswith("postgresql://")

    @property
    def file(self) -> str:
        """SQLite's file."""
        return self.url.removeprefix("sqlite:///")

    @property
    def socket_folder(self) -> str:
        """Where PostgreSQL's socket lies."""
        return parse_qs(urlsplit(self.url).query)["host"][0]

    @property
    def database(self) -> str:
        """PostgreSQL's database."""
        return urlsplit(self.url).path.removeprefix("/")
