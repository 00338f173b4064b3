"""A disk small enough to fill: a file system in memory, which only root can mount."""

from __future__ import annotations

import asyncio
import os
import shutil
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

CHUNK = bytes(64 * 1024)


class CannotMount(Exception):
    """A small disk is not possible here; the message says why."""


class SmallDisk:
    """A folder with limited space."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self._filler = folder / "filler"

    async def full_for(self, seconds: float) -> None:
        """Leave no free space for this long."""
        try:
            self._fill()
            await asyncio.sleep(seconds)
            self._fill()  # another process may have freed some space
            await asyncio.sleep(seconds)
        finally:
            self._filler.unlink(missing_ok=True)

    def _fill(self) -> None:
        with suppress(OSError), self._filler.open("ab", buffering=0) as filler:
            while filler.write(CHUNK):
                pass
        with suppress(OSError), self._filler.open("ab", buffering=0) as filler:
            while filler.write(b"\0" * 512):
                pass


@contextmanager
def small_disk(folder: Path, megabytes: int) -> Iterator[SmallDisk]:
    """Mount one at `folder`, and unmount it at the end; its files are then in the folder itself.

    Raises: CannotMount.
    """
    if os.geteuid() != 0:
        raise CannotMount("a file system can only be mounted by root")
    mount = shutil.which("mount")
    if mount is None:
        raise CannotMount("the command `mount` was not found")
    folder.mkdir(mode=0o755)
    command = [mount, "-t", "tmpfs", "-o", f"size={megabytes}m,mode=755", "twofold-torture", str(folder)]
    done = subprocess.run(command, check=False, capture_output=True, text=True)  # noqa: S603
    if done.returncode:
        folder.rmdir()
        raise CannotMount(done.stderr.strip())
    kept = folder.with_name(f"{folder.name}.kept")
    try:
        yield SmallDisk(folder)
    finally:
        shutil.copytree(folder, kept, symlinks=True)
        subprocess.run([mount.replace("mount", "umount"), str(folder)], check=True, capture_output=True)  # noqa: S603
        folder.rmdir()
        kept.rename(folder)
