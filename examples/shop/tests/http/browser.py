"""Chromium, driven by the W3C WebDriver protocol, which is JSON over HTTP: a few requests need no library.

Where Chromium and its driver are not installed (Debian: `apt-get install chromium chromium-driver`), tests are skipped.
"""

from __future__ import annotations

import asyncio
import re
import shutil
import tempfile
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

import httpx2

WITHIN_S = 30
PROGRAMS = ("chromium", "chromedriver")
OPTIONS = (
    "--headless",
    "--no-sandbox",  # as root, there is none
    "--disable-gpu",
    "--disable-quic",
    "--no-first-run",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-sync",
)
ELEMENT = "element-6066-11e4-a52e-4f735466cecf"  # the name that the protocol gives to references

UNTIL = """
const done = arguments[arguments.length - 1]
const look = () => {
  if (!(%s)) return
  observer.disconnect()
  done(true)
}
const observer = new MutationObserver(look)
observer.observe(document, {subtree: true, childList: true, attributes: true, characterData: true})
look()
"""


def missing() -> str | None:
    """Why there is no browser here."""
    absent = [name for name in PROGRAMS if shutil.which(name) is None]
    return f"needs {' and '.join(absent)}" if absent else None


class Browser:
    """A browser with several tabs."""

    def __init__(self, http: httpx2.AsyncClient, session: str) -> None:
        self._http, self._session = http, session

    async def tab(self, address: str) -> Tab:
        """Open a page in a new window, so that it is not in the background."""
        handle = (await self.ask("POST", "/window/new", type="window"))["handle"]
        tab = Tab(self, handle)
        await tab.ask("POST", "/url", url=address)
        return tab

    async def close_tabs(self) -> None:
        """Close all but the first window, with which the browser began."""
        first, *others = await self.ask("GET", "/window/handles")
        for handle in others:
            await self.ask("POST", "/window", handle=handle)
            await self.ask("DELETE", "/window")
        await self.ask("POST", "/window", handle=first)

    async def ask(self, method: str, path: str, **body: Any) -> Any:
        sent = body if method == "POST" else None
        answer = (await self._http.request(method, f"/session/{self._session}{path}", json=sent)).json()["value"]
        if isinstance(answer, dict) and "error" in answer:
            raise AssertionError(f"{answer['error']}: {answer['message']}")
        return answer


class Tab:
    def __init__(self, browser: Browser, handle: str) -> None:
        self._browser, self._handle = browser, handle

    async def ask(self, method: str, path: str, **body: Any) -> Any:
        await self._browser.ask("POST", "/window", handle=self._handle)
        return await self._browser.ask(method, path, **body)

    async def run(self, script: str, *arguments: Any) -> Any:
        """Run the body of a function in the page."""
        return await self.ask("POST", "/execute/sync", script=script, args=arguments)

    async def until(self, expression: str) -> None:
        """Return once an expression is true, which is looked at whenever the page changes."""
        try:
            await self.ask("POST", "/execute/async", script=UNTIL % expression, args=[])
        except AssertionError as error:
            shown = await self.run("return document.body.innerText")
            raise AssertionError(f"never {expression}; the page shows:\n{shown}") from error

    async def click(self, selector: str) -> None:
        await self.ask("POST", f"/element/{await self._element(selector)}/click")

    async def write(self, selector: str, text: str) -> None:
        """Replace the text of an input."""
        element = await self._element(selector)
        await self.ask("POST", f"/element/{element}/clear")
        await self.ask("POST", f"/element/{element}/value", text=text)

    async def _element(self, selector: str) -> str:
        found = await self.ask("POST", "/element", using="css selector", value=selector)
        return str(found[ELEMENT])


@asynccontextmanager
async def a_browser() -> AsyncIterator[Browser]:
    driver = await asyncio.create_subprocess_exec(
        "chromedriver", "--port=0", stdout=asyncio.subprocess.PIPE, stderr=asyncio.subprocess.DEVNULL
    )
    with tempfile.TemporaryDirectory(ignore_cleanup_errors=True) as profile:
        try:
            address = f"http://127.0.0.1:{await _port(driver)}"
            async with httpx2.AsyncClient(base_url=address, timeout=2 * WITHIN_S) as http:
                arguments = [*OPTIONS, f"--user-data-dir={profile}"]
                timeouts = {"script": 1_000 * WITHIN_S}
                wanted = {"goog:chromeOptions": {"args": arguments}, "timeouts": timeouts}
                answer = await http.post("/session", json={"capabilities": {"alwaysMatch": wanted}})
                session = answer.json()["value"]["sessionId"]
                try:
                    yield Browser(http, session)
                finally:
                    await http.delete(f"/session/{session}")  # ends Chromium
        finally:
            driver.kill()
            await driver.wait()


async def _port(driver: asyncio.subprocess.Process) -> int:
    assert driver.stdout is not None
    async with asyncio.timeout(WITHIN_S):
        async for line in driver.stdout:
            if found := re.search(rb"successfully on port (\d+)", line):
                return int(found[1])
    raise AssertionError("chromedriver did not start")
