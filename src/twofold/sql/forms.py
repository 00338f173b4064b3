"""The events of an App, as checked by a store that takes events from SQL."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from hashlib import sha256
from typing import Any, Protocol, runtime_checkable

import msgspec

from twofold.codec import Codec
from twofold.sql.shapes import Shape, shape_of
from twofold.write.decider import Decider


class EventForm(msgspec.Struct, frozen=True):
    """How events of one type are written in the streams of a category, or of any that no decider has ("").

    `shape` is None if the events are written in an older schema, whose shape the class does not tell.
    """

    category: str
    type: str
    schema: int
    shape: Shape | None

    @property
    def fingerprint(self) -> str:
        """The same for the same shape; empty without one."""
        return "" if self.shape is None else sha256(msgspec.json.encode(self.shape)).hexdigest()[:16]


@runtime_checkable
class ChecksForms(Protocol):
    """A log that takes events from SQL, and checks them by the forms of Apps."""

    async def install(self, app: str, forms: Sequence[EventForm]) -> None:
        """Add the forms that are not known. Those of other versions of the App stay, so that both can run.

        Raises: ConfigurationError, Unavailable.
        """
        ...


def forms_of(deciders: Sequence[Decider[Any, Any, Any]], declared: Iterable[type], codec: Codec) -> list[EventForm]:
    """The forms of what deciders record, and of the classes that are `declared` without one."""
    of_class: Mapping[type, Any] = {form.cls: form for form in codec.forms}
    recorded = [(decider.category, cls) for decider in deciders for cls in decider.recorded_types]
    others = {cls for _, cls in recorded}
    found = []
    for category, cls in [*recorded, *(("", cls) for cls in declared if cls not in others)]:
        form = of_class[cls]
        shape = shape_of(cls) if form.written == form.schema else None
        found.append(EventForm(category, form.name, form.written, shape))
    return found
