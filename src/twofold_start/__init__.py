"""The first moments of a program: Ctrl-C ends it without a traceback while the rest is still being imported.

A package of its own, because importing anything from `twofold` imports all that an App needs.
"""

import os
import signal

INTERRUPTED = 130


def end_at_ctrl_c() -> None:
    """From now on Ctrl-C ends the process at once, until another handler is set: nothing is open yet.

    The signal is unblocked: the parent process may have blocked it until now.
    """
    signal.signal(signal.SIGINT, lambda number, frame: os._exit(INTERRUPTED))
    signal.pthread_sigmask(signal.SIG_UNBLOCK, {signal.SIGINT})


def main() -> None:
    """The program `twofold`."""
    end_at_ctrl_c()
    from twofold.cli import main as program

    program()
