"""What is measured, in the order of the report. Each module describes one scenario and runs it."""

from collections.abc import Callable

from bench.run import Run
from bench.scenarios.append import appends

SCENARIOS: dict[str, Callable[[Run], None]] = {
    "append": appends,
}
