"""Requests made up from the OpenAPI document of Apps without HTTP code of their own: `./dev fuzz --generated`.

As for the shop, every response must be a documented one. Of the rooms each user gets only rows of their own.
"""

import json
import subprocess
import sys
import tempfile
from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from threading import Thread
from typing import Any
from urllib.error import HTTPError
from urllib.parse import quote
from urllib.request import Request, urlopen

from generated.rooms import USERS
from shop.tests.http.fuzz import counted, schemathesis, told

PHASES = "examples,coverage,fuzzing,stateful"
HOOKS = "generated.fuzz_hooks"
APPS = {"quickstart:bank": (), "generated.rooms:rooms": USERS}


def fuzz_all(examples: int, seed: int | None) -> int:
    """Every App in turn. Returns 0 if all responses were documented ones."""
    status = 0
    for app in APPS:
        with tempfile.TemporaryDirectory() as folder:
            failed, answers = fuzz(app, Path(folder), examples, seed)
        print(f"{app}: {told(answers)}")
        status = status or failed
    return status


def fuzz(
    app: str, folder: Path, examples: int, seed: int | None = None, phases: str = PHASES
) -> tuple[int, Counter[tuple[str, int]]]:
    """Serve the App with a new store, and run Schemathesis on it. Returns its exit status and the responses."""
    users = APPS[app]
    with serving(app, f"sqlite:///{folder / 'fuzzed.db'}") as (address, lines):
        stocked(address, users)
        options = ["--max-examples", str(examples), "--phases", phases] + (
            [] if seed is None else ["--seed", str(seed)]
        )
        status = schemathesis(address, folder, options, HOOKS, "only_own_rows", FUZZED_USERS=" ".join(users))
    return status, counted(lines)


@contextmanager
def serving(app: str, store: str) -> Iterator[tuple[str, list[str]]]:
    """The address of a server, and its log, which is complete at the end."""
    command = [str(Path(sys.executable).with_name("twofold")), "serve", app, "--port", "0", "--store", store]
    lines: list[str] = []
    with subprocess.Popen(command, stderr=subprocess.PIPE, text=True) as process:
        assert process.stderr is not None
        try:
            address = next(line.split(": ")[1].strip() for line in process.stderr if ": http://" in line)
            reader = Thread(target=lines.extend, args=[process.stderr])
            reader.start()
            yield address, lines
            process.terminate()
            assert process.wait(timeout=30) == 0
            reader.join()
        finally:
            process.kill()


def stocked(address: str, users: tuple[str, ...]) -> None:
    """Send every command of the description once, as its examples say, so that reads of the examples find something.

    It may be rejected, or find that something exists already, but an example is never invalid.
    """
    with urlopen(f"{address}/openapi.json") as document:
        paths: dict[str, Any] = json.load(document)["paths"]
    for user in users or ("",):
        for path, item in paths.items():
            for method, operation in item.items():
                if "requestBody" in operation:
                    sent = operation["requestBody"]["content"]["application/json"]["example"]
                    send(method.upper(), address + _filled(path, operation, user), sent, user)


def send(method: str, url: str, body: Any, user: str) -> None:
    headers = {"Content-Type": "application/json"} | ({"Authorization": f"Bearer {user}"} if user else {})
    try:
        urlopen(Request(url, json.dumps(body).encode(), headers, method=method)).close()
    except HTTPError as error:
        problem = json.load(error)
        assert problem["type"] in ("rejected", "version-conflict", "not-found"), problem


def _filled(path: str, operation: dict[str, Any], user: str) -> str:
    """The path with its examples."""
    for parameter in operation["parameters"]:
        if parameter["in"] == "path":
            text = user if parameter["name"] == "owner" else str(parameter["example"])
            path = path.replace(f"{{{parameter['name']}}}", quote(text, safe=""))
    return path
