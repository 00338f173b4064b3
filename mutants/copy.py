"""The copy of the tree in which defects are planted, and what is kept beside it between runs: in `build/mutants`."""

from __future__ import annotations

import hashlib
import os
import shutil
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path

from mutants.defect import Defect, DoesNotApply

ROOT = Path(__file__).resolve().parent.parent
KEPT = ROOT / "build/mutants"
FOLDERS = ("devservers", "docs", "examples", "generated", "mutants", "simulated", "src", "tests", "torture", "bench")
FILES = ("conftest.py", "pyproject.toml", "requirements.lock", "dev", "README.md", "CHANGELOG.md", "CONTRIBUTING.md")
TESTS = ("examples", "tests", "conftest.py", "simulated", "src/twofold/testing")
SOURCE = ("src",)


def hash_of(names: Sequence[str]) -> str:
    """Names the state of files and folders."""
    digest = hashlib.sha256()
    for name in names:
        top = ROOT / name
        for path in sorted(top.rglob("*") if top.is_dir() else [top]):
            if path.is_file() and "__pycache__" not in path.parts:
                digest.update(f"{path.relative_to(ROOT)}\0".encode() + path.read_bytes())
    return digest.hexdigest()[:16]


class Copy:
    """A copy of the working tree; whatever an interrupted run left in it is overwritten."""

    def __init__(self, root: Path) -> None:
        self.root = root
        shutil.rmtree(root, ignore_errors=True)
        root.mkdir(parents=True)
        ignored = shutil.ignore_patterns("__pycache__", ".hypothesis", "node_modules", "*.db*")
        for folder in FOLDERS:
            shutil.copytree(ROOT / folder, root / folder, ignore=ignored)
        for file in FILES:
            shutil.copy2(ROOT / file, root / file)

    def environment(self) -> Mapping[str, str]:
        """With it the programs of .venv import the copy."""
        paths = [self.root, self.root / "src", self.root / "examples"]
        return {**os.environ, "PYTHONPATH": os.pathsep.join(map(str, paths))}

    @contextmanager
    def planted(self, defect: Defect) -> Iterator[Mapping[str, tuple[str, str]]]:
        """Plant a defect, and mend it at the end; yields the file with its text before and after.

        Raises: DoesNotApply.
        """
        path = self.root / defect.file
        if not path.exists():
            raise DoesNotApply(f"{defect.file}: there is no such file")
        self._before, self._stat, self._path = path.read_text("utf-8"), path.stat(), path
        after = defect.planted_in(self._before)
        path.write_text(after, "utf-8")
        try:
            yield {defect.file: (self._before, after)}
        finally:
            self._mend()

    @contextmanager
    def mended(self) -> Iterator[None]:
        """Without the defect that is planted, for a while."""
        after = self._path.read_text("utf-8")
        self._mend()
        try:
            yield
        finally:
            self._path.write_text(after, "utf-8")

    def _mend(self) -> None:
        """Compiled files are recognised by the time and size of their source, so the time is set back as well."""
        self._path.write_text(self._before, "utf-8")
        os.utime(self._path, ns=(self._stat.st_atime_ns, self._stat.st_mtime_ns))
