"""The functions of an app, from the metadata that its worker gives. Pure."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from devservers.functions import retries
from devservers.functions.errors import NotRun

HTTP_TRIGGER, HTTP_OUTPUT = "httptrigger", "http"
COSMOS_TRIGGER, COSMOS_OUTPUT = "cosmosdbtrigger", "cosmosdb"
RETURNED = "$return"


@dataclass(frozen=True, slots=True)
class Binding:
    """A trigger or an output. `type` is in lower case."""

    name: str
    type: str
    values: Mapping[str, Any]


@dataclass(frozen=True, slots=True)
class Function:
    """A function that can be run here."""

    id: str
    name: str
    trigger: Binding
    outputs: tuple[Binding, ...]
    retry: retries.Retry | None

    @property
    def http(self) -> bool:
        """Whether it is called by requests."""
        return self.trigger.type == HTTP_TRIGGER


def understood(metadata: Mapping[str, Any]) -> Function:
    """A function from its metadata. Raises: NotRun for triggers and bindings that are not here."""
    raw = [json.loads(one) for one in metadata.get("raw_bindings", ())]
    bindings = [(one["direction"].lower(), Binding(one["name"], one["type"].lower(), one)) for one in raw]
    triggers = [one for _, one in bindings if one.type.endswith("trigger")]
    outputs = [one for direction, one in bindings if direction == "out"]
    inputs = [one for direction, one in bindings if direction != "out" and one not in triggers]
    unknown = [one for one in triggers if one.type not in (HTTP_TRIGGER, COSMOS_TRIGGER)]
    unknown += [one for one in outputs if one.type not in (HTTP_OUTPUT, COSMOS_OUTPUT)] + inputs
    if unknown:
        raise NotRun(f"this host has no {' and no '.join(str(one.values['type']) for one in unknown)} binding")
    if len(triggers) != 1:
        raise NotRun(f"it has {len(triggers)} triggers")
    retry = retries.of_function(metadata.get("retry_options", {}))
    return Function(metadata["function_id"], metadata["name"], triggers[0], tuple(outputs), retry)
