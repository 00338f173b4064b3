"""Clients generated from the documents compile strictly: only where `./dev typescript` has installed the packages."""

import tempfile
from pathlib import Path

import pytest

from generated import typescript
from generated.documents import APPS


@pytest.mark.slow
@pytest.mark.parametrize("name", APPS)
def test_a_generated_client_compiles_strictly(name: str) -> None:
    if (reason := typescript.missing()) is not None:
        pytest.skip(reason)
    with tempfile.TemporaryDirectory(dir=typescript.FOLDER) as folder:  # below the packages, where node finds them
        typescript.compile_client(name, Path(folder))


def test_the_versions_are_pinned_and_no_lock_file_is_kept() -> None:
    assert all(version.replace(".", "").isdigit() for version in typescript.PACKAGES.values())
    kept = Path(typescript.__file__).parent
    assert not [*kept.rglob("package-lock.json"), *kept.rglob("node_modules")]
