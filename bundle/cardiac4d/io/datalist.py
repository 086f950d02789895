# SPDX-License-Identifier: Apache-2.0
"""Read data lists: Decathlon-style JSON, checked and turned into entries that the loaders understand."""

from __future__ import annotations

import json
import logging
import math
from collections.abc import Mapping, Sequence
from os import PathLike
from pathlib import Path
from typing import Any, TypeAlias

from ..conventions import (
    CASE_ID_KEY,
    FRAMES_KEY,
    FULL_CYCLE_KEY,
    IMAGE_KEY,
    LABEL_KEY,
    LABELED_FRAMES_KEY,
    REFERENCE_EF_KEY,
    REFERENCE_EF_RANGE_PERCENT,
    TRUTH_KEY,
)
from ..errors import InputError
from .labels import LabelConvention, annotated_frames, check_frame_range
from .nifti import NiftiSequence, nifti_stem

Entry: TypeAlias = dict[str, Any]
logger = logging.getLogger(__name__)

LABEL_MAP_KEY = "label_map"
EMPTY_UNLABELED_KEY = "empty_frames_are_unlabeled"
SECTIONS_WITH_LABELS = ("training", "validation")
GRID_TOLERANCE = 0.05
"""Image and label grids may differ by this fraction of the smallest voxel edge (other software rounds affines)."""

_DEFAULTS: Mapping[str, Any] = {FULL_CYCLE_KEY: False, EMPTY_UNLABELED_KEY: False, LABEL_MAP_KEY: None}


def load_datalist(
    path: str | PathLike[str], section: str, dataset_dir: str | PathLike[str] | None = None
) -> list[Entry]:
    """The entries of one section, with absolute paths, checked against the headers of their files.

    Args:
        path: the JSON file; paths in it are relative to it. ``docs/data.md`` describes the fields. An entry that is a
            plain text is the path of its image.
        section: ``training``, ``validation``, ``test`` or another list in the file.
        dataset_dir: where a relative ``path`` is looked for too, see :func:`find_datalist`.

    Returns:
        One dictionary per sequence with ``id``, ``image``, ``full_cycle``, ``ef_percent`` (nan where not given) and,
        where given, ``label``, ``truth``, ``labeled_frames``, ``frames``, ``label_map`` (integers),
        ``empty_frames_are_unlabeled`` and any further fields.

    Raises:
        InputError: naming file, entry and fix: no such section, a missing or unreadable file, a label whose grid or
            frame count differs from its image's, a frame out of range, a repeated id, an ejection fraction that is
            not in percent, an entry of ``training`` or ``validation`` without label, such a section without any
            annotated frame, ``labeled_frames`` beside ``frames`` that contradict the label file, or a further field
            that holds ``null`` (for a whole field it means "not given") or an integer of more than 64 bits.
    """
    source = Path(path) if dataset_dir is None else find_datalist(path, dataset_dir)
    document = _read_json(source)
    listed = _section(source, document, section)
    entries = [_normalise(source, section, index, raw, document) for index, raw in enumerate(listed)]
    _refuse_repeated_ids(source, section, entries)
    for entry in entries:
        _check_files(source, section, entry)
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
            raise InputError(entry[IMAGE_KEY], 'no "label"', "give a label file, or another list", LABEL_KEY)
        found = annotated_frames(NiftiSequence(entry[LABEL_KEY]), label_convention(entry))
        chosen = [t for t in found if t in entry.get(FRAMES_KEY, found)]
        for t in chosen:
            case = f"{entry[CASE_ID_KEY]}_frame{t:02d}"
            expanded.append({**entry, CASE_ID_KEY: case, FRAMES_KEY: [t], LABELED_FRAMES_KEY: found})
    return expanded


def label_convention(entry: Mapping[str, Any]) -> LabelConvention:
    """How the entry's label file says what is annotated."""
    fields: dict[str, Any] = {"labeled_frames": entry.get(LABELED_FRAMES_KEY)}
    if entry.get(LABEL_MAP_KEY) is not None:
        fields[LABEL_MAP_KEY] = {int(value): int(label) for value, label in entry[LABEL_MAP_KEY].items()}
    return LabelConvention(**fields, empty_frames_are_unlabeled=bool(entry.get(EMPTY_UNLABELED_KEY, False)))


def check_same_grid(label: NiftiSequence, image: NiftiSequence) -> None:
    """Raise :class:`InputError` naming both files unless the label lies on the image's grid, frame by frame."""
    label_shape, image_shape = (*label.grid.shape, label.num_frames), (*image.grid.shape, image.num_frames)
    if label_shape != image_shape:
        problem = f"its shape {label_shape} differs from {image_shape} of its image {image.path}"
        raise InputError(label.path, problem, "give label and image of the same sequence, on the same grid")
    distance = label.grid.distance_mm(image.grid)
    if distance > GRID_TOLERANCE * image.grid.spacing_mm.min():
        problem = f"its affine places voxels up to {distance:.3g} mm from those of its image {image.path}"
        raise InputError(label.path, problem, "copy the image's affine to the label, or resample the label")


def _read_json(path: Path) -> Mapping[str, Any]:
    if not path.is_file():
        raise InputError(path, "the data list does not exist", "correct the path")
    try:
        document = json.loads(path.read_text(encoding="utf-8"))
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


def _normalise(path: Path, section: str, index: int, raw: Any, document: Mapping[str, Any]) -> Entry:
    where = f"{section}[{index}]"
    raw = {IMAGE_KEY: raw} if isinstance(raw, str) else raw  # as Decathlon writes its test list
    if not isinstance(raw, Mapping) or not raw.get(IMAGE_KEY):
        raise InputError(path, 'no "image"', 'write {"image": "imagesTr/case.nii.gz", ...}', where)
    defaults = {key: document.get(key, value) for key, value in _DEFAULTS.items()}
    entry: Entry = {key: value for key, value in {**defaults, **raw}.items() if value is not None}
    for key in (IMAGE_KEY, LABEL_KEY, TRUTH_KEY):
        if key in entry:
            entry[key] = _existing(path, f"{where}.{key}", entry[key])
    entry[CASE_ID_KEY] = str(raw.get(CASE_ID_KEY) or nifti_stem(raw[IMAGE_KEY]))
    if Path(entry[CASE_ID_KEY]).name != entry[CASE_ID_KEY]:
        problem = f"id {entry[CASE_ID_KEY]!r} cannot be part of a file name"
        raise InputError(path, problem, "results are named by id: leave out slashes", f"{where}.id")
    entry[REFERENCE_EF_KEY] = _percentage(path, f"{where}.{REFERENCE_EF_KEY}", entry.get(REFERENCE_EF_KEY, math.nan))
    for key in (LABELED_FRAMES_KEY, FRAMES_KEY):
        if key in entry:
            entry[key] = _frame_list(path, f"{where}.{key}", entry[key])
    _check_label_map(path, where, entry)
    for key, value in entry.items():
        _refuse_uncollatable(path, f"{where}.{key}", value)
    return entry


def _existing(path: Path, where: str, name: Any) -> str:
    if not isinstance(name, str):
        raise InputError(path, f"{name!r} is not a path", 'write such as "imagesTr/case.nii.gz"', where)
    file = path.parent / name
    if not file.exists():
        problem = f"{name} does not exist (looked for {file})"
        raise InputError(path, problem, "correct the path or remove the entry", where)
    return str(file.resolve())


def _percentage(path: Path, where: str, value: Any) -> float:
    """The ejection fraction, where nan stands for none; refused here, not after hours of segmentation."""
    low, high = REFERENCE_EF_RANGE_PERCENT
    is_number = isinstance(value, (int, float)) and not isinstance(value, bool)
    if not is_number or not (low < value <= high or value != value):
        fix = f"give a number in percent, above {low:g} and at most {high:g}, or leave it out"
        raise InputError(path, f"{value!r} is not an ejection fraction in percent", fix, where)
    return float(value)


def _frame_list(path: Path, where: str, frames: Any) -> list[int]:
    is_list = isinstance(frames, list) and all(isinstance(t, int) and not isinstance(t, bool) for t in frames)
    if not is_list or len(set(frames)) != len(frames):
        raise InputError(path, f"{frames!r} is not a list of different integers", "write such as [0, 7]", where)
    return sorted(frames)


def _check_label_map(path: Path, where: str, entry: Entry) -> None:
    try:
        convention = label_convention(entry)
    except (ValueError, TypeError, AttributeError) as error:
        fix = 'write integers, such as {"3": 1, "2": 2, "1": 0}'
        raise InputError(path, str(error), fix, f"{where}.{LABEL_MAP_KEY}") from error
    if LABEL_MAP_KEY in entry:
        entry[LABEL_MAP_KEY] = dict(convention.label_map)


def _refuse_uncollatable(path: Path, where: str, value: Any) -> None:
    """Refuse what a data loader cannot put into a batch: it would fail later, without saying which field it was."""
    if isinstance(value, Mapping):
        for key, item in value.items():
            _refuse_uncollatable(path, f"{where}.{key}", item)
    elif isinstance(value, list):
        for index, item in enumerate(value):
            _refuse_uncollatable(path, f"{where}[{index}]", item)
    elif value is None or (isinstance(value, int) and not -(2**63) <= value < 2**63):
        problem = f"{'null' if value is None else value} cannot pass through a data loader"
        raise InputError(path, problem, "leave it out, or write it as text", where)


def _refuse_repeated_ids(path: Path, section: str, entries: Sequence[Entry]) -> None:
    seen: dict[str, int] = {}
    for index, entry in enumerate(entries):
        first = seen.setdefault(entry[CASE_ID_KEY], index)
        if first != index:
            problem = f"id {entry[CASE_ID_KEY]!r} is that of {section}[{first}] too"
            raise InputError(path, problem, 'give each sequence its own "id"', f"{section}[{index}].id")


def _check_files(path: Path, section: str, entry: Entry) -> None:
    image = NiftiSequence(entry[IMAGE_KEY])
    try:
        for name in (LABELED_FRAMES_KEY, FRAMES_KEY):
            check_frame_range(image, entry.get(name, ()), name)
    except InputError as error:
        where = f"{section}, entry {entry[CASE_ID_KEY]!r}, {error.field}"
        raise InputError(path, f"{error.problem} ({error.source})", error.fix, where) from error
    for key in (LABEL_KEY, TRUTH_KEY):
        if key in entry:
            check_same_grid(NiftiSequence(entry[key]), image)
    if {LABEL_KEY, LABELED_FRAMES_KEY, FRAMES_KEY} <= entry.keys():
        annotated_frames(NiftiSequence(entry[LABEL_KEY]), label_convention(entry))  # loading will not see every frame


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
    return bool(annotated_frames(NiftiSequence(entry[LABEL_KEY]), label_convention(entry)))
