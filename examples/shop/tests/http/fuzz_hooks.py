"""Hooks of `./dev fuzz` that change generated requests before they are sent. Schemathesis loads this by name."""

import random
from typing import Any

import schemathesis
from schemathesis import GenerationMode, HookContext

SELDOM = 0.2


@schemathesis.hook
def before_call(context: HookContext, case: Any, kwargs: dict[str, object]) -> None:
    """Mostly leave out what cannot be generated: a read with an invented token or cursor would fail at once."""
    valid = case.meta is not None and case.meta.generation.mode is GenerationMode.POSITIVE
    if valid and random.random() > SELDOM:
        for name in ("Consistency-Token", "If-Match"):
            case.headers.pop(name, None)
        for name in ("after", "cursor"):
            case.query.pop(name, None)
