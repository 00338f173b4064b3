"""What the commands show while they work."""

from io import StringIO

from rich.console import Console

from twofold.cli.output import progress


def test_progress_has_a_bar_a_share_and_a_pace() -> None:
    shown = progress(quiet=True)
    shown.add_task("folding", total=4, completed=1, pace="9 events/s")
    console = Console(file=StringIO(), width=100)
    console.print(shown.make_tasks_table(shown.tasks))
    text = console.file.getvalue()  # type: ignore[attr-defined]
    for part in ("folding", "━━━", "25%", "9 events/s"):
        assert part in text
