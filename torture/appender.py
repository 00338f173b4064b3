"""The process that sends commands, and journals each request and each answer before it goes on.

Several run at once and conflict on purpose: over a few hot products, with expected versions, and with commands sent
twice at once. After a process dies, its next life either repeats the commands that were in flight, with the same ids,
or leaves them alone.
"""

from __future__ import annotations

import asyncio
from collections import deque
from dataclasses import dataclass
from typing import Any

import msgspec

from torture.domain import Cancel, Curse, Deliver, Item, Place, orders, stock
from torture.journal import Acked, Asked, Journals, Refused, Unknown
from torture.member import RETRY_S, Member
from torture.parts import number_of
from twofold.app import Running
from twofold.errors import InvalidInput, OutcomeUnknown, Rejected, Unavailable, VersionConflict
from twofold.write.decider import Decider

CALLERS = 6
LONGEST_PAUSE_S = 0.12
SENT_TWICE, ASKED_AGAIN = 0.1, 0.7
CURSES: dict[Curse, float] = {"": 0.993, "until fixed": 0.006, "for ever": 0.001}
TRIES = 100
HOT, COLD = 3, 40

Command = Place | Cancel | Deliver

_KINDS: dict[str, type[Command]] = {"Place": Place, "Cancel": Cancel, "Deliver": Deliver}


@dataclass(frozen=True)
class Errand:
    """One command, with the id it keeps however often it is sent."""

    command_id: str
    id: str
    command: Command
    expected_version: int | None = None

    @property
    def stream(self) -> str:
        """The stream it goes to."""
        return str((stock if isinstance(self.command, Deliver) else orders).stream(self.id))

    @property
    def asked(self) -> Asked:
        """Its form in the journal. A command that cannot be written as JSON is never stored either."""
        match self.command:
            case Place():
                sizes: tuple[int, ...] = (2,)
            case Cancel():
                sizes = (0, 1)
            case Deliver(quantity):
                sizes = (1,) if quantity else (0,)
        text = ascii(self.command.note) if isinstance(self.command, Deliver) and self.command.note else ""
        command = text or msgspec.json.encode(self.command).decode()
        return Asked(self.command_id, self.stream, type(self.command).__name__, command, sizes, self.expected_version)


class Appender:
    """One life of the process."""

    def __init__(self, member: Member, running: Running) -> None:
        self._member, self._running, self._chance = member, running, member.chance
        self._numbers = 0
        self._orders: deque[str] = deque(["nobody's"], maxlen=200)

    async def call(self) -> None:
        """One caller that sends one command after another."""
        while not self._member.ending.is_set():
            errand = await self._member.patiently(self._errand)
            times = 2 if self._chance.random() < SENT_TWICE else 1
            await asyncio.gather(*[self._run(errand) for _ in range(times)])
            await asyncio.sleep(self._chance.random() * LONGEST_PAUSE_S)

    async def _run(self, errand: Errand) -> None:
        """Send it; usually resend it while the outcome is unknown."""
        for _ in range(TRIES):
            if await self.send(errand) or self._chance.random() > ASKED_AGAIN:
                return
            await asyncio.sleep(RETRY_S)

    async def send(self, errand: Errand) -> bool:
        """Send it once. Returns whether the outcome is known."""
        journal, asked = self._member.journal, errand.asked
        journal.write(asked)
        decider: Decider[Any, Any, Any] = stock if isinstance(errand.command, Deliver) else orders
        try:
            done = await self._running.execute(
                decider,
                errand.id,
                errand.command,
                command_id=errand.command_id,
                expected_version=errand.expected_version,
            )
        except (Rejected, VersionConflict, InvalidInput, Unavailable) as error:
            journal.write(Refused(asked.id, asked.stream, type(error).__name__))
            return not isinstance(error, Unavailable)
        except OutcomeUnknown as error:
            journal.write(Unknown(asked.id, asked.stream, str(error)))
            return False
        receipt = done.receipt
        position = number_of(receipt.position)
        acked = Acked(
            asked.id, asked.stream, receipt.version, receipt.events, position, receipt.token, receipt.repeated
        )
        journal.write(acked)
        return True

    async def _errand(self) -> Errand:
        """Draw a command."""
        self._numbers += 1
        command_id = f"{self._member.name}-{self._member.life}-{self._numbers}"
        lot = self._chance.random()
        if lot < 0.40:
            self._orders.append(command_id)
            return Errand(command_id, command_id, Place(self._items(), self._curse()))
        if lot < 0.45:
            return Errand(command_id, self._chance.choice(self._orders), Place(self._items()))  # one exists already
        if lot < 0.60:
            return Errand(command_id, self._chance.choice(self._orders), Cancel(self._curse()))
        if lot < 0.85:
            return Errand(command_id, self._product(), Deliver(self._chance.randint(-1, 12)))
        if lot < 0.87:
            return Errand(command_id, self._product(), Deliver(1, self._chance.choice(("\ud800", "\x00"))))
        product = self._product()
        _, version = await self._running.load(stock, product)
        await asyncio.sleep(self._chance.random() * 0.01)  # another caller may well get in between
        return Errand(command_id, product, Deliver(1), expected_version=version)

    def _items(self) -> tuple[Item, ...]:
        products = {self._product(): self._chance.randint(1, 5) for _ in range(self._chance.randint(1, 3))}
        return tuple(Item(product, quantity) for product, quantity in products.items())

    def _curse(self) -> Curse:
        [curse] = self._chance.choices(list(CURSES), list(CURSES.values()))
        return curse

    def _product(self) -> str:
        if self._chance.random() < 0.6:
            return f"hot{self._chance.randrange(HOT)}"
        return f"cold{self._chance.randrange(COLD)}"


async def play(member: Member) -> None:
    """Repeat what an earlier life left open, then send new commands until told to end."""
    left = [errand for errand in left_behind(member) if member.chance.random() < ASKED_AGAIN]
    async with member.opened() as running:
        appender = Appender(member, running)
        await asyncio.gather(*[appender.send(errand) for errand in left])
        await asyncio.gather(*[appender.call() for _ in range(CALLERS)])


def left_behind(member: Member) -> list[Errand]:
    """Commands without an answer in the journals of earlier lives."""
    waiting: dict[str, Asked] = {}
    for _, fact in Journals(member.journals, f"{member.name}.").news():
        if isinstance(fact, Asked):
            waiting[fact.id] = fact
        elif isinstance(fact, Acked | Refused | Unknown):
            waiting.pop(fact.id, None)
    return [errand_of(asked) for asked in waiting.values() if asked.command.startswith("{")]


def errand_of(asked: Asked) -> Errand:
    """Read a command back from its journal entry."""
    command: Command = msgspec.json.decode(asked.command, type=_KINDS[asked.kind])
    return Errand(asked.id, asked.stream.partition("-")[2], command, asked.expected_version)
