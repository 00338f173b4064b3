"""Hooks of `./dev fuzz --generated`, beside those of the shop: two users, and rows that only their owner may see."""

import json
import os
import random
from collections.abc import Iterator
from typing import Any

import schemathesis
from schemathesis import GenerationMode, HookContext

from shop.tests.http import fuzz_hooks

SELDOM = 0.05
CONDITIONS = 2
USERS = os.environ.get("FUZZED_USERS", "").split()
OWN_ADDRESSES = ("/health/live", "/health/ready", "/status", "/metrics")

__all__ = ["as_a_user", "few_conditions", "fuzz_hooks", "only_own_rows"]


@schemathesis.hook("before_call")
def as_a_user(context: HookContext, case: Any, kwargs: dict[str, object]) -> None:
    """One of the users sends the request, mostly for what is theirs, and seldom nobody."""
    if USERS and random.random() > SELDOM:
        user = random.choice(USERS)
        case.headers["Authorization"] = f"Bearer {user}"
        if "owner" in case.path_parameters and random.random() > SELDOM:
            case.path_parameters["owner"] = user


@schemathesis.hook("before_call")
def few_conditions(context: HookContext, case: Any, kwargs: dict[str, object]) -> None:
    """No row meets fifty conditions at once, and `order_by` takes only names of fields."""
    valid = case.meta is not None and case.meta.generation.mode is GenerationMode.POSITIVE
    if valid and random.random() > SELDOM:
        names = list(case.query)
        for name in random.sample(names, max(0, len(names) - CONDITIONS)):
            del case.query[name]
        for name in ("order_by", "orderBy"):
            case.query.pop(name, None)


@schemathesis.check
def only_own_rows(context: Any, response: Any, case: Any) -> None:
    """Nobody gets a row with another owner."""
    sent = response.request.headers.get("Authorization", "")
    user = (sent if isinstance(sent, str) else sent[0]).removeprefix("Bearer ")
    is_read = case.method == "GET" and response.status_code == 200 and case.path not in OWN_ADDRESSES
    if USERS and is_read:
        strangers = {owner for owner in owners(json.loads(response.content)) if owner != user}
        assert not strangers, f"{user!r} got rows of {strangers}"


def owners(node: Any) -> Iterator[str]:
    """Every `owner` in a response, however deep."""
    for inner in node.values() if isinstance(node, dict) else node if isinstance(node, list) else ():
        yield from owners(inner)
    if isinstance(node, dict) and isinstance(node.get("owner"), str):
        yield node["owner"]
