"""The ./dev script: what it lists, what it refuses, and that it leaves the caller's environment alone."""

import os
import re
import signal
import subprocess
import sys
from importlib.machinery import SourceFileLoader
from importlib.util import module_from_spec, spec_from_loader
from pathlib import Path
from types import ModuleType

import pytest

from tests.cli.test_interrupt import interrupted_at

ROOT = Path(__file__).resolve().parents[1]
VERSION = "{}.{}".format(*sys.version_info)


@pytest.fixture
def dev(monkeypatch: pytest.MonkeyPatch) -> ModuleType:
    monkeypatch.setattr(sys, "dont_write_bytecode", True)
    loader = SourceFileLoader("dev", str(ROOT / "dev"))
    spec = spec_from_loader("dev", loader)
    assert spec is not None
    module = module_from_spec(spec)
    loader.exec_module(module)
    return module


@pytest.fixture
def ready(dev: ModuleType) -> None:
    if dev.stamp() != dev.wanted_stamp():
        pytest.skip("these tests were not started by ./dev, and do not set up its environment behind your back")


def call(*arguments: str, cwd: Path = ROOT) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, ROOT / "dev", *arguments], check=False, cwd=cwd, capture_output=True, text=True
    )


def test_alone_it_lists_every_command_on_a_line_of_its_own(dev: ModuleType) -> None:
    lines = call().stdout.splitlines()
    for name in (
        "run",
        "blog",
        "--",
        "test",
        "torture",
        "live",
        "simulate",
        "mutants",
        "fuzz",
        "typescript",
        "postgres",
        "cosmos",
        "cosmos-tests",
        "functions",
        "soak",
        "bench",
        "check",
        "fmt",
        "lock",
    ):
        assert sum(line.strip().startswith(f"{name} ") for line in lines) == 1
    assert max(map(len, lines)) <= 80


@pytest.mark.parametrize("arguments", [["no-such-command"], ["--"], ["--python", "3.13"], ["check", "something"]])
def test_a_command_it_does_not_know_is_refused_in_one_sentence(arguments: list[str]) -> None:
    refused = call(*arguments)
    assert refused.returncode == 2
    assert refused.stderr.startswith("dev: ")
    assert refused.stderr.count("\n") == 1


@pytest.mark.usefixtures("ready")
def test_a_command_runs_in_the_callers_directory_with_its_own_status(dev: ModuleType, tmp_path: Path) -> None:
    script = "import os, sys, twofold, shop; print(os.getcwd(), sys.prefix); sys.exit(7)"
    done = call("--", "python", "-c", script, cwd=tmp_path)
    assert done.returncode == 7, done.stderr
    assert done.stdout.strip() == f"{tmp_path} {dev.VENV}"


@pytest.mark.usefixtures("ready")
def test_a_signal_reaches_the_command_itself() -> None:
    script = "import os; print(os.getpid(), flush=True); input()"
    with subprocess.Popen(
        [sys.executable, ROOT / "dev", "--", "python", "-c", script], stdin=subprocess.PIPE, stdout=subprocess.PIPE
    ) as process:
        assert process.stdout is not None
        assert int(process.stdout.readline()) == process.pid
        os.kill(process.pid, signal.SIGTERM)
        assert process.wait() == -signal.SIGTERM


@pytest.mark.usefixtures("ready")
def test_a_command_that_is_not_there_is_named() -> None:
    missing = call("--", "no-such-program")
    assert missing.returncode == 127
    assert "no-such-program" in missing.stderr


def test_the_whole_suite_runs_in_several_processes_and_what_is_named_in_one(dev: ModuleType) -> None:
    here = str(Path(__file__))
    assert dev.tests(["-k", "x", here]) == ["-k", "x", here]
    assert dev.tests(["--quick", here]) == ["-m", "not slow", here]
    assert dev.tests(["-q"])[0] == "-n"
    assert dev.tests(["-q"])[-3:] == ["-q", str(ROOT / "tests"), str(ROOT / "examples")]


def test_another_python_has_an_environment_of_its_own(
    dev: ModuleType, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    """A shim on the PATH that starts nothing, like those of pyenv, is skipped."""
    became: list[list[str]] = []
    monkeypatch.setattr(os, "execv", lambda program, arguments: became.append(arguments))
    monkeypatch.setenv(dev.OTHER_PYTHON, "")
    (tmp_path / "bin").mkdir()
    mine = tmp_path / "versions" / f"{VERSION}.99" / "bin" / "python3"
    mine.parent.mkdir(parents=True)
    mine.symlink_to(sys.executable)
    (tmp_path / "bin" / f"python{VERSION}").write_text("#!/bin/sh\nexit 127\n")
    (tmp_path / "bin" / f"python{VERSION}").chmod(0o755)
    monkeypatch.setenv("PATH", str(tmp_path / "bin"))
    monkeypatch.setenv("PYENV_ROOT", str(tmp_path))
    dev.main(["--python", VERSION, "test", "--quick"])
    assert became == [[str(mine), str(dev.DEV), "test", "--quick"]]
    done = subprocess.run(
        [sys.executable, "-c", "import runpy; print(runpy.run_path('dev', run_name='dev')['VENV'].name)"],
        check=True,
        cwd=ROOT,
        capture_output=True,
        text=True,
    )
    assert done.stdout.strip() == f".venv-{VERSION}"


def test_a_python_that_is_not_there_is_told_from_a_failure() -> None:
    missing = call("--python", "2.0", "test")
    assert (missing.returncode, missing.stdout) == (127, "")
    assert missing.stderr == "dev: no Python 2.0 was found, neither on the PATH nor in pyenv.\n"


def test_an_entry_of_the_lock_comes_with_its_hashes_and_nothing_else(dev: ModuleType) -> None:
    first, *hashes = [line for line in dev.locked("uv").splitlines() if not line.lstrip().startswith("#")]
    assert first.startswith("uv==")
    assert hashes
    assert all(line.strip().startswith("--hash=sha256:") for line in hashes)


def test_no_lock_names_a_registry(dev: ModuleType) -> None:
    locks = [dev.LOCK, *(ROOT / f"{peer}.lock" for peer in dev.PEERS)]
    assert [lock.name for lock in locks if "//" in lock.read_text()] == []


def test_the_peers_of_the_benchmark_are_locked_with_hashes(dev: ModuleType) -> None:
    for peer in dev.PEERS:
        pins = re.findall(r"^[a-z0-9-]+==.*?(?=^\S|\Z)", (ROOT / f"{peer}.lock").read_text(), re.MULTILINE | re.DOTALL)
        assert pins
        assert all("--hash=sha256:" in pin for pin in pins)


def test_another_lock_another_python_or_another_place_is_another_environment(
    dev: ModuleType, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    before = dev.wanted_stamp()
    (tmp_path / "requirements.lock").write_text("changed")
    with monkeypatch.context() as patch:
        patch.setattr(dev, "LOCK", tmp_path / "requirements.lock")
        assert dev.wanted_stamp().startswith(dev.base())  # the same .venv can be updated
        assert dev.wanted_stamp() != before
    for owner, name, value in ((sys, "version", "3.99"), (dev, "ROOT", tmp_path)):
        with monkeypatch.context() as patch:
            patch.setattr(owner, name, value)
            assert not before.startswith(dev.base())


def test_what_pip_was_told_is_passed_on_and_what_uv_was_told_is_kept(
    dev: ModuleType, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name in ("UV_DEFAULT_INDEX", "PIP_INDEX_URL"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("PIP_INDEX_URL", "https://index.invalid/simple")
    assert dev.as_pip_is_configured()["UV_DEFAULT_INDEX"] == "https://index.invalid/simple"
    monkeypatch.setenv("UV_DEFAULT_INDEX", "https://other.invalid/simple")
    assert "UV_DEFAULT_INDEX" not in dev.as_pip_is_configured()


@pytest.mark.usefixtures("ready")
@pytest.mark.parametrize("imported", ["argparse", "fastapi.exceptions", "shop.values"])
def test_run_ends_quietly_while_it_is_being_imported(imported: str) -> None:
    command = [sys.executable, str(ROOT / "dev"), "run", "--store", "memory:", "--port", "0"]
    assert interrupted_at(imported, command) == (130, "")
