"""Real runs of the torture: half a minute on each store, on a disk that is full at times, and ended early."""

import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path
from uuid import uuid4

import pytest

from torture.disk import CannotMount, small_disk

pytestmark = pytest.mark.slow

STORES = ["sqlite", "postgres"]


def command(report: Path, *options: str) -> list[str]:
    return [sys.executable, "-m", "torture", "--json", "--report", str(report), *options]


def torture(report: Path, *options: str) -> tuple[int, dict[str, int], str]:
    """Exit code, figures and all output."""
    done = subprocess.run(command(report, *options), check=False, capture_output=True, text=True)
    assert done.returncode in (0, 1), done.stdout + done.stderr
    figures = json.loads(done.stdout.splitlines()[-1])
    return done.returncode, figures, done.stdout + done.stderr


@pytest.mark.parametrize("store", STORES)
def test_half_a_minute_of_torture_breaks_no_promise(store: str, tmp_path: Path) -> None:
    status, figures, told = torture(tmp_path / "report.md", "--backend", store, "--minutes", "0.5")
    assert status == 0, told
    assert [figures[name] for name in ("lost", "doubled", "skipped", "negative", "violations")] == [0] * 5
    for name in ("appends", "events", "kills", "takeovers", "repeated", "refused", "token_reads", "aimed"):
        assert figures[name] > 0, told
    assert f"| appends | {figures['appends']:,} |" in (tmp_path / "report.md").read_text()


def test_twelve_seconds_on_four_partitions_breaks_no_promise(tmp_path: Path) -> None:
    status, figures, told = torture(tmp_path / "report.md", "--partitions", "4", "--minutes", "0.2")
    assert status == 0, told
    for name in ("appends", "events", "kills", "repeated", "token_reads"):
        assert figures[name] > 0, told


def test_ranges_that_split_and_a_server_that_is_killed_break_no_promise(tmp_path: Path) -> None:
    options = ("--backend", "cosmos", "--partitions", "2", "--minutes", "0.3", "--seed", "i")
    status, figures, told = torture(tmp_path / "report.md", *options)
    assert status == 0, told
    for name in ("appends", "events", "kills", "server_kills", "splits", "token_reads"):
        assert figures[name] > 0, told


# On SQLite the file beside the log can outgrow a smaller disk while a process is paused; it then cannot be emptied.
@pytest.mark.parametrize(("store", "megabytes"), [("sqlite", 96), ("postgres", 160)])
def test_a_disk_that_is_full_at_times_breaks_no_promise(store: str, megabytes: int, tmp_path: Path) -> None:
    try:
        with small_disk(tmp_path / "try", 1):
            pass
    except CannotMount as reason:
        pytest.skip(f"no disk can be made that is small enough to be filled: {reason}")
    options = ("--backend", store, "--minutes", "0.3", "--small-disk", str(megabytes))
    status, figures, told = torture(tmp_path / "report.json", *options)
    assert status == 0, told
    assert figures["full_disks"] > 0, told
    assert json.loads((tmp_path / "report.json").read_text())["full_disks"] == figures["full_disks"]


@pytest.mark.parametrize(
    ("mutation", "minutes", "kind"), [("apart", 0.2, "row"), ("unfenced", 0.3, "row"), ("forgetful", 0.2, "doubled")]
)
def test_what_is_broken_on_purpose_is_found(
    mutation: str, minutes: float, kind: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """It has to be hit at the right moment, so it gets several tries."""
    monkeypatch.setenv("TMPDIR", str(tmp_path))  # where the evidence is kept
    for _ in range(4):
        status, figures, told = torture(tmp_path / "report.md", "--mutate", mutation, "--minutes", str(minutes))
        assert (status == 1) == (figures["violations"] > 0)
        if status == 1:
            break
    assert f"\n{kind}: " in told


# ---- ending early


@pytest.fixture
def seed() -> Iterator[str]:
    """Identifies all processes of a run; none is left behind."""
    made = uuid4().hex
    yield made
    for pid in processes(made):
        os.kill(pid, signal.SIGKILL)


def processes(seed: str) -> list[int]:
    found = []
    for folder in Path("/proc").glob("[0-9]*"):
        try:
            if seed.encode() in (folder / "cmdline").read_bytes():
                found.append(int(folder.name))
        except OSError:  # it has just ended
            continue
    return found


def under_way(report: Path, *options: str) -> subprocess.Popen[str]:
    """A run that has printed its first figures."""
    running = subprocess.Popen(
        command(report, "--minutes", "10", *options), stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True
    )
    assert running.stdout is not None
    next(line for line in running.stdout if "appends" in line)
    return running


@pytest.mark.parametrize("store", STORES)
def test_ctrl_c_ends_it_early_and_everything_is_checked(store: str, seed: str, tmp_path: Path) -> None:
    running = under_way(tmp_path / "report.md", "--backend", store, "--seed", seed)
    running.send_signal(signal.SIGINT)
    told, _ = running.communicate()
    assert running.returncode == 0, told
    assert json.loads(told.splitlines()[-1])["violations"] == 0
    assert processes(seed) == []


def test_ctrl_c_twice_ends_it_at_once(seed: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("TMPDIR", str(tmp_path))  # where its files stay
    running = under_way(tmp_path / "report.md", "--seed", seed)
    running.send_signal(signal.SIGINT)
    running.send_signal(signal.SIGTERM)
    told, _ = running.communicate()
    assert running.returncode == 130, told
    assert "stopped before anything was checked" in told
    assert processes(seed) == []


def test_whoever_loses_the_torturer_ends(seed: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("TMPDIR", str(tmp_path))
    running = under_way(tmp_path / "report.md", "--seed", seed)
    running.kill()
    running.communicate()
    while processes(seed):
        time.sleep(0.05)


@pytest.mark.parametrize(
    ("options", "told"),
    [
        (("--minutes", "soon"), "a number of minutes above 0, not 'soon'"),
        (("--minutes", "0"), "a number of minutes above 0, not '0'"),
        (("--backend", "oracle"), "invalid choice: 'oracle'"),
    ],
)
def test_bad_options_are_told(options: tuple[str, ...], told: str, tmp_path: Path) -> None:
    done = subprocess.run(command(tmp_path / "r.md", *options), check=False, capture_output=True, text=True)
    assert done.returncode == 2
    assert told in done.stderr
