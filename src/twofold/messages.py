"""The values that travel: where an event lies, what is asked of the log, and what it answers.

None of them can come to refer to itself, so the garbage collector need not look at them (`gc=False`): with thousands of
them alive in a page of the feed it took a third of the time (measured).
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
_INVISIBLE = frozenset({"Cc", "Cf", "Cs", "Zl", "Zp"})  # controls, formats, surrogates, separators of lines
_TOKEN = re.compile(r"([0-9a-f]{16}):(\d{1,9}):(\d{1,19})", re.ASCII)


def checked_id(value: str, what: str) -> str:
    """`value` if it can name a stream or a command: 1 to 200 printable characters.

    Raises: InvalidInput, naming `what` and the value.
    """
    if not isinstance(value, str) or not value or len(value) > MAX_ID_LENGTH or _UNPRINTABLE.search(value):
        raise InvalidInput(f"{what} must be 1 to {MAX_ID_LENGTH} printable characters, not {value!r:.80}")
    return value


def unprintable(text: str) -> str | None:
    """The first unprintable character of `text`, written like U+200B ZERO WIDTH SPACE; None if there is none.

    Unprintable are control characters (C1 included), line and paragraph separators, and format characters: zero width,
    byte order mark, marks that change the direction of writing. Two ids that differ only in these look the same.
    """
    if text.isprintable():
        return None
    found = next((char for char in text if unicodedata.category(char) in _INVISIBLE), None)
    return None if found is None else f"U+{ord(found):04X} {unicodedata.name(found, '')}".rstrip()


def checked_name(value: str, what: str) -> str:
    """`value` if it can name something new: like `checked_id`, but stricter about what is printable.

    Streams of older logs may have such names; they can still be read and changed. Raises: InvalidInput, naming the
    character.
    """
    found = unprintable(checked_id(value, what))
    if found is not None:
        raise InvalidInput(f"{what} contains the unprintable character {found}: {value!r:.80}")
    return value


class Stream(msgspec.Struct, frozen=True, order=True, gc=False):
    """The name of one thing's events, printed `order-1001`. A category holds no hyphen, an id may."""

    category: str
    id: str

    def __post_init__(self) -> None:
        if not _CATEGORY.fullmatch(self.category):
            raise InvalidInput(
                f"the category of a stream is a letter and then letters, digits or _ (at most 63), "
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

    Offsets grow within a partition, with gaps or without; only the feed computes with them.
    """

    partition: int
    offset: int

    @property
    def is_beginning(self) -> bool:
        """Whether it is before the first event of its partition."""
        return self.offset == 0

    def __str__(self) -> str:
        return f"{self.partition}:{self.offset}"


BEGINNING = Position(0, 0)


class Token(msgspec.Struct, frozen=True):
    """A position together with the log it belongs to: what a later read waits for."""

    log_id: str
    position: Position

    def __str__(self) -> str:
        return f"{self.log_id}:{self.position}"

    @staticmethod
    def parse(text: str) -> Token:
        """Raises: InvalidToken."""
        match = _TOKEN.fullmatch(text)
        if match is None or int(match[3]) > MAX_OFFSET:
            raise InvalidToken(f"{text!r:.80} is not a consistency token; send one as it was returned, unchanged", text)
        return Token(match[1], Position(int(match[2]), int(match[3])))


class Receipt(msgspec.Struct, frozen=True, gc=False):
    """What an append answers: `version` is the stream's after it, `position` that of its last event.

    A command that changed nothing has `events == 0` and the position its decision was based on.
    `repeated` is true where the command id had been used before, and this is the answer of that time.
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
        """What a later read can wait for (`after=`), also in another process."""
        return str(Token(self.log_id, self.position))


class Meta(msgspec.Struct, frozen=True, omit_defaults=True, gc=False):
    """Who asked and why; stored with every event of an append."""

    command_id: str
    correlation_id: str
    causation_id: str | None = None
    actor: str | None = None


class Recorded(msgspec.Struct, frozen=True, gc=False):
    """The fact, and when, where and why it was recorded. `recorded_at` is aware, in UTC."""

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
        """`order-1001@3`: the same on every backend, and after a copy."""
        return f"{self.stream}@{self.version}"


class Encoded(msgspec.Struct, frozen=True, gc=False):
    """An event ready to be stored; `event` is what reading `data` again will give."""

    type: str
    schema: int
    data: bytes
    event: Any


StoredEvent = tuple[str, int, str | bytes]
"""An event as it lies in its stream: stored name, schema and JSON that nobody has read yet."""


class Append(msgspec.Struct, frozen=True, gc=False):
    """What is asked of the log. `expected_version` 0 means that the stream must not exist, None is not checked."""

    stream: Stream
    events: Sequence[Encoded]
    expected_version: int | None
    meta: Meta

    @property
    def command_id(self) -> str:
        """Used once per stream: an append that comes again with it is answered, not repeated."""
        return self.meta.command_id


class Entry(msgspec.Struct, frozen=True, gc=False):
    """One event as the log holds it: `data` and `meta` are JSON that nobody has read yet."""

    position: Position
    stream: str
    version: int
    type: str
    schema: int
    data: str | bytes
    meta: str | bytes
    recorded_at: datetime
