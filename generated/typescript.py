"""A client in TypeScript for each document: its types are generated, it must compile strictly, and is run.

The blog is used by clients of GraphQL that others wrote.

`./dev typescript` installs the packages with npm at these versions into `build/typescript`, where they stay.
"""

import asyncio
import json
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from blog.install import install as install_blog
from devservers.postgres import server
from generated.documents import APPS, document
from generated.fuzz import serving

PACKAGES = {
    "@asyncapi/specs": "6.11.1",
    "openapi-typescript": "7.13.0",
    "openapi-fetch": "0.17.0",
    "typescript": "5.9.3",
    "@apollo/client": "4.3.8",
    "@urql/core": "6.0.3",
    "graphql": "16.15.0",
    "graphql-ws": "6.4.2",
    "rxjs": "7.8.2",  # a peer of Apollo Client
    "ws": "8.23.0",
}
FOLDER = Path(__file__).parents[1] / "build" / "typescript"
MODULES = FOLDER / "node_modules"
STRICT = {
    "strict": True,
    "noUncheckedIndexedAccess": True,
    "exactOptionalPropertyTypes": True,
    "noImplicitReturns": True,
    "noUnusedLocals": True,
    "module": "nodenext",
    "target": "es2022",
    "lib": ["es2022", "dom", "dom.iterable"],
    "types": [],
    "skipLibCheck": True,  # of declarations in packages; the generated types are checked
    "outDir": "compiled",
}


def main() -> int:
    """Install what is missing, then check every client. Returns 1 at the first that fails."""
    if missing() is not None:
        install()
    for name in (*APPS, BLOG):
        with tempfile.TemporaryDirectory(dir=FOLDER) as folder:
            try:
                compile_client(name, Path(folder), client(name))
                run_client(name, Path(folder))
            except subprocess.CalledProcessError as error:
                print(error.stdout or "", error.stderr or "", sep="\n")
                return 1
        print(f"The client of {name} compiles strictly, and works.")
    return 0


def missing() -> str | None:
    """Why the packages cannot be used; None if they are there."""
    for program in ("node", "npm"):
        if shutil.which(program) is None:
            return f"there is no {program}"
    for package, version in PACKAGES.items():
        described = MODULES / package / "package.json"
        if not described.exists() or json.loads(described.read_text("utf-8"))["version"] != version:
            return f"{package} {version} is not installed: run ./dev typescript"
    return None


def install() -> None:
    """Raises: CalledProcessError when npm fails."""
    FOLDER.mkdir(parents=True, exist_ok=True)
    wanted = [f"{package}@{version}" for package, version in PACKAGES.items()]
    options = ["--prefix", str(FOLDER), "--no-save", "--no-package-lock", "--no-audit", "--no-fund"]
    subprocess.run(["npm", "install", *options, *wanted], check=True)


def client(name: str) -> str:
    """The client of an App."""
    return (Path(__file__).parent / "clients" / f"{name}.ts").read_text("utf-8")


def compile_client(name: str, folder: Path, text: str, types: str = "types.ts") -> None:
    """Compile, with the types that `npx openapi-typescript` generates. Raises: CalledProcessError."""
    (folder / "package.json").write_text('{"type": "module"}', "utf-8")
    (folder / "tsconfig.json").write_text(json.dumps({"compilerOptions": STRICT, "files": ["client.ts"]}), "utf-8")
    (folder / "client.ts").write_text(text, "utf-8")
    if name in APPS:
        (folder / "openapi.json").write_text(json.dumps(document(name)), "utf-8")
        _node(folder, "openapi-typescript/bin/cli.js", "openapi.json", "--output", types)
    _node(folder, "typescript/bin/tsc", "--project", ".")


def run_client(name: str, folder: Path) -> None:
    """Run it against a server with a new store. Raises: CalledProcessError."""
    with _served(name, folder) as address:
        _node(folder, str(folder / "compiled" / "client.js"), address)


@contextmanager
def _served(name: str, folder: Path) -> Iterator[str]:
    if name == BLOG:
        with server() as postgres:
            asyncio.run(install_blog(postgres.url))
            with serving("blog.app:blog", postgres.url) as (address, _):
                yield address
    else:
        with serving(SERVED[name], f"sqlite:///{folder / 'served.db'}") as (address, _):
            yield address


BLOG = "blog"
SERVED = {"quickstart": "quickstart:bank", "rooms": "generated.rooms:rooms"}


def _node(folder: Path, script: str, *arguments: str) -> None:
    command = ["node", str(MODULES / script), *arguments]  # an absolute script stays as it is
    subprocess.run(command, check=True, cwd=folder, capture_output=True, text=True)


if __name__ == "__main__":
    sys.exit(main())
