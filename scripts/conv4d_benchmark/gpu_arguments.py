# SPDX-License-Identifier: Apache-2.0
"""What the check of a GPU takes from its command line; refuses what would only fail later."""

from __future__ import annotations

from argparse import ArgumentTypeError
from pathlib import Path

LEAST_MINUTES, MOST_MINUTES = 0.1, 1440.0


def minutes(text: str) -> float:
    """Read a number of minutes.

    Raises:
        ArgumentTypeError: if it is none, or far too small or large.
    """
    try:
        value = float(text)
    except ValueError:
        value = float("nan")
    if not LEAST_MINUTES <= value <= MOST_MINUTES:  # NaN is neither
        raise ArgumentTypeError(f"{text} must be a number from {LEAST_MINUTES:g} to {MOST_MINUTES:g}")
    return value


def beside(path: Path) -> Path:
    """Where a file is written before it takes the place of the old one."""
    return path.with_name(f".{path.name}.new")


def output_file(text: str) -> Path:
    """Read where to write a file.

    Raises:
        ArgumentTypeError: if nothing can be written there.
    """
    path = Path(text)
    try:  # also tells what permissions do not: a read-only disk, a name that is too long
        if not path.parent.is_dir():
            raise ArgumentTypeError(f"{text}: there is no folder {path.parent}; create it, or name another")
        if path.is_dir():
            raise ArgumentTypeError(f"{text} is a folder; name a file in it")
        if path.exists() and not path.is_file():
            raise ArgumentTypeError(f"{text} is no regular file, and would be replaced; name another")
        beside(path).touch()
        beside(path).unlink()
    except OSError as error:
        raise ArgumentTypeError(f"{text} cannot be written: {error.strerror}; name another place") from error
    return path
