"""The app in Microsoft's worker: every request, and hosts that are killed."""

import json
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import closing, contextmanager
from decimal import Decimal
from pathlib import Path
from sqlite3 import connect
from time import monotonic, sleep
from typing import Any

import httpx2
import jsonschema_rs
import pytest

from devservers.cosmos.process import Process as Cosmos
from devservers.cosmos.process import running as cosmos_running
from devservers.functions.process import Process
from tests.devservers.functions_running import host

pytestmark = pytest.mark.slow

APP = Path(__file__).parents[1]
PATIENCE_S = 60.0
LAMPS = {"sku": "lamp", "quantity": 2, "unit_price": 12.25}
DESK = {"sku": "desk", "quantity": 1, "unit_price": 21}


class Api:
    """One host of the app on a read store."""

    def __init__(self, process: Process) -> None:
        self.process = process
        self._http = httpx2.Client(base_url=process.url, timeout=60)

    def close(self) -> None:
        """Close its connections."""
        self._http.close()

    def page(self, path: str) -> httpx2.Response:
        """Follow a link."""
        return self._http.get(path)

    def get(self, path: str, **headers: str) -> httpx2.Response:
        """Ask for something."""
        return self._http.get(f"/api/{path}", headers=named(headers))

    def post(self, path: str, body: Any = None, **headers: str) -> httpx2.Response:
        """Send a command, with a JSON value or bytes."""
        content = body if isinstance(body, bytes) else json.dumps(body).encode()
        return self._http.post(f"/api/{path}", content=b"" if body is None else content, headers=named(headers))

    def order(self, id: str, customer_id: str = "cust-1", *items: Any, **more: Any) -> httpx2.Response:
        """Post an order."""
        return self.post("orders", {"id": id, "customer_id": customer_id, "items": items or [LAMPS, DESK], **more})

    def once(self, path: str, holds: Callable[[httpx2.Response], bool]) -> httpx2.Response:
        """What a read answers as soon as the answer is such."""
        deadline = monotonic() + PATIENCE_S
        while not holds(answer := self.get(path)):
            assert monotonic() < deadline, answer.text
            sleep(0.05)
        return answer


def named(headers: dict[str, str]) -> dict[str, str]:
    """Headers from keywords."""
    return {name.replace("_", "-"): value for name, value in headers.items()}


@contextmanager
def served(server: Cosmos, folder: Path) -> Iterator[Api]:
    """The app on an account and a read store."""
    with host(APP, **settings(server, folder)) as process, closing(Api(process)) as api:
        yield api


def settings(server: Cosmos, folder: Path) -> dict[str, str]:
    return {"CosmosDBConnection": server.connection_string, "READ_DB_URL": f"sqlite:///{folder}/readmodels.db"}


@pytest.fixture(scope="module")
def api(cosmos: Cosmos, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Api]:
    with served(cosmos, tmp_path_factory.mktemp("orders")) as api:
        yield api


def test_an_order_comes_to_its_projection(api: Api) -> None:
    created = api.post(
        "orders", {"id": "order-1001", "customer_id": "cust-42", "items": [LAMPS, DESK]}, X_Correlation_Id="the-first"
    )
    assert (created.status_code, created.json()) == (202, {"id": "order-1001", "status": "accepted"})
    assert (created.headers["ETag"], created.headers["X-Correlation-Id"]) == ('"1"', "the-first")
    row = api.once("orders/order-1001/projection", lambda answer: answer.status_code == 200)
    updated_at = row.json().pop("updated_at")
    assert row.headers["ETag"] == '"1"'
    assert row.json() == {
        "id": "order-1001",
        "customer_id": "cust-42",
        "status": "confirmed",
        "item_count": 2,
        "total_amount": 45.5,
        "updated_at": updated_at,
    }
    said = api.process.line("Upserted order read model. order_id=order-1001 customer_id=cust-42 total_amount=45.5")
    assert "[Information]" in said


def test_the_same_order_again_changes_nothing_and_another_is_refused(api: Api) -> None:
    body = {"id": "again", "customer_id": "c", "items": [LAMPS], "status": "draft"}
    assert api.post("orders", body).status_code == 202
    assert api.post("orders/again/items", DESK).json() == {"id": "again", "version": 2}
    line = {"price": 12.250, "product_id": "lamp", "quantity": 2}
    same = {"customer": None, "status": "draft", "items": [line], "customer_id": "c", "id": "again"}
    repeated = api.post("orders", same)
    assert (repeated.status_code, repeated.headers["ETag"]) == (202, '"1"')
    other = api.post("orders", {**body, "customer_id": "d"})
    assert (other.status_code, other.headers["ETag"]) == (409, '"2"')
    assert api.post("orders/again/submit").json()["version"] == 3


def test_a_draft_is_changed_and_submitted(api: Api) -> None:
    assert api.post("orders", {"id": "d-1", "customer_id": "c-d", "items": [], "status": "draft"}).status_code == 202
    empty = api.post("orders/d-1/submit")
    assert (empty.status_code, empty.json()["detail"][0]["msg"]) == (422, "Cannot submit an empty order")
    assert api.post("orders/d-1/items", {"product_id": "nail", "quantity": 3, "price": 0.1}).headers["ETag"] == '"2"'
    stale = api.post("orders/d-1/items", DESK, If_Match='"1"')
    assert (stale.status_code, stale.headers["ETag"]) == (412, '"2"')
    api.process.line("Concurrency conflict on order d-1")
    assert api.post("orders/d-1/items", DESK, If_Match='"2"').json() == {"id": "d-1", "version": 3}
    said = {"id": "d-1", "status": "submitted", "version": 4, "message": "Order submitted successfully"}
    assert api.post("orders/d-1/submit", If_Match="*").json() == said
    assert api.post("orders/d-1/submit").json() == said
    late = api.post("orders/d-1/items", DESK)
    assert (late.status_code, late.json()["detail"][0]["msg"]) == (422, "Cannot modify a submitted order")
    row = api.once("orders/d-1/projection", lambda answer: answer.headers.get("ETag") == '"4"')
    assert (row.json()["total_amount"], row.json()["status"]) == (21.3, "submitted")


@pytest.mark.parametrize(
    ("path", "body", "headers", "status"),
    [
        ("orders/nobody/items", DESK, {}, 404),
        ("orders/nobody/items", DESK, {"If_Match": '"3"'}, 404),
        ("orders/nobody/submit", None, {}, 404),
        ("orders/nobody/submit", None, {"If_Match": "3"}, 400),
        ("orders", [], {}, 422),
        ("orders", None, {}, 422),
        ("orders", {"id": "a/b", "customer_id": " ", "items": [{}], "status": "new"}, {}, 422),
        ("orders", {"id": "empty", "customer_id": "c", "items": []}, {}, 422),
        ("orders", {"id": "x" * 200, "customer_id": "c", "items": [DESK]}, {}, 422),
        ("orders", {"id": "neg", "customer_id": "c", "items": [{**DESK, "unit_price": -1}]}, {}, 422),
        ("orders", {"id": "nan", "customer_id": "c", "items": [{**DESK, "unit_price": float("nan")}]}, {}, 400),
        ("orders", {"id": "text", "customer_id": "c", "items": [{**DESK, "unit_price": "21"}]}, {}, 422),
        ("orders", {"id": "fine", "customer_id": "c", "items": [{**DESK, "unit_price": 0.00001}]}, {}, 422),
        ("orders", {"id": "half", "customer_id": "c", "items": [{**DESK, "quantity": 1.5}]}, {}, 422),
        ("orders/d-2/items", {"quantity": 1}, {}, 422),
    ],
)
def test_what_is_refused(api: Api, path: str, body: Any, headers: dict[str, str], status: int) -> None:
    answer = api.post(path, body, **headers)
    assert answer.status_code == status, answer.text
    assert all(one["msg"] for one in answer.json()["detail"])


def test_each_response_about_an_order_has_its_version_and_each_response_the_id(api: Api) -> None:
    """Whoever refuses: the validation, the edge, the order itself."""
    order = {"id": "v-1", "customer_id": "c", "items": [], "status": "draft"}
    assert api.post("orders", order).status_code == 202
    assert api.post("orders/v-1/items", DESK).status_code == 200
    asked: list[tuple[int, str, Any, dict[str, str], str | None]] = [
        (422, "orders/v-1/items", {"quantity": 1}, {}, '"2"'),
        (400, "orders/v-1/items", b"{", {}, '"2"'),
        (400, "orders/v-1/items", DESK, {"If_Match": "2"}, '"2"'),
        (400, "orders/v-1/submit", None, {"If_Match": "2"}, '"2"'),
        (412, "orders/v-1/submit", None, {"If_Match": '"1"'}, '"2"'),
        (409, "orders", {**order, "customer_id": "d"}, {}, '"2"'),
        (422, "orders/nobody/items", {"quantity": 1}, {}, None),
        (422, f"orders/{'x' * 2_000}/items", {"quantity": 1}, {}, None),
        (400, "orders/nobody/submit", None, {"If_Match": "2"}, None),
        (422, "orders", {"id": "v-2"}, {}, None),
    ]
    for status, path, body, headers, etag in asked:
        answer = api.post(path, body, **headers, X_Correlation_Id="mine")
        found = (answer.status_code, answer.headers.get("ETag"), answer.headers.get("X-Correlation-Id"))
        assert found == (status, etag, "mine"), path
    for path in ("status", "metrics", "openapi.json", "customers/c/orders", "customers/c/summary"):
        assert api.get(path, X_Correlation_Id="mine").headers["X-Correlation-Id"] == "mine", path


def test_every_field_at_fault_is_named(api: Api) -> None:
    answer = api.post("orders", {"id": "", "items": [{"sku": "a", "quantity": "2"}], "note": 1})
    assert [one["loc"] for one in answer.json()["detail"]] == [
        ["body", "id"],
        ["body", "customer_id"],
        ["body", "items", 0, "quantity"],
        ["body", "items", 0, "unit_price"],
        ["body", "note"],
    ]


def test_a_deep_body_is_refused(api: Api) -> None:
    assert api.post("orders", b"[" * 100_000).status_code == 400


def test_a_miss_is_logged_with_the_ids(api: Api) -> None:
    answer = api.get("orders/not%20there/projection", X_Correlation_Id="who-asks")
    assert answer.status_code == 404
    assert "correlation_id=who-asks" in api.process.line('Read model miss. order_id="not there"')


def test_a_request_writes_no_lines_of_its_own_into_the_log(api: Api) -> None:
    forged = "x%0A2026-01-01T00:00:00Z%20host%20%5BError%5D%20forged"
    assert api.get(f"orders/{forged}/projection").status_code == 404
    assert api.get(f"orders/{'y' * 3_000}/projection").status_code == 404
    api.process.line("Read model miss. order_id=yyy")
    assert not any(line.startswith("2026-01-01") for line in api.process.lines)
    assert max(len(line) for line in api.process.lines if "yyy" in line) < 1_000


def test_a_customers_orders_in_pages_newest_first(api: Api) -> None:
    with ThreadPoolExecutor(8) as at_once:
        list(at_once.map(lambda n: api.order(f"p-{n}", "cust 77"), range(103)))
    who, where = {"name": "Ann", "email": "ann@example.org"}, {"city": "Bern", "country": "CH"}
    assert api.order("p-first", "cust 77", LAMPS, customer=who, shipping_address=where).status_code == 202
    assert api.order("p-draft", "cust 77", LAMPS, status="draft").status_code == 202
    api.once("orders/p-draft/projection", lambda answer: answer.status_code == 200)
    api.once("customers/cust%2077/summary", lambda answer: answer.json()["total_orders"] == 104)
    pages, path = list[list[dict[str, Any]]](), "/api/customers/cust%2077/orders"
    while path:
        answer = api.page(path)
        pages.append(answer.json())
        link = answer.headers.get("Link", "")
        path = link[1 : link.index(">")] if link else ""
        assert not link or link.endswith('>; rel="next"')
    rows = [row for page in pages for row in page]
    assert [len(page) for page in pages] == [50, 50, 5]
    assert len({row["id"] for row in rows}) == 105
    assert [row["created_at"] for row in rows] == sorted((row["created_at"] for row in rows), reverse=True)
    assert [row["id"] for row in rows[:2]] == ["p-draft", "p-first"]
    first = rows[1]
    assert {
        name: first[name] for name in ("status_display", "customer_name", "customer_email", "shipping_summary")
    } == {
        "status_display": "Confirmed",
        "customer_name": "Ann",
        "customer_email": "ann@example.org",
        "shipping_summary": "Bern, CH",
    }
    assert (first["product_ids"], rows[0]["status_display"]) == (["lamp"], "Draft")
    summary = api.get("customers/cust%2077/summary").json()
    total = 103 * Decimal("45.5") + Decimal("24.5")
    assert (summary["total_spent"], summary["last_order_date"]) == (float(total), first["created_at"])


def test_nobody_has_no_orders(api: Api) -> None:
    assert api.get("customers/nobody/orders").json() == []
    assert api.get("customers/nobody/summary").json()["total_orders"] == 0
    assert api.get("customers/nobody/orders?cursor=WzEsMl0=").status_code == 400


def test_status_and_metrics_tell_the_lag(api: Api) -> None:
    assert api.order("seen").status_code == 202
    api.once("orders/seen/projection", lambda answer: answer.status_code == 200)
    models = {one["name"]: one for one in api.get("status").json()["read_models"]}
    assert set(models) == {"order_read_models", "customer_summary"}
    assert all(one["parked"] == 0 and one["error"] is None for one in models.values())
    assert api.get("status").json()["projection_lag_seconds"] > 0
    metrics = api.get("metrics").text
    assert "# TYPE order_projection_lag_seconds histogram" in metrics
    assert 'order_read_model_parked{model="order_read_models"} 0' in metrics


def test_openapi_describes_what_is_sent_and_returned(api: Api) -> None:
    described = api.get("openapi.json").json()
    assert sorted(described["paths"]) == [
        "/api/customers/{id}/orders",
        "/api/customers/{id}/summary",
        "/api/metrics",
        "/api/openapi.json",
        "/api/orders",
        "/api/orders/{id}/items",
        "/api/orders/{id}/projection",
        "/api/orders/{id}/submit",
        "/api/status",
    ]
    sent = described["paths"]["/api/orders"]["post"]["requestBody"]["content"]["application/json"]["schema"]
    schema = {**sent, "components": described["components"]}
    body = {"id": "o", "customer_id": "c", "items": [LAMPS]}
    assert jsonschema_rs.is_valid(schema, body)
    assert not jsonschema_rs.is_valid(schema, {**body, "items": [{**LAMPS, "unit_price": "12"}]})
    responded = described["paths"]["/api/status"]["get"]["responses"]["200"]["content"]["application/json"]["schema"]
    status = api.get("status").json()
    assert jsonschema_rs.is_valid({**responded, "components": described["components"]}, status)
    assert "text/plain" in described["paths"]["/api/metrics"]["get"]["responses"]["200"]["content"]


def test_a_host_that_is_killed_while_orders_come_in_loses_and_doubles_none(tmp_path: Path) -> None:
    """Another one goes on; then the rows are what was accepted, whoever was alive when."""
    accepted = list[str]()
    with cosmos_running(ranges=2) as server:
        with served(server, tmp_path) as steady:
            with served(server, tmp_path) as victim:
                for n in range(25):
                    for number, api in enumerate((steady, victim)):
                        accepted.append(f"k-{n}-{number}")
                        assert api.order(accepted[-1], "k").status_code == 202
                victim.process.kill()
            accepted.append("k-later")
            assert steady.order(accepted[-1], "k").status_code == 202
            summary = steady.once("customers/k/summary", lambda answer: answer.json()["total_orders"] == len(accepted))
            assert summary.json()["total_spent"] == float(len(accepted) * Decimal("45.5"))
        with closing(connect(tmp_path / "readmodels.db")) as rows:
            assert sorted(found for (found,) in rows.execute("SELECT id FROM order_read_models")) == sorted(accepted)


def test_a_database_that_is_not_supported_is_refused_by_name_at_the_start(cosmos: Cosmos) -> None:
    url = "mssql+pyodbc://user:secret@host/orders"
    with (
        pytest.raises(RuntimeError, match="READ_DB_URL: mssql is not supported") as refused,
        host(APP, CosmosDBConnection=cosmos.connection_string, READ_DB_URL=url),
    ):
        pass
    assert "secret" not in str(refused.value)
