# SPDX-License-Identifier: Apache-2.0
"""An end for a process in which any call may hang."""

from __future__ import annotations

import math
import os
import signal
import sys
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager

TIME_OVER = 3
"""Exit code of a process whose time was over."""
GRACE_S = 5
"""So much later the system ends it, should its own thread not come to run."""


@contextmanager
def ended_after(seconds: float, say_goodbye: Callable[[], None]) -> Iterator[None]:
    """End this process after so long, with code 3; before, let it say so.

    In a thread, for a call that waits for the GPU leaves Python to others, but lets no handler of signals run. Where a
    call keeps Python to itself, SIGALRM ends the process without a word.
    """

    def end() -> None:
        try:
            say_goodbye()
            sys.stdout.flush()
        finally:
            os._exit(TIME_OVER)

    timer = threading.Timer(seconds, end)
    timer.daemon = True
    timer.start()
    signal.alarm(math.ceil(seconds) + GRACE_S)
    try:
        yield
    finally:
        timer.cancel()
        signal.alarm(0)
