"""The values that cross the ports: streams, positions, appends, receipts and recorded events.

None of them can contain a reference cycle, so they are exempt from garbage collection (`gc=False`): with thousands of
them alive in a page of the feed, the collector took a third of the time (measured).
"""

from __future__ import annotations

import re
import unicodedata
from collections.abc import Sequence
from datetime import datetime
from functools import lru_cache
from typing import Any

import msgspec

from twofold.errors import InvalidInput, InvalidToken

MAX_ID_LENGTH = 200
MAX_OFFSET = 2**63 - 1

_CATEGORY = re.compile(r"[A-Za-z][A-Za-z0-9_]{0,62}")
_UNPRINTABLE = re.compile(r"[\x00-\x1f\x7f\ud800-\udfff]")
_INVISIBLE = frozenset({"Cc", "Cf", "Cs", "Zl", "Zp"})  # controls, formats, surrogates, line separators
_TOKEN = re.compile(r"([0-9a-f]{16}):(\d{1,9}):(\d{1,19})", re.ASCII)


def checked_id(value: str, what: str) -> str:
    """Return `value` if it can name a stream or a command: 1 to 200 printable characters.

    Raises: InvalidInput, naming `what` and the value.
    """
    if not isinstance(value, str) or not value or len(value) > MAX_ID_LENGTH or _UNPRINTABLE.search(value):
        raise InvalidInput(f"{what} must be 1 to {MAX_ID_LENGTH} printable characters, not {value!r:.80}")
    return value


def unprintable(text: str) -> str | None:
    """The first unprintable character of `text`, written like U+200B ZERO WIDTH SPACE; None if there is none.

    Control characters (including C1), line and paragraph separators and format characters (zero width, byte order
    mark, text direction) are unprintable: two ids that differ only in these look the same.
    """
    if text.isprintable():
        return None
    character = next((char for char in text if unicodedata.category(char) in _INVISIBLE), None)
    return None if character is None else f"U+{ord(character):04X} {unicodedata.name(character, '')}".rstrip()


def checked_name(value: str, what: str) -> str:
    """Return `value` if it can name something new: like `checked_id`, but without any unprintable character.

    Streams of older logs may have such names; they can still be read and changed. Raises: InvalidInput, naming the
    character.
    """
    character = unprintable(checked_id(value, what))
    if character is not None:
        raise InvalidInput(f"{what} contains the unprintable character {character}: {value!r:.80}")
    return value


class Stream(msgspec.Struct, frozen=True, order=True, gc=False):
    """The name of a stream of events, printed `order-1001`. The id may contain hyphens, the category may not."""

    category: str
    id: str

    def __post_init__(self) -> None:
        if not _CATEGORY.fullmatch(self.category):
            raise InvalidInput(
                f"the category of a stream must be a letter followed by letters, digits or _ (at most 63 characters), "
                f"not {self.category!r:.80}"
            )
        checked_id(self.id, "the id of a stream")

    def __str__(self) -> str:
        return f"{self.category}-{self.id}"

    @staticmethod
    def parse(text: str) -> Stream:
        """`order-1001` → Stream("order", "1001"). Raises: InvalidInput."""
        return _parse_stream(text)


@lru_cache(maxsize=8_192)
def _parse_stream(text: str) -> Stream:
    category, hyphen, id_ = text.partition("-")
    if not hyphen:
        raise InvalidInput(f"a stream is written category-id, like order-1001, not {text!r:.80}")
    return Stream(category, id_)


class Position(msgspec.Struct, frozen=True, order=True, gc=False):
    """A place in a partition of the feed, printed `0:1234`. Offset 0 is before the first event.

    Offsets increase within a partition and may have gaps; only the feed does arithmetic with them.
    """

    partition: int
    offset: int

    @property
    def is_beginning(self) -> bool:
        """Whether this is the place before the first event of its partition."""
        return self.offset == 0

    def __str__(self) -> str:
        return f"{self.partition}:{self.offset}"


BEGINNING = Position(0, 0)


class Token(msgspec.Struct, frozen=True):
    """A position and the log it belongs to: a later read can wait for it."""

    log_id: str
    position: Position

    def __str__(self) -> str:
        return f"{self.log_id}:{self.position}"

    @staticmethod
    def parse(text: str) -> Token:
        """Raises: InvalidToken."""
        match = _TOKEN.fullmatch(text)
        if match is None or int(match[3]) > MAX_OFFSET:
            raise InvalidToken(f"{text!r:.80} is not a consistency token; send one exactly as it was returned", text)
        return Token(match[1], Position(int(match[2]), int(match[3])))


class Receipt(msgspec.Struct, frozen=True, gc=False):
    """The result of an append: the stream's `version` after it, and the `position` of its last event.

    A command that changed nothing has `events == 0` and the position its decision was based on.
    `repeated` is true if the command id had been used before: this is the original receipt.
    """

    stream: Stream
    version: int
    events: int
    position: Position
    command_id: str
    log_id: str
    repeated: bool = False

    @property
    def token(self) -> str:
        """Pass it to a later read as `after=`, in this process or another, to include this append."""
        return str(Token(self.log_id, self.position))


class Meta(msgspec.Struct, frozen=True, omit_defaults=True, gc=False):
    """Who caused an append, and why; stored with each of its events."""

    command_id: str
    correlation_id: str
    causation_id: str | None = None
    actor: str | None = None


class Recorded(msgspec.Struct, frozen=True, gc=False):
    """An event, and when, where and why it was recorded. `recorded_at` is aware, in UTC."""

    event: Any
    stream: Stream
    version: int
    position: Position
    recorded_at: datetime
    command_id: str
    correlation_id: str
    causation_id: str | None = None
    actor: str | None = None

    @property
    def id(self) -> str:
        """`order-1001@3`: the same on every backend and in every copy of the log."""
        return f"{self.stream}@{self.version}"


class Encoded(msgspec.Struct, frozen=True, gc=False):
    """An event ready to be stored; `event` is what decoding `data` returns."""

    type: str
    schema: int
    data: bytes
    event: Any


StoredEvent = tuple[str, int, str | bytes]
"""An event as stored in its stream: stored name, schema and undecoded JSON."""


class Append(msgspec.Struct, frozen=True, gc=False):
    """A request to the log. `expected_version` 0 means that the stream must not exist; None skips the check."""

    stream: Stream
    events: Sequence[Encoded]
    expected_version: int | None
    meta: Meta

    @property
    def command_id(self) -> str:
        """Used once per stream: a second append with it returns the original receipt and stores nothing."""
        return self.meta.command_id


class Entry(msgspec.Struct, frozen=True, gc=False):
    """One event as stored in the log: `data` and `meta` are undecoded JSON."""

    position: Position
    stream: str
    version: int
    type: str
    schema: int
    data: str | bytes
    meta: str | bytes
    recorded_at: datetime
