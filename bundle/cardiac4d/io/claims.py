# SPDX-License-Identifier: Apache-2.0
"""Who writes a file, where many processes could: a lock that its holder's end releases, however it ends."""

from __future__ import annotations

import os
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import IO

from .whole_file import partial_files

try:
    import fcntl
except ImportError:  # Windows
    fcntl = None  # type: ignore[assignment]

_SUFFIX = ".lock"


@contextmanager
def claimed(path: Path, *, wait: bool = False) -> Iterator[bool]:
    """Hold the only right to write ``path``, among all that ask for it in this way, on this machine or by NFS.

    Args:
        path: the file to write; a hidden file beside it holds the claim, and is removed with it.
        wait: for another process that holds it, until it releases it or ends.

    Yields:
        Whether the claim is held; always true where the file system knows no locks.
    """
    with _lock_file(path, wait=wait) as held:
        yield held is not False


def remove_abandoned(folder: Path) -> int:
    """Remove what killed processes left half written in a folder, and nothing that a running one writes.

    Returns:
        How many files were removed.
    """
    removed = 0
    for partial, target in partial_files(folder):
        with _lock_file(target) as held:
            if held:
                partial.unlink(missing_ok=True)
                removed += 1
    for lock in folder.glob(f".*{_SUFFIX}"):
        with claimed(lock.with_name(lock.name[1 : -len(_SUFFIX)])):
            pass
    return removed


@contextmanager
def _lock_file(path: Path, *, wait: bool = False) -> Iterator[bool | None]:
    """Whether the lock of ``path`` is held; ``None`` where the file system knows no locks."""
    lock = path.with_name(f".{path.name}{_SUFFIX}")
    while True:
        with lock.open("w") as file:
            held = _lock(file, wait=wait)
            if held and not _is_at(file, lock):  # its holder removed it between our opening and locking it
                continue
            try:
                yield held
            finally:
                if held is not False:
                    lock.unlink(missing_ok=True)
            return


def _lock(file: IO[str], *, wait: bool) -> bool | None:
    if fcntl is None:
        return None
    try:
        fcntl.flock(file, fcntl.LOCK_EX | (0 if wait else fcntl.LOCK_NB))
    except BlockingIOError:
        return False
    except OSError:
        return None
    return True


def _is_at(file: IO[str], path: Path) -> bool:
    with suppress(FileNotFoundError):
        return os.path.samestat(os.fstat(file.fileno()), path.stat())
    return False
