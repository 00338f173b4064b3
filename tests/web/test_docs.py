from collections.abc import Awaitable, Callable
from pathlib import Path

import httpx2
import pytest
from fastapi import FastAPI

from twofold.web import docs

FAKE = "fastapi_swagger"


async def test_the_page_loads_nothing_from_elsewhere(
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    connect: Callable[[FastAPI], Awaitable[httpx2.AsyncClient]],
) -> None:
    if not docs.own_docs_available():
        (tmp_path / FAKE / "resources").mkdir(parents=True)
        (tmp_path / FAKE / "__init__.py").touch()
        (tmp_path / FAKE / "resources" / "swagger-ui-bundle.js").write_text("// scripts")
        monkeypatch.syspath_prepend(tmp_path)
    app = FastAPI(docs_url=None)
    docs.install(app)
    client = await connect(app)
    page = (await client.get("/docs")).text
    assert "https://" not in page
    assert 'src="docs/swagger-ui-bundle.js"' in page
    script = await client.get("/docs/swagger-ui-bundle.js")
    assert (script.status_code, script.headers["content-type"]) == (200, "text/javascript; charset=utf-8")
    assert (await client.get("/docs/__init__.py")).status_code == 404
