"""The arguments of a side: where its data is. Only the standard library, so that every side's Python can import it."""

import json
import sys
from dataclasses import dataclass
from typing import Any
from urllib.parse import parse_qs, urlsplit


@dataclass(frozen=True)
class Arguments:
    """`url` in twofold's form; `more` is specific to the side."""

    url: str
    more: dict[str, Any]

    @staticmethod
    def read() -> "Arguments":
        """Parse the command line."""
        given = json.loads(sys.argv[1])
        return Arguments(given.pop("url"), given)

    @property
    def is_postgres(self) -> bool:
        """Otherwise SQLite."""
        return self.url.startswith("postgresql://")

    @property
    def file(self) -> str:
        """SQLite's file."""
        return self.url.removeprefix("sqlite:///")

    @property
    def socket_folder(self) -> str:
        """The folder of PostgreSQL's socket."""
        return parse_qs(urlsplit(self.url).query)["host"][0]

    @property
    def database(self) -> str:
        """PostgreSQL's database."""
        return urlsplit(self.url).path.removeprefix("/")
