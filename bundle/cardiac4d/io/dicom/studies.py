# SPDX-License-Identifier: Apache-2.0
"""Which studies a folder holds: itself, or one per sub-folder."""

from __future__ import annotations

from collections.abc import Sequence
from os import PathLike
from pathlib import Path

from ...errors import InputError
from ..image_names import has_suffix
from .files import files_below, is_dicom, read_header


def holds_dicom(folder: str | PathLike[str]) -> bool:
    """Whether a folder tree holds a file that says it is DICOM."""
    return first_dicom(Path(folder)) is not None


def is_dicom_study(files: Sequence[Path]) -> bool:
    """Whether one place or several files are DICOM: a folder tree that holds a DICOM file, or files that are."""
    first = files[0]
    return holds_dicom(first) if first.is_dir() else not has_suffix(first) and is_dicom(first)


def refuse_mixture(folder: Path, image_files: Sequence[Path]) -> None:
    """Raise :class:`InputError` where image files and a DICOM study share a folder.

    Which of them is the study is nothing to guess: the image files may be another patient's, or its segmentations.

    Args:
        folder: the folder that the user named.
        image_files: those in its own level.
    """
    first = first_dicom(folder)
    if first is None:
        return
    named = image_files[0].name + (f" and {len(image_files) - 1} more" if len(image_files) > 1 else "")
    problem = f"it holds image files ({named}) and DICOM files ({first.relative_to(folder)}, ...)"
    fix = f"keep them apart, or name the image files ({folder}/*{image_files[0].suffix})"
    raise InputError(folder, problem, f'{fix}; in a data list, "series": "*" takes the DICOM study')


def first_dicom(folder: Path) -> Path | None:
    """The first DICOM file of a folder tree, or None."""
    return next((path for path in files_below(folder) if is_dicom(path)), None)


def dicom_studies(folder: str | PathLike[str]) -> list[Path]:
    """The folders that hold one study each.

    The folder itself, if DICOM files lie in it, or if all its sub-folders hold series of one study; else each
    sub-folder that holds DICOM files. Studies are told apart by StudyInstanceUID, read of one file per sub-folder.

    Returns:
        Folders in the order of their names; none where there is no DICOM file.

    Raises:
        InputError: if some sub-folders share a study while others do not.
    """
    place = Path(folder)
    if any(is_dicom(path) for path in place.iterdir()):
        return [place]
    homes: dict[str, list[Path]] = {}
    for inner in sorted(path for path in place.iterdir() if path.is_dir() and not path.name.startswith(".")):
        first = first_dicom(inner)
        if first is not None:
            homes.setdefault(_study_uid(place, first), []).append(inner)
    if len(homes) == 1:
        return [place]
    shared = next((members for members in homes.values() if len(members) > 1), None)
    if shared is not None:
        names = ", ".join(path.name for path in shared[:2])
        problem = f"its sub-folders hold several studies, and some share one ({names})"
        fix = "keep each study in one sub-folder, or name the studies in a data list"
        raise InputError(place, problem, fix)
    return [members[0] for members in homes.values()]


def _study_uid(place: Path, path: Path) -> str:
    """The study of a file; of one that cannot be read its folder, which stands for a damaged study of its own."""
    try:
        header = read_header(place, path, ["SOPClassUID", "StudyInstanceUID"])
    except InputError:
        return str(path.parent)
    return "" if header is None else str(header.get("StudyInstanceUID", ""))
