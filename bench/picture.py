"""One picture: a bar per side for each comparison of rates, twofold first, as a self-contained SVG."""

from collections.abc import Iterator
from html import escape

from bench.results import Book, Case, Result

WIDTH, MARGIN, COLUMNS, GAP = 1_160, 28, 4, 24
COLUMN = (WIDTH - 2 * MARGIN - (COLUMNS - 1) * GAP) / COLUMNS
ROW, BAR = 29, 8  # the height of one side, and of its bar
HEAD, CASE_HEAD, CASE_FOOT = 40, 22, 16

TITLES = {
    "append": "Appends, events per second",
    "catch-up": "Projection catch-up, events per second",
    "rebuild": "Rebuild, events per second",
    "load": "Loading a stream of 100 events, streams per second",
    "command": "Commands (load, decide, append) of 16 callers, per second",
    "edges": "Rows and pages over HTTP, 32 connections, requests per second",
}
BACKENDS = {"postgres": "PostgreSQL", "sqlite": "SQLite", "cosmos": "Azure Cosmos DB's development server"}
KINDS = {
    "twofold": "ours",
    "twofold on 3.13": "ours",
    "raw": "bound",
    "pure SQL": "bound",
    "Starlette by hand": "bound",
}

STYLE = """
    svg { font: 12px system-ui, -apple-system, 'Segoe UI', sans-serif; }
    .page { fill: #ffffff; } .head { font-size: 15px; font-weight: 600; fill: #1c2430; }
    .case { font-weight: 600; fill: #4a5565; } .name { fill: #4a5565; } .value { fill: #1c2430; }
    .rail { fill: #eef1f5; } .ours { fill: #0f766e; } .peer { fill: #d97706; } .bound { fill: #94a3b8; }
    .rule { stroke: #e2e7ee; }
    @media (prefers-color-scheme: dark) {
      .page { fill: #10161d; } .head { fill: #e8edf3; } .case, .name { fill: #a5b1c0; } .value { fill: #e8edf3; }
      .rail { fill: #1d2630; } .ours { fill: #2dd4bf; } .peer { fill: #f59e0b; } .bound { fill: #64748b; }
      .rule { stroke: #263140; }
    }"""


def drawn(book: Book) -> str:
    """The whole picture."""
    body: list[str] = list(_legend())
    y = 64.0
    for scenario, title in TITLES.items():
        cases = [case for case in book.cases() if case.scenario == scenario and len(book.of(case)) > 1]
        if not cases:
            continue
        body += [_text(MARGIN, y + 18, "head", title), _rule(y + 28)]
        y += HEAD
        for row in (cases[at : at + COLUMNS] for at in range(0, len(cases), COLUMNS)):
            for column, case in enumerate(row):
                body += _case(MARGIN + column * (COLUMN + GAP), y, case, book.of(case))
            y += CASE_HEAD + ROW * max(len(book.of(case)) for case in row) + CASE_FOOT
    height = y + MARGIN
    return "\n".join(
        [
            f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {WIDTH} {height:.0f}" role="img">',
            "  <title>Rates of twofold and of those beside it</title>",
            f"  <style>{STYLE}\n  </style>",
            f'  <rect class="page" width="{WIDTH}" height="{height:.0f}" rx="8"/>',
            *(f"  {line}" for line in body),
            "</svg>\n",
        ]
    )


def _legend() -> Iterator[str]:
    x = float(MARGIN)
    for kind, words in (("ours", "twofold"), ("peer", "a peer"), ("bound", "a floor or a ceiling, not a library")):
        yield f'<rect class="{kind}" x="{x:.0f}" y="30" width="14" height="{BAR}" rx="3"/>'
        yield _text(x + 20, 39, "name", words)
        x += 44 + 6.6 * len(words)


def _case(x: float, y: float, case: Case, results: list[Result]) -> Iterator[str]:
    """Bars on their own scale, the longest as wide as the column."""
    yield _text(x, y + 12, "case", f"{BACKENDS[case.backend]}, {case.name}")
    longest = max(result.spread.median for result in results)
    for place, result in enumerate(results):
        top, value = y + CASE_HEAD + place * ROW, result.spread.median
        kind = "bound" if result.side.startswith("floor") else KINDS.get(result.side, "peer")
        yield _text(x, top + 10, "name", result.side)
        yield _text(x + COLUMN, top + 10, "value", f"{value:,.0f}", ' text-anchor="end"')
        yield f'<rect class="rail" x="{x:.1f}" y="{top + 14}" width="{COLUMN:.1f}" height="{BAR}" rx="3"/>'
        width = max(2.0, COLUMN * value / longest)
        yield f'<rect class="{kind}" x="{x:.1f}" y="{top + 14}" width="{width:.1f}" height="{BAR}" rx="3"/>'


def _text(x: float, y: float, kind: str, words: str, more: str = "") -> str:
    return f'<text class="{kind}" x="{x:.1f}" y="{y:.1f}"{more}>{escape(words)}</text>'


def _rule(y: float) -> str:
    return f'<line class="rule" x1="{MARGIN}" x2="{WIDTH - MARGIN}" y1="{y:.0f}" y2="{y:.0f}"/>'
