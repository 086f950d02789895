# SPDX-License-Identifier: Apache-2.0
"""Keep what is trained on apart from what is held out: a score on both is too good, and nothing shows it."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from ..conventions import IMAGE_KEY
from ..errors import InputError
from .entries import Entry
from .places import listed_files

TRAINING = "training"
HELD_OUT = ("validation", "test")
"""Both may hold the same sequences; lists of other names are the user's own affair."""


def refuse_leakage(path: Path, section: str, entries: Sequence[Entry], document: Mapping[str, Any]) -> None:
    """Refuse a sequence that is both trained on and held out.

    Files are compared by their resolved paths, so a copy of a file goes unnoticed.

    Args:
        path: the data list, to name it in the error.
        section: the list at hand.
        entries: its entries, with absolute paths.
        document: the whole data list, of whose other lists nothing but the paths of images is read.

    Raises:
        InputError: naming both entries.
    """
    others = HELD_OUT if section == TRAINING else (TRAINING,) if section in HELD_OUT else ()
    elsewhere = {image: place for name in others for image, place in _images(path, name, document.get(name))}
    for index, entry in enumerate(entries):
        shared = next((file for file in _resolved(listed_files(entry[IMAGE_KEY])) if file in elsewhere), None)
        if shared is not None:
            problem = f"{shared} is in {elsewhere[shared]} too"
            fix = "keep each sequence, and best each patient, either in training or in validation and test"
            raise InputError(path, problem, fix, f"{section}[{index}].{IMAGE_KEY}")


def _images(path: Path, section: str, listed: Any) -> list[tuple[str, str]]:
    """Resolved path and place of each image file of a list that is not at hand, where an entry has one."""
    raws = listed if isinstance(listed, list) else []
    names = [raw.get(IMAGE_KEY) if isinstance(raw, Mapping) else raw for raw in raws]
    return [
        (file, f"{section}[{index}]")
        for index, name in enumerate(names)
        for one in (name if isinstance(name, list) else [name])
        if isinstance(one, str) and one
        for file in _files(path.parent / one)
    ]


def _files(place: Path) -> list[str]:
    """The files of a place, or itself where nothing is there: that is told when its list is used."""
    try:
        return _resolved(listed_files(place))
    except InputError:
        return _resolved([place])


def _resolved(files: Sequence[Path]) -> list[str]:
    return [str(file.resolve()) for file in files]
