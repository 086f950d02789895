# SPDX-License-Identifier: Apache-2.0
"""Voxels behind a header, raw or packed, read forward in small pieces."""

from __future__ import annotations

import bz2
import gzip
import weakref
import zlib
from collections.abc import Callable
from pathlib import Path
from typing import IO, Any

from ..errors import InputError

READ_ERRORS = (OSError, EOFError, ValueError, zlib.error)
_PIECE_BYTES = 1 << 20


class VoxelStream:
    """Bytes of voxels by their place in the unpacked data.

    Going forward a packed file is unpacked once; going back starts it anew. No more memory is used than what is asked
    for and really there: a header that promises too much costs nothing.

    Args:
        path: the file that holds the voxels.
        offset: where they begin in it.
        encoding: ``raw``, ``gzip``, ``zlib`` or ``bzip2``.
        size: bytes of all voxels unpacked; reading the last of them checks the checksum of what is packed.
    """

    def __init__(self, path: Path, offset: int, encoding: str, size: int) -> None:
        self.path, self.offset, self.encoding, self.size = path, offset, encoding, size
        self._file: IO[bytes] | None = None
        self._close: Callable[[], object] = int
        self._position = 0

    def read(self, start: int, count: int) -> bytearray:
        """``count`` bytes from ``start``.

        Raises:
            InputError: if the file ends early or its compression is damaged.
        """
        try:
            return self._read(start, count)
        except READ_ERRORS as error:
            problem = f"its voxels cannot be read, the file is truncated or damaged ({error})"
            raise InputError(self.path, problem, "copy or export the file again") from error

    def _read(self, start: int, count: int) -> bytearray:
        file = self._at(start)
        content = bytearray()
        while len(content) < count:
            piece = file.read(min(_PIECE_BYTES, count - len(content)))
            if not piece:
                raise EOFError(f"it ends {count - len(content)} bytes early")
            content += piece
        self._position = start + count
        # Checksums are compared at the end of a packed stream, which damage in its middle may put elsewhere.
        if self._position == self.size and self.encoding != "raw" and file.read(1):
            raise EOFError("it goes on after its last voxel")
        return content

    def _at(self, start: int) -> IO[bytes]:
        """The open file at ``start``."""
        is_behind = self.encoding != "raw" and (start < self._position or self._position == self.size)
        file = self._open() if self._file is None or is_behind else self._file
        if self.encoding == "raw":
            file.seek(self.offset + start)
            return file
        while self._position < start:
            piece = file.read(min(_PIECE_BYTES, start - self._position))
            if not piece:
                raise EOFError(f"it ends {start - self._position} bytes early")
            self._position += len(piece)
        return file

    def _open(self) -> IO[bytes]:
        self._close()
        raw = self.path.open("rb")
        self._close = weakref.finalize(self, raw.close)
        raw.seek(self.offset)
        self._position = 0
        self._file = _UNPACKED[self.encoding](raw)
        return self._file


class _Inflated:
    """What a zlib or gzip stream holds, as MetaImage packs it."""

    def __init__(self, raw: IO[bytes]) -> None:
        self._raw, self._inflate = raw, zlib.decompressobj(wbits=zlib.MAX_WBITS | 32)

    def read(self, count: int) -> bytes:
        while not self._inflate.eof:
            packed = self._inflate.unconsumed_tail or self._raw.read(_PIECE_BYTES)
            content = self._inflate.decompress(packed, count)
            if content or not packed:
                return content
        return b""


_UNPACKED: dict[str, Callable[[IO[bytes]], Any]] = {
    "raw": lambda raw: raw,
    "gzip": lambda raw: gzip.GzipFile(fileobj=raw),
    "zlib": _Inflated,
    "bzip2": lambda raw: bz2.BZ2File(raw),
}
