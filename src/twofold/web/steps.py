"""Steps of a request: each command and new id has a place, which stays the same when the request is repeated."""

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
    """A repeated request sends commands to other streams than before."""


def request_id(*scope: str | None) -> str:
    """The id of a request: 64 hex digits derived from the key and its scope."""
    return sha256(json.dumps(scope).encode()).hexdigest()


@dataclass(slots=True)
class Steps:
    """The steps of a request with this id. `before` names the streams of commands that an earlier run sent.

    A command's place counts the commands before it on the same stream, in the order in which they were sent; command
    ids belong to a stream, so commands to different streams cannot get in each other's way. The first command has
    the id of the request itself.
    """

    id: str
    before: frozenset[str] = frozenset()
    _places: dict[str, set[int]] = field(default_factory=dict)
    _changes: int = 0
    _made: list[str] = field(default_factory=list)

    @property
    def asked(self) -> list[str]:
        """The streams of this run and of earlier ones; empty if nothing can have changed."""
        return sorted(self.before | self._places.keys()) if self._changes or self.before else []

    @contextmanager
    def command(self, stream: str) -> Iterator[str]:
        """The id of the next command to a stream.

        A command that fails with a retryable error frees its place: the next command to the stream counts as the
        retry. Raises: NotRepeatable.
        """
        self._check(stream)
        places = self._places.setdefault(stream, set())
        place = next(number for number in count() if number not in places)
        places.add(place)
        self._changes += 1  # until it ends, it may have changed something
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
        """32 hex digits, different with each call, and the same when the request runs again."""
        place = len(self._made)
        self._made.append(self.id[:32] if place == 0 else _derived(self.id, "new id", place)[:32])
        return self._made[-1]

    def is_new(self, id: str) -> bool:
        """Whether a stream with this id was probably made by this run."""
        return id in self._made and not self.before

    def _check(self, stream: str) -> None:
        missing = self.before - self._places.keys()
        if missing and stream not in self.before:
            raise NotRepeatable(
                f"When this request first ran, it sent commands to {_listed(missing)}; repeated with its "
                f"Idempotency-Key, it sends one to {stream} instead, which was not executed. Each run must use the "
                f"same streams: make new ids with asked.new_id()"
            )


def _derived(id: str, what: str, place: int) -> str:
    return request_id(id, what, str(place))


def _listed(streams: Iterable[str]) -> str:
    names = sorted(streams)
    more = f" and {len(names) - _SHOWN} more" if len(names) > _SHOWN else ""
    return ", ".join(names[:_SHOWN]) + more
