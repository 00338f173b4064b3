"""The app's settings: the environment, then `local.settings.json`; and what its `host.json` says."""

from __future__ import annotations

import json
import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from devservers.functions.errors import Misconfigured

LOCAL, HOST = "local.settings.json", "host.json"
ROUTE_PREFIX = "api"
REFERENCE = re.compile(r"%([^%\s]+)%")


@dataclass(frozen=True, slots=True)
class Settings:
    """App settings by name."""

    values: Mapping[str, str]

    def of(self, name: str) -> str:
        """Raises: Misconfigured."""
        found = self.values.get(name)
        if not found:
            raise Misconfigured(f"the app setting {name} is missing: set it in the environment or in {LOCAL}")
        return found

    def resolved(self, text: str) -> str:
        """A text with each `%NAME%` replaced by that setting. Raises: Misconfigured."""
        return REFERENCE.sub(lambda match: self.of(match[1]), text)


def read_settings(folder: Path, environment: Mapping[str, str]) -> Settings:
    """The environment wins over the file. Raises: Misconfigured."""
    file = folder / LOCAL
    local = _object(file) if file.exists() else {}
    if local.get("IsEncrypted"):
        raise Misconfigured(f"{file} is encrypted: decrypt it with Microsoft's tools, which alone can read it")
    values = local.get("Values", {})
    wrong = [name for name, value in values.items() if not isinstance(value, str)]
    if wrong:
        raise Misconfigured(f"{file}: Values must be strings: {', '.join(wrong)}")
    return Settings({"FUNCTIONS_WORKER_RUNTIME": "python", **values, **environment})


@dataclass(frozen=True, slots=True)
class HostFile:
    """What counts here of `host.json`."""

    route_prefix: str = ROUTE_PREFIX
    retry: Mapping[str, Any] | None = None
    levels: Mapping[str, str] = field(default_factory=dict)


def read_host_file(folder: Path) -> HostFile:
    """Raises: Misconfigured."""
    file = folder / HOST
    if not file.exists():
        raise Misconfigured(f"there is no {file}: --app names the folder of an app, which has {HOST} in it")
    values = _object(file)
    if values.get("version") != "2.0":
        raise Misconfigured(f'{file}: "version" must be "2.0", not {values.get("version")!r}')
    prefix = values.get("extensions", {}).get("http", {}).get("routePrefix", ROUTE_PREFIX)
    levels = values.get("logging", {}).get("logLevel", {})
    return HostFile(prefix.strip("/"), values.get("retry"), levels)


def _object(file: Path) -> dict[str, Any]:
    try:
        value = json.loads(file.read_text("utf-8-sig"))
    except (OSError, ValueError) as error:
        raise Misconfigured(f"{file} cannot be read: {error}") from None
    if not isinstance(value, dict):
        raise Misconfigured(f"{file} must hold a JSON object")
    return value
