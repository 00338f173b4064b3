"""A rebuild that is killed with SIGKILL at each statement of its swap: the old table is whole, or the new one is."""

import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest

pytestmark = pytest.mark.slow

REBUILDER = Path(__file__).with_name("rebuilder.py")
OLD, NEW = "6 1006 parked 1", "5 6 parked 1"


@pytest.mark.parametrize("backend", ["sqlite", "postgres"])
def test_g8_killed_at_any_statement(backend: str, tmp_path: Path, new_database: Callable[[], str]) -> None:
    url = new_database() if backend == "postgres" else f"sqlite:///{tmp_path}/bank.db"
    ran = subprocess.run([sys.executable, str(REBUILDER), url], capture_output=True, text=True, check=False)
    assert ran.returncode == 0, ran.stderr
    found = [line.partition(" ")[2] for line in ran.stdout.splitlines()]
    assert len(found) > 15, "as many as the swap has statements"
    assert set(found) == {OLD, NEW}
    assert found == sorted(found, key=[OLD, NEW].index), "what was replaced stays so"
    assert found.count(NEW) <= 4, "all in one transaction: the new rows are there when it is over"
