"""`twofold schema` of what it cannot print."""

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


def test_without_the_extra_it_says_what_to_install(monkeypatch: pytest.MonkeyPatch) -> None:
    for module in [name for name in sys.modules if name.startswith("twofold.graphql")]:
        monkeypatch.delitem(sys.modules, module)
    monkeypatch.setitem(sys.modules, "graphql", None)
    result = CliRunner().invoke(cli.commands, ["schema", "shop.app:shop"])
    assert result.exit_code == 1
    assert "needs `pip install 'twofold[graphql]'`" in " ".join(result.stderr.split())
