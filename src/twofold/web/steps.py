"""What one request does, step by step: each command and each new id has a place, which is the same in a repetition."""

from __future__ import annotations

import json
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from hashlib import sha256
from itertools import count

from twofold.errors import InvalidInput, OutcomeUnknown, Rejected, TwofoldError, Unavailable, VersionConflict

_NOTHING_CHANGED = (VersionConflict, Unavailable, Rejected, InvalidInput)
_TRIED_AGAIN = (VersionConflict, Unavailable, OutcomeUnknown)
_SHOWN = 3  # streams in an error


class NotRepeatable(TwofoldError):
    """A request that runs again sends commands to other streams than it did the first time."""


def request_id(*scope: str | None) -> str:
    """The id of a request: 64 hex digits from whatever the key belongs to, and the key."""
    return sha256(json.dumps(scope).encode()).hexdigest()


@dataclass(slots=True)
class Steps:
    """The steps of a request with this id. `before` names the streams that an earlier run of it asked.

    A command's place counts the commands before it on the same stream, in the order in which they were sent; command
    ids belong to a stream, so commands to different streams cannot get in each other's way. The first place has the
    id of the request itself.
    """

    id: str
    before: frozenset[str] = frozenset()
    _places: dict[str, set[int]] = field(default_factory=dict)
    _changes: int = 0
    _ids: int = 0

    @property
    def asked(self) -> list[str]:
        """The streams of this run and of those before; none if nothing can have been changed."""
        return sorted(self.before | self._places.keys()) if self._changes or self.before else []

    @contextmanager
    def command(self, stream: str) -> Iterator[str]:
        """The id of the next command to a stream.

        A command that fails in a way that is worth another try gives its place back: what is sent to the stream next
        is taken for that other try. Raises: NotRepeatable.
        """
        self._check(stream)
        places = self._places.setdefault(stream, set())
        place = next(number for number in count() if number not in places)
        places.add(place)
        self._changes += 1  # while it is under way, it may have changed something
        try:
            yield self.id if place == 0 else _derived(self.id, "command", place)
        except _NOTHING_CHANGED as error:
            self._changes -= 1
            if isinstance(error, _TRIED_AGAIN):
                places.remove(place)
            raise
        except OutcomeUnknown:
            places.remove(place)
            raise

    def new_id(self) -> str:
        """32 hex digits, others with each call, and the same ones again when the request runs again."""
        place, self._ids = self._ids, self._ids + 1
        return self.id[:32] if place == 0 else _derived(self.id, "new id", place)[:32]

    def _check(self, stream: str) -> None:
        missing = self.before - self._places.keys()
        if missing and stream not in self.before:
            raise NotRepeatable(
                f"When this request ran before, it asked {_listed(missing)}; repeated with its Idempotency-Key it "
                f"asks {stream} instead, and nothing more was done. Each run must ask the same streams: its code "
                f"makes new ids with asked.new_id()"
            )


def _derived(id: str, what: str, place: int) -> str:
    return request_id(id, what, str(place))


def _listed(streams: Iterable[str]) -> str:
    names = sorted(streams)
    more = f" and {len(names) - _SHOWN} more" if len(names) > _SHOWN else ""
    return ", ".join(names[:_SHOWN]) + more
