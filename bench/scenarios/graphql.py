"""GraphQL: users with their posts, on 32 connections, by twofold, Strawberry and FraiseQL, on the same tables.

All sides read the tables that twofold has folded; FraiseQL reads views over them that hold a user as JSON. twofold
serves on the server of `twofold serve`, with all that it promises: one statement with checkpoints and parked rows in
the same snapshot, limits, rules. `twofold, field by field` is what operations cost that are not one statement.
Strawberry has both of its caches, SQLAlchemy's asyncio sessions and a DataLoader. A new user is an event here, and
repeat-safe by its Idempotency-Key; of the peers it is a row, and nothing else. Each is one process and writes its usual
access log. The client (wrk, or asyncio's streams) runs on the same cores. `cpu_us` is the server's own processor time.
"""

import json
import sys
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from typing import Any
from urllib.request import Request, urlopen

from bench.environments import Missing
from bench.http_load import ask
from bench.places import Place
from bench.process import SideFailed, processor_s
from bench.ratios import GRAPHQL
from bench.results import Case
from bench.run import Measured, Run, Seats, WrongResult
from bench.served import Served, served
from bench.who import WHO

USERS = 2_000
ROUNDS = 9
WARM_UP_S = 0.3
SIDES = {
    "twofold": ("bench.sides.graphql_twofold", "compiled"),
    "twofold, field by field": ("bench.sides.graphql_twofold", "executed"),
    "Strawberry": ("bench.sides.graphql_strawberry",),
    "FraiseQL": ("bench.sides.graphql_fraiseql",),
}
LIST = "{ users(limit: 50) { id name email posts { id title } } }"
ONE = "query($id: ID!) { user(id: $id) { id name email } }"
NEW = 'mutation($email: String!) { createUser(name: "Ada", email: $email) { id name email } }'
OPERATIONS = {
    "list": (LIST, {}, False),
    "one": (ONE, {"id": "u%d"}, False),
    "new": (NEW, {"email": "%s@example.org"}, True),
}


def graphql(run: Run) -> None:
    """Measure on PostgreSQL."""
    with run.places.fresh("postgres") as place, servers(place) as seats:
        for name, (query, variables, changes) in OPERATIONS.items():
            case = Case("graphql", "postgres", GRAPHQL[name], "requests/s")
            playing = Seats([each for each in seats.taken if not (changes and "," in each.name)], seats.missing)
            bodies = {each.name: body(query, variables, each.name) for each in playing.taken}
            if not changes:
                check(playing, bodies)

            def measure(server: Served, bodies: Any = bodies, changes: bool = changes) -> Measured:
                return _measured(server, bodies[server.name], run.size.seconds, changes=changes)

            for server in playing.taken:
                ask(server.address, bodies[server.name], USERS, WARM_UP_S, changes=changes)
            run.compare(case, playing, measure, rounds=max(ROUNDS, run.size.rounds))


def body(query: str, variables: dict[str, str], side: str) -> str:
    """A request. FraiseQL has its own type of ids."""
    query = query.replace("ID!", "String!") if side == "FraiseQL" else query
    return json.dumps({"query": query, "variables": variables})


@contextmanager
def servers(place: Place) -> Iterator[Seats[Served]]:
    """All sides on one place, which twofold fills first. Raises: SideFailed."""
    seats = Seats[Served]()
    with ExitStack() as stack:
        for name, (module, *arguments) in SIDES.items():
            try:
                python = WHO[name].python()
                seats.taken.append(stack.enter_context(served(name, module, place.url, *arguments, python=python)))
            except Missing as missing:
                seats.missing[name] = str(missing)
            except SideFailed as failed:
                if name.startswith("twofold"):
                    raise
                seats.missing[name] = str(failed)
        place.settle()
        yield seats


def check(seats: Seats[Served], bodies: dict[str, str]) -> None:
    """Leave out sides that return other data. Raises: WrongResult if that is one of ours."""
    ours = _data(seats.taken[0], bodies)
    for server in list(seats.taken[1:]):
        theirs = _data(server, bodies)
        if theirs != ours:
            why = f"{server.name} returns {theirs!r:.200}, but twofold {ours!r:.200}"
            if server.name.startswith("twofold"):
                raise WrongResult(why)
            seats.missing[server.name] = why
            seats.taken.remove(server)


def _data(server: Served, bodies: dict[str, str]) -> Any:
    text = bodies[server.name].replace("%d", "7").encode()
    request = Request(f"{server.address}/graphql", text, {"Content-Type": "application/json"})
    with urlopen(request) as response:  # an address of our own
        return _asked_for(json.load(response).get("data"))


def _asked_for(data: Any) -> Any:
    """Without `__typename`, which FraiseQL adds unasked."""
    if isinstance(data, list):
        return [_asked_for(one) for one in data]
    if isinstance(data, dict):
        return {name: _asked_for(one) for name, one in data.items() if name != "__typename"}
    return data


def _measured(server: Served, text: str, seconds: float, *, changes: bool) -> Measured:
    used_s = processor_s(server.pid) if sys.platform == "linux" else 0.0
    load = ask(server.address, text, USERS, seconds, changes=changes)
    details = {"p50_ms": load.p50_ms, "p99_ms": load.p99_ms}
    if sys.platform == "linux":
        details["cpu_us"] = (processor_s(server.pid) - used_s) * 1e6 / load.count
    return Measured(load.count / load.seconds, details)
