# SPDX-License-Identifier: Apache-2.0
import errno
import sys

import pytest

from cardiac4d.errors import InputError
from cardiac4d.workflows import explain_input_errors


def last_line(monkeypatch, capsys, error: BaseException) -> str:
    """What stands at the end of the output of a process that dies of ``error``."""
    monkeypatch.setattr(sys, "excepthook", sys.__excepthook__)
    explain_input_errors()
    try:
        raise error
    except BaseException as raised:
        sys.excepthook(type(raised), raised, raised.__traceback__)
    shown = capsys.readouterr().err.strip()
    assert "Traceback (most recent call last)" in shown, "the traceback stays"
    return shown.splitlines()[-1]


def wrapped(cause: BaseException, levels: int = 2) -> BaseException:
    """As MONAI wraps an error: once per config item on the way."""
    for level in range(levels):
        error = RuntimeError(f"Failed to instantiate component {level}: set '_mode_=debug'")
        error.__cause__ = cause
        cause = error
    return cause


@pytest.mark.parametrize(
    ("cause", "expected"),
    [
        (InputError("a.nii.gz", "no voxels", "give some"), "a.nii.gz: no voxels. Fix: give some."),
        (ValueError("batch_size should be positive"), "batch_size should be positive"),
        (OSError(errno.ENOSPC, "No space left on device"), "[Errno 28] No space left on device"),
        (
            PermissionError(errno.EACCES, "Permission denied", "/results"),
            "[Errno 13] Permission denied: '/results'",
        ),
        (TypeError("'<' not supported"), "TypeError: '<' not supported"),
        (KeyError("abc"), "KeyError: 'abc'"),
    ],
    ids=lambda value: type(value).__name__ if isinstance(value, Exception) else None,
)
def test_sentence_of_the_cause_stands_last(monkeypatch, capsys, cause, expected):
    assert last_line(monkeypatch, capsys, wrapped(cause)) == expected


def test_full_disk_is_named_where_closing_the_file_failed_after_it(monkeypatch, capsys):
    closing = RuntimeError("[enforce fail at inline_container.cc:664] unexpected pos")
    closing.__context__ = OSError(errno.ENOSPC, "No space left on device", "model.pt")
    assert last_line(monkeypatch, capsys, wrapped(closing)) == "[Errno 28] No space left on device: 'model.pt'"


def test_error_that_explains_itself_is_not_repeated(monkeypatch, capsys):
    monkeypatch.setattr(sys, "excepthook", sys.__excepthook__)
    explain_input_errors()
    error = ValueError("only once")
    sys.excepthook(type(error), error, None)
    assert capsys.readouterr().err.count("only once") == 1


def test_interruption_is_not_explained(monkeypatch, capsys):
    assert last_line(monkeypatch, capsys, KeyboardInterrupt()).startswith("KeyboardInterrupt")


def test_many_calls_explain_once(monkeypatch, capsys):
    """Several workflows of one process each install it."""
    monkeypatch.setattr(sys, "excepthook", sys.__excepthook__)
    for _ in range(3):
        explain_input_errors()
    error = wrapped(ValueError("the cause"))
    sys.excepthook(type(error), error, None)
    assert capsys.readouterr().err.splitlines().count("the cause") == 1
