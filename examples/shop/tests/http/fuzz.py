"""Requests generated from the shop's OpenAPI description, sent to the shop as a process: `./dev fuzz`.

Schemathesis sends what the description allows and what it forbids, boundary values, unknown methods, and sequences of
requests that build on each other. Every response must be one that the description documents.
"""

import argparse
import json
import os
import subprocess
import sys
import tempfile
from collections import Counter
from collections.abc import Iterable
from pathlib import Path
from typing import Any
from urllib.request import Request, urlopen

from shop.tests.http.server import serving

CHECKS = (
    "not_a_server_error",
    "status_code_conformance",
    "content_type_conformance",
    "response_headers_conformance",
    "response_schema_conformance",
    "negative_data_rejection",
    "unsupported_method",
)
HOOKS = "shop.tests.http.fuzz_hooks"


def main(arguments: list[str] | None = None) -> int:
    parser = argparse.ArgumentParser(prog="./dev fuzz", description=__doc__.partition("\n")[0])
    parser.add_argument("--examples", type=int, default=20, metavar="N", help="for each operation (default: 20)")
    parser.add_argument("--store", metavar="URL", help="a new SQLite file unless said otherwise")
    parser.add_argument("--seed", type=int, help="as an earlier run has printed it")
    parser.add_argument("--generated", action="store_true", help="APIs without HTTP code, instead of the shop")
    options = parser.parse_args(arguments)
    if options.generated:
        from generated.fuzz import fuzz_all

        return fuzz_all(options.examples, options.seed)
    with tempfile.TemporaryDirectory() as folder:
        status, answers = fuzz(Path(folder), options.examples, options.store, options.seed)
    print(told(answers))
    return status


def fuzz(
    folder: Path, examples: int, store: str | None = None, seed: int | None = None
) -> tuple[int, Counter[tuple[str, int]]]:
    """Serve a stocked shop and run Schemathesis on it. Returns its exit status and the responses.

    The responses are counted by method and status from the server's log.
    """
    with serving(store or f"sqlite:///{folder / 'shop.db'}", folder) as server:
        stocked(server.address)
        options = ["--max-examples", str(examples)] + ([] if seed is None else ["--seed", str(seed)])
        status = schemathesis(server.address, folder, options, HOOKS)
    return status, counted((folder / "log").read_text().splitlines())


def schemathesis(address: str, folder: Path, options: list[str], hooks: str, *checks: str, **settings: str) -> int:
    """Run it on the API at an address, also with checks and settings of the hooks. Returns its exit status."""
    command = [sys.executable, "-m", "schemathesis.cli", "run", "--checks", ",".join((*CHECKS, *checks)), *options]
    command += ["--continue-on-failure", "--suppress-health-check", "all", f"{address}/openapi.json"]
    environment = {**os.environ, "SCHEMATHESIS_HOOKS": hooks, **settings}
    return subprocess.run(command, cwd=folder, check=False, env=environment).returncode


def counted(lines: Iterable[str]) -> Counter[tuple[str, int]]:
    """The responses in a server's log, by method and status."""
    logged = [json.loads(line) for line in lines]
    return Counter((one.get("method", "-"), one["status"]) for one in logged if "status" in one)


def stocked(address: str) -> None:
    """Create what the examples of the description refer to."""
    for path, body in (
        ("products/tea", {"name": "Tea", "price": 2.5}),
        ("customers/ann", {"name": "Ann", "email": "ann@example.com"}),
        ("inventory/products/tea/receipts", {"quantity": 1_000_000}),
        ("orders", order("first")),
    ):
        method = "POST" if path.startswith(("inventory", "orders")) else "PUT"
        headers = {"Content-Type": "application/json"}
        urlopen(Request(f"{address}/{path}", json.dumps(body).encode(), headers, method=method)).close()


def order(id: str) -> dict[str, Any]:
    item = {"productId": "tea", "quantity": 2}
    return {"orderId": id, "customerId": "ann", "items": [item], "shippingAddress": "by the door"}


def told(answers: Counter[tuple[str, int]]) -> str:
    by_status: Counter[int] = Counter()
    for (_, status), count in answers.items():
        by_status[status] += count
    shown = ", ".join(f"{status}: {count:,}" for status, count in sorted(by_status.items()))
    return f"{answers.total():,} requests were answered ({shown})"


if __name__ == "__main__":
    sys.exit(main())
