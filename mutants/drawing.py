"""Which defects of which files: the same for the same seed and the same source. Pure, but for reading the source."""

from __future__ import annotations

import ast
from collections.abc import Iterable, Iterator, Sequence
from pathlib import Path
from random import Random

from mutants import python, sql
from mutants.defect import Defect

OF_EACH_FILE = 3
PACKAGES = ("api", "backends", "cli", "feed", "graphql", "operate", "react", "read", "sql", "web", "write")
DOMAIN = ("react", "read", "write")  # and the modules beside them
OBVIOUS = {"early return": 4, "swapped arguments": 3, "not": 2}  # drawn less often: nearly every test notices them


def files(root: Path) -> Sequence[str]:
    """The files that defects are drawn from."""
    twofold, shop = root / "src/twofold", root / "examples/shop"
    chosen = [path for package in PACKAGES for path in _sources(twofold / package)]
    chosen += [path for package in DOMAIN for path in _sources(shop / package)] + [shop / "app.py", shop / "values.py"]
    names = [path.relative_to(root).as_posix() for path in chosen]
    return sorted(name for name in names if "/migrations/" not in name)


def _sources(folder: Path) -> Iterator[Path]:
    yield from folder.rglob("*.py")
    yield from folder.rglob("*.sql")


def draw(root: Path, seed: int, only: str = "") -> Sequence[Defect]:
    """`OF_EACH_FILE` of every file whose name begins with `only`; all there are if a file has fewer."""
    drawn = (_of_file(root, file, seed) for file in files(root) if file.startswith(only))
    return [defect for defects in drawn for defect in defects]


def topped_up(root: Path, seed: int, listed: Sequence[Defect]) -> Sequence[Defect]:
    """Those that are listed, and newly drawn ones of files in which fewer than `OF_EACH_FILE` still apply."""
    drawn = list(listed)
    for file in files(root):
        text = (root / file).read_text("utf-8")
        left = [defect for defect in listed if defect.file == file and defect.applies_to(text)]
        drawn += _of_file(root, file, seed, left)
    return sorted(drawn, key=lambda defect: defect.file)


def _of_file(root: Path, file: str, seed: int, left: Sequence[Defect] = ()) -> Sequence[Defect]:
    """So many that there are `OF_EACH_FILE` together with those that are left from an earlier draw."""
    text = (root / file).read_text("utf-8")
    possible = list(python.defects(file, text) if file.endswith(".py") else sql.defects(file, text))
    chance = Random(f"{seed} {file}")
    possible.sort(key=lambda defect: chance.random() * OBVIOUS.get(defect.kind, 1))
    usable = (defect for defect in possible if _is_usable(defect, text))
    known = {(one.start_in(text), one.old, one.new) for one in left}
    unknown = (one for one in usable if (one.start_in(text), one.old, one.new) not in known)
    chosen = _different(unknown, max(0, OF_EACH_FILE - len(left)), left)
    return sorted(chosen, key=lambda defect: (defect.line, defect.column))


def _different(possible: Iterable[Defect], number: int, others: Sequence[Defect]) -> Sequence[Defect]:
    """The first ones of different kinds in different lines; only if these do not suffice, others."""
    chosen: list[Defect] = []
    left: list[Defect] = []
    for defect in possible:
        if len(chosen) == number:
            break
        is_new = all(one.kind != defect.kind and one.within != defect.within for one in [*others, *chosen])
        (chosen if is_new else left).append(defect)
    return [*chosen, *left[: number - len(chosen)]]


def _is_usable(defect: Defect, text: str) -> bool:
    if not defect.file.endswith(".py"):
        return True
    try:
        changed = ast.parse(defect.planted_in(text))
    except SyntaxError:
        return False
    return ast.dump(changed) != ast.dump(ast.parse(text))
