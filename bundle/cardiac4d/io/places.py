# SPDX-License-Identifier: Apache-2.0
"""Where a sequence is: one file, a folder or pattern or list of files, and what its files do not tell themselves."""

from __future__ import annotations

import glob
import json
from collections.abc import Mapping, Sequence
from os import PathLike
from pathlib import Path
from typing import Any, TypeAlias

from ..errors import InputError
from .image_names import case_stem, has_suffix, has_wildcard
from .phase_files import in_natural_order

Place: TypeAlias = "str | PathLike[str] | Sequence[str | PathLike[str]] | Mapping[str, Any]"
"""A path, a pattern such as ``phases/*.nii.gz``, a list of paths, or a mapping of ``files`` (one of these) and options.
"""

FILES = "files"
AXIS_ORDER_KEY = "axis_order"
FRAME_TIMES_KEY = "frame_times_ms"
RR_INTERVAL_KEY = "rr_interval_ms"
PHASE_TAG_KEY = "phase_key"
SERIES_KEY = "series"
STUDY_KEY = "study"
DICOM_OPTIONS = (PHASE_TAG_KEY, SERIES_KEY, STUDY_KEY)
"""Of DICOM only: see :class:`~cardiac4d.io.dicom.DicomSequence`."""
OPTIONS = (AXIS_ORDER_KEY, FRAME_TIMES_KEY, RR_INTERVAL_KEY, *DICOM_OPTIONS)
"""What a mapping may say beside its files, and an entry of a data list of its image."""


def listed_files(place: Place) -> list[Path]:
    """The files or folders that a place names, patterns and folders of image files resolved.

    Args:
        place: see :data:`Place`.

    Returns:
        In the order given, or for a pattern or folder in natural order; a folder without image files is itself the
        only one (DICOM).

    Raises:
        InputError: if a path does not exist, or a pattern has no match among image files.
    """
    if isinstance(place, Mapping):
        return listed_files(place[FILES])
    if not isinstance(place, (str, PathLike)):
        if not place:
            raise InputError("[]", "an empty list of files", "list the files, one per phase, in order of time")
        return [_existing(Path(path)) for path in place]
    path = Path(place)
    if not exists(path) and has_wildcard(place):
        return _matches(path)
    return image_files(_existing(path)) or [path]


def exists(path: Path) -> bool:
    """Whether something is there; not for a name that no file system takes (too long, or holding a NUL)."""
    try:
        return path.exists()
    except (OSError, ValueError):
        return False


def place_text(place: Place) -> str:
    """A place as text, which metadata can hold; :func:`place_of_text` reads it back.

    Example:
        >>> place_of_text(place_text({"files": [Path("a.nii"), "b.nii"], "rr_interval_ms": 800}))
        {'files': ['a.nii', 'b.nii'], 'rr_interval_ms': 800}
    """
    return json.dumps(place, default=_as_plain)


def place_of_text(text: str) -> Place:
    """The place that :func:`place_text` wrote."""
    place: Place = json.loads(text)
    return place


def _as_plain(value: Any) -> Any:
    return str(value) if isinstance(value, PathLike) else list(value)


def image_files(path: Path) -> list[Path]:
    """The image files in a folder, in natural order; none if ``path`` is a file, or a folder without any."""
    if not path.is_dir():
        return []
    found = [file for file in path.iterdir() if is_image_file(file)]
    return in_natural_order(found, str(path))


def is_image_file(path: Path) -> bool:
    """Whether a path is a file that a reader takes by its name; hidden files are half-written or of the system."""
    return path.is_file() and has_suffix(path) and not path.name.startswith(".")


def place_name(place: Place) -> str:
    """What a case is called by default: the file's name without suffix, else the name of the folder of its files.

    Example:
        >>> place_name("imagesTr/s01.nii.gz"), place_name(["s02/tf1.nii", "s02/tf2.nii"]), place_name("s03/*.mha")
        ('s01', 's02', 's03')
    """
    if isinstance(place, Mapping):
        return place_name(place[FILES])
    if not isinstance(place, (str, PathLike)):
        return Path(place[0]).parent.name if len(place) > 1 else case_stem(place[0])
    path = Path(place)
    return path.parent.name if has_wildcard(path.name) and not path.exists() else case_stem(path)


def _existing(path: Path) -> Path:
    if not exists(path):
        raise InputError(path, "the file does not exist", "correct the path, or restore the file")
    return path


def _matches(pattern: Path) -> list[Path]:
    found = [path for path in map(Path, glob.glob(str(pattern))) if is_image_file(path)]  # noqa: PTH207 (absolute)
    if not found:
        raise InputError(pattern, "no image file matches this pattern", "correct it; * stands for any text in a name")
    return in_natural_order(found, str(pattern))
