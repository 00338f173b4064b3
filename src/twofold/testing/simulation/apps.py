"""The Apps that the engine itself is simulated with: small ones, so that a history is short, that have it in them.

`SCENARIOS` are what `./dev simulate` draws from.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from random import Random
from typing import Any, Literal

from twofold.app import App
from twofold.errors import Rejected
from twofold.messages import Recorded
from twofold.react.reactor import Reactor, To
from twofold.read.projection import Projection
from twofold.testing.simulation.plan import Scenario
from twofold.write.decider import Decider

# ---- a warehouse: orders reserve stock through a reactor, and hear what came of it


@dataclass(frozen=True, slots=True)
class Receive:
    """Goods come in."""

    quantity: int


@dataclass(frozen=True, slots=True)
class Reserve:
    """Promise some of it to an order."""

    order: str
    quantity: int


@dataclass(frozen=True, slots=True)
class Received:
    """Goods came in."""

    quantity: int


@dataclass(frozen=True, slots=True)
class Reserved:
    """Promised."""

    order: str
    quantity: int


@dataclass(frozen=True, slots=True)
class Refused:
    """There was too little."""

    order: str
    quantity: int


@dataclass(frozen=True, slots=True)
class Stock:
    """What is there and not promised."""

    available: int = 0


def decide_stock(command: Receive | Reserve, stock: Stock) -> list[Received | Reserved | Refused]:
    """What is not there is not promised."""
    match command:
        case Receive(quantity):
            if quantity > 8:
                raise Rejected(f"{quantity} are too many at once")
            return [Received(1) for _ in range(quantity)]
        case Reserve(order, quantity) if quantity > stock.available:
            return [Refused(order, quantity)]
        case Reserve(order, quantity):
            return [Reserved(order, quantity)]


def evolve_stock(stock: Stock, event: Received | Reserved | Refused) -> Stock:
    """What is there then."""
    match event:
        case Received(quantity):
            return Stock(stock.available + quantity)
        case Reserved(_, quantity):
            return Stock(stock.available - quantity)
        case Refused():
            return stock


stock = Decider("stock", Stock(), decide_stock, evolve_stock)


@dataclass(frozen=True, slots=True)
class Place:
    """Order something."""

    product: str
    quantity: int


@dataclass(frozen=True, slots=True)
class Settle:
    """The order hears whether it is promised."""

    promised: bool


@dataclass(frozen=True, slots=True)
class Placed:
    """Ordered."""

    product: str
    quantity: int


@dataclass(frozen=True, slots=True)
class Settled:
    """Promised or not."""

    promised: bool


@dataclass(frozen=True, slots=True)
class Order:
    """How far it is."""

    status: Literal["new", "open", "promised", "refused"] = "new"


def decide_order(command: Place | Settle, order: Order) -> list[Placed | Settled]:
    """Once each."""
    match command:
        case Place(product, quantity):
            if order.status != "new":
                raise Rejected(f"the order is {order.status}")
            return [Placed(product, quantity)]
        case Settle(promised):
            return [Settled(promised)] if order.status == "open" else []


def evolve_order(order: Order, event: Placed | Settled) -> Order:
    """How far it is then."""
    match event:
        case Placed():
            return Order("open")
        case Settled(promised):
            return Order("promised" if promised else "refused")


orders = Decider("order", Order(), decide_order, evolve_order)


def reserve(event: Placed | Reserved | Refused, recorded: Recorded) -> list[To]:
    """Order → stock → order."""
    match event:
        case Placed(product, quantity):
            return [To(stock, product, Reserve(recorded.stream.id, quantity))]
        case Reserved(order):
            return [To(orders, order, Settle(True))]
        case Refused(order):
            return [To(orders, order, Settle(False))]


@dataclass(frozen=True, slots=True)
class Shelf:
    """Sums: whatever is folded twice, or not at all, shows."""

    product: str
    available: int = 0
    changes: int = 0


def fold_shelf(row: Shelf, event: Received | Reserved, recorded: Recorded) -> Shelf:
    """Adds and takes away."""
    change = event.quantity if isinstance(event, Received) else -event.quantity
    return Shelf(row.product, row.available + change, row.changes + 1)


@dataclass(frozen=True, slots=True)
class OpenOrder:
    """Rows come and go."""

    order: str
    product: str = ""
    quantity: int = 0


def fold_open_order(row: OpenOrder, event: Placed | Settled, recorded: Recorded) -> OpenOrder | None:
    """As long as it is open."""
    return OpenOrder(row.order, event.product, event.quantity) if isinstance(event, Placed) else None


shelves = Projection("shelf", Shelf, fold_shelf)
open_orders = Projection("open_order", OpenOrder, fold_open_order)
warehouse = App(
    "warehouse",
    deciders=[stock, orders],
    projections=[shelves, open_orders],
    reactors=[Reactor("reserve", reserve, start="beginning")],
)


def order_something(random: Random) -> To:
    """Few products, few orders: everything meets."""
    product = random.choice(("p1", "p2"))
    if random.random() < 0.4:
        return To(stock, product, Receive(random.choice((0, 1, 2, 3, 9))))
    return To(orders, f"o{random.randrange(8)}", Place(product, random.randint(1, 4)))


# ---- notes: some of them cannot be folded, some have no key, some cannot be reacted to


@dataclass(frozen=True, slots=True)
class Write:
    """Note something down."""

    text: str
    tags: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class Written:
    """Noted."""

    text: str
    tags: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class Notes:
    """How many there are."""

    count: int = 0


CURSED, KEYLESS, POISON = "cursed", "keyless", "poison"


def decide_notes(command: Write, notes: Notes) -> list[Written]:
    """Nothing is noted as nothing."""
    return [Written(command.text, command.tags)] if command.text else []


def evolve_notes(notes: Notes, event: Written) -> Notes:
    """One more."""
    return Notes(notes.count + 1)


notes = Decider("note", Notes(), decide_notes, evolve_notes)


@dataclass(frozen=True, slots=True)
class Tag:
    """How often a tag was used, and with what text last."""

    tag: str
    used: int = 0
    last: str = ""


def tags_of(event: Written, recorded: Recorded) -> list[str]:
    """Several rows, or none; or nobody can tell."""
    if event.text == KEYLESS:
        raise LookupError("whose is it?")
    return ["all", *event.tags]


def fold_tag(row: Tag, event: Written, recorded: Recorded) -> Tag:
    """Counts; one of the tags does not take every text."""
    if event.text == CURSED and row.tag != "all":
        raise ArithmeticError("this cannot be folded")
    return Tag(row.tag, row.used + 1, event.text)


@dataclass(frozen=True, slots=True)
class Copies:
    """How many copies came."""

    count: int = 0


@dataclass(frozen=True, slots=True)
class Copy:
    """Keep one."""

    text: str


@dataclass(frozen=True, slots=True)
class Copied:
    """Kept."""

    text: str


def decide_copy(command: Copy, copies: Copies) -> list[Copied]:
    """Always."""
    if command.text == CURSED:
        raise Rejected("not this one")
    return [Copied(command.text)]


def evolve_copies(copies: Copies, event: Copied) -> Copies:
    """One more."""
    return Copies(copies.count + 1)


copies = Decider("copy", Copies(), decide_copy, evolve_copies)


def copy(event: Written, recorded: Recorded) -> list[To]:
    """To two archives, the first twice."""
    if event.text == POISON:
        raise ArithmeticError("nobody can react to this")
    return [To(copies, "a", Copy(event.text)), To(copies, "b", Copy(event.text)), To(copies, "a", Copy("again"))]


tags = Projection("tag", Tag, fold_tag, key=tags_of)
notebook = App(
    "notebook",
    deciders=[notes, copies],
    projections=[tags],
    reactors=[Reactor("copy", copy, start="beginning")],
)


def _text(random: Random) -> str:
    return random.choices(("hello", "world", "", CURSED, KEYLESS, POISON), (20, 20, 3, 1, 1, 1))[0]


def _note(random: Random) -> Any:
    return random.choice("abc"), _text(random), tuple(sorted(random.sample(("x", "y", "z"), random.randrange(3))))


def note_something(random: Random) -> To:
    """A few notebooks."""
    id_, text, used = _note(random)
    return To(notes, id_, Write(text, used))


def append_notes(random: Random) -> tuple[str, tuple[list[Written], list[Written]]]:
    """Past the decider."""
    id_, text, used = _note(random)
    return f"note-{id_}", ([Written(text or "first", used)], [Written("second", used), Written("third", used)])


# ---- profiles: documents, whose newest state is the row


@dataclass(frozen=True, slots=True)
class Rename:
    """Give it another name."""

    name: str


@dataclass(frozen=True, slots=True)
class Renamed:
    """It has another name."""

    name: str


@dataclass(frozen=True, slots=True)
class Profile:
    """The document."""

    name: str = ""
    changes: int = 0


def decide_profile(command: Rename, profile: Profile) -> list[Renamed]:
    """Only if it is another one."""
    if not command.name:
        raise Rejected("a name is not empty")
    return [Renamed(command.name)] if command.name != profile.name else []


def evolve_profile(profile: Profile, event: Renamed) -> Profile:
    """One change more."""
    return replace(profile, name=event.name, changes=profile.changes + 1)


profiles = Decider("profile", Profile(), decide_profile, evolve_profile, stored="state")


@dataclass(frozen=True, slots=True)
class Card:
    """The document as a row."""

    id: str
    name: str = ""
    changes: int = 0


def fold_card(row: Card, event: Profile, recorded: Recorded) -> Card:
    """From the document alone."""
    return Card(row.id, event.name, row.changes + event.changes)


cards = Projection("card", Card, fold_card, indexes=["name"])
directory = App("directory", deciders=[profiles], projections=[cards])


def rename_somebody(random: Random) -> To:
    """A few documents, a few names."""
    return To(profiles, random.choice("abc"), Rename(random.choice(("Ada", "Bob", "Cleo", "Dan", ""))))


def _never_negative(stock: Stock) -> bool:
    return stock.available >= 0


def _shelf_never_negative(shelf: Shelf) -> bool:
    return shelf.available >= 0


SCENARIOS = (
    Scenario(warehouse, order_something, always={stock: _never_negative, shelves: _shelf_never_negative}),
    Scenario(notebook, note_something, append_notes, may_park=True),
    Scenario(directory, rename_somebody),
)
