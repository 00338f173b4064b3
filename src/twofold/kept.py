"""Values that are kept and handed out: immutable ones as they are, all others as copies.

Annotations may be wrong about a state, which is whatever `evolve` returned. So the value itself is inspected, at every
depth, once when it is kept. A value read from JSON matches its annotations, so a message class is judged once by these.
"""

from __future__ import annotations

import copyreg
import dataclasses
import types
from collections.abc import Callable, Iterable, Mapping
from copy import deepcopy
from datetime import date, datetime, time, timedelta, timezone
from decimal import Decimal
from enum import Enum
from fractions import Fraction
from functools import cached_property, lru_cache
from itertools import chain
from operator import attrgetter
from typing import Any, Generic, TypeVar
from uuid import UUID
from zoneinfo import ZoneInfo

import msgspec

from twofold.failures import reraise_if_interrupt

T = TypeVar("T")

DEEPEST = 500
MANY = 1_000  # above this, values that occur more than once are inspected once

_WHOLE: frozenset[type] = frozenset(
    {type(None), type(...), type(NotImplemented), bool, int, float, complex, str, bytes, range, object, type}
    | {Decimal, Fraction, UUID, datetime, date, time, timedelta, timezone, ZoneInfo}
    | {types.FunctionType, types.BuiltinFunctionType, types.ModuleType}
)
_NEW_OBJECT = copyreg.__newobj__  # type: ignore[attr-defined]  # how objects with default pickling are made
_SUBCLASSED = (int, float, str, bytes, Decimal, datetime, date, time, timedelta)


class Kept(Generic[T]):
    """A value with no other references: callers may change what they get without changing what is kept.

    A value that cannot be copied (it holds a lock or a generator) is `shared`: it is handed out as it is, so it must
    not be kept beyond the call it was made in.
    """

    __slots__ = ("_fixed", "_value", "shared")

    def __init__(self, value: T) -> None:
        self._value, self._fixed, self.shared = value, is_fixed(value), False
        if not self._fixed:
            copy = _copied(value)
            self._value, self.shared = (value, True) if copy is None else (copy[0], False)

    def own(self) -> T:
        """The value itself if it is immutable at every depth; otherwise a copy for this caller."""
        if self._fixed:
            return self._value
        copy = None if self.shared else _copied(self._value)
        return self._value if copy is None else copy[0]


def own(value: T) -> T:
    """The value itself if it is immutable at every depth or cannot be copied; otherwise a copy."""
    if is_fixed(value):
        return value
    copy = _copied(value)
    return value if copy is None else copy[0]


def is_fixed(value: object) -> bool:
    """Whether a value is immutable at every depth."""
    cls: Any = type(value)
    if cls in _WHOLE:
        return True
    parts = _parts_of(cls)
    if parts is None:
        return False
    try:
        below = parts(value)
        for part in below:
            if type(part) not in _WHOLE:
                return _all_fixed(list(below))
    except AttributeError:  # a field that was never set
        return False
    return True


def _all_fixed(values: list[object]) -> bool:
    """Level by level, and all values of a class at once: a long tuple costs one pass."""
    for _ in range(DEEPEST):
        kinds: set[Any] = set(map(type, values)) - _WHOLE
        if not kinds:
            return True
        below: list[object] = []
        for cls in kinds:
            parts = _parts_of(cls)
            if parts is None:
                return False
            below += chain.from_iterable(map(parts, [one for one in values if type(one) is cls]))
        values = below if len(below) < MANY else list({id(one): one for one in below}.values())
    return False


@lru_cache(maxsize=4_096)
def _parts_of(cls: type) -> Callable[[Any], Iterable[object]] | None:
    """A function that returns the parts of a value of this class; None if the value itself can be changed."""
    if cls in (tuple, frozenset) or issubclass(cls, Enum | type):
        return tuple if cls in (tuple, frozenset) else _nothing
    if cls is types.MappingProxyType:
        return lambda value: (*value, *value.values())
    if any(isinstance(attribute, cached_property) for base in cls.__mro__ for attribute in vars(base).values()):
        return None
    if issubclass(cls, tuple) and hasattr(cls, "_fields") and not cls.__dictoffset__:
        return tuple
    if issubclass(cls, _SUBCLASSED):
        return _nothing if not cls.__dictoffset__ else None
    return _fields_of(cls) if _is_frozen(cls) else None


def _is_frozen(cls: type) -> bool:
    """Whether this class itself, not a base class, declares its fields frozen."""
    if issubclass(cls, msgspec.Struct):
        return cls.__struct_config__.frozen and not cls.__dictoffset__
    said = vars(cls)
    if "__dataclass_params__" in said:
        return bool(said["__dataclass_params__"].frozen)
    config = said.get("model_config") if hasattr(cls, "model_validate_json") else None
    return isinstance(config, Mapping) and bool(config.get("frozen"))


def _fields_of(cls: Any) -> Callable[[Any], Iterable[object]]:
    if hasattr(cls, "model_validate_json"):
        return _parts_of_model
    if cls.__dictoffset__:
        return lambda value: vars(value).values()
    names = cls.__struct_fields__ if issubclass(cls, msgspec.Struct) else [one.name for one in dataclasses.fields(cls)]
    if len(names) > 1:
        return attrgetter(*names)
    return (lambda value: (getattr(value, names[0]),)) if names else _nothing


def _parts_of_model(model: Any) -> Iterable[object]:
    return (*vars(model).values(), model.__pydantic_extra__, model.__pydantic_private__)


def _nothing(value: object) -> Iterable[object]:
    return ()


def _copied(value: T) -> tuple[T] | None:
    """A copy that shares only immutable parts with the value; None if it cannot be copied."""
    try:
        return (_copy(value, {}),)
    except BaseException as error:  # a lock, a generator, a `__deepcopy__` that raises
        reraise_if_interrupt(error)
        return None


def _copy(value: Any, memo: dict[int, Any]) -> Any:
    """Like `copy.deepcopy`, with its `memo`, but immutable parts keep their identity."""
    cls: Any = type(value)
    if cls in _WHOLE:
        return value
    if id(value) in memo:
        return memo[id(value)]
    parts = _parts_of(cls)
    if parts is not None and all(_copy(part, memo) is part for part in parts(value)):
        memo[id(value)] = value
        return value
    if cls is list:
        made: list[Any] = []
        memo[id(value)] = made
        made.extend([_copy(one, memo) for one in value])
        return made
    if cls is dict:
        table: dict[Any, Any] = {}
        memo[id(value)] = table
        table.update({_copy(key, memo): _copy(one, memo) for key, one in value.items()})
        return table
    if cls in copyreg.dispatch_table or hasattr(cls, "__deepcopy__") or hasattr(cls, "__setstate__"):
        return deepcopy(value, memo)
    return _copy_object(value, memo)


def _copy_object(value: Any, memo: dict[int, Any]) -> Any:
    """Copy an object with default pickling by its attributes. One without any is a sentinel, like `MISSING`."""
    make, arguments, *rest = value.__reduce_ex__(4)
    state, *items = rest or [None]
    if make is not _NEW_OBJECT or arguments != (type(value),) or any(one is not None for one in items):
        return deepcopy(value, memo)
    if state is None:
        return value
    attributes, slots = state if isinstance(state, tuple) else (state, None)
    made = memo[id(value)] = make(*arguments)
    for name, part in (attributes or {}).items():
        vars(made)[name] = _copy(part, memo)
    for name, part in (slots or {}).items():
        object.__setattr__(made, name, _copy(part, memo))
    return made


_CHANGEABLE = (
    msgspec.inspect.AnyType,
    msgspec.inspect.ByteArrayType,
    msgspec.inspect.DictType,
    msgspec.inspect.ExtType,
    msgspec.inspect.ListType,
    msgspec.inspect.MemoryViewType,
    msgspec.inspect.RawType,
    msgspec.inspect.SetType,
    msgspec.inspect.TypedDictType,
)


@lru_cache(maxsize=4_096)
def is_fixed_class(cls: type) -> bool:
    """Whether a value of this class that was read from JSON is immutable at every depth."""
    try:
        return _is_fixed_type(msgspec.inspect.type_info(cls))
    except Exception:  # a class that cannot be stored is rejected elsewhere
        return False


def _is_fixed_type(node: Any) -> bool:
    open_, seen = [node], set[int]()
    while open_:
        node = open_.pop()
        if isinstance(node, tuple | list):
            open_.extend(node)
        elif isinstance(node, msgspec.inspect.Type | msgspec.inspect.Field) and id(node) not in seen:
            seen.add(id(node))
            cls: Any = getattr(node, "cls", object)
            is_class = isinstance(node, msgspec.inspect.StructType | msgspec.inspect.DataclassType)
            if isinstance(node, _CHANGEABLE) or (is_class and not _is_frozen(cls)):
                return False
            if isinstance(node, msgspec.inspect.CustomType):
                if not _is_frozen(cls) or cls.__private_attributes__ or cls.model_config.get("extra") == "allow":
                    return False
                open_.extend(msgspec.inspect.type_info(one.annotation) for one in cls.model_fields.values())
            open_.extend(getattr(node, name) for name in node.__struct_fields__ if name not in ("cls", "default"))
    return True
