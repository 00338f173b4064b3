"""What the JSON of an event must look like, as jsonpath: names of fields and types of JSON. Pure.

PostgreSQL checks the events that SQL functions note with it. It sees less than the codec does: no constraints, nothing
inside a class that contains itself, not how long a decimal is, and not how many days a month has.
"""

from __future__ import annotations

import json
from collections.abc import Iterator, Sequence
from typing import Any

import msgspec
from msgspec import inspect

from twofold.codec.fields import is_model

_DATE = r"(?!0000)\\d{4}-(0[1-9]|1[0-2])-(0[1-9]|[12]\\d|3[01])"
_TIME = r"([01]\\d|2[0-3]):[0-5]\\d:[0-5]\\d(\\.\\d+)?"
_ZONE = r"(Z|[+-]([01]\\d|2[0-3]):[0-5]\\d)"
_DIGITS = r"^[+-]?(\\d+\\.?\\d*|\\.\\d+)([eE][+-]?\\d{1,4})?$"
_INTEGER = r"^-?(0|[1-9]\\d*)$"
_DECIMAL = r"^-?(0|[1-9]\\d*)(\\.\\d+)?([eE][+-]?\\d{1,2})?$"
_NUMBER = r"\\d{1,9}(\\.\\d+)?"
_CLOCK = f"T({_NUMBER}H)?({_NUMBER}M)?({_NUMBER}S)?"
_HEX = "[0-9a-fA-F]"
_BASE64 = "[A-Za-z0-9+/]"
_GREATEST = "1.7976931348623157e308"

_TEXTS: dict[type, tuple[str, str]] = {
    inspect.DateTimeType: (f"^{_DATE}T{_TIME}{_ZONE}$", "a time with a zone, like 2026-01-31T12:00:00Z"),
    inspect.DateType: (f"^{_DATE}$", "a date, like 2026-01-31"),
    inspect.TimeType: (f"^{_TIME}{_ZONE}?$", "a time of day, like 12:00:00"),
    inspect.TimeDeltaType: (
        f"^-?P(?=.)({_NUMBER}D)?((?=T.){_CLOCK})?$",
        "a duration of ISO 8601 in days, hours, minutes and seconds, like P1DT2H",
    ),
    inspect.UUIDType: (f"^({_HEX}{{32}}|{_HEX}{{8}}-({_HEX}{{4}}-){{3}}{_HEX}{{12}})$", "a UUID"),
}
_OF_BYTES = f"^({_BASE64}{{4}})*({_BASE64}{{2}}==|{_BASE64}{{3}}=)?$"


class FieldShape(msgspec.Struct, frozen=True):
    """One field of an event. `fits` is a jsonpath predicate over the event, and `what` says what fits in words."""

    name: str
    required: bool
    what: str
    fits: str


class Shape(msgspec.Struct, frozen=True):
    """`fits` is a jsonpath predicate over a whole event; `fields` are for the message about one that does not fit.

    `integers` are paths to integers: jsonpath takes 1.0 for one, but the codec does not.
    """

    fits: str
    fields: Sequence[FieldShape]
    integers: Sequence[str]


class _Member(msgspec.Struct, frozen=True):
    name: str
    required: bool
    type: inspect.Type


class _Test(msgspec.Struct, frozen=True):
    """A predicate, or nothing if every value passes, and what passes in words."""

    fits: str
    what: str


_Inside = tuple[object, ...]  # the classes around a part, so that one that contains itself has an end


def shape_of(cls: type) -> Shape:
    """The shape of the JSON of an event class."""
    node = inspect.type_info(cls)
    members = _members(node) or []
    fields = []
    for member in members:
        test = _test(member.type, _at("$", member.name), (cls,))
        fields.append(FieldShape(member.name, member.required, test.what, test.fits or "true == true"))
    integers = [path for member in members for path in _integers(member.type, _at("$", member.name), (cls,))]
    return Shape(_test(node, "$", ()).fits, fields, integers)


def _test(node: Any, at: str, inside: _Inside) -> _Test:
    members = _members(node)
    if members is not None:
        return _object(node, members, at, inside)
    match node:
        case inspect.UnionType(types):
            return _any_of([_test(one, at, inside) for one in types])
        case inspect.ListType(item) | inspect.VarTupleType(item) | inspect.SetType(item) | inspect.FrozenSetType(item):
            return _array(_test(item, "@", inside), at)
        case inspect.TupleType(items):
            tests = [_test(item, f"{at}[{place}]", inside) for place, item in enumerate(items)]
            whats = ", ".join(test.what for test in tests)
            return _Test(
                _all([_type(at, "array"), f"{at}.size() == {len(items)}", *_some(tests)]), f"a list of {whats}"
            )
        case inspect.DictType(keys, values):
            return _mapping(_key(keys, "@.key"), _test(values, "@.value", inside), at)
        case _:
            return _single(node, at)


def _single(node: Any, at: str) -> _Test:
    match node:
        case inspect.NoneType():
            return _Test(_type(at, "null"), "null")
        case inspect.BoolType():
            return _Test(_type(at, "boolean"), "true or false")
        case inspect.IntType():
            return _Test(_all([_type(at, "number"), f"{at}.floor() == {at}"]), "an integer")
        case inspect.FloatType():
            return _Test(_all([_type(at, "number"), f"{at}.abs() <= {_GREATEST}"]), "a number that a float can hold")
        case inspect.DecimalType():
            return _Test(f"({_type(at, 'number')} || {_matches(at, _DIGITS)})", "a decimal number, as text or number")
        case inspect.EnumType(cls):
            return _one_of([member.value for member in cls], at)
        case inspect.LiteralType(values):
            return _one_of(list(values), at)
        case inspect.StrType():
            return _Test(_type(at, "string"), "a text")
        case inspect.BytesType() | inspect.ByteArrayType() | inspect.MemoryViewType():
            return _Test(_matches(at, _OF_BYTES), "a text of base64 without line breaks")
        case _ if type(node) in _TEXTS:
            regex, what = _TEXTS[type(node)]
            return _Test(_matches(at, regex), what)
        case _:
            return _Test("", "anything")


def _object(node: Any, members: Sequence[_Member], at: str, inside: _Inside) -> _Test:
    what = f"an object ({node.cls.__name__})"
    if node.cls in inside:
        return _Test(_type(at, "object"), what)
    inside = (*inside, node.cls)
    conditions = [_type(at, "object")]
    for member in members:
        here = _at(at, member.name)
        test = _test(member.type, here, inside).fits
        if member.required:
            conditions.append(f"exists({here})")
        if test:
            conditions.append(test if member.required else f"(!exists({here}) || {test})")
    tag = _tag(node)
    if tag is not None:
        conditions.append(f"{_at(at, tag[0])} == {json.dumps(tag[1])}")
    names = [member.name for member in members] + ([] if tag is None else [tag[0]])
    known = " || ".join(f"@.key == {json.dumps(name)}" for name in names) or "1 == 0"
    conditions.append(f"!exists({at}.keyvalue() ? (!({known})))")
    return _Test(_all(conditions), what)


def _array(item: _Test, at: str) -> _Test:
    every = [f"!exists({at}[*] ? (!({item.fits})))"] if item.fits else []
    return _Test(_all([_type(at, "array"), *every]), f"a list, each of it {item.what}")


def _mapping(key: _Test, value: _Test, at: str) -> _Test:
    fits = [f"!exists({at}.keyvalue() ? (!({test})))" for test in _some([key, value])]
    return _Test(_all([_type(at, "object"), *fits]), f"an object whose keys are {key.what} and values {value.what}")


def _key(node: Any, at: str) -> _Test:
    """Of a key, which JSON writes as a text."""
    match node:
        case inspect.UnionType(types):
            return _any_of([_key(one, at) for one in types])
        case inspect.IntType():
            return _Test(_matches(at, _INTEGER), "an integer")
        case inspect.FloatType() | inspect.DecimalType():
            return _Test(_matches(at, _DECIMAL), "a number")
        case inspect.EnumType(cls):
            return _one_of([str(member.value) for member in cls], at)
        case inspect.LiteralType(values):
            return _one_of([str(value) for value in values], at)
        case _:
            return _single(node, at)


def _any_of(tests: Sequence[_Test]) -> _Test:
    whats = " or ".join(dict.fromkeys(test.what for test in tests))
    if not all(test.fits for test in tests):
        return _Test("", whats)
    return _Test(f"({' || '.join(test.fits for test in tests)})", whats)


def _one_of(values: Sequence[Any], at: str) -> _Test:
    tests = [f"({_type(at, _JSON[type(value)])} && {at} == {json.dumps(value)})" for value in values if _plain(value)]
    return _Test(
        f"({' || '.join(tests)})" if len(tests) == len(values) else "", f"one of {', '.join(map(str, values))}"
    )


_JSON = {str: "string", int: "number", bool: "boolean", type(None): "null"}


def _plain(value: object) -> bool:
    return type(value) in _JSON


def _members(node: Any) -> list[_Member] | None:
    """The fields of a class; None for anything else. Those of a pydantic model as far as msgspec knows their types."""
    match node:
        case inspect.DataclassType() | inspect.StructType() | inspect.TypedDictType():
            return [_Member(field.encode_name, field.required, field.type) for field in node.fields]
        case inspect.CustomType(cls) if is_model(cls):
            fields: Any = cls.model_fields  # type: ignore[attr-defined]
            return [_Member(name, field.is_required(), _known(field.annotation)) for name, field in fields.items()]
        case _:
            return None


def _known(annotation: Any) -> inspect.Type:
    try:
        return inspect.type_info(annotation)
    except TypeError:
        return inspect.AnyType()


def _tag(node: Any) -> tuple[str, Any] | None:
    return (node.tag_field, node.tag) if getattr(node, "tag_field", None) is not None else None


def _integers(node: Any, at: str, inside: _Inside) -> Iterator[str]:
    """The paths of all integers, as far as no other number may stand at the same place."""
    members = _members(node)
    if members is not None:
        for member in members if node.cls not in inside else ():
            yield from _integers(member.type, _at(at, member.name), (*inside, node.cls))
    match node:
        case inspect.IntType():
            yield at
        case inspect.EnumType(cls) if any(type(member.value) is int for member in cls):
            yield at
        case inspect.LiteralType(values) if any(type(value) is int for value in values):
            yield at
        case inspect.UnionType(types) if not any(
            isinstance(one, inspect.FloatType | inspect.DecimalType) for one in types
        ):
            for one in types:
                yield from _integers(one, at, inside)
        case inspect.ListType(item) | inspect.VarTupleType(item) | inspect.SetType(item) | inspect.FrozenSetType(item):
            yield from _integers(item, f"{at}[*]", inside)
        case inspect.TupleType(items):
            for place, item in enumerate(items):
                yield from _integers(item, f"{at}[{place}]", inside)
        case inspect.DictType(_, values):
            yield from _integers(values, f"{at}.*", inside)


def _at(at: str, name: str) -> str:
    return f"{at}.{json.dumps(name)}"


def _type(at: str, name: str) -> str:
    return f'{at}.type() == "{name}"'


def _all(conditions: Sequence[str]) -> str:
    return f"({' && '.join(conditions)})"


def _some(tests: Sequence[_Test]) -> list[str]:
    return [test.fits for test in tests if test.fits]


def _matches(at: str, regex: str) -> str:
    """A text that matches; a backslash stands twice in the regular expression, as in any literal of jsonpath."""
    return _all([_type(at, "string"), f'{at} like_regex "{regex}"'])
