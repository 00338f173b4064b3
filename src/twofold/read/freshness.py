"""How fresh the rows of a read are: at least as new as its token, and always from this log."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Mapping, Sequence
from functools import partial
from typing import Generic, TypeVar

import msgspec

from twofold.errors import Closed, InvalidQuery, InvalidToken, ReadModelBehind, Unavailable
from twofold.feed.catching_up import located
from twofold.feed.checkpoints import Checkpoint
from twofold.feed.feed import Feed
from twofold.feed.follow import check_same_log, check_within_log
from twofold.feed.partitions import Splitting, ancestors, feed_of, feeds, heads, learn, leaves_of, place_in
from twofold.messages import Position, Receipt, Token
from twofold.read.store import Counted, QueryResult, ReadStore

DEFAULT_WAIT_S = 5.0
MAX_WAIT_S = 30.0
LOOK_EVERY_S = 1.0  # how often reads check that the log is still the one their rows were folded from
LOOK_PATIENCE_S = 0.25

After = Receipt | Token | str
F = TypeVar("F", QueryResult, Counted)

Covers = Callable[[Position], bool]
"""Whether the token of a read covers a position in a feed that the rows come from."""


def nothing(position: Position) -> bool:
    """What a read without a token covers."""
    return False


class Fresh(msgspec.Struct, Generic[F], frozen=True):
    """The result of a read, and what its token covers."""

    found: F
    covers: Covers = nothing


class Freshness:
    """Checks the freshness of reads from one read store, from one event loop."""

    def __init__(self, store: ReadStore, log: Feed) -> None:
        self._store, self._log = store, log
        self._splits = isinstance(log, Splitting)  # asked once: it takes longer than the rest of a read's checks
        self._heads: dict[int, Position] = {}
        self._looked_at = -LOOK_EVERY_S
        self._looking = asyncio.Lock()

    def token(self, after: After | None) -> Token | None:
        """The token of a receipt or a text. Raises: InvalidToken if it is not a token of this log."""
        if after is None:
            return None
        if isinstance(after, Receipt):
            token = Token(after.log_id, after.position)
        elif not isinstance(after, Token | str):
            raise InvalidToken(f"after is a receipt (done.receipt) or its token, not {after!r:.80}", after)
        else:
            token = after if isinstance(after, Token) else Token.parse(after)
        if token.log_id != self._log.log_id:
            raise InvalidToken(
                f"the token is of log {token.log_id}, but this is log {self._log.log_id}: leave it out to read what is "
                f"here",
                str(token),
            )
        return token

    async def check(self, token: Token) -> None:
        """Raises: InvalidToken if its position is beyond the end of its partition, or the log has no such partition."""
        await learn(self._log, [token.position.partition])
        head = await self._head(token)
        if token.position.offset > head.offset:
            raise InvalidToken(
                f"the token's position {token.position} is beyond the end of the log, {head}: leave it out to read "
                f"what is here",
                str(token),
            )

    async def _head(self, token: Token) -> Position:
        """The end of a token's partition, or of the part that has come the farthest: it may name a former partition."""
        try:
            found = await heads(self._log, token.position.partition)
        except InvalidToken as error:
            raise InvalidToken(f"the token's position is {token.position}: {error}", str(token)) from None
        return max(found, key=lambda end: end.offset)

    async def at_least(self, token: Token | None, wait_s: float, look: Callable[[], Awaitable[F]]) -> Fresh[F]:
        """Read until the checkpoints of the snapshot cover the token, for at most `wait_s` seconds (G6).

        Raises: InvalidQuery, InvalidToken, ReadModelBehind, LogReplaced, Unavailable.
        """
        if not isinstance(wait_s, int | float) or not 0 <= wait_s <= MAX_WAIT_S:
            raise InvalidQuery(f"wait_s must be a number of seconds from 0 to {MAX_WAIT_S:g}, not {wait_s!r:.80}")
        clock = asyncio.get_running_loop().time
        deadline, position, checked = clock() + wait_s, None, False
        named: list[int] = [] if token is None else [token.position.partition]
        leaves: Sequence[int] = ()
        places: Mapping[int, Position] = {}
        while True:
            result: F = await look()
            if self._splits:
                await learn(self._log, [*named, *(one.follower.partition for one in result.checkpoints)])
                if token is not None and leaves != (now := leaves_of(self._log, token.position.partition)):
                    places, leaves = {p.partition: p for p in await located(self._log, [token.position])}, now
            if clock() - self._looked_at >= LOOK_EVERY_S:
                await self._look_at_log()
            await self._check_log(result.checkpoints)
            if token is None:
                return Fresh(result)
            checkpoint = _concerned(self._log, result.checkpoints, token, places)
            if position is None or position.partition != checkpoint.follower.partition:
                position = await self._position(checkpoint, token, places)
            if position is not None and checkpoint.position >= position:
                return Fresh(result, partial(is_covered, self._log, (token.position, position)))
            if not checked:
                await self.check(token)
                checked = True
            left_s = deadline - clock()
            if left_s <= 0:
                raise ReadModelBehind(checkpoint.follower.name, await self._behind(checkpoint, position), wait_s)
            await self._wait(checkpoint, position, left_s)

    async def _position(self, checkpoint: Checkpoint, token: Token, places: Mapping[int, Position]) -> Position | None:
        """The first position of this follower that includes what the token covers; None if that is not fixed yet.

        If its partition has split, `places` are those of the token in its parts.
        """
        follower, asked = checkpoint.follower, token.position
        if follower.partition == asked.partition:
            return asked
        if asked.is_beginning:
            return Position(follower.partition, 0)
        await self.check(token)
        feed = feed_of(self._log, follower.partition)
        if follower.partition != self._log.partition:
            return await feed.covering(_place(checkpoint, token, places))
        covering = [await feed.covering(place) for place in places.values() or [asked]]
        known = [place for place in covering if place is not None]
        return max(known) if len(known) == len(covering) else None

    async def _wait(self, checkpoint: Checkpoint, position: Position | None, timeout_s: float) -> None:
        follower = checkpoint.follower
        if position is None:  # any step of the follower may reach it
            await self._store.wait(follower, checkpoint.position, timeout_s)
        else:
            feed = feed_of(self._log, follower.partition)
            await self._store.wait(follower, feed.before(position), timeout_s)

    async def _behind(self, checkpoint: Checkpoint, position: Position | None) -> int:
        feed = feed_of(self._log, checkpoint.follower.partition)
        if position is None:
            return await feed.behind(checkpoint.position)
        return await feed.distance(checkpoint.position, position)

    async def _check_log(self, checkpoints: Sequence[Checkpoint]) -> None:
        """Never return rows of another log, or from beyond its end (G11). Known heads are cached: they only grow.

        With several partitions, one that does not respond does not delay reads of the others.
        """
        unclear = [checkpoint for checkpoint in checkpoints if self._is_unclear(checkpoint)]
        if not unclear:
            return
        partitions = [checkpoint.follower.partition for checkpoint in unclear]
        if len(checkpoints) == 1:
            seen = {partitions[0]: await feed_of(self._log, partitions[0]).head()}
            self._heads |= seen
        else:
            seen = await self._look_at(partitions)
        for checkpoint in unclear:
            check_same_log(checkpoint, self._log.log_id)
            head = seen.get(checkpoint.follower.partition)
            if head is not None:
                check_within_log(checkpoint, head)

    def _is_unclear(self, checkpoint: Checkpoint) -> bool:
        partition = checkpoint.follower.partition
        known = self._heads.get(partition, Position(partition, 0))
        return checkpoint.log_id != self._log.log_id or checkpoint.position > known

    async def _look_at_log(self) -> None:
        """Read the log's heads again, since an older copy may have replaced it. Raises: LogReplaced.

        One read of each partition serves all reads of a second. If the log cannot be reached, rows are still returned.
        """
        clock = asyncio.get_running_loop().time
        async with self._looking:
            if clock() - self._looked_at < LOOK_EVERY_S:  # another reader has, meanwhile
                return
            await self._look_at(sorted({*feeds(self._log), *self._heads}))
            self._looked_at = clock()

    async def _look_at(self, partitions: Sequence[int]) -> dict[int, Position]:
        """The heads of those that could be reached in time. What is known of the others stays. Raises: LogReplaced.

        What another read learns meanwhile may be older than the rows of this one.
        """

        async def look_at(partition: int) -> Position | None:
            try:
                async with asyncio.timeout(LOOK_PATIENCE_S):
                    return await feed_of(self._log, partition).head()
            except (Unavailable, Closed, TimeoutError):
                return None

        found = await asyncio.gather(*(look_at(partition) for partition in partitions))
        seen = {partition: head for partition, head in zip(partitions, found, strict=True) if head is not None}
        self._heads |= seen
        return seen


def is_covered(log: Feed, token: Sequence[Position], position: Position) -> bool:
    """`token`: its position, and that in the follower's feed. One in a former partition covers each of its parts."""
    return position <= place_in(log, position.partition, token)


def _concerned(
    log: Feed, checkpoints: Sequence[Checkpoint], token: Token, places: Mapping[int, Position]
) -> Checkpoint:
    """The checkpoint that must cover the token: that of its partition, or the only one, in the merged feed.

    If partitions have split, it is that of an ancestor of its partition, or of the part that has the farthest to go to
    the token's place in it.

    Raises: InvalidToken for a position in the merged feed if the projection follows each partition separately.
    """
    partition = token.position.partition
    for checkpoint in checkpoints:
        if checkpoint.follower.partition in (partition, 0):
            return checkpoint
    before = ancestors(log, partition)
    related = [
        checkpoint
        for checkpoint in checkpoints
        if checkpoint.follower.partition in before or partition in ancestors(log, checkpoint.follower.partition)
    ]
    if related:
        return min(related, key=lambda one: one.position.offset - _place(one, token, places).offset)
    raise InvalidToken(
        f"this read model has no partition {partition}, which the token's position {token.position} is in",
        str(token),
    )


def _place(checkpoint: Checkpoint, token: Token, places: Mapping[int, Position]) -> Position:
    return places.get(checkpoint.follower.partition, token.position)
