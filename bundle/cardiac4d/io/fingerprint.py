# SPDX-License-Identifier: Apache-2.0
"""Say whether files hold what they held before, without reading gigabytes at every start."""

from __future__ import annotations

import hashlib
import json
import re
import time
from collections.abc import Mapping
from os import PathLike
from pathlib import Path
from threading import Lock
from typing import Any

from .image_names import METAIMAGE_SUFFIXES, NRRD_SUFFIXES, has_suffix
from .nrrd_header import LARGEST_HEADER_BYTES
from .whole_file import whole_file

_CHUNK_BYTES = 1 << 22
_VOXELS_ELSEWHERE = re.compile(rb"^(?:ElementDataFile\s*=|data ?file:)[ \t]*([^\r\n]+)", re.IGNORECASE | re.MULTILINE)
_SETTLED_NS = 2_000_000_000
"""A file that changed less than this ago may change again within the clock's resolution: its digest is not kept."""


class Fingerprints:
    """SHA-256 of files, remembered as long as size, time of change and file number stay the same.

    Args:
        memory: a JSON file that keeps the digests from one run to the next; one that cannot be read is begun anew.
    """

    def __init__(self, memory: str | PathLike[str]) -> None:
        self.memory = Path(memory)
        self._known: dict[str, list[Any]] = _read(self.memory)
        self._changed = False
        self._lock = Lock()

    def of(self, value: Any) -> Any:
        """The same structure with every path of an existing file replaced by the digest of what the file holds.

        Args:
            value: an absolute path, which may be that of a folder (all files below it count, with their names), or
                lists and mappings of such; whatever else stands in it, such as a name, is returned as it is. A header
                whose voxels are in a file beside it (``.mhd``, ``.nhdr``) becomes the digests of both.
        """
        if isinstance(value, Mapping):
            return {str(key): self.of(item) for key, item in value.items()}
        if isinstance(value, (list, tuple)):
            return [self.of(item) for item in value]
        return self._of_path(value) if isinstance(value, (str, PathLike)) else value

    def save(self) -> None:
        """Write down what was read."""
        with self._lock:
            if not self._changed:
                return
            with whole_file(self.memory) as partial:
                partial.write_text(json.dumps(self._known), encoding="utf-8")
            self._changed = False

    def _of_path(self, value: str | PathLike[str]) -> Any:
        path = Path(value)
        if not path.is_absolute():
            return str(value)
        try:
            if path.is_dir():
                return {str(f.relative_to(path)): self._digest(f) for f in sorted(path.rglob("*")) if f.is_file()}
            if not path.is_file():
                return str(value)
            voxels = _voxels_beside(path)
            return self._digest(path) if voxels is None else [self._digest(path), self._digest(voxels)]
        except (OSError, ValueError):  # a text that is no path at all, such as a long description
            return str(value)

    def _digest(self, path: Path) -> str:
        stat = path.stat()
        state = [stat.st_size, stat.st_mtime_ns, stat.st_ino]
        name = str(path.resolve())
        known = self._known.get(name)
        if known is not None and known[:3] == state:
            return str(known[3])
        digest = file_sha256(path)
        if time.time_ns() - stat.st_mtime_ns > _SETTLED_NS:
            with self._lock:
                self._known[name] = [*state, digest]
                self._changed = True
        return digest


def _voxels_beside(path: Path) -> Path | None:
    """The file of voxels that a detached header names; None where header and voxels are one file."""
    if not has_suffix(path, (*NRRD_SUFFIXES, *METAIMAGE_SUFFIXES)):
        return None
    with path.open("rb") as file:
        named = _VOXELS_ELSEWHERE.search(file.read(LARGEST_HEADER_BYTES))
    voxels = None if named is None else path.parent / Path(named[1].decode("utf-8", "replace").strip()).name
    return voxels if voxels is not None and voxels.is_file() else None


def _read(memory: Path) -> dict[str, list[Any]]:
    try:
        document = json.loads(memory.read_text(encoding="utf-8"))
    except (OSError, ValueError):
        return {}
    return document if isinstance(document, dict) else {}


def file_sha256(path: Path) -> str:
    """SHA-256 of a file, as hexadecimal text."""
    digest = hashlib.sha256()
    with path.open("rb") as file:
        while chunk := file.read(_CHUNK_BYTES):
            digest.update(chunk)
    return digest.hexdigest()
