"""One statement for an operation returns what graphql-core's executor returns, and nothing unlisted falls back."""

import json
import os
import random
from collections import Counter
from typing import Any

from fastapi import Request

from tests.graphql.conftest import Site, fill, site
from tests.graphql.forum import Rename, Write, members, writings
from tests.graphql.operations import operation
from twofold.graphql.documents import Operation, Refused
from twofold.graphql.limits import TooMuch
from twofold.graphql.plan import Fallback, NotCompiled
from twofold.web.consistency import Freshness
from twofold.web.graphql.context import Context

HOW_MANY = int(os.environ.get("TWOFOLD_OPERATIONS", "300"))


def context_of(site: Site) -> Context:
    request = Request({"type": "http", "method": "POST", "path": "/graphql", "headers": [], "app": site.app})
    return Context(request, Freshness(None, 5, {}), None, ())


async def compared(site: Site, query: str, given: dict[str, Any]) -> Fallback | None:
    """Both ways are compared. Returns why the operation falls back, or None if it was one statement."""
    found: Operation = site.execution.documents.operation(query, None)
    variables = found.variables(given)
    one, other = context_of(site), context_of(site)
    theirs = await site.execution._executed(found, given, other)
    try:
        ours = await site.execution._compiled(found, variables, one)
    except NotCompiled as error:
        return error.why
    shown = f"{query}\n{given}"
    assert json.dumps(json.loads(ours.data)) == json.dumps(json.loads(theirs.data)), shown
    assert sorted(ours.errors, key=str) == sorted(theirs.errors, key=str), shown
    assert one.parked == other.parked, shown
    return None


async def test_random_operations(compiling: str) -> None:
    seed = int(os.environ.get("TWOFOLD_SEED", "1"))
    chance = random.Random(seed)
    met: Counter[Fallback | None] = Counter()
    async with site(compiling) as running:
        await fill(running.running)
        await _park_some(running)
        for _ in range(HOW_MANY):
            query, variables = operation(chance, running.execution.schema)
            try:
                met[await compared(running, query, variables)] += 1
            except Refused as refused:
                if not isinstance(refused.errors[0], TooMuch):
                    raise
    assert met.keys() <= {None, Fallback.REFUSED}, met
    assert met[None] > HOW_MANY * 0.8, met


async def _park_some(running: Site) -> None:
    await running.running.execute(members, "u3", Rename("unlucky"))
    await running.running.execute(writings, "p9", Write("u4", "unlucky"))
    await running.running.settled(timeout_s=20)
