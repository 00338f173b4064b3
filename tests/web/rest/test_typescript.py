"""Clients generated from the documents compile strictly: only where `./dev typescript` has installed the packages."""

import re
import subprocess
import tempfile
from collections.abc import Iterator
from pathlib import Path

import pytest

from generated import typescript
from generated.documents import APPS


@pytest.fixture
def folder() -> Iterator[Path]:
    """Below the packages, where node finds them."""
    if (reason := typescript.missing()) is not None:
        pytest.skip(reason)
    with tempfile.TemporaryDirectory(dir=typescript.FOLDER) as folder:
        yield Path(folder)


@pytest.mark.slow
@pytest.mark.parametrize("name", [*APPS, typescript.BLOG])
def test_a_generated_client_compiles_strictly(folder: Path, name: str) -> None:
    typescript.compile_client(name, folder, typescript.client(name))


@pytest.mark.slow
def test_the_client_in_the_docs_compiles_strictly(folder: Path) -> None:
    page = (Path(__file__).parents[3] / "docs" / "how-to.md").read_text("utf-8")
    (block,) = re.findall(r"```ts\n(.*?)```", page, re.DOTALL)
    typescript.compile_client("quickstart", folder, block, "bank.ts")


@pytest.mark.slow
def test_what_is_wrong_does_not_compile(folder: Path) -> None:
    wrong = typescript.client("quickstart").replace("const text: string", "const text: number")
    with pytest.raises(subprocess.CalledProcessError) as failed:
        typescript.compile_client("quickstart", folder, wrong)
    assert "Type 'string' is not assignable to type 'number'" in failed.value.stdout


def test_the_versions_are_pinned_and_no_lock_file_is_kept() -> None:
    assert all(version.replace(".", "").isdigit() for version in typescript.PACKAGES.values())
    kept = Path(typescript.__file__).parent
    assert not [*kept.rglob("package-lock.json"), *kept.rglob("node_modules")]
