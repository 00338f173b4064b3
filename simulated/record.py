"""What has been simulated of the engine as it is: `record.json` in this folder, to which runs are added."""

from __future__ import annotations

import ast
import hashlib
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from datetime import UTC, datetime
from pathlib import Path

import msgspec

ROOT = Path(__file__).resolve().parent.parent
FILE = ROOT / "simulated/record.json"
PAGE = ROOT / "docs/guarantees.md"
BEGIN, END = "<!-- written by ./dev simulate --write -->\n", "<!-- until here -->"
ENGINE = (
    *("app.py", "belonging.py", "feed", "messages.py", "react", "read", "write"),
    *("backends/cosmos", "backends/memory", "backends/partitioned", "testing/simulation"),
)


class Run(msgspec.Struct, frozen=True):
    """Some histories without a violation: of the seeds from `seed` up."""

    date: str
    seed: int
    histories: int


class Record(msgspec.Struct, frozen=True):
    """All runs of one state of the engine, and how often what happened in them."""

    state: str
    runs: Sequence[Run] = ()
    counts: Mapping[str, int] = {}

    @property
    def histories(self) -> int:
        """How many in all."""
        return sum(run.histories for run in self.runs)

    @property
    def next_seed(self) -> int:
        """The first seed above those of all runs."""
        return max((run.seed + run.histories for run in self.runs), default=1)

    def has(self, seeds: range) -> bool:
        """Whether some of these were simulated."""
        return any(run.seed < seeds.stop and seeds.start < run.seed + run.histories for run in self.runs)

    def with_run(self, seed: int, histories: int, counts: Mapping[str, int]) -> Record:
        """This one and another run; runs of one day that follow one another become one."""
        runs = [*self.runs, Run(f"{datetime.now(UTC):%Y-%m-%d}", seed, histories)]
        if len(runs) > 1 and (runs[-2].date, self.next_seed) == (runs[-1].date, seed):
            runs[-2:] = [Run(runs[-1].date, runs[-2].seed, runs[-2].histories + histories)]
        return Record(self.state, runs, dict(Counter(self.counts) + Counter(counts)))


def read() -> Record:
    """The record of the engine as it is now; an empty one if the engine has changed since it was written."""
    now = state()
    known = msgspec.json.decode(FILE.read_bytes(), type=Record) if FILE.exists() else Record(now)
    return known if known.state == now else Record(now)


def write(record: Record) -> None:
    """Write the file, and what docs/guarantees.md says of it."""
    ordered = msgspec.structs.replace(record, counts=dict(sorted(record.counts.items())))
    FILE.write_bytes(msgspec.json.format(msgspec.json.encode(ordered), indent=2) + b"\n")
    PAGE.write_text(written(PAGE.read_text("utf-8"), ordered), "utf-8")


def written(page: str, record: Record) -> str:
    """The page with these figures."""
    before, _, rest = page.partition(BEGIN)
    _, _, after = rest.partition(END)
    runs = ", ".join(f"{run.histories:,} from seed {run.seed:,} on {run.date}" for run in record.runs)
    rows = [f"| {what} | {number:,} |" for what, number in sorted(record.counts.items())]
    lines = [
        f"{record.histories:,} histories of one state of the engine, {record.state}: {runs}. No promise was broken.",
        "",
        "| what happened in them | how often |",
        "|---|---:|",
        *rows,
        "",
    ]
    return before + BEGIN + "\n".join(lines) + END + after


def state() -> str:
    """Names the code of the engine and of the simulation, without comments and docstrings."""
    digest = hashlib.sha256()
    for path in _files():
        digest.update(f"{path.relative_to(ROOT)}\0{_code(path.read_text('utf-8'))}\0".encode())
    return digest.hexdigest()[:16]


def _files() -> Iterator[Path]:
    for name in ENGINE:
        top = ROOT / "src/twofold" / name
        yield from sorted(top.rglob("*.py")) if top.is_dir() else [top]
    yield from sorted(path for path in FILE.parent.glob("*.py") if path.name not in ("__main__.py", "record.py"))


def _code(text: str) -> str:
    tree = ast.parse(text)
    for node in ast.walk(tree):
        if isinstance(node, ast.Module | ast.ClassDef | ast.FunctionDef | ast.AsyncFunctionDef) and ast.get_docstring(
            node, clean=False
        ):
            del node.body[0]
    return ast.dump(tree)
