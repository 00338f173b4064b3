"""Roll-out of a changed event: processes of the old and of the new code work on one store at the same time."""

import subprocess
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

pytestmark = pytest.mark.slow

PROGRAM = Path(__file__).with_name("roll_out.py")


@pytest.fixture(params=["sqlite", "postgres"])
def url(request: pytest.FixtureRequest, tmp_path: Path) -> str:
    if request.param == "sqlite":
        return f"sqlite:///{tmp_path}/tills.db"
    new_database: Callable[[], str] = request.getfixturevalue("new_database")
    return new_database()


@contextmanager
def process(code: str, url: str) -> Iterator[Callable[[int], str]]:
    """Start a process of this code; called with cents it makes a sale and returns the result."""
    command = [sys.executable, str(PROGRAM), code, url]
    with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True) as running:
        assert running.stdin is not None
        assert running.stdout is not None
        stdin, stdout = running.stdin, running.stdout

        def sell(cents: int) -> str:
            stdin.write(f"{cents}\n")
            stdin.flush()
            return stdout.readline().strip()

        assert stdout.readline() == "ready\n"
        yield sell


def test_readers_first_then_writers(url: str) -> None:
    """While the new code writes the old schema, both work; afterwards the old code stops without doing harm."""
    with process("old", url) as old:
        with process("meanwhile", url) as meanwhile:
            assert [old(100), meanwhile(200), old(300), meanwhile(400)] == ["100", "300", "600", "1000"]
            assert meanwhile(1_250) == "InvalidEvent", "the old schema holds no cents, and the old code could not know"
            assert old(100) == "1100"
        with process("then", url) as then:
            assert then(1_250) == "2350", "whichever held the checkpoint: a read with a token gets the row"
            assert old(100) == "NewerSchema"
            assert then(50) == "2400"
    with process("then", url) as then:
        assert then(1) == "2401"
