"""Every mistake gives one sentence and the documented exit code, and nothing is created or changed."""

import os
import sqlite3
from collections.abc import Callable
from contextlib import closing
from pathlib import Path
from typing import Any

import pytest
from typer.testing import Result

from twofold import cli

pytestmark = pytest.mark.slow

COMMANDS = [command.callback.__name__ for command in cli.commands.registered_commands if command.callback]
COMMANDS.remove("stores")  # which takes nothing
ON_A_STORE = [command for command in COMMANDS if command not in ("copy", "schema")]  # which have two, or none
APP = "counting:today"


def first_arguments(command: str) -> list[str]:
    return [command, "show"] if command == "log" else [command]


def further_arguments(command: str) -> list[str]:
    return {
        "history": ["counter-1"],
        "rebuild": ["totals"],
        "verify": ["totals"],
        "diff": ["totals", "--against", "counting:totals"],
        "parked": ["list"],
        "copy": ["--from", "sqlite:///counting.db", "--to", "sqlite:///copy.db"],
    }.get(command, [])


def refused(result: Result, code: int, sentence: str) -> None:
    """Reported on standard error as a sentence without a traceback; standard output stays empty."""
    assert (result.exit_code, result.stdout) == (code, "")
    assert sentence in " ".join(result.stderr.split())
    assert "Traceback" not in result.stderr


@pytest.mark.parametrize("command", COMMANDS)
@pytest.mark.parametrize(
    ("app", "code", "sentence"),
    [
        ("counting", 2, "'counting' is not module:name, like shop.app:shop"),
        (":today", 2, "':today' is not module:name"),
        ("counting:", 2, "'counting:' is not module:name"),
        (".counting:today", 2, "'.counting:today' is not module:name"),
        ("nowhere:app", 1, "nowhere cannot be imported, there is no module 'nowhere'"),
        ("counting.py:today", 1, "correct module:name (without .py)"),
        ("counting:yesterday", 1, "counting has no App called 'yesterday'; it has counting:today, counting:forgotten,"),
        ("counting:counters", 1, "counting has no App called 'counters'"),
        ("failing:app", 1, "failing cannot be imported: ValueError: [red]no[/red] ("),
        ("keyless:app", 1, "keyless.py, line 2)"),
        ("nameless:app", 1, "nameless.py, line 2)"),
        ("ending:app", 1, "ending cannot be imported: SystemExit: 4 ("),
        ("unfinished:app", 1, "/unfinished.py, line 3)"),
        ("relying:app", 1, "relying cannot be imported: SyntaxError: invalid syntax ("),
        ("relying:app", 1, "/unfinished.py, line 3)"),
        ("impossible:app", 1, "http= names a function as module:name, not 'here'"),
    ],
)
def test_an_app_that_is_not_there(
    twofold: Callable[..., Result], folder: Path, command: str, app: str, code: int, sentence: str
) -> None:
    (folder / "failing.py").write_text("raise ValueError('[red]no[/red]')")
    (folder / "keyless.py").write_text("import os\nos.environ['NO_SUCH_KEY']")
    (folder / "nameless.py").write_text("from twofold import Decider\nDecider('', None, max, max)")
    (folder / "ending.py").write_text("raise SystemExit(4)")
    (folder / "unfinished.py").write_text("\n\ndef f(:")
    (folder / "relying.py").write_text("import os\nimport unfinished")
    (folder / "impossible.py").write_text("from twofold import App\napp = App('impossible', http='here')")
    refused(twofold(*first_arguments(command), app, *further_arguments(command)), code, sentence)


@pytest.mark.parametrize("command", COMMANDS)
def test_an_app_that_is_not_named(twofold: Callable[..., Result], command: str) -> None:
    refused(twofold(*first_arguments(command)), 2, "Missing argument 'APP'")


@pytest.mark.parametrize("command", ON_A_STORE)
def test_a_store_that_is_not_named(
    twofold: Callable[..., Result], monkeypatch: pytest.MonkeyPatch, command: str
) -> None:
    monkeypatch.delenv("TWOFOLD_STORE")
    refused(
        twofold(*first_arguments(command), APP, *further_arguments(command)), 2, "name the store of the log: --store"
    )


@pytest.mark.parametrize("command", [command for command in ON_A_STORE if command not in ("serve", "work")])
@pytest.mark.parametrize(
    ("store", "sentence"),
    [
        ("sqlite:///none.db", "/none.db: name the one that the App was opened on"),
        ("sqlite:///none/none.db", "/none/none.db: name the one that"),
        ("sqlite:///folder", "folder is a folder: name a file"),
        ("sqlite:///folder/", "'sqlite:///folder/' is not a store: write sqlite:///shop.db (relative)"),
        ("sqlite:///text.db", "text.db is not a SQLite database: name another file"),
        ("sqlite:///empty.db", "empty.db holds no log: name the store that the App was opened on"),
        ("sqlite:///other.db", "other.db holds no log"),
        ("sqlite:///counting.read.db", "counting.read.db holds read models, not a log: name the file of the log"),
        ("counting.db", "'counting.db' is not a store"),
        ("", "'' is not a store"),
        ("mysql://me:secret@here/there", "'mysql://…@here/there' is not a store"),
        ("mysql:///there.db", "'mysql:///there.db' is not a store"),
        ("memory:", "memory: exists only in the process that opened it"),
        ("sqlalchemy+sqlite:///x.db", "SQLAlchemy stores read models only"),
        ("postgresql://[::1/x", "the URL of the PostgreSQL server cannot be parsed"),
        ("postgresql://here/there?pooler=yes", "pooler=yes: write pooler=transaction in the PostgreSQL URL"),
    ],
)
def test_a_store_that_is_none(
    twofold: Callable[..., Result], counting: Any, folder: Path, command: str, store: str, sentence: str
) -> None:
    (folder / "folder").mkdir()
    (folder / "text.db").write_text("no database, but long enough to be looked at as one. " * 20)
    (folder / "empty.db").touch()
    with closing(sqlite3.connect("other.db")) as other:
        other.execute("CREATE TABLE mine (id)")
    before = {path: path.read_bytes() for path in folder.iterdir() if path.is_file()}
    refused(twofold(*first_arguments(command), APP, *further_arguments(command), "--store", store), 1, sentence)
    assert {path: path.read_bytes() for path in before} == before
    ours = [folder / f"counting.read.db{end}" for end in ("-shm", "-wal")]  # reading our own file may leave them
    assert {path for path in folder.iterdir() if path.is_file()} <= {*before, *ours}


@pytest.mark.parametrize(
    ("read_store", "sentence"),
    [
        ("sqlite:///counting.db", "counting.db holds a log: name another file for the read models"),
        ("nothing", "'nothing' is not a store"),
        ("sqlite:///none/none.db", "/none does not exist"),
    ],
)
def test_a_read_store_that_is_none(
    twofold: Callable[..., Result], counting: Any, read_store: str, sentence: str
) -> None:
    refused(twofold("status", APP, "--read-store", read_store), 1, sentence)


@pytest.mark.skipif(os.geteuid() == 0, reason="root may do everything")
def test_a_store_that_may_not_be_touched(twofold: Callable[..., Result], counting: Any, folder: Path) -> None:
    store = folder / "counting.db"
    store.chmod(0o400)
    refused(twofold("status", APP), 1, "counting.db: this user may not read and write the file")
    store.chmod(0o600)
    folder.chmod(0o500)
    refused(twofold("status", APP), 1, "counting.db: this user may not write to the folder .")
    folder.chmod(0o700)
    locked = folder / "locked"
    locked.mkdir(0o000)
    refused(twofold("status", APP, "--store", "sqlite:///locked/counting.db"), 1, "there is no store at locked/")
    locked.chmod(0o700)


@pytest.mark.parametrize(
    ("arguments", "code", "sentence"),
    [
        (["feed", APP, "--after", "yesterday"], 2, "--after: a position is written like 0:1234, not 'yesterday'"),
        (["feed", APP, "--after", "0:-1"], 2, "--after: a position is written like 0:1234"),
        (["feed", APP, "--after", "0:99999999999999999999"], 2, "--after: a position is written like 0:1234"),
        (["feed", APP, "--after", "0:21"], 1, "--after 0:21 is beyond the end of the log, 0:20"),
        (["feed", APP, "--after", "1:0"], 1, "--after 1:0 is beyond the end of the log, 0:20"),
        (["feed", APP, "--stream", "counter"], 2, "--stream: a stream is written category-id, like order-1001"),
        (["feed", APP, "--stream", ""], 2, "--stream: a stream is written category-id"),
        (["history", APP, "counter"], 2, "STREAM: a stream is written category-id, like order-1001, not 'counter'"),
        (["history", APP, "counter-77"], 1, "there is no stream counter-77"),
        (["history", APP], 2, "Missing argument 'STREAM'"),
        (["rebuild", APP], 2, "Missing argument 'PROJECTION'"),
        (["rebuild", APP, "totals", "--all"], 2, "--all: rebuilds all projections: leave totals out"),
        (["rebuild", APP, "totals", "--from-scratch", "--key", "1"], 2, "--key: rebuilds one row of one projection"),
        (["rebuild", APP, "--all", "--key", "1"], 2, "--key: rebuilds one row of one projection"),
        (
            ["rebuild", APP, "totals", "--key", "1", "--key", "2"],
            2,
            "the key of totals is counter_id: give --key once for",
        ),
        (["rebuild", APP, "totals", "--key", "a\u0000"], 2, "--key: Total.counter_id"),
        (["rebuild", APP, "sums", "--key", "1"], 1, "counting has no projection 'sums'; it has totals"),
        (["tables", APP, "--drop", "totals~abc:1"], 1, "there is no table of totals~abc v1"),
        (["rebuild", APP, "sums"], 1, "counting has no projection 'sums'; it has totals"),
        (["rebuild", "counting:nothing", "sums"], 1, "nothing has no projection 'sums'; it has none"),
        (["tables", APP, "--drop", "totals"], 2, "--drop: write NAME:VERSION, like order_view:1, not 'totals'"),
        (["tables", APP, "--drop", ":1"], 2, "--drop: write NAME:VERSION, like order_view:1, not ':1'"),
        (["tables", APP, "--drop", "totals:1"], 1, "totals v1 is live"),
        (["tables", APP, "--drop", "totals:9"], 1, "there is no table of totals v9"),
        (["verify", APP, "sums"], 1, "counting has no projection 'sums'; it has totals"),
        (["verify", "counting:tomorrow", "totals"], 1, "the read store has no table of totals v2"),
        (["verify", APP, "totals", "--sample", "0"], 2, "--sample"),
        (["diff", APP, "totals"], 2, "Missing option '--against'"),
        (["diff", APP, "totals", "--against", "totals"], 2, "--against: 'totals' is not module:name"),
        (["diff", APP, "totals", "--against", "counting:sums"], 1, "counting has no projection called 'sums'"),
        (["diff", APP, "totals", "--against", "nowhere:totals"], 1, "there is no module 'nowhere'"),
        (["parked", APP, "hide"], 2, "'hide' is not one of list, show, retry, discard"),
        (["parked", APP, "list", "sums"], 1, "there is no projection or reactor 'sums'; this App has totals"),
        (["parked", APP, "retry", "totals"], 2, "retry takes NAME and KEY, or NAME and --all"),
        (["parked", APP, "discard", "totals", "7"], 1, "nothing of totals is parked under '7'"),
        (["log", "hide", APP], 2, "'hide' is neither show nor new-id"),
        (["serve", APP, "--port", "70000"], 2, "--port"),
        (["serve", APP, "--host", "256.0.0.1"], 1, "cannot listen on 256.0.0.1, port 8000"),
        (["serve", "counting:no_module", "--port", "0"], 1, "there is no module 'nowhere'"),
        (["serve", "counting:no_function", "--port", "0"], 1, "counting has no function 'make'"),
        (["serve", "counting:wrong_function", "--port", "0"], 1, "counting:decide cannot make the HTTP app: TypeError"),
        (["status", "counting:forgotten"], 1, "version 1 has other columns than its row class: raise the version to 2"),
        (["rebuild", "counting:forgotten", "totals"], 1, "raise the version to 2"),
        (["status", APP, "extra"], 2, "extra"),
        (["status", APP, "--nothing"], 2, "No such option: --nothing"),
        (["nothing"], 2, "No such command 'nothing'"),
    ],
)
def test_what_cannot_be_done(
    twofold: Callable[..., Result], counting: Any, arguments: list[str], code: int, sentence: str
) -> None:
    refused(twofold(*arguments), code, sentence)


@pytest.mark.parametrize(
    ("wrong", "sentence"),
    [
        ({"name": "none"}, 'database "none" does not exist: create it, or correct the URL'),
        ({}, "there is no store; name the one that the App was opened on"),
    ],
)
def test_a_postgres_that_is_not_the_right_one(
    twofold: Callable[..., Result], new_database: Callable[[], str], wrong: dict[str, str], sentence: str
) -> None:
    url = new_database()
    if "name" in wrong:
        url = url.replace(url.partition("?")[0].rpartition("/")[2], wrong["name"])
    result = twofold("status", APP, "--store", url)
    assert (result.exit_code, result.stdout) == (1, "")
    assert sentence in " ".join(result.stderr.split())


def test_a_postgres_that_is_not_there(twofold: Callable[..., Result], monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("twofold.backends.postgres.connection.PATIENCE_S", 0.0)
    refused(twofold("status", APP, "--store", "postgresql://me:secret@127.0.0.1:1/shop"), 1, "127.0.0.1:1/shop: ")
