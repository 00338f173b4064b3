"""The published sample in Microsoft's real worker library: how each of its six faults fails, and that mended it works.

Nothing of it is kept here: `apps/published` is a sample of the same form, written for this project, with all six
mended. Each test puts one back.
"""

import base64
import json
import os
import shutil
import sqlite3
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager, closing
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pytest

from devservers.functions.channel import Invocation, Outcome, Worker
from devservers.functions.errors import FunctionFailed, Misconfigured
from tests.devservers.functions_running import APPS, worker_python

pytestmark = pytest.mark.slow

TABLE = (
    "CREATE TABLE order_read_models (id TEXT PRIMARY KEY, customer_id TEXT, status TEXT, item_count INT, total_amount)"
)
ORDER = {"id": "order-1001", "customer_id": "cust-42", "items": [{"sku": "a", "quantity": 2, "unit_price": 22.75}]}
OUTPUT = """@app.cosmos_db_output(
    arg_name="order_doc", database_name="ordersdb", container_name="orders", connection="CosmosDBConnection"
)
"""
VALIDATED = "@validate_http(body=OrderWriteRequest, response_model=OrderAccepted)\n"

Replacements = Sequence[tuple[str, str]]
FAULTS: dict[str, Replacements] = {
    "openapi's names of before": [
        ("requests=OrderWriteRequest, responses={202", "request_body=OrderWriteRequest, response={202")
    ],
    "validate_http above the output": [(OUTPUT, ""), (VALIDATED, VALIDATED + OUTPUT)],
    "with_context without a context": [(", context: func.Context", "")],
    "documents as a list of dicts": [("documents: func.DocumentList", "documents: list[dict[str, object]]")],
    "an output that inserts": [('    action="upsert",\n    conflict_columns=["id"],\n', "")],
    "fetch_all": [('get(pk={"id": req.route_params["id"]})', "fetch_all()")],
}


@dataclass
class Sample:
    """The sample in a worker: its functions, and what it has logged."""

    worker: Worker
    ids: dict[str, str] = field(default_factory=dict)
    log: list[tuple[str, str, str]] = field(default_factory=list)

    async def create(self) -> Outcome:
        body = base64.b64encode(json.dumps(ORDER).encode()).decode()
        headers = {"content-type": "application/json"}
        return await self._call("create_order", "req", method="POST", headers=headers, body={"bytes": body})

    async def project(self) -> Outcome:
        data = {"json": json.dumps([ORDER])}
        return await self.worker.invoke(Invocation("p-1", self.ids["project_order_read_models"], "documents", data))

    async def read(self) -> Outcome:
        return await self._call("get_order_projection", "req", method="GET", params={"id": ORDER["id"]}, body={})

    async def _call(self, name: str, trigger: str, **http: Any) -> Outcome:
        data = {"http": {"url": "http://127.0.0.1/", **http}}
        return await self.worker.invoke(Invocation("i-1", self.ids[name], trigger, data))


@asynccontextmanager
async def sample(folder: Path, *faults: str) -> AsyncIterator[Sample]:
    """The sample with these faults, loaded. Raises: Misconfigured if they keep it from loading."""
    app, rows = folder / "app", folder / "rows.db"
    shutil.copytree(APPS / "published", app)
    text = (app / "function_app.py").read_text()
    for mended, published in (pair for fault in faults for pair in FAULTS[fault]):
        assert mended in text
        text = text.replace(mended, published)
    (app / "function_app.py").write_text(text)
    with closing(sqlite3.connect(rows)) as connection:
        connection.execute(TABLE)
    settings = {**os.environ, "FUNCTIONS_WORKER_RUNTIME": "python", "READ_DB_URL": f"sqlite:///{rows}"}
    log: list[tuple[str, str, str]] = []
    worker = await Worker.started(worker_python(), app, settings, lambda *line: log.append(line))
    try:
        loaded = await worker.load(app)
        yield Sample(worker, {one["name"]: one["function_id"] for one in loaded}, log)
    finally:
        await worker.stop()


def text_of(outcome: Outcome) -> str:
    return base64.b64decode(outcome.returned["http"]["body"]["bytes"]).decode()


async def test_mended_it_loads_and_does_what_it_says(tmp_path: Path) -> None:
    async with sample(tmp_path) as mended:
        created = await mended.create()
        assert created.returned["http"]["status_code"] == "202"
        assert json.loads(text_of(created)) == {"id": "order-1001", "status": "accepted"}
        assert json.loads(created.outputs["order_doc"]["string"]) == ORDER
        assert ("Information", "writes order order-1001 (of i-1)", "i-1") in mended.log
        await mended.project()
        await mended.project()
        assert text_of(await mended.read()) == "45.5"


async def test_as_published_it_does_not_load(tmp_path: Path) -> None:
    with pytest.raises(Misconfigured):
        async with sample(tmp_path, *FAULTS):
            pass


@pytest.mark.parametrize(
    ("fault", "error"),
    [
        ("openapi's names of before", "TypeError: @openapi() no longer accepts 'request_body'"),
        ("validate_http above the output", "RuntimeError: @validate_http received an Azure Functions FunctionBuilder"),
        (
            "documents as a list of dicts",
            "FunctionLoadError: cannot load the project_order_read_models function: "
            "binding documents has invalid non-type annotation list[dict[str, object]]",
        ),
    ],
)
async def test_faults_that_keep_it_from_loading(tmp_path: Path, fault: str, error: str) -> None:
    with pytest.raises(Misconfigured) as refused:
        async with sample(tmp_path, fault):
            pass
    assert str(refused.value).startswith(f"the app cannot be loaded: {error}")


async def test_without_a_context_parameter_with_context_does_nothing(tmp_path: Path) -> None:
    async with sample(tmp_path, "with_context without a context") as published:
        await published.create()
        assert ("Information", "writes order order-1001 (of None)", "i-1") in published.log


async def test_an_output_that_inserts_fails_when_a_batch_comes_again(tmp_path: Path) -> None:
    async with sample(tmp_path, "an output that inserts") as published:
        await published.project()
        with pytest.raises(FunctionFailed, match="WriteError: Failed to insert rows") as refused:
            await published.project()
        assert "IntegrityError: UNIQUE constraint failed: order_read_models.id" in refused.value.stack


async def test_a_reader_has_no_fetch_all(tmp_path: Path) -> None:
    async with sample(tmp_path, "fetch_all") as published:
        await published.project()
        with pytest.raises(FunctionFailed, match="AttributeError: 'DbReader' object has no attribute 'fetch_all'"):
            await published.read()
