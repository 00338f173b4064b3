"""How a row that differs is shown."""

import pytest

from twofold.cli.report import print_difference
from twofold.messages import Position
from twofold.read.proof.verify import Cell, Difference


@pytest.mark.parametrize(
    ("length", "shown"), [(199, repr("x" * 199)), (200, repr("x" * 200)), (1_201, f"{'x' * 200!r}… (1,201 characters)")]
)
def test_a_long_text_is_cut_and_its_length_is_told(capsys: pytest.CaptureFixture[str], length: int, shown: str) -> None:
    cell = Cell("note", "x" * length, None)
    print_difference(Difference("different", ("a",), [cell], [Position(0, 1)]), "different")
    lines = capsys.readouterr().out.replace("\n", "")
    assert lines == f"different: row 'a'    note: {shown} in the read model, None by the fold"
