"""The files of the page at `/`: nothing else can run on it."""

import re

from shop.http.page import FILES, FOLDER
from shop.tests.http.client import Client


async def test_nothing_but_its_own_files_can_run(client: Client) -> None:
    for path, (_, media_type) in FILES.items():
        answer = await client.http.get(path)
        assert answer.headers["content-type"].startswith(media_type)
        policy = answer.headers["content-security-policy"]
        assert policy.startswith("default-src 'none'; script-src 'self';")
        assert "unsafe" not in policy
    page = (FOLDER / "index.html").read_text("utf-8")
    assert not re.findall(r"\son\w+=|\sstyle=|<style|<script>|javascript:|https?:", page)
    for script in FOLDER.glob("*.js"):
        assert not re.findall(r"innerHTML|outerHTML|insertAdjacent|document\.write|eval\(", script.read_text("utf-8"))
    assert {file for file, _ in FILES.values()} == {
        path.name for path in FOLDER.iterdir() if path.suffix in (".html", ".css", ".js", ".svg")
    }
