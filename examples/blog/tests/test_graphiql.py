"""The page `/graphql` in a real browser: a query, a mutation with a login, and a subscription."""

import json

import pytest

from blog.tests.conftest import CONTENT, Blog
from shop.tests.http.browser import Tab, a_browser, missing

pytestmark = [pytest.mark.skipif(missing() is not None, reason=missing() or ""), pytest.mark.slow]

EDITOR = "document.querySelector('.graphiql-query-editor .CodeMirror')"
SHOWN = "document.querySelector('.result-window .CodeMirror')?.CodeMirror.getValue()"
RUN = ".graphiql-execute-button"
KNOWN = """
const [query, done] = arguments
const look = () => localStorage.getItem('graphiql:query') === query ? done(true) : requestAnimationFrame(look)
look()
"""
"""Until GraphiQL has looked at what was written: before, it takes a subscription for what stood there earlier."""


async def run(tab: Tab, query: str, awaited: str) -> None:
    """Write a query into the editor, execute it, and wait until its result has a text."""
    await tab.run(f"{EDITOR}.CodeMirror.setValue(arguments[0])", query)
    await tab.ask("POST", "/execute/async", script=KNOWN, args=[query])
    await tab.click(RUN)
    await tab.until(f"{SHOWN}?.includes({json.dumps(awaited)})")


async def test_the_page_reads_changes_and_hears(blog: Blog) -> None:
    ann = await blog.sign_up("Ann")
    async with a_browser() as browser:
        tab = await browser.tab(f"{blog.address}/graphql")
        await tab.until(f"{EDITOR} !== null")
        await run(tab, "{ users { name email } }", '"ann@example.com"')
        await run(tab, "{ userz { name } }", '"VALIDATION"')
        write = f'mutation {{ createPost(input: {{title: "By page", content: "{CONTENT}"}}) {{ title status }} }}'
        await run(tab, write, '"AUTH_REQUIRED"')
        tools = "[...document.querySelectorAll('.graphiql-editor-tools button')]"
        await tab.run(f"{tools}.find(each => each.innerText === 'Headers').click()")
        headers = "document.querySelectorAll('.graphiql-editor-tool .CodeMirror')[1]"
        await tab.until(f"{headers} !== undefined")
        await tab.run(f"{headers}.CodeMirror.setValue(arguments[0])", json.dumps(ann.headers))
        await run(tab, write, '"draft"')
        await run(tab, "subscription { postPublished { rows { post { title } } snapshot } }", '"snapshot": true')
        await ann.publish(await ann.write("News"))
        await tab.until(f"{SHOWN}?.includes('\"News\"')")
        asked = await tab.run("return performance.getEntriesByType('resource').map(each => new URL(each.name).host)")
        assert {f"http://{host}" for host in asked} == {blog.address}
