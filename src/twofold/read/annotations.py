"""The fields of a row class and the kinds of their columns, read from its annotations. Pure."""

from __future__ import annotations

import dataclasses
import inspect
import types
from collections.abc import Callable
from enum import Enum
from typing import Any, Final, Literal, Union, get_args, get_origin, get_type_hints

import msgspec

from twofold.errors import ConfigurationError
from twofold.read.kinds import KINDS, Kind
from twofold.signatures import unwrapped

_OF_A_FILE = (lambda: None).__code__


def by_position(row: type, names: list[str]) -> bool:
    """Whether a row can be made from its fields in order; otherwise by their names (`kw_only`)."""
    made_of: inspect.Signature = inspect.signature(row)
    try:
        made_of.bind(**dict.fromkeys(names))
    except TypeError as error:
        raise ConfigurationError(f"row {row.__name__} must be made of all of its fields: {error}") from error
    try:
        made_of.bind(*names)
    except TypeError:
        return False
    return True


def annotated_fields(row: type) -> dict[str, Any]:
    """The fields of a row class in their order. Raises: ConfigurationError."""
    if not (dataclasses.is_dataclass(row) or issubclass(row, msgspec.Struct)):
        raise ConfigurationError(f"row {row.__name__} must be a frozen dataclass or a msgspec Struct")
    try:
        hints = get_type_hints(row, include_extras=True)
    except NameError as error:
        raise ConfigurationError(
            f"row {row.__name__}: its annotations cannot be read ({error}); define the types at module level"
        ) from error
    if dataclasses.is_dataclass(row):
        return {field.name: hints[field.name] for field in dataclasses.fields(row)}
    return {name: hints[name] for name in row.__struct_fields__}


def nothing_beside(row: type, fields: int) -> Callable[[Any], bool] | None:
    """A function that checks that a row consists of its fields alone. None: it always does.

    A row has more if something would be lost when it is made again from its fields, such as a cached property of a
    class that is not frozen, or if making it runs code of the class.
    """
    made: Any = row.__init__  # type: ignore[misc]
    generated = made is msgspec.Struct.__init__ or getattr(made, "__code__", _OF_A_FILE).co_filename == "<string>"
    if not generated or hasattr(row, "__post_init__"):
        return lambda one: False
    config: Any = getattr(row, "__dataclass_params__", None) or row.__struct_config__  # type: ignore[attr-defined]
    if config.frozen or not row.__dictoffset__:
        return None
    beside = 0 if issubclass(row, msgspec.Struct) else fields
    return lambda one: len(vars(one)) == beside


def column_type(annotation: Any) -> tuple[Any, bool]:
    """The type of an annotation without aliases, NewTypes and None, and whether it may be None."""
    annotation = unwrapped(annotation)
    if get_origin(annotation) is Final:
        return column_type(get_args(annotation)[0])
    if get_origin(annotation) in (Union, types.UnionType):
        parts = [column_type(part) for part in get_args(annotation) if part is not type(None)]
        nullable = len(parts) < len(get_args(annotation)) or any(may_be_none for _, may_be_none in parts)
        return (parts[0][0] if len(parts) == 1 else annotation), nullable
    return annotation, annotation is Any


def kind_of(cls: Any) -> Kind:
    """The kind of column for values of a type."""
    if get_origin(cls) is Literal:
        values = get_args(cls)
        return "text" if all(isinstance(v, str) for v in values) else _all_integers(values)
    if isinstance(cls, type) and issubclass(cls, Enum):
        values = tuple(member.value for member in cls)
        return "text" if all(isinstance(v, str) for v in values) else _all_integers(values)
    return KINDS.get(cls, "json") if isinstance(cls, type) else "json"


def _all_integers(values: tuple[Any, ...]) -> Kind:
    return "integer" if all(type(v) is int for v in values) else "json"


def is_list(cls: Any) -> bool:
    """Whether its members can be searched."""
    return (get_origin(cls) or cls) in (list, tuple, set, frozenset)
