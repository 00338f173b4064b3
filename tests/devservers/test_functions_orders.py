"""The orders example is loaded by the real worker: calling its functions in process would hide what that refuses."""

from pathlib import Path

import pytest

from devservers.functions.__main__ import APP
from devservers.functions.channel import Worker
from devservers.functions.functions import understood
from devservers.functions.settings import read_settings
from tests.devservers.functions_running import worker_python

CONNECTION = "AccountEndpoint=http://127.0.0.1:1/;AccountKey=a2V5;"


@pytest.mark.slow
async def test_the_orders_example_loads_in_the_real_worker(tmp_path: Path) -> None:
    environment = {"CosmosDBConnection": CONNECTION, "READ_DB_URL": f"sqlite:///{tmp_path / 'rows.db'}"}
    settings = read_settings(APP, environment)
    log: list[tuple[str, str, str]] = []
    worker = await Worker.started(worker_python(), APP, settings.values, lambda *line: log.append(line))
    try:
        functions = {one.name: one for one in map(understood, await worker.load(APP))}
    finally:
        await worker.stop()
    assert {"create_order", "project_order_read_models"} <= set(functions)
    assert functions["project_order_read_models"].retry is not None
    assert not [line for line in log if line[0] in ("Error", "Critical")]
