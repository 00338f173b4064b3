"""The README is run, block by block, on one blog.

    graphql    sent to it, by the user whom a first line such as `# Ann` names; subscribed to, if it is a subscription
    sql        run by a session of its own
    console    each line that begins with `$ ` is run by a shell
    python     stands like this in a file of the example
    sh         is not run

A `json` or `text` block after one of them is its result; ids, times and tags may differ.
"""

import asyncio
import json
import re
from pathlib import Path
from typing import Any

import asyncpg
import pytest

from blog import costs
from blog.tests.conftest import Blog, User

HERE = Path(__file__).parents[1]
README = (HERE / "README.md").read_text("utf-8")
BLOCKS: list[tuple[str, str]] = re.findall(r"^```(\w+)\n(.*?)^```$", README, re.MULTILINE | re.DOTALL)
MASKS = [
    (re.compile(r"[0-9a-f]{8}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{12}"), "ID"),
    (re.compile(r"\d{4}-\d\d-\d\dT[\d:.]+Z"), "TIME"),
    (re.compile(r'W/"[^"]*"'), "TAG"),
]


class Reader:
    """Somebody who does what the README says."""

    def __init__(self, blog: Blog) -> None:
        self._blog, self._post = blog, ""
        self._users: dict[str, User] = {}

    async def graphql(self, text: str) -> str:
        if text.startswith("subscription"):
            await self._blog.running.settled(timeout_s=20)
            async with self._blog.subscribed(text) as following:
                return json.dumps(await following())
        named = re.match(r"# (\w+)\n", text)
        user = await self._user(named[1]) if named else self._blog.stranger
        await self._blog.running.settled(timeout_s=20)
        ids = {"id": self._post, "me": (await self._user("Ann")).id}
        sent = await user.send(text, **{name: value for name, value in ids.items() if f"${name}:" in text})
        found = sent.json()
        if "errors" in found:
            [error] = found["errors"]
            return json.dumps({"message": error["message"], "extensions": error["extensions"]})
        self._post = (found["data"].get("createPost") or {}).get("id", self._post)
        return json.dumps(found["data"])

    async def _user(self, name: str) -> User:
        if name not in self._users:
            asking = self._blog.stranger.http.post("/login", json={"email": f"{name.lower()}@example.com"})
            found = await self._blog.sql.fetchval("SELECT id::text FROM tb_user WHERE name = $1", name)
            self._users[name] = User(self._blog.stranger.http, found, (await asking).json()["token"])
        return self._users[name]

    async def sql(self, text: str) -> str:
        try:
            await self._blog.sql.execute(text)
        except asyncpg.PostgresError as error:
            return f"ERROR:  {error}"
        return ""

    async def console(self, text: str) -> None:
        for part in re.split(r"^\$ ", text, flags=re.MULTILINE)[1:]:
            command, _, shown = part.partition("\n")
            here = command.replace("http://127.0.0.1:8000", self._blog.address)
            done = await asyncio.create_subprocess_shell(here, stdout=asyncio.subprocess.PIPE)
            printed, _ = await done.communicate()
            assert masked(printed.decode()) == masked(shown), command


@pytest.mark.slow
async def test_every_snippet_does_what_the_readme_says(blog: Blog) -> None:
    reader, result = Reader(blog), ""
    for kind, text in BLOCKS:
        match kind:
            case "graphql":
                result = await reader.graphql(text)
            case "sql":
                result = await reader.sql(text)
                assert BLOCKS[BLOCKS.index((kind, text)) + 1][0] == "text" or not result, result
            case "console":
                await reader.console(text)
            case "json":
                assert json.loads(masked(result)) == json.loads(masked(text))
            case "text" if result.startswith("ERROR"):
                assert masked(result).startswith(masked(text).partition(", …")[0])


def masked(text: str) -> str:
    for pattern, mask in MASKS:
        text = pattern.sub(mask, text)
    return text.strip()


def test_its_excerpts_are_in_the_files() -> None:
    sources = [file.read_text("utf-8") for file in HERE.glob("*.py")]
    excerpts = [text for kind, text in BLOCKS if kind == "python"]
    assert excerpts
    for text in excerpts:
        assert any(text in source for source in sources), text


def test_every_file_and_name_in_its_table_exists() -> None:
    sources: dict[str, Any] = {
        str(file.relative_to(HERE)): file.read_text("utf-8") for file in HERE.rglob("*.*") if "pyc" not in file.name
    }
    for row in README.partition("## Block by block")[2].splitlines():
        _, _, here, *_ = row.split("|") if row.startswith("| `") else ("", "", "")
        for name in re.findall(r"`([^`]+)`", here):
            assert name in sources or any(name in source for path, source in sources.items() if path != "README.md"), (
                name
            )


def test_its_links_lead_somewhere() -> None:
    for target in re.findall(r"\]\(([^)#]+)", README):
        assert (HERE / target).exists(), target


@pytest.mark.slow
async def test_the_table_of_costs_has_the_form_of_the_readme(blog: Blog) -> None:
    """The figures are of a larger run: `./dev -- python -m blog.costs`."""
    lines = await costs.measured(blog.url, users=1, views=1)
    [shown] = [text for kind, text in BLOCKS if kind == "text" and "materialised" in text]
    words = [re.sub(r"[\d.,]+", "0", line) for line in lines]
    assert [word.split() for word in words] == [re.sub(r"[\d.,]+", "0", line).split() for line in shown.splitlines()]
