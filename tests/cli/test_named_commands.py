"""The commands that errors and docstrings name exist, with these arguments and options."""

import ast
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import typer

import twofold
from twofold.cli import commands

SOURCE = Path(twofold.__file__).parent
PROGRAM: Any = typer.main.get_command(commands)
NAMED = re.compile(r"`twofold ([^`]+)`|\btwofold ([a-z-]+ --[a-z-]+)")


def strings(tree: ast.AST) -> Iterator[str]:
    """Every string; each value inserted into an f-string becomes a separate word."""
    parts = set[ast.AST]()
    for node in ast.walk(tree):  # an f-string comes before its parts
        if isinstance(node, ast.JoinedStr):
            parts.update(node.values)
            yield "".join(value.value if isinstance(value, ast.Constant) else "X" for value in node.values)
        elif isinstance(node, ast.Constant) and isinstance(node.value, str) and node not in parts:
            yield node.value


def named() -> Iterator[tuple[str, str]]:
    for file in sorted(SOURCE.rglob("*.py")):
        for text in strings(ast.parse(file.read_text())):
            for quoted, plain in NAMED.findall(text):
                yield str(file.relative_to(SOURCE)), " ".join((quoted or plain).split())


def wrong_with(line: str) -> str | None:
    """Why the program would refuse this command line, or nothing."""
    name, *words = line.split()
    command = PROGRAM.commands.get(name)
    if command is None:
        return f"there is no command {name}"
    options = {option for parameter in command.params for option in parameter.opts}
    arguments = [parameter for parameter in command.params if parameter.param_type_name == "argument"]
    unknown = [word for word in words if word.startswith("-") and word not in options]
    if unknown:
        return f"there is no option {unknown[0]}"
    values = [word for word in words if not word.startswith("-")]
    for argument, value in zip(arguments, values, strict=False):
        choices = (argument.metavar or "").split("|")
        if len(choices) > 1 and value not in choices:
            return f"{value} is none of {argument.metavar}"
    return None


def test_every_command_that_is_named_exists() -> None:
    found = list(named())
    assert len(found) > 20
    wrong = [(file, line, why) for file, line in found if (why := wrong_with(line)) is not None]
    assert not wrong


@pytest.mark.parametrize(
    "line", ["log-id new-id", "log APP new-id", "rebuild APP --everything", "parked retry APP", "tables APP --droop"]
)
def test_what_does_not_exist_is_noticed(line: str) -> None:
    assert wrong_with(line) is not None
