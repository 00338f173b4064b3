"""Types from annotations. The classes stay as they are: nothing is added to them."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Mapping
from enum import Enum
from typing import Any, Literal, get_args, get_origin, get_type_hints
from uuid import UUID

import graphql as g
import msgspec

from twofold.api.served import Input, inputs_of
from twofold.graphql.names import VALID, camel, free, pascal
from twofold.graphql.scalars import JSON, SCALARS
from twofold.read.annotations import column_type

_LISTS = (list, tuple, set, frozenset)
_RESERVED = (
    *("Query", "Mutation", "Subscription", "PageInfo", "CommandResult", "RecordedEvent"),
    *("String", "Int", "Float", "Boolean", "ID", *map(str, SCALARS.values()), str(JSON)),
)


def is_object(cls: Any) -> bool:
    """Whether a class has fields that can be selected."""
    if not isinstance(cls, type) or get_origin(cls) is not None:
        return False
    if not (dataclasses.is_dataclass(cls) or issubclass(cls, msgspec.Struct) or hasattr(cls, "model_fields")):
        return False
    try:
        return any(not name.startswith("_") for name in fields_of(cls))
    except NameError:  # its annotations cannot be read: it is any value of JSON
        return False


def fields_of(cls: type) -> dict[str, Any]:
    """The annotations of the fields of a dataclass, a Struct or a model."""
    hints = get_type_hints(cls, include_extras=True)
    if dataclasses.is_dataclass(cls):
        return {field.name: hints[field.name] for field in dataclasses.fields(cls)}
    if issubclass(cls, msgspec.Struct):
        return {name: hints[name] for name in cls.__struct_fields__}
    return {name: hints[name] for name in getattr(cls, "model_fields", {})}


def null_leaves_out(given: Input) -> bool:
    """Whether null is as if nothing was sent: there is a default, and the annotation has no None."""
    return not given.required and not column_type(given.annotation)[1]


def list_member(annotation: Any) -> Any:
    """The type of the members of a list; None if it is not a list of one type."""
    origin = get_origin(annotation) or annotation
    if origin not in _LISTS:
        return None
    members = [part for part in get_args(annotation) if part is not Ellipsis]
    return members[0] if len(set(members)) == 1 and (origin is not tuple or Ellipsis in get_args(annotation)) else None


def is_id(name: str, annotation: Any, keys: tuple[str, ...] = ()) -> bool:
    """Whether a field of this name is an `ID`: a text or a UUID called `id` or `…_id`, or a key."""
    named = name == "id" or name.endswith("_id") or name in keys
    return named and column_type(annotation)[0] in (str, UUID)


class Types:
    """The types of one schema: one for each class, and for each direction.

    `row` returns the type of a class that is the row of a read model, or None.
    """

    def __init__(self, row: Callable[[type], g.GraphQLObjectType | None]) -> None:
        self._row = row
        self._made: dict[Any, Any] = {}
        self._names: dict[str, Any] = {name: name for name in _RESERVED}

    def named(self, wanted: str, what: Any) -> str:
        """A name for a type. The second class of one name has that of its module before it."""
        name = pascal(wanted)
        if self._names.get(name, what) != what:
            name = free(pascal(f"{getattr(what, '__module__', '').rpartition('.')[2]}_{wanted}"), self._names)
        self._names[name] = what
        return name

    # ---- what is returned

    def output(self, annotation: Any, name: str = "", owner: str = "", keys: tuple[str, ...] = ()) -> Any:
        """The type of a returned value. `name` is that of the field, `owner` that of its type."""
        cls, nullable = column_type(annotation)
        found = self._output(cls, name, owner, keys)
        nullable = nullable or cls is type(None)
        return found if nullable else g.GraphQLNonNull(found)

    def _output(self, cls: Any, name: str, owner: str, keys: tuple[str, ...]) -> Any:
        member = list_member(cls)
        if member is not None:
            return g.GraphQLList(self.output(member, name, owner))
        if is_object(cls):
            return self._row(cls) or self.object(cls)
        return g.GraphQLID if is_id(name, cls, keys) else self._leaf(cls, name, owner)

    def object(self, cls: type) -> g.GraphQLObjectType:
        """The type of a class that is no row."""
        if ("out", cls) not in self._made:
            name = self.named(cls.__name__, cls)

            def fields() -> dict[str, g.GraphQLField]:
                found: dict[str, g.GraphQLField] = {}
                for field, hint in fields_of(cls).items():
                    if not field.startswith("_"):
                        made = g.GraphQLField(self.output(hint, field, name), resolve=_Member(field))
                        found[free(camel(field), found)] = made
                return found

            self._made["out", cls] = g.GraphQLObjectType(name, fields, description=_doc(cls))
        found: g.GraphQLObjectType = self._made["out", cls]
        return found

    def _leaf(self, cls: Any, name: str, owner: str) -> Any:
        if get_origin(cls) is Literal or (isinstance(cls, type) and issubclass(cls, Enum)):
            return self._enum(cls, f"{owner}_{name}" if get_origin(cls) is Literal else cls.__name__)
        return SCALARS.get(cls, JSON) if isinstance(cls, type) else JSON

    def _enum(self, cls: Any, name: str) -> Any:
        """An enum of the values as they are stored, if GraphQL can write them; otherwise a text or a number."""
        members = get_args(cls) if get_origin(cls) is Literal else [one.value for one in cls]
        if all(_is_enum_value(one) for one in members):
            what = ("enum", cls)
            if what not in self._made:
                values = {str(one): g.GraphQLEnumValue(str(one)) for one in members}
                self._made[what] = _Enum(self.named(name, what), values)
            return self._made[what]
        return SCALARS.get(type(members[0]), JSON) if len({type(one) for one in members}) == 1 else JSON

    # ---- what is sent

    def input(
        self, annotation: Any, name: str = "", owner: str = "", keys: tuple[str, ...] = (), *, required: bool = True
    ) -> Any:
        """The type of an argument, or of a field of one."""
        cls, nullable = column_type(annotation)
        found = self._input(cls, name, owner, keys)
        return g.GraphQLNonNull(found) if required and not nullable else found

    def _input(self, cls: Any, name: str, owner: str, keys: tuple[str, ...]) -> Any:
        member = list_member(cls)
        if member is not None:
            return g.GraphQLList(self.input(member, name, owner))
        if is_object(cls):
            return self._input_object(cls)
        return g.GraphQLID if is_id(name, cls, keys) else self._leaf(cls, name, owner)

    def _input_object(self, cls: type) -> Any:
        if ("in", cls) not in self._made:
            given = inputs_of(cls, f"GraphQL: {cls.__name__}")
            base = cls.__name__.removesuffix("Input")
            name = self.named(f"{base}Input", ("in", cls))

            def fields() -> dict[str, g.GraphQLInputField]:
                return {
                    camel(field): g.GraphQLInputField(self.input(one.annotation, field, base, required=one.required))
                    for field, one in given.items()
                }

            left_out = {camel(field) for field, one in given.items() if null_leaves_out(one)}

            def sent(members: dict[str, Any]) -> dict[str, Any]:
                return {name: each for name, each in members.items() if each is not None or name not in left_out}

            made = g.GraphQLInputObjectType(name, fields, description=_doc(cls), out_type=sent) if given else JSON
            self._made["in", cls] = made
        return self._made["in", cls]

    def arguments(self, inputs: Mapping[str, Input], owner: str) -> dict[str, g.GraphQLArgument]:
        """Inputs as arguments, by their names in Python."""
        return {
            name: g.GraphQLArgument(self.input(one.annotation, name, owner, required=one.required))
            for name, one in inputs.items()
        }


def _is_enum_value(value: Any) -> bool:
    is_name = isinstance(value, str) and VALID.fullmatch(value) is not None
    return is_name and value not in ("true", "false", "null") and not value.startswith("__")


class _Enum(g.GraphQLEnumType):
    """An enum that also takes a member of the Python class, whose value is written."""

    def coerce_output_value(self, output_value: Any) -> str:
        """See GraphQLEnumType."""
        return super().coerce_output_value(output_value.value if isinstance(output_value, Enum) else output_value)


class _Member:
    """The resolver of a field that is read from an object by its name in Python."""

    def __init__(self, name: str) -> None:
        self._name = name

    def __call__(self, source: Any, info: Any) -> Any:
        return getattr(source, self._name)


def reads_member(field: g.GraphQLField) -> bool:
    """Whether a field is that of a class, read from its object."""
    return isinstance(field.resolve, _Member)


def _doc(cls: type) -> str | None:
    text = (cls.__doc__ or "").strip()
    generated = text.startswith(f"{cls.__name__}(")  # the signature that a dataclass gets
    return None if generated or not text or cls.__doc__ in (dict.__doc__, object.__doc__) else text.partition("\n\n")[0]
