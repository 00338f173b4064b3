"""The arguments of a command's function, as the JSON that is sent to PostgreSQL."""

from dataclasses import dataclass
from typing import Any

import pytest

from twofold.errors import InvalidInput
from twofold.sql.command import SqlCommand


@dataclass
class Say:
    to: str
    what: Any


say: SqlCommand[Say, None] = SqlCommand("say", Say, function="fn_say", answers=None)
NUL = "a\x00b"


@pytest.mark.parametrize(
    "what", [NUL, [1, NUL], ("x", (NUL,)), {"x": NUL}, {NUL: "x"}, [{"x": {"y": {NUL: 1}}}]], ids=repr
)
def test_a_nul_character_is_refused_by_its_field_wherever_it_is(what: Any) -> None:
    with pytest.raises(InvalidInput, match="'say': what contains a NUL character"):
        say.arguments(Say("\\u0000", what), None)


@pytest.mark.parametrize("what", ["\\u0000", ["\\\\u0000"], {"\\u0000": "u0000"}, b"\x00", 0, None], ids=repr)
def test_what_only_looks_like_it_is_none(what: Any) -> None:
    assert say.arguments(Say("Ann", what), None)
