# SPDX-License-Identifier: Apache-2.0
"""A file or folder that is there is whole: written under another name, and renamed when it is finished."""

from __future__ import annotations

import re
import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from os import PathLike
from pathlib import Path
from uuid import uuid4

_PARTIAL = re.compile(r"\.[0-9a-f]{8}-(.+)")


@contextmanager
def whole_file(path: str | PathLike[str]) -> Iterator[Path]:
    """Give a name to write to; rename it to ``path`` at the end, or remove it if the block raised.

    A file that is there already is replaced in one step. The name is hidden, is used by no other process, and has the
    suffixes of ``path``, since some writers choose their format by them. A killed process leaves at most the hidden
    file.

    Args:
        path: the file to make; its folder is made where it does not exist.

    Example:
        >>> import tempfile
        >>> with tempfile.TemporaryDirectory() as folder:
        ...     with whole_file(Path(folder, "a.txt")) as partial:
        ...         _ = partial.write_text("content")
        ...         before = Path(folder, "a.txt").exists()
        ...     before, Path(folder, "a.txt").read_text()
        (False, 'content')
    """
    target = Path(path)
    target.parent.mkdir(parents=True, exist_ok=True)
    partial = target.with_name(_partial_name(target))
    try:
        yield partial
        partial.replace(target)
    finally:
        partial.unlink(missing_ok=True)


def partial_files(folder: Path) -> list[tuple[Path, Path]]:
    """Hidden files that :func:`whole_file` is writing into ``folder``, or was when it was killed, and their targets."""
    found = [(file, _PARTIAL.fullmatch(file.name)) for file in folder.iterdir()]
    return [(file, file.with_name(match[1])) for file, match in found if match and file.is_file()]


def _partial_name(target: Path) -> str:
    return f".{uuid4().hex[:8]}-{target.name}"


def remove_whole(path: Path) -> None:
    """Remove a file, or a folder and what is in it, if it is there."""
    if path.is_dir() and not path.is_symlink():
        shutil.rmtree(path)
    else:
        path.unlink(missing_ok=True)


@contextmanager
def whole_folder(path: str | PathLike[str]) -> Iterator[Path]:
    """Give a new folder to write into; rename it to ``path`` at the end, or remove it if the block raised.

    A folder that is there already is replaced. A killed process leaves hidden folders at most.

    Args:
        path: the folder to make.
    """
    target = Path(path)
    target.parent.mkdir(parents=True, exist_ok=True)
    partial, old = (target.with_name(_partial_name(target)) for _ in range(2))
    partial.mkdir()
    try:
        yield partial
        if target.exists():
            target.replace(old)
        partial.replace(target)
    finally:
        for folder in (partial, old):
            shutil.rmtree(folder, ignore_errors=True)
