"""The Cosmos DB trigger: a host takes its share of the leases, and follows the ranges that they are for."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import Sequence
from dataclasses import dataclass

from azure.core.exceptions import AzureError

from devservers.functions.accounts import Accounts, said
from devservers.functions.balance import Gaps, Sightings, gaps, wanted
from devservers.functions.errors import Misconfigured, WorkerEnded
from devservers.functions.feed import Feed, Range
from devservers.functions.leases import Lease, LeaseLost, Leases
from devservers.functions.log import Log
from devservers.functions.options import TriggerOptions
from devservers.functions.partition import Deliver, Held, follow
from devservers.functions.pausing import pause

RESTART_S = 1.0


@dataclass(frozen=True, slots=True)
class Host:
    """This host: its name among the owners of leases, its accounts, its log, and whether it is to stop."""

    name: str
    accounts: Accounts
    log: Log
    stop: asyncio.Event


class Trigger:
    """Delivers the changes of a container to a function, until the host stops."""

    def __init__(self, host: Host, function: str, options: TriggerOptions, deliver: Deliver) -> None:
        self._host, self._function, self._options, self._deliver = host, function, options, deliver
        self._holding, self._look, self._trouble = set[tuple[str, str]](), asyncio.Event(), ""

    async def run(self) -> None:
        """Begin again after each trouble with an account; it is logged when it is a new one."""
        while not self._host.stop.is_set():
            try:
                await self._listen()
            except* (AzureError, Misconfigured) as group:
                self._complain(group)
            except* WorkerEnded:
                pass  # the host ends, too
            await pause(self._host.stop, RESTART_S)

    async def _listen(self) -> None:
        feed = await Feed.of(await self._host.accounts.container(self._options.monitored))
        leases = await self._leases(feed)
        if not await leases.all():
            await self._cover(feed, leases, gaps([]))
        self._say("Information", f"follows the change feed of {self._options.monitored.container}")
        sightings, missing = Sightings(self._options.expiration_s), Gaps(self._options.expiration_s)
        self._trouble = ""
        self._holding.clear()
        async with asyncio.TaskGroup() as holding:
            while not self._host.stop.is_set():
                self._look.clear()
                await self._cover(feed, leases, missing.lasting(await leases.all(), self._now()))
                for held in await self._taken(leases, sightings):
                    holding.create_task(self._hold(feed, held))
                await pause(self._look, self._options.acquire_s)

    def stopping(self) -> None:
        """Notice at once that the host is to stop."""
        self._look.set()

    async def _leases(self, feed: Feed) -> Leases:
        place = self._options.leases
        if self._options.create:
            await self._host.accounts.create(place, "/id", self._options.throughput)
        return Leases(await self._host.accounts.container(place), f"{self._options.prefix}{feed.rid}")

    async def _cover(self, feed: Feed, leases: Leases, gaps: Sequence[Range]) -> None:
        """Create leases for the ranges in these gaps."""
        for gap in gaps:
            for range_ in await feed.ranges():
                if range_.overlaps(gap):
                    part = gap.within(range_)
                    self._say("Information", f"range {part.id} has no lease: it begins anew")
                    await leases.create(Lease(part, await self._start(feed, part)))

    async def _start(self, feed: Feed, range_: Range) -> str | None:
        """What to continue from, if that is now: kept in the new lease, so that nothing from here on is missed."""
        return (await feed.page(range_, None, "Now", None)).token if self._options.start == "Now" else None

    async def _taken(self, leases: Leases, sightings: Sightings) -> list[Held]:
        every = await leases.all()
        free = self._free(every, sightings.free(every, self._now()))
        taken = list[Held]()
        for lease in wanted(self._host.name, every, free):
            if lease.range.key in self._holding:  # a new one in place of that which was lost, but is still held here
                continue
            with contextlib.suppress(LeaseLost):  # another host was faster
                held = Held(leases, await leases.change(lease, owner=self._host.name))
                self._say("Information", f"takes range {lease.range.id} from {lease.owner or 'nobody'}")
                self._holding.add(lease.range.key)
                taken.append(held)
        return taken

    def _now(self) -> float:
        return asyncio.get_running_loop().time()

    def _free(self, every: list[Lease], unclaimed: list[Lease]) -> list[Lease]:
        """Those that nobody claims, and those of this host that it does not hold: it has begun again meanwhile."""
        held = [one for one in every if one.owner == self._host.name and one.range.key in self._holding]
        return [one for one in every if one not in held and (one in unclaimed or one.owner == self._host.name)]

    async def _hold(self, feed: Feed, held: Held) -> None:
        range_ = held.lease.range
        try:
            async with asyncio.TaskGroup() as both:
                renewing = both.create_task(self._renew(held))
                parts = await follow(feed, held, self._options, self._deliver, self._host.stop)
                renewing.cancel()
            await self._let_go(held, parts)
        except* LeaseLost:
            self._say("Information", f"range {range_.id} was taken by another host, or its lease deleted")
        finally:
            self._holding.discard(range_.key)
            self._look.set()

    async def _renew(self, held: Held) -> None:
        while True:
            await asyncio.sleep(self._options.renew_s)
            await held.store()

    async def _let_go(self, held: Held, parts: list[Range]) -> None:
        if parts:
            self._say("Information", f"range {held.lease.range.id} is now {', '.join(one.id for one in parts)}")
        else:
            await held.store(owner=None)

    def _complain(self, group: BaseExceptionGroup[AzureError | Misconfigured]) -> None:
        error: BaseException = group
        while isinstance(error, BaseExceptionGroup):
            error = error.exceptions[0]
        trouble = said(error) if isinstance(error, AzureError) else str(error)
        if trouble != self._trouble:
            self._say("Warning", f"cannot follow the change feed, and tries again until it can: {trouble}")
        self._trouble = trouble

    def _say(self, level: str, text: str) -> None:
        self._host.log.write(level, text, self._function)
