"""The page at `/`, in a real browser, with the real process behind it."""

import asyncio
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import pytest
import pytest_asyncio

from shop import login
from shop.app import shop as app
from shop.http.app import shop_http
from shop.tests.http.browser import Browser, Tab, a_browser, missing
from shop.tests.http.killable import WITHIN_S, Shop, a_shop, served
from shop.write.order import orders as orders_of

pytestmark = [
    pytest.mark.skipif(missing() is not None, reason=missing() or ""),
    pytest.mark.asyncio(loop_scope="module"),  # one browser for all
    pytest.mark.slow,
]
LIVE = "document.querySelector('#connection').dataset.state === 'live'"
OFF = "document.querySelector('#connection').dataset.state !== 'live'"
HOSTILE = "<img src=x onerror=\"document.title='owned'\">"


def has(order: str, status: str) -> str:
    return f"document.querySelector('[data-id=\"{order}\"]')?.dataset.status === '{status}'"


def orders(count: int, status: str) -> str:
    return f"document.querySelectorAll('.order[data-status={status}]').length === {count}"


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def chromium() -> AsyncIterator[Browser]:
    async with a_browser() as browser:
        yield browser


@pytest_asyncio.fixture(loop_scope="module")
async def browser(chromium: Browser) -> AsyncIterator[Browser]:
    yield chromium
    await chromium.close_tabs()


@pytest_asyncio.fixture(loop_scope="module")
async def shop(tmp_path: Path) -> AsyncIterator[Shop]:
    async with a_shop(tmp_path) as shop:
        await shop.stock_up()
        yield shop


async def two_tabs(browser: Browser, shop: Shop) -> tuple[Tab, Tab]:
    one, other = await browser.tab(f"{shop.address}/"), await browser.tab(f"{shop.address}/")
    for tab in (one, other):
        await tab.until(f"{LIVE} && !document.querySelector('#place').disabled")
        await tab.run("window.notLoadedAgain = true")
    return one, other


async def test_another_tab_sees_an_order_as_it_is_placed(browser: Browser, shop: Shop) -> None:
    one, other = await two_tabs(browser, shop)
    await one.write(".quantity input", "3")
    await one.click("#place")
    for tab in (one, other):
        await tab.until(orders(1, "confirmed"))
        shown = await tab.run("return document.querySelector('.order').innerText")
        assert all(text in shown for text in ("Ann", "3 × Tea", "7.5"))
    await other.until("document.querySelector('.hint').innerText.includes('997 left')")
    asked = await other.run("return performance.getEntriesByType('resource').map(each => new URL(each.name).pathname)")
    assert {path for path in asked if not path.startswith("/page/")} == set()  # no polling
    order = await one.run("return document.querySelector('.order').dataset.id")
    await shop.post(f"/orders/{order}/ship", {"trackingNumber": "T-1"})
    for tab in (one, other):
        await tab.until(has(order, "shipped"))


async def test_an_order_is_shown_before_it_can_be_read(
    browser: Browser, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    store = f"sqlite:///{tmp_path / 's.db'}"
    async with app.open(store) as running, served(shop_http(running)) as shop:
        await shop.stock_up()
        await running.settled(timeout_s=WITHIN_S)
    async with app.open(store, work=False) as running, served(shop_http(running)) as shop:
        read_with, get = asyncio.Queue[Any](), running.queries.get

        async def noted(*arguments: Any, **settings: Any) -> Any:
            read_with.put_nowait(settings["after"])
            return await get(*arguments, **settings)

        monkeypatch.setattr(running.queries, "get", noted)
        tab = await browser.tab(f"{shop.address}/")
        await tab.until(f"{LIVE} && !document.querySelector('#place').disabled")
        await tab.click("#place")
        await tab.until("document.querySelector('.order.sent[data-status=pending]')")
        assert (await shop.other.get("/orders")).json()["data"] == []
        order = await tab.run("return document.querySelector('.order').dataset.id")
        placed = await running.history(orders_of.stream(order))
        assert await read_with.get() == f"{running.log.log_id}:{placed[0].position}"
        running.work()
        await tab.until(has(order, "confirmed"))
        await tab.until("!document.querySelector('.order.sent')")


async def test_after_a_kill_both_tabs_are_right_again(browser: Browser, shop: Shop) -> None:
    one, other = await two_tabs(browser, shop)
    await shop.place("before")
    for tab in (one, other):
        await tab.until(has("before", "confirmed"))
    await shop.kill()
    for tab in (one, other):
        await tab.until(OFF)
    await one.click("#place")  # it is sent again until there is an answer, and carried out once
    await one.until("document.querySelector('#place').innerText === 'Sending …'")
    await shop.start()
    await shop.place("meanwhile")
    for tab in (one, other):
        await tab.until(LIVE)
        await tab.until(has("meanwhile", "confirmed"))
        await tab.until(orders(3, "confirmed"))
        assert await tab.run("return window.notLoadedAgain")
    assert len((await shop.other.get("/orders")).json()["data"]) == 3


async def test_markup_stays_text(browser: Browser, shop: Shop) -> None:
    await shop.put("/customers/ann", {"name": HOSTILE, "email": "ann@example.com"})
    await shop.put("/products/tea", {"name": f"<b>Tea</b>{HOSTILE}", "price": "2.50"})
    one, other = await two_tabs(browser, shop)
    await one.write("textarea", f"</textarea><script>document.title='owned'</script>{HOSTILE}")
    await one.click("#place")
    for tab in (one, other):
        await tab.until(orders(1, "confirmed"))
        shown = await tab.run("return document.querySelector('.order').textContent")
        assert shown.count(HOSTILE) == 3
        assert "<b>Tea</b>" in shown
        assert "</textarea><script>" in shown
        assert await tab.run("return document.querySelectorAll('.order img, .order b, .order script').length") == 0
        assert await tab.run("return document.title") == "Orders"


async def test_what_is_wrong_is_said_where_it_is(browser: Browser, shop: Shop) -> None:
    tab, _ = await two_tabs(browser, shop)
    await tab.write("[name=customer]", "nobody")
    await tab.write("textarea", "")
    await tab.click("#place")
    await tab.until(
        "document.querySelector('[data-field=\"/shippingAddress\"] .error').innerText === 'Must not be empty'"
    )
    await tab.write("textarea", "Here")
    await tab.click("#place")
    said = "There is no customer 'nobody'"
    await tab.until(f'document.querySelector(\'[data-field="/customerId"] .error\').innerText === "{said}"')
    assert await tab.run("return document.activeElement.name") == "customer"
    assert await tab.run("return document.querySelectorAll('.error:not(:empty)').length") == 1
    assert await tab.run("return document.querySelector('#empty').hidden") is False


async def test_an_empty_shop_offers_something_to_begin_with(browser: Browser, tmp_path: Path) -> None:
    async with a_shop(tmp_path) as shop:
        tab = await browser.tab(f"{shop.address}/")
        await tab.until("!document.querySelector('#samples').hidden && !document.querySelector('#empty').hidden")
        await tab.click("#samples")
        await tab.until("document.querySelector('.hint').innerText.includes('100 left')")
        await tab.click("#place")
        await tab.until(orders(1, "confirmed"))


async def test_with_logins_each_sees_their_own(browser: Browser, tmp_path: Path) -> None:
    key = login.key(tmp_path / "key")
    staff = login.token(key, "ann", staff=True)
    async with a_shop(tmp_path, "--login", str(tmp_path / "key"), Authorization=f"Bearer {staff}") as shop:
        await shop.stock_up()
        await shop.put("/customers/bob", {"name": "Bob", "email": "bob@example.com"})
        tab = await browser.tab(f"{shop.address}/")
        await tab.until("!document.querySelector('#login').hidden && document.querySelector('#order').hidden")
        await tab.write("[name=token]", "not a login")
        await tab.click("#login button")
        await tab.until("document.querySelector('#login .error').innerText.includes('login')")
        await tab.write("[name=token]", login.token(key, "bob"))
        await tab.click("#login button")
        await tab.until(f"{LIVE} && !document.querySelector('#order').hidden")
        mine = {"items": [{"productId": "tea", "quantity": 1}], "shippingAddress": "Here"}
        await shop.post("/orders", {**mine, "orderId": "of-ann"})
        await tab.click("#place")
        await tab.until(orders(1, "confirmed"))
        assert "Bob" in await tab.run("return document.querySelector('.order').innerText")
        await tab.run("sessionStorage.setItem('login', '')")
        await tab.click("#logout")
        await tab.until("!document.querySelector('#login').hidden && !document.querySelector('.order')")
