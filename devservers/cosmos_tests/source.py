"""The source package of the SDK, downloaded once."""

from __future__ import annotations

import importlib.metadata
import subprocess
import sys
import tarfile
import tempfile
from pathlib import Path

PACKAGE = "azure-cosmos"
NEEDED = (PACKAGE, "aiohttp")
DOWNLOAD_S = 300.0


class Unavailable(Exception):
    """Why the tests cannot be run here."""


def downloaded() -> Path:
    """The folder of their tests, of the version that is installed. Raises: Unavailable."""
    for package in NEEDED:
        if _version(package) is None:
            raise Unavailable(f"the package {package} is not installed: pip install {package}")
    version = _version(PACKAGE)
    kept = Path(sys.prefix) / "cosmos-tests"
    tests = kept / f"azure_cosmos-{version}" / "tests"
    if not tests.is_dir():
        kept.mkdir(exist_ok=True)
        _unpack(f"{PACKAGE}=={version}", kept)
    if not tests.is_dir():
        raise Unavailable(f"the source package of {PACKAGE} {version} has no tests")
    return tests


def _version(package: str) -> str | None:
    try:
        return importlib.metadata.version(package)
    except importlib.metadata.PackageNotFoundError:
        return None


def _unpack(requirement: str, into: Path) -> None:
    with tempfile.TemporaryDirectory(dir=into) as folder:
        command = [sys.executable, "-m", "pip", "download", "--quiet", "--no-deps", "--no-binary", ":all:"]
        try:
            done = subprocess.run(  # noqa: S603
                [*command, "--dest", folder, requirement],
                check=False,
                capture_output=True,
                text=True,
                timeout=DOWNLOAD_S,
            )
        except subprocess.TimeoutExpired:
            raise Unavailable(f"the source of {requirement} was not downloaded within {DOWNLOAD_S:.0f} s") from None
        archives = list(Path(folder).glob("*.tar.gz"))
        if done.returncode or not archives:
            last = (done.stderr.strip().splitlines() or ["pip said nothing"])[-1]
            raise Unavailable(f"the source of {requirement} cannot be downloaded: {last}")
        with tarfile.open(archives[0]) as archive:
            archive.extractall(folder, filter="data")
        unpacked = next(path for path in Path(folder).iterdir() if path.is_dir())
        target = into / unpacked.name
        if not target.exists():
            unpacked.rename(target)
