"""Checkpoints of reactors: a document for each partition, replaced with its ETag, and one with what is parked there."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Collection, Mapping, Sequence
from typing import Any

import msgspec
from msgspec.structs import replace

from twofold.ambient import Ambient
from twofold.backends.cosmos import layout
from twofold.backends.cosmos.client import Container
from twofold.backends.cosmos.layout import Document, Operation
from twofold.backends.cosmos.refusals import Conflict
from twofold.errors import Contended
from twofold.feed.checkpoints import (
    Checkpoint,
    Claim,
    FollowerId,
    Ownership,
    Parked,
    lease_lost,
    ownership_from,
    ownership_text,
    part_registered,
)
from twofold.messages import Position

MOST_TRIES = 100

_KIND = "checkpoint"
_PARTITIONS = "partitions"  # replaced whenever a follower gets a checkpoint in another partition
Change = Callable[[Document], Document | None]


class CosmosCheckpoints:
    """See `Checkpoints`."""

    def __init__(self, container: Container, ambient: Ambient) -> None:
        self._container, self._ambient = container, ambient

    async def register(self, follower: FollowerId, log_id: str, start: Position) -> None:
        """See `Checkpoints.register`."""
        try:
            await self._container.create(self._new(Checkpoint(follower, log_id, start, None, 0, 0)))
        except Conflict:
            return

    def _new(self, row: Checkpoint, owner: str | None = None, parked: Sequence[Parked] = ()) -> Document:
        follower = row.follower
        return {
            "id": _id(follower),
            "key": _key(follower),
            "kind": _KIND,
            "command": _id(follower),
            "follower": msgspec.to_builtins(follower),
            "log_id": row.log_id,
            "offset": row.position.offset,
            "owner": row.owner,
            "epoch": row.epoch,
            "heartbeat": row.heartbeat,
            "wanted_by": row.wanted_by,
            "generation": self._ambient.new_id(),
            "ownership": owner,
            "parked": [_stored(one) for one in parked],
        }

    async def read(self, follower: FollowerId) -> Checkpoint | None:
        """See `Checkpoints.read`."""
        document = await self._document(follower)
        return None if document is None else _checkpoint(document)

    async def _document(self, follower: FollowerId) -> Document | None:
        return await self._container.read(_id(follower), _key(follower))

    async def all_partitions(self, follower: FollowerId) -> Sequence[Checkpoint]:
        """See `Checkpoints.all_partitions`."""
        found = await self._container.query("SELECT * FROM c WHERE c.kind = @kind", _key(follower), kind=_KIND)
        return sorted(map(_checkpoint, found), key=lambda one: one.follower.partition)

    async def ownership(self, follower: FollowerId) -> Ownership | None:
        """See `Checkpoints.ownership`."""
        document = await self._document(follower)
        return None if document is None else ownership_from(document["ownership"])

    async def assign(self, follower: FollowerId, seen: Ownership | None, now: Ownership) -> bool:
        """See `Checkpoints.assign`."""

        def change(row: Document) -> Document | None:
            return {"ownership": ownership_text(now)} if row["ownership"] == ownership_text(seen) else None

        return await self._changed(follower, change) is not None

    async def claim(self, seen: Checkpoint, owner: str) -> Claim | None:
        """See `Checkpoints.claim`."""

        def change(row: Document) -> Document | None:
            if (row["epoch"], row["heartbeat"]) != (seen.epoch, seen.heartbeat):
                return None
            return {"owner": owner, "epoch": row["epoch"] + 1, "wanted_by": None}

        row = await self._changed(seen.follower, change)
        return None if row is None else Claim(seen.follower, row["epoch"])

    async def request_handover(self, seen: Checkpoint, asker: str) -> None:
        """See `Checkpoints.request_handover`."""
        await self._changed(seen.follower, lambda row: {"wanted_by": asker} if row["epoch"] == seen.epoch else None)

    async def beat(self, claim: Claim) -> str | None:
        """See `Checkpoints.beat`."""
        row = await self._changed(claim.follower, _held(claim, lambda _: {"heartbeat": self._new_heartbeat()}))
        if row is None:
            raise lease_lost(claim)
        wanted_by: str | None = row["wanted_by"]
        return wanted_by

    def _new_heartbeat(self) -> int:
        return int(self._ambient.random() * 2**53)

    async def advance(
        self,
        claim: Claim,
        after: Position,
        to: Position,
        parked: Sequence[Parked] = (),
        unparked: Sequence[Parked] = (),
    ) -> None:
        """See `Checkpoints.advance`."""

        def change(row: Document) -> Document | None:
            if (claim.follower.partition, row["offset"]) != _place(after):
                return None
            changed: Document = {"offset": to.offset, "heartbeat": self._new_heartbeat()}
            if unparked or to == after:
                changed["generation"] = self._ambient.new_id()
            if parked or unparked:
                changed["parked"] = _parked(row["parked"], parked, unparked)
            return changed

        if await self._changed(claim.follower, _held(claim, change)) is None:
            raise lease_lost(claim, after)

    async def split(self, claim: Claim, at: Position, parts: Mapping[int, Sequence[Parked]]) -> None:
        """See `SplitsCheckpoints.split`. One batch: all partitions of a follower have one partition key."""
        for _ in range(MOST_TRIES):
            turn, row = await self._turn(claim.follower), await self._document(claim.follower)
            if row is None or (row["epoch"], claim.follower.partition, row["offset"]) != (claim.epoch, *_place(at)):
                raise lease_lost(claim, at)
            there = {one.follower.partition for one in await self.all_partitions(claim.follower)}
            new = [self._part(row, claim.follower, n, some) for n, some in parts.items() if n not in there]
            creations = [layout.created(part) for part in new]
            removal = layout.deleted(row["id"], row["_etag"])
            try:
                await self._container.batch([turn, *creations, removal], row["key"])
            except Conflict:
                continue
            return
        raise _contended(claim.follower)

    async def register_part(self, follower: FollowerId, log_id: str, start: Position, apart: Collection[int]) -> bool:
        """See `SplitsCheckpoints.register_part`."""
        for _ in range(MOST_TRIES):
            turn = await self._turn(follower)
            registered = part_registered(follower, await self.all_partitions(follower), apart)
            if registered is not None:
                return registered
            new = layout.created(self._new(Checkpoint(follower, log_id, start, None, 0, 0)))
            try:
                await self._container.batch([turn, new], _key(follower))
            except Conflict:
                continue
            return True
        raise _contended(follower)

    async def _turn(self, follower: FollowerId) -> Operation:
        """The operation of a batch that conflicts with every other one which adds partitions."""
        key = _key(follower)
        seen = await self._container.read(_PARTITIONS, key)
        if seen is not None:
            return layout.replaced(seen, seen["_etag"])
        return layout.created({"id": _PARTITIONS, "key": key, "kind": _PARTITIONS, "command": _PARTITIONS})

    def _part(self, row: Document, parent: FollowerId, number: int, entries: Sequence[Parked]) -> Document:
        part, keys = parent.in_partition(number), {(entry.kind, entry.key) for entry in entries}
        return {
            **{name: value for name, value in row.items() if not name.startswith("_")},
            "id": _id(part),
            "command": _id(part),
            "follower": msgspec.to_builtins(part),
            "owner": None,
            "epoch": row["epoch"] + 1,
            "wanted_by": None,
            "generation": self._ambient.new_id(),
            "parked": [
                {**one, "position": {**one["position"], "partition": number}}
                for one in row["parked"]
                if (one["kind"], one["key"]) in keys
            ],
        }

    async def release(self, claim: Claim) -> None:
        """See `Checkpoints.release`."""
        await self._changed(claim.follower, _held(claim, lambda _: {"owner": None}))

    async def parked(self, follower: FollowerId) -> Sequence[Parked]:
        """See `Checkpoints.parked`."""
        document = await self._document(follower)
        found = [replace(_one(stored), traceback="") for stored in (document["parked"] if document else ())]
        return sorted(found, key=lambda entry: (entry.position, entry.kind, entry.key))

    async def traceback(self, follower: FollowerId, one: Parked) -> str:
        """See `Checkpoints.traceback`."""
        document = await self._document(follower)
        found = [_one(stored) for stored in (document["parked"] if document else ())]
        return next((entry.traceback for entry in found if (entry.kind, entry.key) == (one.kind, one.key)), "")

    async def rename_log(self, log_id: str) -> None:
        """Give all checkpoints the new id of the log."""
        for one in await self._container.query("SELECT * FROM c WHERE c.kind = @kind", None, kind=_KIND):
            await self._changed(_checkpoint(one).follower, lambda _: {"log_id": log_id})

    async def _changed(self, follower: FollowerId, change: Change) -> Document | None:
        """Change the current document, and return the new one; None if there is none, or `change` returns None."""
        return await changed(lambda: self._document(follower), self._container, change)


async def changed(
    read: Callable[[], Awaitable[Document | None]], container: Container, change: Change
) -> Document | None:
    """Read a document, and replace it if it is still the same; otherwise begin again."""
    for _ in range(MOST_TRIES):
        row = await read()
        new = None if row is None else change(row)
        if row is None or new is None:
            return None
        try:
            await container.replace({**row, **new}, row["_etag"])
        except Conflict:
            continue
        return {**row, **new}
    raise Contended(f"{container.place}: others changed a document at each of {MOST_TRIES} tries; try again")


def _contended(follower: FollowerId) -> Contended:
    return Contended(f"{follower}: its checkpoints changed at each of {MOST_TRIES} tries; try again")


def _held(claim: Claim, change: Change) -> Change:
    return lambda row: change(row) if row["epoch"] == claim.epoch else None


def _place(position: Position) -> tuple[int, int]:
    return position.partition, position.offset


def _key(follower: FollowerId) -> str:
    return f"checkpoint {follower.name} {follower.version}"


def _id(follower: FollowerId) -> str:
    return f"partition {follower.partition}"


def _checkpoint(row: Document) -> Checkpoint:
    follower = msgspec.convert(row["follower"], FollowerId)
    return Checkpoint(
        follower,
        row["log_id"],
        Position(follower.partition, row["offset"]),
        row["owner"],
        row["epoch"],
        row["heartbeat"],
        row["wanted_by"],
        row["generation"],
    )


def _parked(rows: Sequence[Any], parked: Sequence[Parked], unparked: Sequence[Parked]) -> list[Any]:
    waiting = {(row["kind"], row["key"]): row for row in rows}
    for entry in unparked:
        waiting.pop((entry.kind, entry.key), None)
    for entry in parked:
        waiting.setdefault((entry.kind, entry.key), _stored(entry))
    return list(waiting.values())


def _stored(entry: Parked) -> Any:
    return msgspec.to_builtins(entry)


def _one(row: Any) -> Parked:
    return msgspec.convert(row, Parked)
