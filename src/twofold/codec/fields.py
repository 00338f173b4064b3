"""What a class consists of, all the way down, and which of it JSON cannot hold, or only by position. Pure."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import make_dataclass
from typing import Any, get_args, get_type_hints

import msgspec

from twofold.signatures import unwrapped


def kinds(cls: Any) -> set[type]:
    """The kinds (of msgspec.inspect) of all types in `cls`, itself included; a pydantic model counts as one kind.

    Raises: TypeError for a type that JSON cannot hold.
    """
    return {type(node) for node in _nodes(msgspec.inspect.type_info(cls))}


def is_model(cls: Any) -> bool:
    """Whether it is a pydantic model, without importing pydantic."""
    return hasattr(cls, "model_validate_json")


def equality_tells_all(cls: Any) -> bool:
    """Whether two values of `cls` that are equal, and equal as JSON, are the same all the way down.

    False if a type says nothing about its values, if a class leaves fields out of `==` or defines its own, and for a
    time of day, which may lose its zone.
    """
    return all(_tells_all(node) for node in _nodes(msgspec.inspect.type_info(cls)))


def holds_itself(cls: Any) -> bool:
    """Whether `cls` is recursive: its values can be nested to any depth."""
    classes = [node for node in _nodes(msgspec.inspect.type_info(cls)) if hasattr(node, "fields")]
    return any(node in _nodes(node.fields) for node in classes)


def refuse_places(cls: Any) -> None:
    """Raises: TypeError if JSON would hold a class inside `cls` as an array, with fields identified by position."""
    for path, part in _classes(cls):
        if getattr(part, "__struct_config__", None) is not None and part.__struct_config__.array_like:
            raise TypeError(
                f"{path} would be stored by position, as an array ({part.__name__} has array_like=True): {_WAY_OUT}"
            )
        if issubclass(part, tuple) and hasattr(part, "_fields"):
            raise TypeError(
                f"{path} would be stored by position, as an array ({part.__name__} is a NamedTuple): {_WAY_OUT}"
            )


_WAY_OUT = (
    "a field that is added, removed or moved would be read as another. Make it a dataclass or a Struct, which are "
    "stored by name; to read what is already stored, give an upcaster that takes the list and returns a dict"
)


def refuse_aliases(cls: Any) -> None:
    """Raises: TypeError if a pydantic class inside `cls` is not read by the names that it is written under."""
    for path, part in _classes(cls):
        config = getattr(part, "model_config", None) or getattr(part, "__pydantic_config__", None) or {}
        by_name = config.get("populate_by_name") or config.get("validate_by_name")
        if by_name and not config.get("serialize_by_alias"):
            continue
        for name, field in getattr(part, "__pydantic_fields__", {}).items():
            for alias in (field.alias, field.validation_alias, field.serialization_alias):
                if alias not in (None, name):
                    raise TypeError(
                        f"{path}.{name} has the alias {alias!r}, but JSON is stored under the names of fields: "
                        f"remove the alias, or set validate_by_name=True in the model's config"
                    )


def _nodes(root: Any) -> list[Any]:
    """All nodes of msgspec's description of a type. Raises: TypeError for a type that JSON cannot hold."""
    found: list[Any] = []
    seen: set[int] = set()
    open_: list[Any] = [root]
    while open_:
        node = open_.pop()
        if isinstance(node, tuple | list):
            open_.extend(node)
        elif isinstance(node, msgspec.inspect.Type | msgspec.inspect.Field) and id(node) not in seen:
            _refuse_unless_json(node)
            seen.add(id(node))
            found.append(node)
            open_.extend(getattr(node, name) for name in node.__struct_fields__ if name not in ("cls", "default"))
    return found


def _refuse_unless_json(node: Any) -> None:
    if isinstance(node, msgspec.inspect.CustomType) and not is_model(node.cls):
        raise TypeError(f"{node.cls.__name__} is not a type that JSON can hold")
    if isinstance(node, msgspec.inspect.DictType):
        keys = getattr(node.key_type, "types", (node.key_type,))
        wrong = [
            one for one in keys if not isinstance(one, _KEYS | msgspec.inspect.NoneType | msgspec.inspect.BoolType)
        ]
        if wrong or not any(isinstance(one, _KEYS) for one in keys):
            kind = type((wrong or keys)[0]).__name__.removesuffix("Type").lower()
            raise TypeError(
                f"a dict in it has keys of a type that JSON cannot hold ({kind}): keys can be text, numbers, times, "
                f"dates, UUIDs or bytes. Use such keys, or a list of pairs"
            )


_KEYS = (
    msgspec.inspect.AnyType
    | msgspec.inspect.StrType
    | msgspec.inspect.IntType
    | msgspec.inspect.FloatType
    | msgspec.inspect.DecimalType
    | msgspec.inspect.BytesType
    | msgspec.inspect.UUIDType
    | msgspec.inspect.DateTimeType
    | msgspec.inspect.DateType
    | msgspec.inspect.TimeType
    | msgspec.inspect.TimeDeltaType
    | msgspec.inspect.EnumType
    | msgspec.inspect.LiteralType
)


def _tells_all(node: Any) -> bool:
    match node:
        case msgspec.inspect.AnyType() | msgspec.inspect.CustomType() | msgspec.inspect.TimeType():
            return False
        case msgspec.inspect.StructType(cls):
            struct: Any = _origin(cls)
            return struct.__eq__ is msgspec.Struct.__eq__ and struct.__struct_config__.eq
        case msgspec.inspect.DataclassType(cls):
            return _compares_all_fields(_origin(cls))
        case _:
            return True


def _compares_all_fields(cls: Any) -> bool:
    """Whether `==` is the one that the dataclass decorator makes from all fields; attrs makes its own."""
    if not hasattr(cls, "__dataclass_fields__"):
        return False
    usual = make_dataclass(cls.__name__, list(cls.__dataclass_fields__)).__eq__
    code, made = getattr(cls.__eq__, "__code__", None), usual.__code__
    return code is not None and (code.co_code, code.co_names) == (made.co_code, made.co_names)


def _classes(root: Any) -> Iterator[tuple[str, Any]]:
    """Every class in `root`, itself first, with the path to it: `Placed.items.price`."""
    seen: set[Any] = set()
    open_ = [(getattr(root, "__name__", str(root)), root)]
    while open_:
        path, annotation = open_.pop(0)
        annotation = unwrapped(annotation)
        inner = [(path, part) for part in get_args(annotation)]
        cls = _origin(annotation)
        if isinstance(cls, type) and cls not in seen:
            seen.add(cls)
            yield path, cls
            inner += [(f"{path}.{name}", part) for name, part in _annotations(cls).items()]
            inner += [(path, base) for base in getattr(cls, "__orig_bases__", ())]
        open_ += inner


def _origin(annotation: Any) -> Any:
    return getattr(annotation, "__origin__", annotation)


def _annotations(cls: type) -> dict[str, Any]:
    if is_model(cls):
        return {name: field.annotation for name, field in cls.model_fields.items()}  # type: ignore[attr-defined]
    return get_type_hints(cls) if any(hasattr(cls, mark) for mark in _HAS_FIELDS) else {}


_HAS_FIELDS = ("__dataclass_fields__", "__struct_fields__", "__attrs_attrs__", "__total__")  # the last: a TypedDict
