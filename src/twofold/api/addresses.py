"""Addresses: a method, and a path whose parameters are whole segments. Pure."""

from __future__ import annotations

import re
from dataclasses import dataclass

from twofold.errors import ConfigurationError

RESERVED = ("docs", "graphql", "health", "live", "metrics", "openapi.json", "status")
"""First segments of what twofold serves itself."""

_SEGMENT = re.compile(r"[A-Za-z0-9._~-]+|\{[A-Za-z_][A-Za-z0-9_]*\}")


@dataclass(frozen=True, slots=True)
class Address:
    """A method and a path, as in `POST /copies/{id}/returns`."""

    method: str
    segments: tuple[str, ...]

    @property
    def path(self) -> str:
        """The path, with its parameters in braces."""
        return "/" + "/".join(self.segments)

    @property
    def parameters(self) -> tuple[str, ...]:
        """The names of its parameters, in order."""
        return tuple(segment[1:-1] for segment in self.segments if segment.startswith("{"))

    @property
    def shape(self) -> tuple[str, ...]:
        """Method and segments without the names of parameters: two addresses with one shape cannot be told apart."""
        return (self.method, *("{}" if segment.startswith("{") else segment for segment in self.segments))

    def __str__(self) -> str:
        return f"{self.method} {self.path}"


def address(text: str, methods: tuple[str, ...]) -> Address:
    """Parse an address. Raises: ConfigurationError."""
    method, _, path = text.partition(" ")
    segments = tuple(path.split("/")[1:])
    if method not in methods:
        raise ConfigurationError(f"at={text!r} must begin with {' or '.join(methods)}, as in `{methods[0]} /orders`")
    if not path.startswith("/") or not all(_SEGMENT.fullmatch(segment) for segment in segments):
        raise ConfigurationError(
            f"at={text!r} must name a path like /orders/{{id}}/items: a parameter in braces is a whole segment"
        )
    found = Address(method, segments)
    if len(set(found.parameters)) < len(found.parameters):
        raise ConfigurationError(f"at={text!r} names a parameter twice")
    return found


def kebab(name: str) -> str:
    """`CheckIn` as `check-in`."""
    return snake(name).replace("_", "-")


def snake(name: str) -> str:
    """`CheckIn` as `check_in`, `HTTPCall2` as `http_call2`."""
    return re.sub(r"(?<=[a-z0-9])(?=[A-Z])|(?<=[A-Z])(?=[A-Z][a-z])", "_", name).lower()
