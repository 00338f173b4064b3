"""The ratios: which sides, in which comparison, and the goal."""

from dataclasses import dataclass

from bench.results import Book, Spread


@dataclass(frozen=True)
class Ratio:
    """How many times better `ours` was than `theirs`, round by round."""

    name: str
    scenario: str
    backend: str
    case: str
    theirs: str
    at_least: float
    ours: str = "twofold"

    def taken(self, book: Book) -> Spread | str:
        """The spread of the rounds' ratios, or why there is none."""
        where = (self.scenario, self.backend, self.case)
        ours, theirs = book.find(*where, self.ours), book.find(*where, self.theirs)
        if ours is None or theirs is None:
            return book.why_not(*where, self.ours, self.theirs)
        pairs = zip(ours.values, theirs.values, strict=True)
        return Spread.of([a / b if ours.case.more_is_better else b / a for a, b in pairs])


EDGES = {
    "stock_row": "a row of stock",
    "stock_page": "20 rows of stock",
    "order_row": "an order",
    "order_page": "20 orders",
}

GRAPHQL = {"list": "50 users with 5 posts each", "one": "a user", "new": "a new user"}

RATIOS = (
    Ratio("append_pg_16_vs_eventsourcing", "append", "postgres", "16 callers", "eventsourcing", 15),
    Ratio("append_pg_16_vs_raw", "append", "postgres", "16 callers", "raw", 2),
    Ratio("append_pg_128_vs_eventsourcing", "append", "postgres", "128 callers", "eventsourcing", 25),
    Ratio("append_pg_1_vs_raw", "append", "postgres", "1 caller", "raw", 0.5),
    Ratio("append_sqlite_16_vs_eventsourcing", "append", "sqlite", "16 callers", "eventsourcing", 6),
    Ratio("append_sqlite_1_vs_raw", "append", "sqlite", "1 caller", "raw", 0.25),
    Ratio("catchup_pg_vs_eventsourcing", "catch-up", "postgres", "one key", "eventsourcing", 50),
    Ratio(
        "catchup_pg_vs_eventsource_py",
        "catch-up",
        "postgres",
        "one key, Python 3.13",
        "eventsource-py",
        5,
        "twofold on 3.13",
    ),
    Ratio("catchup_sqlite_vs_floor", "catch-up", "sqlite", "one key", "floor", 0.7),
    Ratio("rebuild_pg_vs_floor", "rebuild", "postgres", "one key", "floor", 0.7),
    Ratio("load100_vs_eventsourcing", "load", "postgres", "100 events", "eventsourcing", 10),
    Ratio("append_cosmos_1_vs_sdk", "cosmos", "cosmos", "append, 1 caller", "azure-cosmos", 0.8),
    Ratio("append_cosmos_16_vs_sdk", "cosmos", "cosmos", "append, 16 callers", "azure-cosmos", 1),
    Ratio("catchup_cosmos_vs_sdk", "cosmos", "cosmos", "catch-up, 3 processes", "azure-cosmos", 0.6),
    *(
        Ratio(f"edges_{short}_{place}_vs_{peer}", "edges", backend, case, side, wanted)
        for short, backend in (("pg", "postgres"), ("sqlite", "sqlite"))
        for place, case in EDGES.items()
        for peer, side, wanted in (("starlette", "Starlette by hand", 0.85), ("fastapi", "FastAPI and SQLAlchemy", 5))
    ),
    *(
        Ratio(f"graphql_{name}_vs_{peer.lower()}", "graphql", "postgres", GRAPHQL[name], peer, wanted)
        for name, peer, wanted in (
            ("list", "Strawberry", 12),
            ("list", "FraiseQL", 4),
            ("one", "Strawberry", 6),
            ("one", "FraiseQL", 6),
            ("new", "Strawberry", 4),
            ("new", "FraiseQL", 4),
        )
    ),
    *(
        Ratio(
            f"graphql_{name}_executed_vs_strawberry",
            "graphql",
            "postgres",
            GRAPHQL[name],
            "Strawberry",
            wanted,
            "twofold, field by field",
        )
        for name, wanted in (("list", 2), ("one", 3))
    ),
)
