"""What is pure of the backend for Azure Cosmos DB: addresses, places, ranges and documents."""

from datetime import UTC, datetime

import msgspec
import pytest
from azure.cosmos import PartitionKey
from hypothesis import given, settings
from hypothesis import strategies as st

from twofold.ambient import Ambient
from twofold.backends.connect import connect_read, stores
from twofold.backends.cosmos import layout, part, places
from twofold.backends.cosmos.address import address
from twofold.backends.cosmos.changes import Changes
from twofold.backends.cosmos.hashing import place_of
from twofold.backends.cosmos.layout import Tip
from twofold.backends.cosmos.ranges import Numbered, Physical, Ranges
from twofold.errors import ConfigurationError, InvalidInput
from twofold.messages import Append, Encoded, Entry, Meta, Position, Stream

KEY = "a2V5"


def test_a_url_and_a_connection_string_name_the_same(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("COSMOS_KEY", KEY)
    plain = address("cosmos://localhost:8081/shop/orders?tls=off")
    assert (plain.endpoint, plain.database, plain.container) == ("http://localhost:8081/", "shop", "orders")
    assert plain == address(f"AccountEndpoint=http://localhost:8081/;AccountKey={KEY};Database=shop;Container=orders")
    assert address("cosmos://a.documents.azure.com/shop/the%20orders").endpoint == "https://a.documents.azure.com:443/"
    assert address("cosmos://[::1]/shop/orders?tls=off").endpoint == "http://[::1]:80/"
    assert KEY not in str(plain)
    assert KEY not in repr(plain)


@pytest.mark.parametrize(
    ("url", "says"),
    [
        ("cosmos://host/shop", "is not a store: write cosmos://HOST"),
        ("cosmos://host/shop/orders/more", "is not a store"),
        ("cosmos://host/shop/orders?tls=no", "is not a store"),
        ("cosmos://host/shop/orders?key=1", "is not a store"),
        ("cosmos://user:secret@host/shop/orders", r"'cosmos://…@host/shop/orders' is not a store"),
        ("cosmos://user:a/secret@host/shop/orders", r"'cosmos://…@host/shop/orders' is not a store: it names a user"),
        ("cosmos://host:port/shop/orders", "Port could not be cast"),
        ("AccountEndpoint=http://host/;AccountKey=k;Database=shop", "lacks Container: write AccountEndpoint=…"),
        ("cosmos://host/shop/%23", "'#' cannot be the name of a container"),
        *(
            (f"AccountEndpoint={endpoint};AccountKey={KEY};Database=shop;Container=a", "write AccountEndpoint=https")
            for endpoint in ("shop", "ftp://host/", "http://host:83x/", "https:///")
        ),
        ("AccountEndpoint=http://host/;AccountKey=my key;Database=shop;Container=orders", "is not base64.*COSMOS_KEY"),
    ],
)
def test_what_is_no_address_is_refused(monkeypatch: pytest.MonkeyPatch, url: str, says: str) -> None:
    monkeypatch.setenv("COSMOS_KEY", KEY)
    with pytest.raises(ConfigurationError, match=says):
        address(url)


def test_a_category_that_cannot_be_one_is_refused() -> None:
    plain = f"AccountEndpoint=http://host/;AccountKey={KEY};Database=shop;Container=orders"
    assert address(f"{plain};Category=order").category == "order"
    with pytest.raises(InvalidInput, match="category of a stream must be a letter followed by"):
        address(f"{plain};Category=an order")


@given(st.lists(st.integers(1, 9), min_size=1, max_size=9), st.integers(1, 20))
def test_what_is_cut_off_a_large_page_comes_with_the_next(sizes: list[int], most: int) -> None:
    now = datetime(2026, 1, 1, tzinfo=UTC)
    entries = [
        Entry(Position(1, offset), "order-1", offset, "Placed", 1, b"x" * size, b"{}", now)
        for offset, size in enumerate(sizes, 1)
    ]
    upto, read = Position(1, 99), list[Entry]()
    with pytest.MonkeyPatch.context() as patched:
        patched.setattr(part, "PAGE_BYTES", most)
        while (place := read[-1].position if read else Position(1, 0)) < entries[-1].position:
            page, end = part._cut([entry for entry in entries if entry.position > place], upto)
            assert part.size_of(page[:-1]) < most
            assert end == (upto if page[-1] is entries[-1] else page[-1].position)
            read += page
    assert read == entries


async def test_a_key_and_another_read_store_are_demanded(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("COSMOS_KEY", f"{KEY}\n")
    assert address("cosmos://host/shop/orders").key == KEY
    monkeypatch.setenv("COSMOS_KEY", "secret!")
    with pytest.raises(ConfigurationError, match="is not base64") as raised:
        address("cosmos://host/shop/orders")
    assert "secret" not in str(raised.value)
    monkeypatch.delenv("COSMOS_KEY")
    with pytest.raises(ConfigurationError, match="put it into the environment variable COSMOS_KEY"):
        address("cosmos://host/shop/orders")
    with pytest.raises(ConfigurationError, match=r"holds the log, but no read models.*--read-store"):
        await connect_read("cosmos://host/shop/orders")
    with pytest.raises(ConfigurationError, match=r"holds the log, but no read models"):
        async with stores("cosmos://host/shop/orders", None, Ambient(), create=True):
            pytest.fail("it was opened")


@given(st.lists(st.integers(1, 4), min_size=1, max_size=6))
def test_places_are_in_order_of_commit(sizes: list[int]) -> None:
    """Reading from any place brings everything after it, and at most one commit again."""
    events = [places.offset(lsn, index) for lsn, size in enumerate(sizes, 1) for index in range(1, size + 1)]
    assert events == sorted(set(events))
    for number, event in enumerate(events):
        before = places.before(event)
        assert (events[number - 1] if number else 0) <= before < event
        again = places.read_from(before)
        assert places.end(again) <= before or again == places.lsn_of(before)
        assert event <= places.end(places.lsn_of(event))
    assert places.end(0) == 0


def physical(begin: str, end: str, id_: str) -> Physical:
    return Physical(begin, end, id_)


def test_ranges_are_numbered_for_ever() -> None:
    """Whatever order the service lists them in; a range that splits twice between two looks is followed, too."""
    whole = Ranges([]).updated([physical("80", "FF", "1"), physical("", "80", "0")])
    assert [(one.number, one.range.id, one.parent) for one in whole.all] == [(1, "0", None), (2, "1", None)]
    assert whole.updated([physical("", "80", "0"), physical("80", "FF", "1")]) is whole
    now = [physical("", "20", "5"), physical("20", "40", "6"), physical("40", "80", "4"), physical("80", "FF", "1")]
    split = whole.updated(now)
    assert split.parents() == [None, None, 1, 1, 1]
    assert [leaf.number for leaf in split.leaves] == [3, 4, 5, 2]
    assert [split.holding(hash_).number for hash_ in ("00", "1F", "20", "7F", "80", "FE")] == [3, 3, 4, 5, 2, 2]


@pytest.mark.parametrize(
    "now", [[physical("", "FF", "2")], [physical("", "80", "9"), physical("80", "FF", "1")]], ids=["seen", "unseen"]
)
def test_ranges_that_were_merged_are_refused(now: list[Physical]) -> None:
    """Also those that had split and were merged again before this process looked."""
    whole = Ranges([Numbered(1, physical("", "80", "0")), Numbered(2, physical("80", "FF", "1"))])
    with pytest.raises(ConfigurationError, match=r"merged feed ranges of partition 1.*twofold copy"):
        whole.updated(now)


def test_a_commit_holds_what_an_append_asked_for() -> None:
    """Data and meta are kept as text, byte for byte; no id has a character that the service refuses."""
    data = b'{ "n": 12345678901234567890, "x": 1.50 }'
    append = Append(Stream("order", "a/b?#\\"), [Encoded("Placed", 2, data, None)] * 2, 3, Meta("once", "once"))
    at = datetime(2026, 1, 1, 12, 0, 0, 5, tzinfo=UTC)
    commit = layout.commit(append, Tip(3, "etag"), at)
    assert (commit["id"], commit["key"], commit["first"], commit["last"]) == ("order@4", "a/b?#\\", 4, 5)
    one, two = layout.entries(layout.written({**commit, "_lsn": 7}), 2)
    assert (one.data, one.meta, one.recorded_at) == (data.decode(), '{"command_id":"once","correlation_id":"once"}', at)
    assert [entry.position.offset for entry in (one, two)] == [places.offset(7, 1), places.offset(7, 2)]
    receipt = layout.receipt(append, Tip(3))
    assert not set("/\\?#") & set(commit["id"] + receipt["id"] + layout.head_id(append.stream))


def test_what_others_put_into_the_container_hides_no_commit() -> None:
    """A page is parsed into what commits hold; other documents may have anything in the same places."""
    append = Append(Stream("order", "1"), [Encoded("Placed", 1, b"{}", None)], 0, Meta("once", "once"))
    commit = layout.commit(append, Tip(), datetime(2026, 1, 1, tzinfo=UTC)) | {"_lsn": 7}
    head = layout.head(append.stream, Tip(1), {"state": {"events": 1}}) | {"_lsn": 7}
    strange = {"id": 1, "kind": ["commit"], "events": "none", "first": {}, "recorded_at": "yesterday"}
    for those in ([], [commit, head], [strange, commit, {}, head]):
        page = Changes(msgspec.json.encode({"_rid": "r", "Documents": those, "_count": len(those)}), 7, 7)
        assert page.documents() == those
        assert [(one.id, one.lsn) for one in page.commits()] == [("order@1", 7)] * (commit in those)


def test_places_are_the_services() -> None:
    """The partition of a stream must never change."""
    assert place_of("1001") == "005E79D5F8E3AE17654BA0FF5CDEBB87"
    assert place_of("日本語") == "3F0624929BDE45571F050DCA6A1CB775"


@settings(deadline=None)
@given(st.text(st.characters(exclude_categories=["Cs"]), max_size=120))
def test_places_are_those_of_the_sdk(key: str) -> None:
    assert place_of(key) == PartitionKey(path="/key")._get_effective_partition_key_string([key])
