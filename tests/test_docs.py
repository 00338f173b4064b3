"""The documentation is run: its programs, its commands, its links, its lists of names.

On a page of docs/ (and in the README) the blocks are taken in order, in one folder:

    ```python           whose first line is `# name.py` is written to that file; the page must run or import it
    ```python           any other is run in the page's own namespace; `await` may stand at its top level
    ```python no-run    is compiled only
    ```ts               is compiled by tests/web/rest/test_typescript.py
    ```diff             changes a file that was written before
    ```console          each line that begins with `$ ` is run by a shell, and must print what follows it;
                        times, ids and durations may differ
"""

import ast
import asyncio
import inspect
import os
import re
import subprocess
import sys
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from types import ModuleType

import pytest

import twofold
from twofold import cli, errors
from twofold.testing.conformance import BackendConformance

ROOT = Path(__file__).resolve().parents[1]
PAGES = [ROOT / "README.md", ROOT / "CONTRIBUTING.md", *sorted((ROOT / "docs").glob("*.md"))]
BY_NAME = {"argvalues": PAGES, "ids": [page.name for page in PAGES]}

_BLOCK = re.compile(r"^```([^\n`]*)\n(.*?)^```$", re.MULTILINE | re.DOTALL)
_FILE = re.compile(r"# ([\w/]+\.py)\n")
_MASKS = [
    (re.compile(r"\b\d{4}-\d\d-\d\d[T ]\d\d:\d\d:\d\d(\.\d+)?(Z|\+00:00)?"), "TIME"),
    (re.compile(r"\b([0-9a-f]{32}|[0-9a-f]{16}|[0-9a-f]{12})\b"), "ID"),
    (re.compile(r"[\d.,]+ (s|events/s)\b"), "PACE"),
    (re.compile(r"^\S+ v\d+ .*%.*\n", re.MULTILINE), ""),  # a bar of progress
    (re.compile(r"(?<=│)\s+[\d.:]+(?=\s+│)"), "NUMBER"),
    (re.compile(r"[━─]+"), "─"),
    (re.compile(r"[ \t]+"), " "),
]


@dataclass(frozen=True)
class Block:
    page: Path
    line: int
    info: str
    text: str

    @property
    def place(self) -> str:
        return f"{self.page.name}, line {self.line}"


def blocks(page: Path) -> list[Block]:
    text = page.read_text("utf-8")
    return [
        Block(page, text[: found.start()].count("\n") + 2, found[1].strip(), found[2])
        for found in _BLOCK.finditer(text)
    ]


class Course:
    """One run of a page, from its first block to its last."""

    def __init__(self, page: Path, folder: Path) -> None:
        self.page, self.folder = page, folder
        self.module = ModuleType(f"page_{page.stem.replace('-', '_')}")
        self.seen = ""

    def take(self, block: Block, runner: asyncio.Runner) -> None:
        match block.info:
            case "python no-run":
                compiled(block)
            case "python" if named := _FILE.match(block.text):
                self.write(named[1], block)
            case "python":
                self.run(block, runner)
            case "diff":
                self.change(block)
            case "console":
                for command, shown in commands(block):
                    self.seen += command
                    assert loosely(self.shell(command)) == loosely(shown), f"{block.place}: $ {command}"

    def write(self, name: str, block: Block) -> None:
        compiled(block)
        (self.folder / name).write_text(block.text, "utf-8")
        self.seen += block.text

    def run(self, block: Block, runner: asyncio.Runner) -> None:
        self.seen += block.text
        answer = eval(compiled(block), vars(self.module))
        if inspect.iscoroutine(answer):
            runner.run(answer)

    def change(self, block: Block) -> None:
        head, *hunks = re.split(r"^@@.*\n", block.text, flags=re.MULTILINE)
        found = re.fullmatch(r"--- ([\w/]+\.py)\n\+\+\+ \1\n", head)
        assert found, f"{block.place}: a diff begins with --- name.py and +++ name.py"
        file = self.folder / found[1]
        text = file.read_text("utf-8")
        for hunk in hunks:
            lines = hunk.splitlines(keepends=True)
            old = "".join(line[1:] or "\n" for line in lines if not line.startswith("+"))
            new = "".join(line[1:] or "\n" for line in lines if not line.startswith("-"))
            assert text.count(old) == 1, f"{block.place}: not once in {file.name}:\n{old}"
            text = text.replace(old, new)
            self.seen += new
        file.write_text(text, "utf-8")
        sys.modules.pop(file.stem, None)  # the next block that imports it means the changed one

    def shell(self, command: str) -> str:
        path = os.pathsep.join([str(Path(sys.executable).parent), os.environ["PATH"]])
        settings = {"PATH": path, "PYTHONIOENCODING": "utf-8", "PYTHONDONTWRITEBYTECODE": "1", "COLUMNS": "100"}
        done = subprocess.run(
            command,
            check=False,
            shell=True,
            cwd=self.folder,
            env={**os.environ, **settings},
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            encoding="utf-8",
            timeout=60,
        )
        return done.stdout


def compiled(block: Block) -> object:
    """Keeps the line numbers of the page."""
    text = "\n" * (block.line - 1) + block.text
    return compile(text, str(block.page), "exec", flags=ast.PyCF_ALLOW_TOP_LEVEL_AWAIT)


def commands(block: Block) -> Iterator[tuple[str, str]]:
    """Each command and its documented output."""
    for part in re.split(r"^\$ ", block.text, flags=re.MULTILINE)[1:]:
        command, _, shown = part.partition("\n")
        yield command, shown


def loosely(text: str) -> list[str]:
    for pattern, mask in _MASKS:
        text = pattern.sub(mask, text)
    return [line.strip() for line in text.splitlines() if line.strip()]


@pytest.mark.slow
@pytest.mark.parametrize("page", **BY_NAME)
def test_a_page_does_what_it_says(page: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    monkeypatch.syspath_prepend(tmp_path)
    monkeypatch.setattr(sys, "dont_write_bytecode", True)
    course = Course(page, tmp_path)
    monkeypatch.setitem(sys.modules, course.module.__name__, course.module)
    with asyncio.Runner() as runner:
        for block in blocks(page):
            course.take(block, runner)
    for file in tmp_path.glob("*.py"):
        sys.modules.pop(file.stem, None)
        used = re.search(rf"(from|import|python) {file.stem}\b|\b{file.stem}:", course.seen)
        assert used, f"{page.name}: nothing runs or imports {file.name}"


@pytest.mark.parametrize("page", **BY_NAME)
def test_every_block_says_what_it_is(page: Path) -> None:
    text = page.read_text("utf-8")
    assert text.count("\n```") == 2 * len(blocks(page)), "a fence is not closed, or is indented"
    known = {"python", "python no-run", "console", "diff", "text", "sql", "sh", "ts"}
    assert {block.info for block in blocks(page)} <= known


@pytest.mark.parametrize("page", **BY_NAME)
def test_links_between_pages_resolve(page: Path) -> None:
    text = _BLOCK.sub("", page.read_text("utf-8"))
    for target in re.findall(r"\]\(([^)\s]+)\)", text):
        if target.startswith(("https://", "http://")):
            continue
        path, _, anchor = target.partition("#")
        file = (page.parent / path).resolve() if path else page
        assert file.exists(), f"{page.name} points to {target}"
        if anchor:
            assert anchor in anchors(file), f"{page.name} points to {target}"


def anchors(page: Path) -> set[str]:
    """The anchors of headings: lower case, hyphens for spaces, everything else dropped."""
    headings = re.findall(r"^#+ (.+)$", _BLOCK.sub("", page.read_text("utf-8")), flags=re.MULTILINE)
    return {re.sub(r"[^\w\- ]", "", heading.lower()).replace(" ", "-") for heading in headings}


def test_the_example_of_the_readme_is_the_file() -> None:
    [example] = [block for block in blocks(ROOT / "README.md") if block.info == "python"]
    assert example.text.encode() == (ROOT / "examples" / "quickstart.py").read_bytes()


def test_the_quickstart_runs(tmp_path: Path) -> None:
    """A second run works too: the store exists then, and the balances are higher."""
    for total in ("42.5", "85"):
        done = subprocess.run(
            [sys.executable, ROOT / "examples" / "quickstart.py"],
            check=False,
            cwd=tmp_path,
            capture_output=True,
            text=True,
            timeout=60,
        )
        assert done.returncode == 0, done.stderr
        assert done.stdout.splitlines() == [f"Wealth(owner='ada', total=Decimal('{total}'))", "['ada']"]
    assert sorted(path.name for path in tmp_path.iterdir()) == ["bank.db", "bank.read.db"]


REFERENCE = (ROOT / "docs" / "reference.md").read_text("utf-8")


@pytest.mark.parametrize("name", twofold.__all__)
def test_every_public_name_is_in_the_reference(name: str) -> None:
    assert re.search(rf"`(?:[^`\n]*\W)?{name}\b", REFERENCE)


def defined(module: ModuleType) -> list[str]:
    return [name for name, value in vars(module).items() if getattr(value, "__module__", "") == module.__name__]


@pytest.mark.parametrize("name", [name for name in defined(errors) if issubclass(getattr(errors, name), Exception)])
def test_every_error_is_in_the_reference(name: str) -> None:
    assert re.search(rf"^\| `{name}` \|", REFERENCE, re.MULTILINE)


@pytest.mark.parametrize("part", [part.__name__ for part in BackendConformance.__bases__])
def test_what_every_part_of_the_suite_shows_is_documented(part: str) -> None:
    assert re.search(
        rf"^\| `{part}` \| [^|]+ \|$", (ROOT / "docs" / "writing-a-backend.md").read_text("utf-8"), re.MULTILINE
    )


@pytest.mark.parametrize("name", [command.callback.__name__ for command in cli.commands.registered_commands])
def test_every_command_is_in_the_reference(name: str) -> None:
    assert re.search(rf"^\| `{name} ", REFERENCE, re.MULTILINE)


def test_every_test_that_the_guarantees_name_exists() -> None:
    named = set(re.findall(r"`(test_\w+)`", (ROOT / "docs" / "guarantees.md").read_text("utf-8")))
    places = (ROOT / "tests", ROOT / "examples", ROOT / "src" / "twofold" / "testing")
    sources = [source for place in places for source in place.rglob("*.py")]
    there = {name for source in sources for name in re.findall(r"def (test_\w+)", source.read_text("utf-8"))}
    assert named
    assert named - there == set()
