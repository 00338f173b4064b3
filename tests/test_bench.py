"""The benchmark itself: its ratios, what it does when one cannot be taken, and what it writes."""

import gzip
import json
import subprocess
import sys
import xml.etree.ElementTree as ElementTree
from dataclasses import astuple
from decimal import Decimal
from pathlib import Path
from typing import Any

import pytest

from bench import environments, goals, picture
from bench.__main__ import summed_up
from bench.environments import Environment, Missing
from bench.http_load import place_orders, read
from bench.memory import PeakMemory
from bench.places import Places
from bench.process import Side, SideFailed
from bench.protocol import percentile
from bench.ratios import RATIOS, Ratio
from bench.report import BEGIN, END, Report
from bench.results import Book, Case, Result, Spread
from bench.run import TINY, Measured, Run, Seat, WrongResult
from bench.scenarios import SCENARIOS, fold
from bench.scenarios.retail import added_up
from bench.served import Served
from bench.shop import open_shop
from bench.who import WHO, Who
from bench.workload import details, history, order_id, product_totals, totals

ROOT = Path(__file__).resolve().parents[1]
edges: Any = sys.modules["bench.scenarios.edges"]  # the package's attribute of this name is the function
CASE = Case("append", "sqlite", "16 callers", "events/s")
CASE_KEY = (CASE.scenario, CASE.backend, CASE.name)
LAG = Case("lag", "sqlite", "at rest", "ms")
NAMES = {
    "append_pg_16_vs_eventsourcing",
    "append_pg_16_vs_raw",
    "append_pg_128_vs_eventsourcing",
    "append_pg_1_vs_raw",
    "append_sqlite_16_vs_eventsourcing",
    "append_sqlite_1_vs_raw",
    "catchup_pg_vs_eventsourcing",
    "catchup_pg_vs_eventsource_py",
    "catchup_sqlite_vs_floor",
    "rebuild_pg_vs_floor",
    "load100_vs_eventsourcing",
    "append_cosmos_1_vs_sdk",
    "append_cosmos_16_vs_sdk",
    "catchup_cosmos_vs_sdk",
    *(f"graphql_{case}_vs_{peer}" for case in ("list", "one", "new") for peer in ("strawberry", "fraiseql")),
    *(f"graphql_{case}_executed_vs_strawberry" for case in ("list", "one")),
    *(
        f"edges_{backend}_{case}_vs_{peer}"
        for backend in ("pg", "sqlite")
        for case in ("stock_row", "stock_page", "order_row", "order_page")
        for peer in ("starlette", "fastapi")
    ),
}
HEADER: dict[str, Any] = {
    "date": "2026-01-01T00:00:00+00:00",
    "command": "./dev bench",
    "commit": "0123456789ab",
    "cpu": "a processor",
    "cores": 2,
    "memory_gib": 4,
    "load_average": [0.1, 0.2, 0.3],
    "os": "an OS",
    "file_system": "ext4",
    "python": "3.11.0",
    "versions": {"apsw": "1"},
    "postgres": {"server_version": "18", "fsync": "on"},
    "sqlite": {"version": "3"},
}


@pytest.fixture
def lines() -> list[dict[str, Any]]:
    return []


@pytest.fixture
def book(lines: list[dict[str, Any]]) -> Book:
    return Book(lambda line: lines.append(json.loads(line)))


@pytest.fixture
def run(book: Book, tmp_path: Path) -> Run:
    return Run(TINY, Places(tmp_path), book, lambda _: None)


# ---- the workload


def test_an_event_takes_about_206_bytes() -> None:
    sizes = [len(json.dumps(details(number, version), separators=(",", ":"))) for number, version in history(4_000)]
    assert 200 <= sum(sizes) / len(sizes) <= 212


def test_every_order_has_its_versions_in_order_and_all_of_them() -> None:
    seen: dict[int, list[int]] = {}
    for number, version in history(4_000):
        seen.setdefault(number, []).append(version)
    assert len(seen) == 1_000
    assert all(versions == [1, 2, 3, 4] for versions in seen.values())
    assert len(list(history(123))) == 123


def test_totals_are_those_of_the_events_themselves() -> None:
    for events in (1, 499, 501, 1_700, 4_000):
        of = list(history(events))
        said = [details(number, version) for number, version in of if version <= 2]
        found = totals(events)
        assert found.rows == len({number for number, _ in of})
        assert found.items == sum(len(one["items"]) for one in said)
        assert found.amount == sum(one["total_amount"] for one in said)
        assert found.shipped == sum(version == 4 for _, version in of)
        lines = [item for one in said for item in one["items"]]
        assert product_totals(events).revenue == sum(line["quantity"] * line["price"] for line in lines)


# ---- results and ratios


def test_a_ratio_is_taken_round_by_round(book: Book) -> None:
    book.add(Result(CASE, "twofold", [100, 300, 200]))
    book.add(Result(CASE, "raw", [50, 100, 400]))
    assert Ratio("any", *CASE_KEY, "raw", 1).taken(book) == Spread(2, 0.5, 3)


def test_where_less_is_better_the_ratio_is_turned_round(book: Book) -> None:
    book.add(Result(LAG, "twofold", [2]))
    book.add(Result(LAG, "raw", [8]))
    assert Ratio("any", "lag", "sqlite", "at rest", "raw", 1).taken(book) == Spread(4, 4, 4)


def test_without_a_side_there_is_no_ratio_but_its_reason(book: Book) -> None:
    book.add(Result(CASE, "twofold", [100]))
    book.miss(CASE, "eventsourcing", "it could not be installed")
    assert Ratio("any", *CASE_KEY, "eventsourcing", 1).taken(book) == "it could not be installed"
    assert Ratio("any", *CASE_KEY, "raw", 1).taken(book) == "append was not selected"
    book.leave_out("append", "there was no time")
    assert Ratio("any", *CASE_KEY, "raw", 1).taken(book) == "there was no time"


def test_the_summary_names_every_ratio_with_its_value_or_its_reason(book: Book) -> None:
    book.add(Result(CASE, "twofold", [100, 120]))
    book.add(Result(CASE, "eventsourcing", [10, 10]))
    summary = summed_up(book)
    assert set(summary["ratios"]) == NAMES == {ratio.name for ratio in RATIOS}
    assert summary["ratios"]["append_sqlite_16_vs_eventsourcing"] == 11
    assert summary["spread"]["append_sqlite_16_vs_eventsourcing"] == [10, 12]
    assert set(summary["reasons"]) == NAMES - {"append_sqlite_16_vs_eventsourcing"}
    assert all(summary["ratios"][name] is None and reason for name, reason in summary["reasons"].items())


def test_a_line_holds_every_round_and_the_figures_beside_it(book: Book, lines: list[dict[str, Any]]) -> None:
    book.add(Result(CASE, "twofold", [100, 123456, 120], {"p99_ms": [1, 2, 3]}))
    book.miss(CASE, "raw", "gone")
    where = {"scenario": "append", "backend": "sqlite", "case": "16 callers"}
    rounds = {"unit": "events/s", "median": 120, "rounds": [100, 123500, 120], "p99_ms": [1, 2, 3]}
    assert lines == [{**where, "side": "twofold", **rounds}, {**where, "side": "raw", "reason": "gone"}]


def test_every_ratio_and_goal_looks_at_something_that_is_measured(book: Book) -> None:
    assert {ratio.scenario for ratio in RATIOS} <= set(SCENARIOS)
    assert {ratio.theirs for ratio in RATIOS} | {ratio.ours for ratio in RATIOS} <= set(WHO)
    reasons = [goal.measured(book) for goal in goals.GOALS]
    assert all(isinstance(reason, str) and reason for reason in reasons)


@pytest.mark.parametrize(("values", "expected"), [([], 0), ([5.0], 5.0), (list(range(1, 101)), 100)])
def test_percentiles(values: list[float], expected: float) -> None:
    assert percentile(values, 0.99) == expected


# ---- the report


@pytest.fixture
def report(book: Book) -> Report:
    book.add(Result(CASE, "twofold", [100, 12_345], {"p99_ms": [1.5, 2.5]}))
    book.add(Result(CASE, "raw", [90, 80]))
    book.miss(CASE, "eventsourcing", "no registry | here")
    return Report(HEADER, book)


def test_the_report_has_the_date_the_command_and_every_side(report: Report) -> None:
    text = report.markdown()
    assert "Measured on 2026-01-01 by `./dev bench` at commit 0123456789ab." in text
    assert "| SQLite, 16 callers | twofold | 6,222 (100–12,345) events/s | p99 2 ms |" in text
    assert "| | eventsourcing | – | no registry \\| here |" in text
    assert "| `append_sqlite_16_vs_eventsourcing` | ≥ 6 × | – | no registry \\| here |" in text
    assert "load100" not in text  # a scenario that was not selected is no goal of this run


def test_only_the_generated_part_of_a_page_is_replaced(report: Report, tmp_path: Path) -> None:
    page, drawing = tmp_path / "performance.md", tmp_path / "performance.svg"
    page.write_text(f"# By hand\n\n{BEGIN}\nof last year\n{END}\n\nAlso by hand\n")
    for _ in range(2):
        report.write(page, drawing)
    text = page.read_text()
    assert text.startswith(f"# By hand\n\n{BEGIN}\n\nMeasured on")
    assert text.endswith(f"\n{END}\n\nAlso by hand\n")
    assert "of last year" not in text
    assert text.count("Measured on") == 1


def test_the_picture_has_a_bar_for_each_side_as_long_as_its_rate(report: Report, book: Book) -> None:
    svg = "{http://www.w3.org/2000/svg}"
    root = ElementTree.fromstring(picture.drawn(book))
    bars = [bar for bar in root.iter(f"{svg}rect") if bar.get("class") in ("ours", "peer", "bound")][3:]
    ours, raw = (float(bar.get("width", 0)) for bar in bars)
    assert raw / ours == pytest.approx(85 / 6_222.5, rel=0.01)
    assert {"twofold", "raw", "SQLite, 16 callers"} <= {text.text for text in root.iter(f"{svg}text")}


# ---- environments


def test_a_peer_that_cannot_be_installed_is_missing_with_the_reason(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path, run: Run, book: Book
) -> None:
    monkeypatch.setattr(environments, "FOLDER", tmp_path / "environments")
    monkeypatch.setattr(environments, "find_python", refuse)
    monkeypatch.setitem(WHO, "twofold", Who("twofold", Environment("eventsource-py", "3.99"), WHO["twofold"].events))
    with run.sides("sqlite", ("twofold", "raw")) as seats:
        assert [seat.name for seat in seats.taken] == ["raw"]
        run.compare(CASE, seats, lambda seat: Measured.rate(seat.ask("append", clients=1, seconds=0.02)))
    assert book.missing[CASE, "twofold"] == "no Python 3.99"
    assert book.find(*CASE_KEY, "raw") is not None


def refuse(version: str) -> Path:
    raise Missing(f"no Python {version}")


def test_a_python_is_found_by_its_version_or_missing() -> None:
    version = f"{sys.version_info.major}.{sys.version_info.minor}"
    found = environments.find_python(version)
    asked = subprocess.run([found, "-V"], check=True, capture_output=True, text=True).stdout
    assert asked.startswith(f"Python {version}.")
    with pytest.raises(Missing, match=r"no Python 3\.98"):
        environments.find_python("3.98")


# ---- running sides


def test_a_tiny_scenario_runs_end_to_end(run: Run, book: Book) -> None:
    with run.sides("sqlite", ("twofold", "raw")) as seats:

        def measure(seat: Seat) -> Measured:
            answer = seat.ask("append", clients=2, seconds=0.05)
            seat.check_stored(answer["count"] + answer.get("before", 0))
            return Measured.rate(answer, "p99_ms")

        run.compare(CASE, seats, measure)
    assert {result.side for result in book.of(CASE)} == {"twofold", "raw"}
    assert book.missing == {}


@pytest.mark.slow  # a process for each side
def test_folding_is_checked_on_every_side(run: Run, book: Book) -> None:
    log, events = run.filled("sqlite", 2_000), 2_000
    with run.sides("sqlite", ("twofold", "floor", "floor, events alone", "pure SQL"), log=log) as seats:
        case = Case("catch-up", "sqlite", "one key", "events/s")

        def measure(seat: Seat) -> Measured:
            if seat.name == "twofold":
                fold.by_twofold(run, seat, "rebuild", "product_row", events)
                fold.by_twofold(run, seat, "catch_up", "order_struct", events)
                return fold.by_twofold(run, seat, "catch_up", "order_row", events)
            return fold.in_memory(seat, events)

        run.compare(case, seats, measure)
        assert book.missing == {}
        assert len(book.of(case)) == 4
        with pytest.raises(WrongResult, match="add up to"):
            fold.in_memory(seats.taken[1], events - 1)


def test_a_side_that_claims_more_than_it_stored_is_found_out(run: Run, book: Book) -> None:
    with run.sides("sqlite", ("raw",)) as seats:

        def measure(seat: Seat) -> Measured:
            seat.check_stored(seat.ask("append", clients=1, seconds=0.02)["count"] + 1)
            return Measured(1)

        run.compare(CASE, seats, measure)
    assert "raw claims to have stored" in book.missing[CASE, "raw"]
    assert book.of(CASE) == []


def test_a_side_that_fails_or_ends_says_why(tmp_path: Path) -> None:
    with Side("raw", Path(sys.executable), {"url": f"sqlite:///{tmp_path / 'some.db'}"}, tmp_path) as side:
        with pytest.raises(SideFailed, match="raw, dance: AttributeError"):
            side.ask("dance")
        assert side.ask("append", clients=1, seconds=0.01)["count"] > 0  # and it goes on
    with (
        Side("raw", Path(sys.executable), {"url": f"sqlite:///{tmp_path / 'no' / 'some.db'}"}, tmp_path) as side,
        pytest.raises(SideFailed, match=r"raw ended during 'append': .*unable to open"),
    ):
        side.ask("append", clients=1, seconds=0.01)


def test_whoever_was_first_is_last_in_the_next_round(run: Run) -> None:
    asked: list[str] = []
    with run.sides("sqlite", ("twofold", "raw")) as seats:

        def measure(seat: Seat) -> Measured:
            asked.append(seat.name)
            return Measured(1)

        run.compare(CASE, seats, measure, rounds=3)
    assert asked == ["twofold", "raw", "raw", "twofold", "twofold", "raw"]


@pytest.mark.slow
def test_http_is_asked_without_wrk_too(monkeypatch: pytest.MonkeyPatch, run: Run) -> None:
    monkeypatch.setattr("bench.http_load.shutil.which", lambda _: None)
    with run.places.fresh("sqlite") as place, open_shop(place) as shop:
        shop.stock_up()
        shop.place(2, "known-")
        assert read(shop.address, "/orders/known-%d", 2, 0.1).count > 0
        placed = place_orders(shop.address, "new-", 0.2)
        assert (placed.client, placed.count > 0) == ("asyncio", True)
        [found] = place.query("SELECT count(*) FROM twofold_events WHERE type = 'OrderPlaced'")
        assert found == 2 + placed.count
        with pytest.raises(SideFailed, match="404"):
            read(shop.address, "/orders/nobody-%d", 1, 0.1)


@pytest.mark.slow
def test_all_edges_return_the_same_rows(run: Run) -> None:
    with run.places.fresh("sqlite") as place, edges.servers(place) as seats:
        assert [server.name for server in seats.taken] == ["twofold", "Starlette by hand", "FastAPI and SQLAlchemy"]
        for path, count in edges.PATHS.values():
            edges.check(seats.taken, path % (count - 1))
        other = Served("other", f"{seats.taken[1].address}/stock/p-1?", seats.taken[1].pid)
        with pytest.raises(WrongResult, match=r"/stock/p-2: other returns .*'p-1'.*, but twofold .*'p-2'"):
            edges.check([seats.taken[0], other], "/stock/p-2")
        load = read(seats.taken[0].address, *edges.PATHS["order_page"], 0.1)
        assert load.count > 0
        with pytest.raises(SideFailed, match="404"):
            read(seats.taken[0].address, "/stock/none-%d", 1, 0.1)


def test_memory_that_is_added_is_seen() -> None:
    peak = PeakMemory()
    taken = bytearray(64_000_000)
    assert 50 <= peak.added_mb() <= 100
    del taken


def test_a_retailers_file_is_added_up_by_kind_of_invoice(tmp_path: Path) -> None:
    rows = ("1,2,1.50", "1,1,0.255", "2,-3,0", "C3,-1,4.25", "A4,1,-7.00")
    with gzip.open(tmp_path / "some.csv.gz", "wt") as file:
        file.write("\n".join(["InvoiceNo,Quantity,UnitPrice", *rows]))
    assert added_up(tmp_path / "some.csv.gz") == {
        "order": (1, 2, Decimal("3.255")),
        "stock adjustment": (1, 1, Decimal(0)),
        "return": (1, 1, Decimal("-4.25")),
        "bad debt adjustment": (1, 1, Decimal("-7.00")),
    }


def test_an_unknown_scenario_is_refused_with_those_there_are() -> None:
    command = [sys.executable, "-P", "-m", "bench", "apend"]
    refused = subprocess.run(command, check=False, capture_output=True, text=True, env={"PYTHONPATH": str(ROOT)})
    assert refused.returncode == 2
    assert "unknown scenario apend; choose from append," in refused.stderr


def test_orders_of_the_workload_are_uuids_and_distinct() -> None:
    assert len({order_id(number) for number in range(1_000)}) == 1_000
    assert astuple(totals(4)) == (4, 8, totals(4).amount, 0)
