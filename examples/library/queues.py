"""Queues: who waits for a copy of a title, in order. The id is that of the title."""

from dataclasses import dataclass

from twofold import Decider, Rejected


@dataclass(frozen=True, slots=True)
class Reserve:
    member_id: str


@dataclass(frozen=True, slots=True)
class Cancel:
    member_id: str


@dataclass(frozen=True, slots=True)
class EndReservation:
    """The member has a copy now, perhaps without having waited for it."""

    member_id: str


@dataclass(frozen=True, slots=True)
class Reserved:
    member_id: str


@dataclass(frozen=True, slots=True)
class ReservationCancelled:
    member_id: str


@dataclass(frozen=True, slots=True)
class ReservationEnded:
    member_id: str


Event = Reserved | ReservationCancelled | ReservationEnded
Waiting = tuple[str, ...]
NOBODY: Waiting = ()


def decide(command: Reserve | Cancel | EndReservation, waiting: Waiting) -> list[Event]:
    waits = command.member_id in waiting
    match command:
        case Reserve(member_id):
            return [] if waits else [Reserved(member_id)]
        case Cancel(member_id):
            if not waits:
                raise Rejected("This member has not reserved the title")
            return [ReservationCancelled(member_id)]
        case EndReservation(member_id):
            return [ReservationEnded(member_id)] if waits else []


def evolve(waiting: Waiting, event: Event) -> Waiting:
    others = tuple(member for member in waiting if member != event.member_id)
    return (*others, event.member_id) if isinstance(event, Reserved) else others


queues = Decider("queue", NOBODY, decide, evolve, internal=(EndReservation,))
