"""The report: a table for each scenario and one picture."""

from pathlib import Path
from typing import Any

from bench.results import Book, Case, Result

BEGIN, END = "<!-- bench: begin, written by ./dev bench -->", "<!-- bench: end -->"


class Report:
    """Of one run."""

    def __init__(self, header: dict[str, Any], book: Book) -> None:
        self._header, self._book = header, book

    def write(self, page: Path, picture: Path) -> None:
        """Into a page: between its two marks where it has them, else all of it. The picture goes beside it."""
        text = page.read_text("utf-8") if page.exists() else f"{BEGIN}\n{END}\n"
        before, _, rest = text.partition(BEGIN)
        _, _, after = rest.partition(END)
        page.write_text(f"{before}{BEGIN}\n\n{self.markdown()}\n\n{END}{after}", "utf-8")

    def markdown(self) -> str:
        return ""
