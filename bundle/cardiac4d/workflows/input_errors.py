# SPDX-License-Identifier: Apache-2.0
"""Make the last line of a failed run the one that helps."""

from __future__ import annotations

import sys
from types import TracebackType

from ..errors import InputError
from .torchrun_report import tell_torchrun


def find_input_error(error: BaseException | None) -> InputError | None:
    """The :class:`InputError` that an exception is, or was raised from, or ``None``."""
    while error is not None and not isinstance(error, InputError):
        error = error.__cause__ or error.__context__
    return error


def explain_input_errors() -> None:
    """Print what was wrong with the input after the traceback of an uncaught exception.

    MONAI wraps an error in one exception per config item that needed the failing one, so that the sentence naming the
    file and the fix ends up in the middle of several tracebacks.
    """
    show_traceback = sys.excepthook

    def hook(kind: type[BaseException], error: BaseException, trace: TracebackType | None) -> None:
        show_traceback(kind, error, trace)
        cause = find_input_error(error)
        if cause is not None:
            print(f"\n{cause}", file=sys.stderr)
            tell_torchrun(str(cause))

    sys.excepthook = hook
