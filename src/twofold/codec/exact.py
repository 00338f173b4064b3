"""A quick check that all classes and collections inside a value are exactly those of its annotations. Pure.

A value of a subclass can equal what is read back, and be the same JSON, although something is lost: the names of a
NamedTuple in a field of tuples, the attributes of a subclass of list, whatever a class with its own `__eq__` ignores.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from decimal import Decimal
from operator import attrgetter
from typing import Any

from msgspec import inspect

from twofold.codec.single import is_single

Check = Callable[[Any], bool]


def exactly(node: inspect.Type) -> Check | None:
    """The check for values of a type that is not recursive; None if it holds only single values."""
    match node:
        case inspect.UnionType(types):
            return _any_of(types)
        case inspect.DataclassType(cls, fields) | inspect.StructType(cls, fields):
            return _object(getattr(cls, "__origin__", cls), fields)
        case inspect.TypedDictType(_, fields):
            return _entries({field.name: exactly(field.type) for field in fields})
        case inspect.DictType(keys, values):
            return _both(_collection((dict,), exactly(values), dict.values), _keys(keys))
        case inspect.SetType(items) | inspect.FrozenSetType(items):
            return _collection((set, frozenset), exactly(items))
        case inspect.ListType(items) | inspect.VarTupleType(items):
            return _collection((list, tuple), exactly(items))
        case inspect.TupleType(items):
            return _places([exactly(item) for item in items])
        case _:
            return None


def _any_of(types: Iterable[inspect.Type]) -> Check | None:
    checks = [check for type_ in types if (check := exactly(type_)) is not None]
    return (lambda value: is_single(value) or any(check(value) for check in checks)) if checks else None


def _object(cls: Any, fields: Iterable[inspect.Field]) -> Check:
    inner = [(attrgetter(field.name), check) for field in fields if (check := exactly(field.type)) is not None]
    if not inner:
        return _OneClass(cls)
    if len(inner) == 1:  # a generator would cost more than the check
        [(get, check)] = inner
        return lambda value: type(value) is cls and check(get(value))
    return lambda value: type(value) is cls and all(check(get(value)) for get, check in inner)


class _OneClass:
    """Whether a value is of exactly this class, which holds only single values."""

    def __init__(self, cls: Any) -> None:
        self.cls = cls
        self.of_all = frozenset((cls,)).issuperset

    def __call__(self, value: Any) -> bool:
        return type(value) is self.cls


def _collection(classes: tuple[type, ...], check: Check | None, items: Callable[[Any], Any] = iter) -> Check:
    if check is None:
        return lambda value: type(value) in classes
    if isinstance(check, _OneClass):
        are_all = check.of_all
        return lambda value: type(value) in classes and are_all(map(type, items(value)))
    return lambda value: type(value) in classes and all(map(check, items(value)))


def _keys(node: inspect.Type) -> Check | None:
    """JSON keys are text: a key True in a dict of ints is read back as 1, which is equal to it."""
    types = node.types if isinstance(node, inspect.UnionType) else (node,)
    numbers = {_NUMBERS[type(one)] for one in types if type(one) in _NUMBERS}
    if not numbers and all(isinstance(one, _NEVER_NUMBERS) for one in types):
        return None
    return lambda value: all(type(key) in numbers or not isinstance(key, int | float | Decimal) for key in value)


_NUMBERS: dict[type, type] = {inspect.IntType: int, inspect.FloatType: float, inspect.DecimalType: Decimal}
_NEVER_NUMBERS = (
    inspect.StrType, inspect.BytesType, inspect.UUIDType, inspect.DateTimeType, inspect.DateType, inspect.NoneType
)  # fmt: skip


def _both(check: Check, other: Check | None) -> Check:
    return check if other is None else lambda value: check(value) and other(value)


def _places(checks: list[Check | None]) -> Check:
    return lambda value: (
        type(value) in (list, tuple)
        and all(check is None or check(item) for check, item in zip(checks, value, strict=False))
    )


def _entries(checks: dict[str, Check | None]) -> Check:
    return lambda value: (
        type(value) is dict and all(check is None or check(value[key]) for key, check in checks.items() if key in value)
    )
