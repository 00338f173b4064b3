"""The published wheel contains only twofold, works without the checkout, and declares no unused extra."""

import re
import subprocess
import sys
import sysconfig
import tomllib
import zipfile
from importlib.metadata import packages_distributions
from pathlib import Path

import pytest

pytestmark = pytest.mark.slow

ROOT = Path(__file__).resolve().parents[1]
PROJECT = tomllib.loads((ROOT / "pyproject.toml").read_text("utf-8"))["project"]

IMPORT_ALL = """
import pkgutil, importlib, twofold
for module in pkgutil.walk_packages(twofold.__path__, "twofold."):
    if not module.name.endswith("__main__"):
        importlib.import_module(module.name)
"""

SIMULATE = """
from dataclasses import dataclass
from twofold import App, Decider, To
from twofold.testing.simulation import simulate

@dataclass(frozen=True)
class Add:
    number: int

@dataclass(frozen=True)
class Added:
    number: int

def decide(command: Add, total: int) -> list[Added]:
    return [Added(command.number)]

def evolve(total: int, event: Added) -> int:
    return total + event.number

sums = Decider("sum", 0, decide, evolve)
print(simulate(App("sums", deciders=[sums]), [To(sums, "a", Add(1))], runs=20, seed=1).runs)
"""


@pytest.fixture(scope="module")
def wheel(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("wheel")
    build = [sys.executable, "-m", "hatchling", "build", "--target", "wheel", "--directory", str(folder)]
    subprocess.run(build, cwd=ROOT, check=True, capture_output=True)
    [built] = folder.glob("*.whl")
    with zipfile.ZipFile(built) as archive:
        archive.extractall(folder / "installed")
    return folder / "installed"


def run_without_checkout(wheel: Path, script: str) -> subprocess.CompletedProcess[str]:
    """-S drops the paths of the editable install, and the installed packages with them."""
    paths = [str(wheel), sysconfig.get_path("purelib"), sysconfig.get_path("platlib")]
    program = f"import sys; sys.path += {paths!r}\n{script}"
    return subprocess.run([sys.executable, "-I", "-S", "-c", program], check=False, capture_output=True, text=True)


def test_it_holds_twofold_alone(wheel: Path) -> None:
    names = {path.name.replace(f"-{PROJECT['version']}", "") for path in wheel.iterdir()}
    assert names == {"twofold", "twofold_start", "twofold.dist-info"}


def test_every_module_is_imported_without_the_checkout(wheel: Path) -> None:
    done = run_without_checkout(wheel, IMPORT_ALL)
    assert done.returncode == 0, done.stderr


def test_an_app_is_simulated_without_the_checkout(wheel: Path) -> None:
    done = run_without_checkout(wheel, SIMULATE)
    assert (done.stdout, done.stderr) == ("20\n", "")


def test_every_declared_package_is_used() -> None:
    extras = [name for extra in PROJECT["optional-dependencies"].values() for name in extra]
    source = "\n".join(path.read_text("utf-8") for path in (ROOT / "src").rglob("*.py"))
    installed = packages_distributions()
    used = [module for module in installed if re.search(rf'(import |from |"){module}\b', source)]
    providing = {name.lower() for module in used for name in installed[module]}
    unused = {re.split(r"[\[>]", name)[0] for name in [*PROJECT["dependencies"], *extras]} - providing
    assert not unused, f"declared in pyproject.toml, and nothing in src uses them: {unused}"
