"""The figures, on one line during the run and in a file at the end."""

from __future__ import annotations

import json
import os
import platform
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path

from torture.evidence import Violation
from torture.ground import Fault
from torture.journal import (
    Acked,
    Asked,
    Claimed,
    Fact,
    Fenced,
    Looked,
    Refused,
    Retried,
    Struck,
    Unknown,
)

SHOWN = 10  # of the violations of a kind


@dataclass
class Counts:
    """All figures. `violations` includes `lost`, `doubled`, `skipped` and `negative`."""

    seconds: int = 0
    appends: int = 0
    repeated: int = 0
    refused: int = 0
    unknown: int = 0
    in_flight: int = 0
    events: int = 0
    kills: int = 0
    server_kills: int = 0
    server_restarts: int = 0
    pauses: int = 0
    server_pauses: int = 0
    aimed: int = 0
    cuts: int = 0
    full_disks: int = 0
    splits: int = 0
    upsets: int = 0
    takeovers: int = 0
    fenced: int = 0
    parked: int = 0
    unparked: int = 0
    token_reads: int = 0
    lag: int = 0
    lost: int = 0
    doubled: int = 0
    skipped: int = 0
    negative: int = 0
    violations: int = 0

    def take(self, fact: Fact) -> None:
        """Count a fact of a journal."""
        match fact:
            case Asked():
                self.in_flight += 1
            case Acked(repeated=repeated):
                self.in_flight -= 1
                self.repeated += repeated
                self.appends += not repeated
            case Refused():
                self.in_flight -= 1
                self.refused += 1
            case Unknown():
                self.in_flight -= 1
                self.unknown += 1
            case Claimed(taken_over=True):
                self.takeovers += 1
            case Fenced():
                self.fenced += 1
            case Looked():
                self.token_reads += 1
            case Retried(done):
                self.unparked += done
            case Struck():
                self.aimed += 1
            case _:
                pass

    def take_faults(self, faults: Mapping[Fault, int]) -> None:
        """Take over the counts of faults of the store."""
        self.server_kills = faults.get("kill the server", 0) + faults.get("kill a session", 0)
        self.server_restarts = faults.get("restart the server", 0)
        self.server_pauses = faults.get("pause a session", 0)
        self.cuts = faults.get("cut connections", 0)
        self.full_disks = faults.get("fill the disk", 0)
        self.splits = faults.get("split a range", 0)
        self.upsets = faults.get("upset the service", 0)

    def judge(self, violations: Sequence[Violation]) -> None:
        """Count the violations."""
        kinds = Counter(violation.kind for violation in violations)
        self.lost, self.doubled = kinds["lost"], kinds["doubled"]
        self.skipped, self.negative = kinds["skipped"], kinds["negative"]
        self.violations = len(violations)

    def line(self) -> str:
        """The figures during the run."""
        shown = ("appends", "kills", "takeovers", "fenced", "parked", "lag")
        return f"{self.seconds // 60}:{self.seconds % 60:02}  {self._figures(shown)}"

    def summary(self) -> str:
        """The figures at the end."""
        done = ("appends", "kills", "pauses", "cuts", "takeovers", "fenced", "parked", "unparked")
        wrong = ("skipped", "lost", "doubled", "negative", "violations")
        return f"{self._figures(done)}\n{self._figures(wrong)}"

    def _figures(self, names: Iterable[str]) -> str:
        return "  ".join(f"{name} {getattr(self, name):,}" for name in names)


MEANINGS = {
    "appends": "appends that were acknowledged",
    "repeated": "repeated commands that got the original answer",
    "refused": "commands that were refused and may not be stored",
    "unknown": "commands whose outcome the store could not tell",
    "in_flight": "commands whose sender was killed before the answer",
    "events": "events in the log at the end",
    "kills": "processes that were killed with `kill -9`, the server's among them",
    "server_kills": "of these, the server or one of its sessions",
    "server_restarts": "orderly restarts of the server",
    "pauses": "processes that were paused (SIGSTOP), workers for longer than their lease",
    "server_pauses": "of these, sessions of the server",
    "aimed": "kills and pauses at a chosen place between two steps",
    "cuts": "connections that were cut",
    "full_disks": "times that the disk was full",
    "splits": "ranges of Azure Cosmos DB that were split",
    "upsets": "planned refusals (429), stale sessions, lost responses, and pages that come twice or shuffled",
    "takeovers": "followers that were taken over from a worker that was dead or paused",
    "fenced": "writes that were refused because another worker had taken over",
    "parked": "rows parked at the end, all on purpose",
    "unparked": "rows parked on purpose and unparked with a corrected fold",
    "token_reads": "reads with the token of another process's write",
    "skipped": "events that a reader of the feed never saw",
    "lost": "acknowledged appends, or reactions, that are missing",
    "doubled": "appends or reactions that are stored twice",
    "negative": "moments at which a stock was below zero",
    "violations": "all violations, including those above",
}


@dataclass(frozen=True)
class Report:
    """One run."""

    backend: str
    version: str
    seed: str
    minutes: float
    counts: Counts
    violations: Sequence[Violation]
    folder: Path

    def text(self) -> str:
        """Markdown."""
        machine = f"{platform.system()} {platform.release()}, {os.cpu_count()} CPUs, Python {platform.python_version()}"
        lines = [
            f"# Torture of {self.version}",
            "",
            f"{self.minutes:g} minutes, seed `{self.seed}`, {machine}.",
            "",
            "| figure | count | meaning |",
            "|---|---:|---|",
        ]
        figures = asdict(self.counts)
        lines += [f"| {name.replace('_', ' ')} | {figures[name]:,} | {told} |" for name, told in MEANINGS.items()]
        return "\n".join([*lines, "", *self.verdict(), ""])

    def verdict(self) -> list[str]:
        """The violations in words, and where the evidence is kept."""
        if not self.violations:
            return ["Nothing was lost, doubled or skipped, and every read model equals a fresh fold of the log."]
        kinds = Counter(violation.kind for violation in self.violations)
        lines = [f"{len(self.violations)} violations:"]
        for kind, count in kinds.items():
            of_kind = [violation.text for violation in self.violations if violation.kind == kind]
            lines += ["", f"{kind}: {count}", *[f"- {text}" for text in of_kind[:SHOWN]]]
            lines += [f"- … and {count - SHOWN} more"] if count > SHOWN else []
        return [*lines, "", f"Store, journals and output of all processes are kept in {self.folder}."]

    def json(self) -> str:
        """One object of numbers, on one line."""
        return json.dumps({**asdict(self.counts), "minutes": self.minutes})

    def write(self, file: Path) -> None:
        """Write Markdown, or JSON if the file name ends in .json."""
        file.parent.mkdir(parents=True, exist_ok=True)
        if file.suffix == ".json":
            about = {"backend": self.backend, "version": self.version, "seed": self.seed, "minutes": self.minutes}
            told = [asdict(violation) for violation in self.violations]
            file.write_text(json.dumps({**about, **asdict(self.counts), "told": told}, indent=2) + "\n", "utf-8")
        else:
            file.write_text(self.text(), "utf-8")
