"""What an operator does with an App and its stores, one module for each verb. Functions take a `Running`.

`status`, `check`, `verify`, `diff`, `rebuild`, `rebuild_row`, `tables`, `drop`, `retry`, `discard`: what the command
line does, without its printing, for programs that do it themselves.
"""

from twofold.operate.check import check, prepared
from twofold.operate.parked import discard, parked, retry
from twofold.operate.rebuild import of_another_log, rebuild, rebuild_row
from twofold.operate.status import FollowerStatus, status
from twofold.operate.tables import drop, tables
from twofold.operate.verify import diff, verify

__all__ = [
    "FollowerStatus",
    "check",
    "diff",
    "discard",
    "drop",
    "of_another_log",
    "parked",
    "prepared",
    "rebuild",
    "rebuild_row",
    "retry",
    "status",
    "tables",
    "verify",
]
