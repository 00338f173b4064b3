"""Responses to commands that are declared by the names of their fields. Pure."""

from __future__ import annotations

import re
from collections.abc import Callable, Sequence
from dataclasses import make_dataclass
from operator import attrgetter
from typing import Any, get_type_hints

from twofold.api.served import ServedCommand
from twofold.errors import ConfigurationError
from twofold.write.decider import Done

VERSION = "version"


def result_of(names: Sequence[str], served: ServedCommand) -> Callable[[Done[Any, Any]], Any]:
    """A function for `returns=` that takes these fields from the new state.

    `id`, `{category}_id` and what gives the command the stream's id mean that id, `version` the stream's version.
    Raises: ConfigurationError for any other name.
    """
    decider, given = served.decider, [served.id] if isinstance(served.id, str) else []
    ids = dict.fromkeys((*given, "id", f"{decider.category}_id"), "receipt.stream.id")
    types = get_type_hints(type(decider.initial)) | dict.fromkeys(ids, str) | {VERSION: int}
    unknown = [name for name in names if name not in types]
    if unknown or isinstance(names, str):
        raise ConfigurationError(
            f"{served.owner}: returns={names!r:.80} must be a function, or a list with some of {', '.join(types)}"
        )
    paths = ids | {VERSION: "receipt.version"}
    values = [attrgetter(paths.get(name, f"state.{name}")) for name in names]
    pascal = "".join(word[:1].upper() + word[1:] for word in re.findall(r"[A-Za-z0-9]+", served.name))
    made: Any = make_dataclass(f"{pascal}Answer", [(name, types[name]) for name in names], frozen=True)

    def returned(done: Done[Any, Any]) -> Any:
        return made(*[value(done) for value in values])

    returned.__annotations__["return"] = made
    return returned
