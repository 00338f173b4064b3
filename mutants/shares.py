"""For each promise the share of the planted defects that was noticed: the table in docs/guarantees.md.

`./dev -- python -m mutants.shares --write` writes it, from `results.json`.
"""

from __future__ import annotations

import re
import sys
from collections.abc import Iterator, Mapping, Sequence

from mutants import lists
from mutants.copy import ROOT
from mutants.lists import Result

PAGE = ROOT / "docs/guarantees.md"
BEGIN, END = "<!-- written by mutants.shares -->\n", "<!-- until here -->\n"
PROMISES = [f"G{number}" for number in range(1, 12)]
KEPT_BY = (  # which promises a drawn defect of a file can break: the first pattern that matches
    (r"write/(clock|copies)|operate/copy|/copies|cut_log", "G4 G11"),
    (r"write/(requests|states)|/requests|web/(idempotency|steps)", "G3"),
    (r"write/|append\.sql|sqlite/batch|shop/write", "G1 G2 G3"),
    (r"feed/(parking_limit|unparking)|read/(parked|refused|unpark|selector)|operate/parked|cli/parked", "G7"),
    (
        r"feed/(feed|partitions|handover|doorbell|lag)|backends/partitioned/|cosmos/(poll|ranges|part|places|layout)",
        "G4 G5",
    ),
    (r"feed/|react/|checkpoints|commit\.", "G5 G7"),
    (r"/log\.|cosmos/(streams|client)", "G1 G2 G3 G4"),
    (r"read/(freshness|watch|rounds|room|query|store)|web/(consistency|live)|gathered|/watch", "G6"),
    (
        r"read/(publish|rebuild|definition)|/(swap|definitions|tables|schema)|operate/(rebuild|tables)|cli/(rebuild|tables)",
        "G8",
    ),
    (r"read/(proof|refold)|operate/(verify|check|impurity)|cli/(verify|diff)", "G9"),
    (r"read/|read_store|shop/read|sql/|/note\.sql|/run\.sql|/calls|/views", "G5 G6"),
    (r"", "G10"),  # what is between a user and the engine
)


def promises_of(result: Result) -> Sequence[str]:
    """The promises that the defect can break."""
    if result.defect.promise:
        return result.defect.promise.split()
    return next(promises.split() for pattern, promises in KEPT_BY if re.search(pattern, result.defect.file))


def table(results: Sequence[Result], harmless: Mapping[str, str]) -> str:
    """The paragraph and the table, in Markdown."""
    tried = [one for one in results if not one.absent]
    drawn = [one for one in tried if not one.defect.promise]
    absent = len(results) - len(tried)
    gone = f" ({absent:,} more no longer apply, because the lines that they change were rewritten)" if absent else ""
    days = sorted({one.date for one in tried})
    when = days[0] if len(days) == 1 else f"{days[0]} to {days[-1]}"
    text = (
        f"On {when}, {len(drawn):,} of the {len(lists.drawn().defects):,} defects that seed {lists.drawn().seed} draws "
        f"and {len(tried) - len(drawn):,} of the {len(lists.by_hand()):,} made by hand were planted{gone}. "
        f'"Harmless" are survivors that change nothing a user could see; `mutants/harmless.toml` gives the reason for '
        f"each. The shares are of the others."
    )
    return "\n".join([text, "", *_rows(tried, harmless), ""])


def _rows(tried: Sequence[Result], harmless: Mapping[str, str]) -> Iterator[str]:
    yield "| promise | drawn: noticed | made by hand: noticed | harmless | survived |"
    yield "| --- | --- | --- | --- | --- |"
    for promise in [*PROMISES, "all"]:
        of = [one for one in tried if promise == "all" or promise in promises_of(one)]
        counted = [one for one in of if one.by is not None or one.defect.name not in harmless]
        drawn, made = [one for one in counted if not one.defect.promise], [one for one in counted if one.defect.promise]
        survivors = sum(one.by is None for one in counted)
        yield f"| {promise} | {_share(drawn)} | {_share(made)} | {len(of) - len(counted)} | {survivors} |"


def _share(of: Sequence[Result]) -> str:
    if not of:
        return "–"
    noticed = sum(one.by is not None for one in of)
    return f"{noticed} of {len(of)}, {100 * noticed / len(of):.0f} %"


def written(page: str, made: str) -> str:
    """The page with the table between its two marks."""
    before, rest = page.split(BEGIN)
    return before + BEGIN + made + rest[rest.index(END) :]


if __name__ == "__main__":
    made = table(lists.results(), lists.harmless())
    if "--write" in sys.argv:
        PAGE.write_text(written(PAGE.read_text("utf-8"), made), "utf-8")
    else:
        print(made)
