# SPDX-License-Identifier: Apache-2.0
"""Make the last line of a failed run the one that helps."""

from __future__ import annotations

import sys
from collections.abc import Iterator
from types import TracebackType

from ..errors import InputError
from .torchrun_report import tell_torchrun


def find_input_error(error: BaseException | None) -> InputError | None:
    """The :class:`InputError` that an exception is, or was raised from, or ``None``."""
    return next((each for each in _behind(error) if isinstance(each, InputError)), None)


def find_os_error(error: BaseException | None) -> OSError | None:
    """The error of the system that an exception is, was raised from, or was raised while handling; or ``None``."""
    return next((each for each in _behind(error) if isinstance(each, OSError) and each.errno is not None), None)


def explain_input_errors() -> None:
    """Print what was wrong, in one sentence, after the traceback of an uncaught exception.

    MONAI wraps an error in one exception per config item that needed the failing one, so that the sentence naming the
    file and the fix ends up in the middle of several tracebacks. Calling it again changes nothing.
    """
    if getattr(sys.excepthook, "explains_input_errors", False):
        return
    show_traceback = sys.excepthook

    def hook(kind: type[BaseException], error: BaseException, trace: TracebackType | None) -> None:
        show_traceback(kind, error, trace)
        sentence = explain(error)
        if sentence:
            print(f"\n{sentence}", file=sys.stderr)
            tell_torchrun(sentence)

    hook.explains_input_errors = True  # type: ignore[attr-defined]
    sys.excepthook = hook


def explain(error: BaseException) -> str:
    """The sentence behind an exception; empty where the exception itself has said it."""
    cause = find_input_error(error) or _root(error)
    if cause is error and not isinstance(cause, InputError):
        return ""
    name = "" if isinstance(cause, (ValueError, OSError)) else f"{type(cause).__name__}: "
    return f"{name}{cause}"


def _root(error: BaseException) -> BaseException:
    """What an exception was raised from in the end; an error of the system that broke off a write counts before."""
    root = error
    while root.__cause__ is not None:
        root = root.__cause__
    return root if isinstance(root, ValueError) else find_os_error(root) or root


def _behind(error: BaseException | None) -> Iterator[BaseException]:
    """The exception, then what it was raised from or while handling."""
    while error is not None:
        yield error
        error = error.__cause__ or error.__context__
