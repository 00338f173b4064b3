"""An operator's tasks, one module for each verb. Functions take a `Running`.

They do what the command line does, without its output, for use in programs.
"""

from twofold.operate.check import check, prepared
from twofold.operate.parked import discard, parked, retry
from twofold.operate.rebuild import of_another_log, rebuild, rebuild_row
from twofold.operate.status import FollowerStatus, status
from twofold.operate.tables import drop, tables
from twofold.operate.verify import diff, verify
from twofold.operate.views import ViewStatus, views

__all__ = [
    "FollowerStatus",
    "ViewStatus",
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
    "views",
]
