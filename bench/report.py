"""The report: the goals, one picture, and a table for each scenario."""

import importlib
from collections.abc import Iterator
from itertools import groupby
from pathlib import Path
from typing import Any

from bench import picture
from bench.goals import GOALS
from bench.results import NOT_ASKED, Book, Case, Result, Spread

BEGIN, END = "<!-- bench: from here to the end mark ./dev bench writes -->", "<!-- bench: end -->"
DETAILS = {
    "p99_ms": "p99 {:.3g} ms",
    "cpu_us": "{:,.0f} µs of processor time each",
    "added_mb": "{:.3g} MB added",
    "stuck_mb": "{:.2g} MB for each stuck reader",
    "database_percent": "PostgreSQL {:.2g}%",
    "imported_per_s": "{:,.0f} events/s imported",
}


class Report:
    """The report of one run."""

    def __init__(self, header: dict[str, Any], book: Book) -> None:
        self._header, self._book = header, book

    def write(self, page: Path, drawing: Path) -> None:
        """Write into a page between its two marks, or the whole page if it has none; and the picture."""
        text = page.read_text("utf-8") if page.exists() else f"{BEGIN}\n{END}\n"
        before, _, rest = text.partition(BEGIN)
        after = rest.partition(END)[2]
        page.write_text(f"{before}{BEGIN}\n\n{self.markdown()}\n{END}{after}", "utf-8")
        drawing.write_text(picture.drawn(self._book), "utf-8")

    def markdown(self) -> str:
        """The whole report."""
        return "\n".join([*self._origin(), *self._goals(), *self._scenarios()])

    def _origin(self) -> Iterator[str]:
        about = self._header
        machine = (
            about["cpu"],
            f"{about['cores']} cores",
            f"{about['memory_gib']} GiB",
            about["file_system"],
            about["os"],
        )
        versions = ", ".join(f"{name} {version}" for name, version in about["versions"].items())
        postgres = dict(about["postgres"])
        server = postgres.pop("server_version")
        yield f"Measured on {about['date'][:10]} by `{about['command']}` at commit {about['commit']}."
        yield ""
        yield f"- {', '.join(machine)}"
        yield f"- load average before the run: {', '.join(map(str, about['load_average']))}"
        yield f"- Python {about['python']}, {versions}"
        yield f"- PostgreSQL {server}: {', '.join(f'{name} {value}' for name, value in postgres.items())}"
        yield f"- SQLite {about['sqlite']['version']}: WAL, `synchronous=FULL` for the log"
        yield ""
        yield "Medians of the rounds of one run, with the lowest and the highest round in brackets. The sides of a"
        yield "comparison took turns. Ratios within a run mean something; figures of different days or machines do not."
        yield ""

    def _goals(self) -> Iterator[str]:
        yield "### Goals"
        yield ""
        yield "| | wanted | measured | |"
        yield "|---|---|---|---|"
        for goal in GOALS:
            found = goal.measured(self._book)
            wanted = f"{'≥' if goal.at_least else '≤'} {goal.wanted:g} {goal.unit}"
            if isinstance(found, str) and found.endswith(NOT_ASKED):
                continue
            if isinstance(found, str):
                yield f"| {goal.what} | {wanted} | – | {_cell(found)} |"
            else:
                verdict = "reached" if goal.met_by(found.median) else "**not reached**"
                yield f"| {goal.what} | {wanted} | {_spread(found)} {goal.unit} | {verdict} |"
        yield ""
        yield "![Rates of twofold and of those beside it, scenario by scenario](performance.svg)"
        yield ""

    def _scenarios(self) -> Iterator[str]:
        for scenario, cases in groupby(self._book.cases(), key=lambda case: case.scenario):
            module = importlib.import_module(f"bench.scenarios.{scenario.replace('-', '_')}")
            yield f"### {scenario}"
            yield ""
            yield (module.__doc__ or "").strip()
            yield ""
            yield "| | | result | |"
            yield "|---|---|---|---|"
            for case in cases:
                yield from self._case(case)
            yield ""
        for scenario, reason in self._book.left_out.items():
            yield f"Not measured: {scenario}, {reason}."
            yield ""

    def _case(self, case: Case) -> Iterator[str]:
        title = f"{picture.BACKENDS[case.backend]}, {case.name}"
        for result in self._book.of(case):
            yield f"| {title} | {result.side} | {_spread(result.spread)} {case.unit} | {_details(result)} |"
            title = ""
        for (known, side), reason in self._book.missing.items():
            if known == case:
                yield f"| | {side} | – | {_cell(reason)} |"


def _spread(spread: Spread) -> str:
    return f"{_figure(spread.median)} ({_figure(spread.low)}–{_figure(spread.high)})"


def _figure(value: float) -> str:
    return f"{value:,.0f}" if value >= 1_000 else f"{value:.3g}"


def _details(result: Result) -> str:
    told = ((words, result.detail(name)) for name, words in DETAILS.items())
    return ", ".join(words.format(value) for words, value in told if value is not None)


def _cell(text: str) -> str:
    return " ".join(text.replace("|", "\\|").split())
