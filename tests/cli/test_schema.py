"""`twofold schema` of what it cannot print."""

import subprocess
import sys

import pytest
from typer.testing import CliRunner

from twofold import cli


@pytest.mark.parametrize(
    ("name", "sentence"),
    [("no_such_module:app", "no module"), ("twofold.errors:nothing", "has no App called 'nothing'"), ("bank", "APP")],
)
def test_an_app_that_is_not_there_is_one_sentence(name: str, sentence: str) -> None:
    result = CliRunner().invoke(cli.commands, ["schema", name])
    assert result.exit_code in (1, 2)
    assert sentence in result.stderr
    assert isinstance(result.exception, SystemExit)
    assert result.stdout == ""


WITHOUT = """
import sys
from twofold.cli import commands

sys.modules["graphql"] = None
commands(["schema", "shop.app:shop"])
"""


def test_without_the_extra_it_says_what_to_install() -> None:
    """In a process of its own, which has not imported it before."""
    ran = subprocess.run([sys.executable, "-c", WITHOUT], capture_output=True, text=True, check=False)
    assert ran.returncode == 1
    assert "needs `pip install 'twofold[graphql]'`" in " ".join(ran.stderr.split())
