"""Patches: a document with some operations applied."""

from __future__ import annotations

from typing import Any

from devservers.cosmos.errors import Refused

MOST_OPERATIONS = 10
WITH_VALUE = ("add", "set", "replace", "incr")
UNCHANGEABLE = ("_rid", "_self", "_etag", "_ts", "_attachments")


def patched(document: dict[str, Any], operations: Any) -> dict[str, Any]:
    """The document after all operations; changes the one given. Raises: Refused."""
    if not isinstance(operations, list) or not 0 < len(operations) <= MOST_OPERATIONS:
        raise Refused(400, f"a patch has `operations`, a list of 1 to {MOST_OPERATIONS}.")
    for operation in operations:
        if not isinstance(operation, dict) or (operation.get("op") in WITH_VALUE and "value" not in operation):
            raise Refused(400, 'an operation of a patch is an object such as {"op": "set", "path": "/a", "value": 1}.')
        _apply(document, operation)
    return document


def _apply(document: dict[str, Any], operation: dict[str, Any]) -> None:
    kind, path = operation.get("op"), _names(operation.get("path"))
    if path[0] in UNCHANGEABLE:
        raise Refused(400, f"a patch cannot change {path[0]}.")
    if kind in ("add", "set"):
        _put(document, path, operation["value"], insert=kind == "add")
    elif kind == "replace":
        _get(document, path)
        _put(document, path, operation["value"], insert=False)
    elif kind == "remove":
        _take(document, path)
    elif kind == "incr":
        _increase(document, path, operation["value"])
    elif kind == "move":
        _put(document, path, _take(document, _names(operation.get("from"))), insert=True)
    else:
        raise Refused(400, f"the patch operation {kind!r} is not known: add, set, replace, remove, incr or move.")


def _names(path: Any) -> list[str]:
    if not isinstance(path, str) or not path.startswith("/") or path == "/":
        raise Refused(400, f"the path of a patch begins with a slash, such as /address/city, unlike {path!r}.")
    return [name.replace("~1", "/").replace("~0", "~") for name in path[1:].split("/")]


def _inside(document: Any, path: list[str]) -> Any:
    for index, name in enumerate(path[:-1]):
        document = _step(document, name, path[: index + 1])
    return document


def _step(value: Any, name: str, path: list[str]) -> Any:
    if isinstance(value, dict) and name in value:
        return value[name]
    if isinstance(value, list) and name.isdecimal() and int(name) < len(value):
        return value[int(name)]
    raise Refused(400, f"the document has nothing at /{'/'.join(path)}.")


def _get(document: Any, path: list[str]) -> Any:
    return _step(_inside(document, path), path[-1], path)


def _put(document: Any, path: list[str], value: Any, insert: bool) -> None:
    holder, name = _inside(document, path), path[-1]
    if isinstance(holder, dict):
        holder[name] = value
    elif isinstance(holder, list) and (name == "-" or (name.isdecimal() and int(name) <= len(holder))):
        index = len(holder) if name == "-" else int(name)
        holder[index : index if insert else index + 1] = [value]
    else:
        raise Refused(400, f"nothing can be put at /{'/'.join(path)}.")


def _take(document: Any, path: list[str]) -> Any:
    value, holder = _get(document, path), _inside(document, path)
    del holder[path[-1] if isinstance(holder, dict) else int(path[-1])]
    return value


def _increase(document: Any, path: list[str], by: Any) -> None:
    try:
        now = _get(document, path)
    except Refused:
        now = 0
    if any(not isinstance(number, (int, float)) or isinstance(number, bool) for number in (now, by)):
        raise Refused(400, f"incr needs numbers; /{'/'.join(path)} is {now!r}, the value {by!r}.")
    _put(document, path, now + by, insert=False)
