"""Partition keys: found in documents, and hashed to the place they have in a container.

The place is the *effective partition key* (EPK): a string of hexadecimal digits, ordered as text. Its hash is
MurmurHash3 (x64, 128 bits) for keys of version 2, and MurmurHash3 (32 bits) followed by the key itself for version 1.
"""

from __future__ import annotations

import struct
from collections.abc import Sequence
from dataclasses import dataclass
from functools import lru_cache
from typing import Any

import msgspec

from devservers.cosmos.errors import Refused

MASK_64, MASK_32 = (1 << 64) - 1, (1 << 32) - 1
V1_LONGEST = 100  # characters of a string that count


class _Undefined:
    """A component that the document does not have; `{}` in JSON."""

    def __repr__(self) -> str:
        return "undefined"


UNDEFINED = _Undefined()


@dataclass(frozen=True, slots=True)
class Key:
    """How a container's documents are divided."""

    paths: tuple[tuple[str, ...], ...]
    kind: str
    version: int

    def of_document(self, document: dict[str, Any]) -> str:
        """The place of a document."""
        return self.place([_at(document, path) for path in self.paths])

    def of_header(self, header: str) -> str:
        """The place that a request names. With fewer components than paths it is a prefix of places."""
        return _of_header(self, header)

    def is_prefix(self, header: str) -> bool:
        """Whether a request names fewer components than the container has, so that it means many keys."""
        return self.kind == "MultiHash" and len(components(header)) < len(self.paths)

    def place(self, values: Sequence[Any]) -> str:
        """The effective partition key of the components."""
        if not values:
            return ""
        if self.kind == "MultiHash":
            return "".join(_hashed_v2([value]) for value in values)
        return _hashed_v1(values) if self.version == 1 else _hashed_v2(values)


def key_of(definition: dict[str, Any]) -> Key:
    """The key of a container, from its `partitionKey`."""
    paths = tuple(parsed_path(path) for path in definition["paths"])
    return Key(paths, definition.get("kind", "Hash"), int(definition.get("version", 1)))


def parsed_path(path: str) -> tuple[str, ...]:
    """The names in a path such as `/address/city` or `/"first name"/x`. Raises: Refused."""
    names, rest = [], path
    while rest:
        if not rest.startswith("/"):
            raise Refused(
                400, f"the path {path!r} is not valid: every part begins with a slash, such as /address/city."
            )
        quote = rest[1:2] if rest[1:2] in ('"', "'") else ""
        if quote:
            end = rest.find(quote, 2)
            names.append(rest[2:end])
            rest = rest[end + 1 :]
        else:
            name, slash, more = rest[1:].partition("/")
            names.append(name)
            rest = slash + more
    return tuple(names)


def components(header: str) -> list[Any]:
    """The components that the header of a request lists. Raises: Refused."""
    try:
        values = msgspec.json.decode(header.replace("'", '"') if header.startswith("['") else header)
    except msgspec.DecodeError:
        values = None
    if not isinstance(values, list):
        raise Refused(400, f'x-ms-documentdb-partitionkey must be a JSON array such as ["key"], not {header[:100]}.')
    return [UNDEFINED if value == {} else value for value in values]


@lru_cache(maxsize=65_536)
def _of_header(key: Key, header: str) -> str:
    values = components(header)
    if len(values) > len(key.paths) or (len(values) < len(key.paths) and key.kind != "MultiHash" and values):
        raise Refused(
            400,
            f"the partition key of the request has {len(values)} components, the container's {len(key.paths)}.",
            1001,
        )
    return key.place(values)


def _at(document: Any, path: tuple[str, ...]) -> Any:
    for name in path:
        if not isinstance(document, dict) or name not in document:
            return UNDEFINED
        document = document[name]
    return UNDEFINED if isinstance(document, (dict, list)) else document


# ---- version 2 ----------------------------------------


def _hashed_v2(values: Sequence[Any]) -> str:
    return _digest(b"".join([_hash_input(value, b"\xff") for value in values]))


@lru_cache(maxsize=65_536)
def _digest(data: bytes) -> str:
    """A request names a key in its header, and again in each document."""
    digest = bytearray(murmur_128(data))
    digest.reverse()
    digest[0] &= 0x3F  # so that every place lies before FF, the end of the last range
    return digest.hex().upper()


def _hash_input(value: Any, end: bytes) -> bytes:
    if value is True:
        return b"\x03"
    if value is False:
        return b"\x02"
    if value is None:
        return b"\x01"
    if value is UNDEFINED:
        return b"\x00"
    if isinstance(value, str):
        return b"\x08" + value.encode() + end
    return b"\x05" + struct.pack("<d", value)


def murmur_128(data: bytes) -> bytes:
    """MurmurHash3 x64 of 128 bits with seed 0, as 16 bytes: the low half first, each half little-endian."""
    c1, c2 = 0x87C37B91114253D5, 0x4CF5AD432745937F
    h1 = h2 = 0
    whole = len(data) & ~15
    for k1, k2 in struct.iter_unpack("<QQ", data[:whole]):
        h1 ^= _turned(k1 * c1 & MASK_64, 31) * c2 & MASK_64
        h1 = ((_turned(h1, 27) + h2) * 5 + 0x52DCE729) & MASK_64
        h2 ^= _turned(k2 * c2 & MASK_64, 33) * c1 & MASK_64
        h2 = ((_turned(h2, 31) + h1) * 5 + 0x38495AB5) & MASK_64
    tail = data[whole:].ljust(16, b"\0")
    k1, k2 = struct.unpack("<QQ", tail)
    h2 ^= _turned(k2 * c2 & MASK_64, 33) * c1 & MASK_64
    h1 ^= _turned(k1 * c1 & MASK_64, 31) * c2 & MASK_64
    h1 ^= len(data)
    h2 ^= len(data)
    h1 = (h1 + h2) & MASK_64
    h2 = (h2 + h1) & MASK_64
    h1, h2 = _mixed_64(h1), _mixed_64(h2)
    h1 = (h1 + h2) & MASK_64
    h2 = (h2 + h1) & MASK_64
    return struct.pack("<QQ", h1, h2)


def _turned(value: int, bits: int) -> int:
    return (value << bits | value >> (64 - bits)) & MASK_64


def _mixed_64(value: int) -> int:
    value = (value ^ value >> 33) * 0xFF51AFD7ED558CCD & MASK_64
    value = (value ^ value >> 33) * 0xC4CEB9FE1A85EC53 & MASK_64
    return value ^ value >> 33


# ---- version 1 ----------------------------------------


def _hashed_v1(values: Sequence[Any]) -> str:
    cut = [value[:V1_LONGEST] if isinstance(value, str) else value for value in values]
    digest = murmur_32(b"".join(_hash_input(value, b"\0") for value in cut))
    return b"".join(_ordered(part) for part in [float(digest), *cut]).hex().upper()


def murmur_32(data: bytes) -> int:
    """MurmurHash3 of 32 bits with seed 0."""
    result, whole = 0, len(data) & ~3
    for (part,) in struct.iter_unpack("<I", data[:whole]):
        result ^= _scrambled(part)
        result = (result << 13 | result >> 19) & MASK_32
        result = (result * 5 + 0xE6546B64) & MASK_32
    result ^= _scrambled(int.from_bytes(data[whole:], "little"))
    result ^= len(data)
    result = (result ^ result >> 16) * 0x85EBCA6B & MASK_32
    result = (result ^ result >> 13) * 0xC2B2AE35 & MASK_32
    return result ^ result >> 16


def _scrambled(part: int) -> int:
    part = part * 0xCC9E2D51 & MASK_32
    return (part << 15 | part >> 17) * 0x1B873593 & MASK_32


def _ordered(value: Any) -> bytes:
    """A component in bytes whose order is that of the values."""
    if isinstance(value, str):
        data = value.encode()
        end = b"\0" if len(data) <= V1_LONGEST else b""
        return b"\x08" + bytes(byte + 1 for byte in data[: V1_LONGEST + 1]) + end
    if isinstance(value, (int, float)) and not isinstance(value, bool):
        return b"\x05" + _ordered_number(float(value))
    return _hash_input(value, b"\0")


def _ordered_number(value: float) -> bytes:
    """A number in groups of seven bits, after its first byte; the lowest bit of each says whether one follows."""
    bits = struct.unpack("<Q", struct.pack("<d", value))[0]
    bits = bits ^ 1 << 63 if bits < 1 << 63 else (~bits + 1) & MASK_64
    out, bits = [bits >> 56], bits << 8 & MASK_64
    while bits:
        out.append(bits >> 56 | 1)
        bits = bits << 7 & MASK_64
    return bytes([*out[:-1], out[-1] & 0xFE]) if len(out) > 1 else bytes([*out, 0])
