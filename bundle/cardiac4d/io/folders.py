# SPDX-License-Identifier: Apache-2.0
"""Folders: what to segment, and where results may go."""

from __future__ import annotations

import logging
import math
from collections.abc import Sequence
from os import PathLike
from pathlib import Path

from ..conventions import CASE_ID_KEY, FULL_CYCLE_KEY, IMAGE_KEY, REFERENCE_EF_KEY
from ..errors import InputError
from .datalist import load_datalist, warn_of_unreadable
from .dicom import dicom_studies, refuse_mixture
from .entries import Entry, check_case_id, check_flag
from .image_names import case_stem, has_wildcard
from .open_sequence import open_sequence, open_volume
from .places import FILES, is_image_file, listed_files

logger = logging.getLogger(__name__)

DATALIST_NAME = "dataset.json"
"""The data list that is looked for in a folder without sequences."""


def find_inputs(
    dataset_dir: str | PathLike[str],
    datalist: str | PathLike[str] | None = None,
    section: str = "test",
    *,
    full_cycle: bool = False,
) -> list[Entry]:
    """The sequences to segment.

    Args:
        dataset_dir: one 4D file (``.nii``, ``.nii.gz``, ``.nrrd``, ``.mha``, ``.mhd``), or a folder of such files (its
            own level only), or a folder without such files that holds a ``dataset.json``, of which ``section`` is
            taken; or the folder of a DICOM study, or one whose sub-folders are one study each; or a pattern such as
            ``data/*_ct.nii.gz``, of 4D files, or of 3D files that are the phases of **one** sequence.
        datalist: a data list, of which ``section`` is taken instead; a relative path is looked for in the current
            directory, then in ``dataset_dir``.
        section: the list to take from the data list.
        full_cycle: files given by themselves cover one whole R-R interval, so that their last frame is followed by
            their first; headers do not tell. A data list says so for each of its entries.

    Returns:
        Entries as those of :func:`~cardiac4d.io.datalist.load_datalist`, sorted by name where a folder was searched.

    Raises:
        InputError: if nothing is found, no file is a readable 4D sequence, a name is too long for that of a result, a
            folder holds image files and DICOM files, ``full_cycle`` is neither true nor false, or the data list is
            refused. Where some can be read, the others are announced by a warning and kept: they fail when they are
            loaded.
    """
    place = Path(dataset_dir)
    check_flag(place, FULL_CYCLE_KEY, full_cycle)
    if datalist is not None:
        return load_datalist(datalist, section, place, keep_unreadable=True)
    if not place.exists() and has_wildcard(place):
        return _matching(place, full_cycle)
    if not place.exists():
        raise InputError(place, "it does not exist", "give a 4D file, or a folder of such files")
    files = [place] if place.is_file() else _sequences_in(place)
    if not files and (place / DATALIST_NAME).is_file():
        logger.info("%s holds no sequence of its own: taking %r of its %s", place, section, DATALIST_NAME)
        return load_datalist(place / DATALIST_NAME, section, keep_unreadable=True)
    if files and place.is_dir():
        refuse_mixture(place, files)
    files = files or dicom_studies(place)
    if not files:
        raise _nothing_found(place)
    return _entries(place, files, full_cycle)


def prepare_output_dir(path: str | PathLike[str], *, overwrite: bool = False) -> Path:
    """Make a folder for results, and refuse one that holds some already.

    Args:
        path: the folder; its parents are made too.
        overwrite: accept a folder that is not empty.

    Returns:
        The folder.

    Raises:
        InputError: if ``path`` is a file, or a folder that is not empty while ``overwrite`` is false; if ``overwrite``
            is neither true nor false.
    """
    folder = Path(path)
    check_flag(folder, "overwrite", overwrite)
    if folder.exists() and not folder.is_dir():
        raise InputError(folder, "it is a file, but results go into a folder", "name another output folder")
    if folder.is_dir() and not overwrite and any(folder.iterdir()):
        fix = "name another output folder, empty this one, or allow overwriting"
        raise InputError(folder, "the output folder already holds results", fix)
    folder.mkdir(parents=True, exist_ok=True)
    return folder


def _sequences_in(folder: Path) -> list[Path]:
    return sorted(filter(is_image_file, folder.iterdir()))


def _matching(pattern: Path, full_cycle: bool) -> list[Entry]:
    """One entry for each 4D file that matches, or one for all if they are single volumes."""
    files = listed_files(pattern)
    counts = {file: _num_frames(file) for file in files}
    singles = [file for file, count in counts.items() if count == 1]
    if len(singles) in (0, 1):
        return _entries(pattern, files, full_cycle)
    if len(singles) < len(files):
        other = next(file for file in files if file not in singles)
        open_volume(other)  # one that cannot be read is no other kind of file: its own problem is told
        problem = f"{singles[0].name} holds one frame, {other.name} several"
        raise InputError(pattern, problem, "let the pattern match 4D files, or the phases of one sequence")
    logger.info("%s: its %d files are taken as the phases of one sequence", pattern, len(files))
    return [_phases(pattern, files, full_cycle)]


def _num_frames(file: Path) -> int:
    """Number of frames; 0 where the file cannot be read."""
    try:
        return open_volume(file).num_frames
    except InputError:
        return 0


def _nothing_found(folder: Path) -> InputError:
    lists = sorted(f.name for f in folder.glob("*.json"))
    fix = (
        f"name the data list ({', '.join(lists)})"
        if lists
        else "give a folder of 4D files or of DICOM studies, or one file"
    )
    problem = f"no image file (.nii, .nii.gz, .nrrd, .mha, .mhd), no {DATALIST_NAME} and no DICOM file in this folder"
    inner = sorted(f.name for f in folder.iterdir() if f.is_dir() and not f.name.startswith("."))
    if inner and not lists:
        problem += (
            f", and its {len(inner)} sub-folder{'s are' if len(inner) > 1 else ' is'} not searched for image files"
        )
        fix = f"give one of them ({', '.join(inner[:2])}{', ...' if len(inner) > 2 else ''}), or a data list"
    return InputError(folder, problem, fix)


def _refuse_equal_names(folder: Path, files: Sequence[Path]) -> None:
    seen: dict[str, Path] = {}
    for file in files:
        first = seen.setdefault(case_stem(file), file)
        if first != file:
            raise InputError(folder, f"{first.name} and {file.name} would share one result", "rename one of them")


def _entries(place: Path, files: Sequence[Path], full_cycle: bool) -> list[Entry]:
    """One entry per file or folder; those that cannot be read are announced, and fail when they are loaded."""
    _refuse_equal_names(place, files)
    entries = [_entry(file, full_cycle) for file in files]
    warn_of_unreadable(entries, lambda entry: open_sequence(entry[IMAGE_KEY]))
    return entries


def _entry(file: Path, full_cycle: bool) -> Entry:
    case_id = case_stem(file.resolve())
    check_case_id(file, case_id, CASE_ID_KEY)
    return _fields(case_id, str(file.resolve()), full_cycle)


def _phases(pattern: Path, files: Sequence[Path], full_cycle: bool) -> Entry:
    """One sequence of single volumes, named after their folder."""
    case_id = files[0].resolve().parent.name
    check_case_id(pattern, case_id, CASE_ID_KEY)
    place = {FILES: [str(file.resolve()) for file in files]}
    open_sequence(place)
    return _fields(case_id, place, full_cycle)


def _fields(case_id: str, place: str | dict[str, list[str]], full_cycle: bool) -> Entry:
    return {CASE_ID_KEY: case_id, IMAGE_KEY: place, FULL_CYCLE_KEY: full_cycle, REFERENCE_EF_KEY: math.nan}
