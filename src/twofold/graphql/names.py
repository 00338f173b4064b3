"""Names in GraphQL: fields in camelCase, types in PascalCase. What GraphQL cannot write becomes an underscore."""

from __future__ import annotations

import re
from collections.abc import Container

_WORDS = re.compile(r"_+([A-Za-z0-9])")
_FOREIGN = re.compile(r"[^A-Za-z0-9_]")
VALID = re.compile(r"[_A-Za-z][_0-9A-Za-z]*")


def camel(name: str) -> str:
    """`created_at` as `createdAt`; a leading underscore stays."""
    name = _FOREIGN.sub("_", name)
    bare = name.lstrip("_")
    found = _WORDS.sub(lambda part: part[1].upper(), bare.rstrip("_"))
    is_hidden = name.startswith("_") or not found or found[0].isdigit()
    return f"_{found}" if is_hidden else found  # two underscores are reserved


def pascal(name: str) -> str:
    """`check_in` as `CheckIn`."""
    found = camel(name.lstrip("_"))
    return found[:1].upper() + found[1:]


def free(name: str, taken: Container[str]) -> str:
    """The name, with a number if it is taken."""
    number, found = 1, name
    while found in taken:
        number += 1
        found = f"{name}_{number}"
    return found


def argument(condition: str) -> str:
    """A condition of `find` as an argument: `lent_on__ge` as `lentOn__ge`."""
    field, separator, operator = condition.rpartition("__") if "__" in condition else (condition, "", "")
    return camel(field) + separator + operator
