# SPDX-License-Identifier: Apache-2.0
"""Read data lists: Decathlon-style JSON, checked and turned into entries that the loaders understand."""

from __future__ import annotations

import json
import logging
from collections.abc import Callable, Mapping, Sequence
from os import PathLike
from pathlib import Path
from typing import Any

from ..conventions import (
    CASE_ID_KEY,
    FRAMES_KEY,
    IMAGE_KEY,
    LABEL_KEY,
    LABELED_FRAMES_KEY,
    TRUTH_KEY,
)
from ..errors import InputError
from .entries import Entry, label_convention, normalise_entry
from .held_out import refuse_leakage
from .labels import annotated_frames, check_frame_range
from .misspelt import warn_of_misspelt_fields
from .open_sequence import open_sequence
from .same_grid import check_same_grid

logger = logging.getLogger(__name__)

SECTIONS_WITH_LABELS = ("training", "validation")


def load_datalist(
    path: str | PathLike[str],
    section: str,
    dataset_dir: str | PathLike[str] | None = None,
    *,
    keep_unreadable: bool = False,
) -> list[Entry]:
    """The entries of one section, with absolute paths, checked against the headers of their files.

    Args:
        path: the JSON file; paths in it are relative to it. ``docs/data.md`` describes the fields. An entry that is a
            plain text is the path of its image.
        section: ``training``, ``validation``, ``test`` or another list in the file.
        dataset_dir: where a relative ``path`` is looked for too, see :func:`find_datalist`.
        keep_unreadable: warn of entries whose headers cannot be read or disagree instead of refusing the list, unless
            that holds for all of them; for who passes over what cannot be loaded.

    Returns:
        One dictionary per sequence with ``id``, ``image``, ``full_cycle``, ``ef_percent`` (nan where not given) and,
        where given, ``label``, ``truth``, ``labeled_frames``, ``frames``, ``label_map`` (integers),
        ``empty_frames_are_unlabeled`` and any further fields.

    Raises:
        InputError: naming file, entry and fix: no such section, a missing or unreadable file, a label whose grid or
            frame count differs from its image's or that is the image, a frame out of range, an id that is repeated or
            longer than file names may be, a flag that is neither true nor false, an ejection fraction that is not in
            percent, a sequence of ``training`` that ``validation`` or ``test`` hold too or the reverse, an entry of
            ``training`` or ``validation`` without label, such a section without any annotated frame,
            ``labeled_frames`` beside ``frames`` that contradict the label file, or a further field that holds ``null``
            (for a whole field it means "not given") or an integer of more than 64 bits.
    """
    source = Path(path) if dataset_dir is None else find_datalist(path, dataset_dir)
    document = read_datalist(source)
    listed = _section(source, document, section)
    entries = [normalise_entry(source, section, index, raw, document) for index, raw in enumerate(listed)]
    warn_of_misspelt_fields(source, section, document)
    _refuse_repeated_ids(source, section, entries)
    refuse_leakage(source, section, entries, document)
    if keep_unreadable:
        warn_of_unreadable(entries, lambda entry: check_files(source, section, entry))
    else:
        for entry in entries:
            check_files(source, section, entry)
    if section in SECTIONS_WITH_LABELS:
        _require_annotation(source, section, entries)
    return entries


def find_datalist(path: str | PathLike[str], dataset_dir: str | PathLike[str]) -> Path:
    """Where a data list named by the user is.

    Args:
        path: absolute, or relative to the current directory if the file is there, else to ``dataset_dir``.
        dataset_dir: folder of the data set.

    Returns:
        The file.

    Raises:
        InputError: if it is in neither place.
    """
    named, inside = Path(path), Path(dataset_dir) / path
    if not named.is_file():
        if not inside.is_file():
            fix = f"correct the path, relative to the current directory or to {dataset_dir}"
            raise InputError(named, "the data list does not exist", fix)
        return inside
    if inside.is_file() and not inside.samefile(named):
        logger.warning("%s is in the current directory and in %s: taking the former", named, dataset_dir)
    return named


def frames_as_cases(datalist: Sequence[Mapping[str, Any]]) -> list[Entry]:
    """One entry per annotated frame, for a network that sees single frames.

    Each gets ``frames: [t]`` and the id ``<id>_frame<t>`` (0-based). Each label file is read once, to find the frames
    or to check those that are listed: who loads a single frame cannot see that a structure is in another one.

    Args:
        datalist: entries of :func:`load_datalist`.

    Returns:
        The expanded entries; sequences without an annotated frame give none.

    Raises:
        InputError: if an entry has no label, or one that :func:`~cardiac4d.io.labels.read_labels` refuses.
    """
    expanded = []
    for entry in datalist:
        if LABEL_KEY not in entry:
            raise InputError(entry[CASE_ID_KEY], 'no "label"', "give a label file, or another list", LABEL_KEY)
        found = annotated_frames(open_sequence(entry[LABEL_KEY]), label_convention(entry))
        chosen = [t for t in found if t in entry.get(FRAMES_KEY, found)]
        for t in chosen:
            case = f"{entry[CASE_ID_KEY]}_frame{t:02d}"
            expanded.append({**entry, CASE_ID_KEY: case, FRAMES_KEY: [t], LABELED_FRAMES_KEY: found})
    return expanded


def read_datalist(path: Path) -> Mapping[str, Any]:
    """A data list as it stands in its file; :class:`InputError` unless it is a JSON object."""
    if not path.is_file():
        raise InputError(path, "the data list does not exist", "correct the path")
    try:
        document = json.loads(path.read_text(encoding="utf-8-sig"))  # some editors on Windows begin files with a mark
    except ValueError as error:
        raise InputError(path, f"not valid JSON ({error})", "correct the syntax at that place") from error
    if not isinstance(document, Mapping):
        raise InputError(path, "the top level is not an object", 'write {"training": [...], "validation": [...]}')
    return document


def _section(path: Path, document: Mapping[str, Any], section: str) -> list[Any]:
    lists = sorted(name for name, value in document.items() if isinstance(value, list))
    if section not in lists:
        raise InputError(path, f"no list {section!r}, it has {lists}", f"add {section!r} or name one of those")
    if not document[section]:
        raise InputError(path, "the list is empty", "add at least one sequence", section)
    return list(document[section])


def _refuse_repeated_ids(path: Path, section: str, entries: Sequence[Entry]) -> None:
    seen: dict[str, int] = {}
    for index, entry in enumerate(entries):
        first = seen.setdefault(entry[CASE_ID_KEY], index)
        if first != index:
            problem = f"id {entry[CASE_ID_KEY]!r} is that of {section}[{first}] too"
            raise InputError(path, problem, 'give each sequence its own "id"', f"{section}[{index}].id")


def check_files(path: Path, section: str, entry: Entry) -> None:
    """Look into the headers of an entry's files; :class:`InputError` where they do not fit together or to the entry."""
    image = open_sequence(entry[IMAGE_KEY])
    try:
        for name in (LABELED_FRAMES_KEY, FRAMES_KEY):
            check_frame_range(image, entry.get(name, ()), name)
    except InputError as error:
        where = f"{section}, entry {entry[CASE_ID_KEY]!r}, {error.field}"
        raise InputError(path, f"{error.problem} ({error.source})", error.fix, where) from error
    for key in (LABEL_KEY, TRUTH_KEY):
        if key in entry:
            check_same_grid(open_sequence(entry[key]), image)
    if {LABEL_KEY, LABELED_FRAMES_KEY, FRAMES_KEY} <= entry.keys():
        annotated_frames(open_sequence(entry[LABEL_KEY]), label_convention(entry))  # loading will not see every frame


def warn_of_unreadable(entries: Sequence[Entry], check: Callable[[Entry], object]) -> None:
    """Warn of every entry that ``check`` refuses; raise the first :class:`InputError` if it refuses all of them."""
    problems: list[InputError] = []
    for entry in entries:
        try:
            check(entry)
        except InputError as error:
            problems.append(error)
    if problems and len(problems) == len(entries):
        raise problems[0]
    for problem in problems:
        logger.warning("%s", problem)


def _require_annotation(path: Path, section: str, entries: Sequence[Entry]) -> None:
    for entry in entries:
        where = f"{section}, entry {entry[CASE_ID_KEY]!r}"
        if LABEL_KEY not in entry:
            raise InputError(path, 'no "label"', "add its label file, or move the entry to another list", where)
        if section == "validation" and entry.get(LABELED_FRAMES_KEY) == []:
            raise InputError(path, "no annotated frame to validate on", "list one, or move the entry", where)
    if not any(_has_annotation(entry) for entry in entries):
        problem = "no annotated frame in the whole list"
        raise InputError(path, problem, 'list them as "labeled_frames", or mark others by 255 in the label', section)


def _has_annotation(entry: Entry) -> bool:
    if LABELED_FRAMES_KEY in entry:
        return bool(entry[LABELED_FRAMES_KEY])
    return bool(annotated_frames(open_sequence(entry[LABEL_KEY]), label_convention(entry)))
