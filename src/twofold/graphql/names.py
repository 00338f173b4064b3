"""Names in GraphQL: fields in camelCase, types in PascalCase."""

from __future__ import annotations

import re

_WORDS = re.compile(r"_+([A-Za-z0-9])")
VALID = re.compile(r"[_A-Za-z][_0-9A-Za-z]*")


def camel(name: str) -> str:
    """`created_at` as `createdAt`; a leading underscore stays."""
    bare = name.lstrip("_")
    return name[: len(name) - len(bare)] + _WORDS.sub(lambda found: found[1].upper(), bare.rstrip("_"))


def pascal(name: str) -> str:
    """`check_in` as `CheckIn`."""
    found = camel(name.lstrip("_"))
    return found[:1].upper() + found[1:]


def argument(condition: str) -> str:
    """A condition of `find` as an argument: `lent_on__ge` as `lentOn__ge`."""
    field, separator, operator = condition.rpartition("__") if "__" in condition else (condition, "", "")
    return camel(field) + separator + operator
