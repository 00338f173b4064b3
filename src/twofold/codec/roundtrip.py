"""Whether a value that was written as JSON and read back is still the same, and the path of what is not. Pure.

Python's `==` cannot decide that. It is false for a time in the repeated hour of a clock change and the same moment in
UTC, true for 1 and True, and for users' classes whatever their `__eq__` returns.
"""

from __future__ import annotations

from collections.abc import Collection, Iterator
from dataclasses import fields, is_dataclass
from enum import Enum
from functools import lru_cache
from typing import Any

from twofold.codec.single import ALIKE_IF_EQUAL, is_single, same_single
from twofold.failures import shown

KEY = " (the key)"  # ends a path to a key of a dict rather than to its value
MAX_DEPTH = 200  # levels; pydantic reads no deeper JSON, and other readers are limited by the stack

_LOST = object()
_Place = tuple[Any, str]  # the place around it, and the step from there: joined to a path only when needed
_Pair = tuple[str, Any, Any]  # the step to a part, that part of the value, and that part of what was read


class TooDeep(ValueError):
    """A value with more than MAX_DEPTH levels. The message names the start of the path."""


def difference(value: object, read: object, path: str) -> str | None:
    """A sentence that names the path of the first part of `value` that was read back as something else, or None.

    Not a difference: the same moment in another zone; the plain value for one of a subclass of int, str, datetime,
    Decimal or another single value (so an IntEnum and its number); an int and the float or Decimal that equals it
    exactly; a list for a tuple, a set for a frozenset, and the reverse; the order of a set or a dict.

    The sign of a float's zero counts. A bool never equals a number, nor a float a Decimal.

    Raises: OverflowError for a time outside the years 1 to 9999 in UTC, and whatever `__eq__`, `__hash__` or a property
    of a user's class raises.
    """
    open_: list[tuple[Any, Any, _Place, int]] = [(value, read, (None, path), 0)]
    while open_:
        value, read, place, depth = open_.pop()
        if type(value) is type(read) and type(value) in ALIKE_IF_EQUAL and value == read:
            continue
        pairs = _pairs(value, read)
        if pairs is None:
            return f"{_path(place)} {_changed(value, read)}"
        if pairs and depth >= MAX_DEPTH:
            return _too_deep(_path(place))
        open_ += [(inner, again, (place, step), depth + 1) for step, inner, again in reversed(pairs)]
    return None


def parts(value: object, path: str) -> Iterator[tuple[str, Any]]:
    """All keys and single values inside `value`, each with its path.

    Raises: TooDeep, and whatever a property of a user's class raises.
    """
    open_: list[tuple[Any, _Place, int]] = [(value, (None, path), 0)]
    while open_:
        value, place, depth = open_.pop()
        inner = None if place[1].endswith(KEY) else _inner(value)
        if inner and depth >= MAX_DEPTH:
            raise TooDeep(_too_deep(_path(place)))
        if inner is None:
            yield _path(place), value
        else:
            open_ += [(part, (place, step), depth + 1) for step, part in reversed(inner)]


def _path(place: _Place | None) -> str:
    steps: list[str] = []
    while place is not None:
        steps.append(place[1])
        place = place[0]
    return "".join(reversed(steps))


def _too_deep(path: str) -> str:
    return f"{path if len(path) <= 80 else path[:80] + '…'} is nested more than {MAX_DEPTH} levels deep"


def _changed(value: object, read: object) -> str:
    if value is _LOST:
        return f"is not there, and would be read back as {shown(read)}"
    if read is _LOST:
        return f"is {shown(value)}, and would be lost: {_WAY_OUT}"
    before, after = shown(value), shown(read)
    if type(value) is not type(read) and (before == after or type(value).__name__ == type(read).__name__):
        before, after = f"{before} of {_full_name(value)}", f"{after} of {_full_name(read)}"
    return f"is {before}, and would be read back as {after}: {_WAY_OUT}"


_WAY_OUT = "give the field a value of its annotated type, or annotate it with the type of this value"


def _full_name(value: object) -> str:
    return f"{type(value).__module__}.{type(value).__qualname__}"


def _pairs(value: Any, read: Any) -> list[_Pair] | None:
    """The parts of these two to compare, none if they are single values; None if the two are not the same."""
    if is_single(value):
        return [] if same_single(value, read) else None
    if isinstance(value, list | tuple):
        alike = isinstance(read, list | tuple) and _nothing_more(value, read) and len(value) == len(read)
        return [(f"[{index}]", *pair) for index, pair in enumerate(zip(value, read, strict=True))] if alike else None
    if isinstance(value, dict):
        return _entries(value, read) if isinstance(read, dict) and _nothing_more(value, read) else None
    if isinstance(value, set | frozenset):
        alike = isinstance(read, set | frozenset) and _nothing_more(value, read) and len(value) == len(read)
        return [(f"[{shown(a)}]", a, b) for a, b in _matched(value, read)] if alike else None
    if not _same_class(type(value), type(read)):
        return None
    cls: Any = type(value)
    names = _fields(cls)
    if names is None:
        return [] if value == read else None
    return [(f".{name}", *pair) for name, pair in _attributes(value, read, names)]


def _nothing_more(value: Any, read: Any) -> bool:
    """Whether a list, tuple, set or dict has no names or attributes that a plain one cannot hold."""
    return type(value) is type(read) or not (hasattr(value, "_fields") or getattr(value, "__dict__", None))


def _entries(value: dict[Any, Any], read: dict[Any, Any]) -> list[_Pair]:
    found: list[_Pair] = []
    for key, again in _matched(value, read):
        if key is _LOST or again is _LOST:
            step = f"[{shown(again if key is _LOST else key)}]"
            found.append((step, value.get(key, _LOST), read.get(again, _LOST)))
        else:
            found += [(f"[{shown(key)}]{KEY}", key, again), (f"[{shown(key)}]", value[key], read[again])]
    return found


def _matched(value: Collection[Any], read: Collection[Any]) -> Iterator[tuple[Any, Any]]:
    """Each key or member of one with its counterpart in the other: the same, else any that is left, else _LOST."""
    rest = {again: again for again in read}
    unmatched = []
    for key in value:
        again = rest.pop(key, _LOST)
        if again is _LOST:
            unmatched.append(key)
        else:
            yield key, again
    others = list(rest.values())
    for key in unmatched:
        at = next((at for at, again in enumerate(others) if difference(key, again, "") is None), None)
        if at is None:  # one difference is enough
            yield key, others[0] if others else _LOST
            return
        yield key, others.pop(at)
    for again in others:
        yield _LOST, again


def _same_class(one: type, other: type) -> bool:
    return one is other or _unparametrised(one) is _unparametrised(other)


def _unparametrised(cls: type) -> type:
    """`Box` for pydantic's `Box[int]`, which is a class of its own."""
    origin: type | None = getattr(cls, "__pydantic_generic_metadata__", {}).get("origin")
    return origin or cls


@lru_cache(maxsize=1_024)
def _fields(cls: Any) -> tuple[str, ...] | None:
    """The names of the fields of a dataclass, a Struct, a pydantic model or an attrs class; None for other classes."""
    if is_dataclass(cls):
        return tuple(field.name for field in fields(cls))
    if hasattr(cls, "__struct_fields__"):
        return tuple(cls.__struct_fields__)
    if hasattr(cls, "__pydantic_fields__"):
        return (*cls.__pydantic_fields__, *cls.__private_attributes__)
    if hasattr(cls, "__attrs_attrs__"):
        return tuple(attribute.name for attribute in cls.__attrs_attrs__)
    return None


def _attributes(value: Any, read: Any, names: tuple[str, ...]) -> Iterator[tuple[str, tuple[Any, Any]]]:
    for name in names:
        yield name, (getattr(value, name, _LOST), getattr(read, name, _LOST))
    more, again = (getattr(one, "__pydantic_extra__", None) or {} for one in (value, read))
    for name in {**more, **again}:
        yield name, (more.get(name, _LOST), again.get(name, _LOST))


def _inner(value: Any) -> list[tuple[str, Any]] | None:
    """The parts of a value, including keys; None for a single value."""
    if isinstance(value, list | tuple):
        return [(f"[{index}]", part) for index, part in enumerate(value)]
    if isinstance(value, set | frozenset):
        return [(f"[{shown(part)}]", part) for part in value]
    if isinstance(value, dict):
        keys = [(f"[{shown(key)}]{KEY}", key) for key in value]
        return keys + [(f"[{shown(key)}]", part) for key, part in value.items()]
    cls: Any = type(value)
    names = None if isinstance(value, Enum) else _fields(cls)
    if names is None:
        return None
    return [(f".{name}", part) for name, (part, _) in _attributes(value, value, names) if part is not _LOST]
