"""What was measured and what could not be: kept in memory, and written as JSON lines during the run."""

import json
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from statistics import median
from typing import Any

NOT_ASKED = "was not selected"


@dataclass(frozen=True, order=True)
class Case:
    """One comparison: a variant of a scenario on a backend. `unit` ends in /s if more is better."""

    scenario: str
    backend: str
    name: str
    unit: str = field(compare=False)

    @property
    def more_is_better(self) -> bool:
        """Higher is better for rates; lower for times, bytes and shares."""
        return self.unit.endswith("/s")

    def __str__(self) -> str:
        return f"{self.scenario}, {self.backend}, {self.name}"


@dataclass(frozen=True)
class Spread:
    """The median of several rounds, with the lowest and the highest."""

    median: float
    low: float
    high: float

    @staticmethod
    def of(values: Sequence[float]) -> "Spread":
        """The spread of at least one value."""
        return Spread(median(values), min(values), max(values))


@dataclass(frozen=True)
class Result:
    """The results of one side by round; `details` are additional figures by round."""

    case: Case
    side: str
    values: Sequence[float]
    details: Mapping[str, Sequence[float]] = field(default_factory=dict)

    @property
    def spread(self) -> Spread:
        """The spread of the rounds."""
        return Spread.of(self.values)

    def detail(self, name: str) -> float | None:
        """The median of an additional figure, if the side reports it."""
        values = self.details.get(name)
        return median(values) if values else None


class Book:
    """All results of a run. `write` gets each as a line of JSON."""

    def __init__(self, write: Callable[[str], None]) -> None:
        self._write = write
        self.results: dict[tuple[Case, str], Result] = {}
        self.missing: dict[tuple[Case, str], str] = {}
        self.left_out: dict[str, str] = {}

    def line(self, **values: Any) -> None:
        """Write one line of JSON."""
        self._write(json.dumps(values))

    def add(self, result: Result) -> None:
        """Keep and write a result."""
        case, spread = result.case, result.spread
        self.results[case, result.side] = result
        self.line(
            scenario=case.scenario,
            backend=case.backend,
            case=case.name,
            side=result.side,
            unit=case.unit,
            median=_rounded(spread.median),
            rounds=[_rounded(value) for value in result.values],
            **{name: [_rounded(value) for value in values] for name, values in result.details.items()},
        )

    def miss(self, case: Case, side: str, reason: str) -> None:
        """Keep and write why there is no result."""
        self.results.pop((case, side), None)
        self.missing[case, side] = reason
        self.line(scenario=case.scenario, backend=case.backend, case=case.name, side=side, reason=reason)

    def leave_out(self, scenario: str, reason: str) -> None:
        """Keep and write why a whole scenario was not measured."""
        self.left_out[scenario] = reason
        self.line(scenario=scenario, reason=reason)

    def find(self, scenario: str, backend: str, case: str, side: str = "twofold") -> Result | None:
        """One result, if it exists."""
        return self.results.get((Case(scenario, backend, case, ""), side))

    def why_not(self, scenario: str, backend: str, case: str, *sides: str) -> str:
        """Why results are missing."""
        found = [self.missing.get((Case(scenario, backend, case, ""), side)) for side in sides]
        known = "; ".join(dict.fromkeys(filter(None, found)))
        return known or self.left_out.get(scenario, f"{scenario} {NOT_ASKED}")

    def of(self, case: Case) -> list[Result]:
        """The results of one comparison, in the order of measuring."""
        return [result for (known, _), result in self.results.items() if known == case]

    def cases(self) -> Iterator[Case]:
        """Every comparison with a result, in the order of measuring."""
        return iter(dict.fromkeys(case for case, _ in self.results))


def _rounded(value: float) -> float:
    """Round: four digits are already more than a benchmark can tell."""
    return float(f"{value:.4g}")
