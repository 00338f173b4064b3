"""The stored text of a failure: never empty, never too long, and always storable."""

import pytest

from twofold.failures import MOST_ERROR, MOST_TRACEBACK, error_text, failure, shown, traceback_text


class Loud(str):
    def __format__(self, spec: str) -> str:
        raise ZeroDivisionError

    __str__ = __repr__ = __format__  # type: ignore[assignment]


class Raises(Exception):
    def __str__(self) -> str:
        raise SystemExit

    def __repr__(self) -> str:
        raise GeneratorExit

    def __format__(self, spec: str) -> str:
        raise KeyError


class Subtle(Exception):
    def __str__(self) -> str:
        return Loud("its text")


class Notes(ValueError):
    @property
    def __notes__(self) -> list[str]:
        raise OSError


class Closed(ValueError):
    def __getattribute__(self, name: str) -> None:
        raise OSError


class Nameless(ValueError):
    __class__ = property(lambda self: 1 / 0)  # type: ignore[assignment]


def raised(error: BaseException) -> BaseException:
    try:
        raise error
    except BaseException as again:
        return again


@pytest.mark.parametrize(
    ("error", "text"),
    [
        (ValueError("why"), "ValueError: why"),
        (ValueError(), "ValueError"),
        (Raises(), "Raises: (no text: str() raises SystemExit)"),
        (Subtle(), "Subtle: its text"),
        (ValueError("a\x00b\ud800"), r"ValueError: a\x00b\ud800"),
        (BaseExceptionGroup("two", [SystemExit(), Raises()]), "BaseExceptionGroup: two (2 sub-exceptions)"),
    ],
)
def test_an_error_is_told_in_one_line(error: BaseException, text: str) -> None:
    assert error_text(error) == text
    assert type(error_text(error)) is str


@pytest.mark.parametrize(
    "error", [Raises(), Subtle(), Notes("why"), ExceptionGroup("g", [Raises()]), ValueError("x" * 100_000)]
)
def test_a_traceback_says_where_whatever_it_is_of(error: Exception) -> None:
    text = traceback_text(raised(error))
    assert "raise error" in text
    assert len(text) <= MOST_TRACEBACK
    assert len(error_text(error)) <= MOST_ERROR


@pytest.mark.parametrize("letter", ["x", "\x00", "\ud800", "ä", "\U0001f600"])
def test_a_text_keeps_its_limit_also_when_it_is_escaped(letter: str) -> None:
    """Just below the limit, at it and above: a store that keeps that many characters accepts all three."""
    for count in (MOST_ERROR // 4, MOST_ERROR // 2, MOST_ERROR - 12, MOST_ERROR - 11, MOST_ERROR, 2 * MOST_ERROR):
        text = error_text(ValueError(letter * count))
        assert len(text) <= MOST_ERROR
        assert text.encode().decode() == text
        assert "\x00" not in text
        assert len(text) >= min(MOST_ERROR, count)


@pytest.mark.parametrize("cls", [Closed, Nameless])
def test_an_error_that_cannot_even_be_asked_what_it_is(cls: type[Exception]) -> None:
    error = raised(cls("why"))
    assert failure(error) is error
    assert error_text(error) == f"{cls.__name__}: why"
    assert traceback_text(error).startswith("Traceback (most recent call last):")
    assert traceback_text(error).endswith(f"{cls.__name__}: why")


def test_causes_that_go_round_in_a_circle_are_told_once() -> None:
    one, other = ValueError("one"), ValueError("other")
    one.__cause__, other.__cause__ = other, one
    assert traceback_text(one).count("ValueError: other") == 1


def test_only_an_interrupt_is_no_failure() -> None:
    for error in (GeneratorExit(), SystemExit(), Raises()):
        assert failure(error) is error
    with pytest.raises(KeyboardInterrupt):
        failure(KeyboardInterrupt())


def test_a_value_is_shown_whatever_its_repr_does() -> None:
    assert shown([1]) == "[1]"
    assert shown("x" * 100, 5) == "'xxxx"
    assert shown(Raises()) == "a value of Raises (its repr raises GeneratorExit)"
    assert shown([Loud("x")]) == "a value of list (its repr raises TypeError)"
