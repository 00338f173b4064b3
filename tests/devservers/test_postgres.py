"""The bundled PostgreSQL: started, kept, killed; as root and as a plain user; wherever the package is installed."""

import asyncio
import os
import pwd
import shutil
import signal
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from typing import Any

import asyncpg
import pytest

from devservers import postgres
from devservers.postgres import execute, new_database, server

pytestmark = pytest.mark.slow

COMMAND = [sys.executable, "-m", "devservers.postgres"]
as_root = pytest.mark.skipif(os.geteuid() != 0, reason="only root can become somebody else")


def ask(url: str, question: str) -> Any:
    async def run() -> Any:
        connection = await asyncpg.connect(url)
        try:
            return await connection.fetchval(question)
        finally:
            await connection.close()

    return asyncio.run(run())


def until_gone(pid: int) -> None:
    deadline = time.monotonic() + 30
    while Path(f"/proc/{pid}").exists() and Path(f"/proc/{pid}/stat").read_text().split()[2] != "Z":
        assert time.monotonic() < deadline, f"process {pid} is still there"
        time.sleep(0.02)


def test_it_writes_to_the_disk_unless_told_otherwise() -> None:
    with server() as safe:
        assert ask(safe.url, "SHOW fsync") == "on"
        assert safe.tcp_url is None
        assert ask(safe.url, "SHOW listen_addresses") == ""


def test_nobody_else_gets_in(tmp_path: Path) -> None:
    """The socket's folder is closed to others; TCP requires the password in the URL."""
    with server(port=0, fsync=False) as running:
        folder = Path(running.url.partition("host=")[2].partition("&")[0].replace("%2F", "/"))
        assert folder.stat().st_mode & 0o077 == 0
        assert running.tcp_url is not None
        assert ask(running.tcp_url, "SELECT 1") == 1
        assert ask(running.tcp_url, "SHOW listen_addresses") == "127.0.0.1"
        with pytest.raises(asyncpg.InvalidPasswordError):
            ask(f"postgresql://postgres:wrong@127.0.0.1:{running.port}/postgres", "SELECT 1")
    assert not folder.exists()


def test_data_can_be_kept(kept: Path) -> None:
    """Stopped and killed servers keep what was written, and the password."""
    with server(kept, port=0) as first:
        url = new_database(first.url, "shop")
        execute(url, "CREATE TABLE t AS SELECT 42 AS answer")
        first.kill()
    with server(kept, port=first.port) as second:
        assert second.tcp_url == first.tcp_url
        assert ask(url.replace(first.url.partition("?")[2], second.url.partition("?")[2]), "SELECT answer FROM t") == 42


@pytest.fixture
def kept() -> Any:
    """A folder that every user can reach; pytest's folders are only for root when root runs the tests."""
    folder = Path(tempfile.mkdtemp(prefix="twofold-kept-"))
    folder.chmod(0o755)
    yield folder / "data"
    shutil.rmtree(folder)


def test_it_ends_with_the_process_that_started_it() -> None:
    """However the parent ends: a killed test run leaves no server behind."""
    script = "from devservers.postgres import *\nwith server() as s: print(s.pid, s.data, flush=True); input()"
    with subprocess.Popen(
        [sys.executable, "-c", script], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
    ) as started:
        assert started.stdout is not None
        pid, data = started.stdout.readline().split()
        started.kill()
    until_gone(int(pid))
    shutil.rmtree(Path(data).parent)


@pytest.mark.parametrize("end", [signal.SIGTERM, signal.SIGINT])
def test_in_the_foreground(end: signal.Signals) -> None:
    """It prints its URL and runs until it is interrupted."""
    with subprocess.Popen([*COMMAND, "--port", "0"], stdout=subprocess.PIPE, text=True) as started:
        assert started.stdout is not None
        url = started.stdout.readline().strip()
        assert ask(url, "SELECT 1") == 1
        started.send_signal(end)
        assert started.wait(30) == 0


def test_what_is_wrong_is_said(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    done = subprocess.run(
        [*COMMAND, "--data", str(tmp_path / "file")], check=False, capture_output=True, text=True, timeout=60
    )
    assert done.returncode == 1
    assert done.stderr.startswith("postgres: ")
    assert "Traceback" not in done.stderr


def test_two_on_one_folder_are_refused(kept: Path) -> None:
    with server(kept, fsync=False), pytest.raises(RuntimeError, match="another"), server(kept, fsync=False):
        pass


@as_root
def test_root_becomes_nobody(tmp_path: Path) -> None:
    with server(fsync=False) as running:
        owner = pwd.getpwuid(Path(f"/proc/{running.pid}").stat().st_uid).pw_name
        assert owner == "nobody"
    closed = tmp_path / "closed"
    closed.mkdir(mode=0o700)
    with pytest.raises(RuntimeError, match="cannot reach"), server(closed / "data"):
        pass


@as_root
def test_a_package_that_nobody_can_read_is_copied(monkeypatch: pytest.MonkeyPatch) -> None:
    """For example a checkout in root's home folder."""
    open_to_all = postgres._open_to_all
    monkeypatch.setattr(postgres, "_open_to_all", lambda path: "pginstall" not in str(path) and open_to_all(path))
    with server(fsync=False) as running:
        binary = Path(f"/proc/{running.pid}/exe").readlink()
        assert "site-packages" not in str(binary)
        assert ask(running.url, "SELECT 1") == 1


@as_root
def test_a_plain_user_runs_it_as_himself() -> None:
    """Run with the same modules; with the system's Python if only root can use this one."""
    nobody = pwd.getpwnam("nobody")
    script = "from devservers.postgres import *\nwith server(fsync=False) as s: execute(s.new_database(), 'SELECT 1')"
    for python in (sys.executable, f"/usr/bin/python{sys.version_info.major}.{sys.version_info.minor}"):
        try:
            done = subprocess.run(
                [python, "-c", script],
                check=False,
                cwd="/",
                env={"PYTHONPATH": os.pathsep.join(path for path in sys.path if path)},
                user=nobody.pw_uid,
                group=nobody.pw_gid,
                extra_groups=[],
                capture_output=True,
                text=True,
                timeout=60,
            )
        except OSError:
            continue
        if "ModuleNotFoundError" not in done.stderr:
            assert done.returncode == 0, done.stderr
            return
    pytest.skip("a plain user can run neither this Python nor one like it on this checkout")
