# SPDX-License-Identifier: Apache-2.0
"""One entry of a data list: its fields, checked and completed."""

from __future__ import annotations

import math
from collections.abc import Mapping
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
from .image_names import has_wildcard
from .label_names import numbered_label_map, segment_names
from .labeled_phases import LENGTH_KEY, NUMBERS_KEY, SEGMENTS_KEY
from .labels import LabelConvention
from .open_sequence import open_sequence
from .places import (
    AXIS_ORDER_KEY,
    DICOM_OPTIONS,
    FILES,
    FRAME_TIMES_KEY,
    OPTIONS,
    RR_INTERVAL_KEY,
    Place,
    exists,
    listed_files,
    place_name,
)
from .segmentation_volume import names_segments, segments_field

Entry: TypeAlias = dict[str, Any]

LABEL_MAP_KEY = "label_map"
EMPTY_UNLABELED_KEY = "empty_frames_are_unlabeled"

MAX_ID_BYTES = 200
"""File systems take names of 255 bytes; the results of a case add to its id."""

_DEFAULTS: Mapping[str, Any] = {
    FULL_CYCLE_KEY: False,
    EMPTY_UNLABELED_KEY: False,
    LABEL_MAP_KEY: None,
    AXIS_ORDER_KEY: None,
}
_FLAGS = (FULL_CYCLE_KEY, EMPTY_UNLABELED_KEY)
_PATHS = (IMAGE_KEY, LABEL_KEY, TRUTH_KEY)

SHARED_FIELDS = tuple(_DEFAULTS)
"""Fields that may stand at the top level of a data list, for all entries."""
FIELDS = (
    *(CASE_ID_KEY, *_PATHS, LABELED_FRAMES_KEY, FRAMES_KEY, REFERENCE_EF_KEY, *SHARED_FIELDS),
    *(FRAME_TIMES_KEY, RR_INTERVAL_KEY, *DICOM_OPTIONS),
)
"""Every field of an entry that means something to this package."""


def label_convention(entry: Mapping[str, Any]) -> LabelConvention:
    """How the entry's label file says what is annotated."""
    fields: dict[str, Any] = {"labeled_frames": entry.get(LABELED_FRAMES_KEY)}
    if entry.get(LABEL_MAP_KEY) is not None:
        fields[LABEL_MAP_KEY] = {int(value): int(label) for value, label in entry[LABEL_MAP_KEY].items()}
    return LabelConvention(**fields, empty_frames_are_unlabeled=bool(entry.get(EMPTY_UNLABELED_KEY, False)))


def normalise_entry(path: Path, section: str, index: int, raw: Any, document: Mapping[str, Any]) -> Entry:
    """Check an entry as it stands in the file; resolve its paths and fill in what it leaves out.

    Args:
        path: the data list; paths in it are relative to its folder.
        section: the list that holds the entry.
        index: its place in that list.
        raw: the entry: fields by name, or the path of an image.
        document: the whole data list, for the fields that hold for all entries.

    Raises:
        InputError: naming the field.
    """
    where = f"{section}[{index}]"
    raw = {IMAGE_KEY: raw} if isinstance(raw, str) else raw  # as Decathlon writes its test list
    if not isinstance(raw, Mapping) or not raw.get(IMAGE_KEY):
        raise InputError(path, 'no "image"', 'write {"image": "imagesTr/case.nii.gz", ...}', where)
    defaults = {key: document.get(key, value) for key, value in _DEFAULTS.items()}
    entry: Entry = {key: value for key, value in {**defaults, **raw}.items() if value is not None}
    for key in _FLAGS:
        check_flag(path, f"{where}.{key}" if key in raw else key, entry.get(key, False))
    _resolve_paths(path, where, entry)
    entry[CASE_ID_KEY] = str(raw.get(CASE_ID_KEY) or place_name(entry[IMAGE_KEY]))
    check_case_id(path, entry[CASE_ID_KEY], f"{where}.{CASE_ID_KEY}")
    entry[REFERENCE_EF_KEY] = _percentage(path, f"{where}.{REFERENCE_EF_KEY}", entry.get(REFERENCE_EF_KEY, math.nan))
    for key in (LABELED_FRAMES_KEY, FRAMES_KEY):
        if key in entry:
            entry[key] = _frame_list(path, f"{where}.{key}", entry[key])
    if LABEL_MAP_KEY in entry:
        field = f"{where}.{LABEL_MAP_KEY}"
        entry[LABEL_MAP_KEY] = numbered_label_map(path, field, entry[LABEL_MAP_KEY], document)
    _check_label_map(path, where, entry)
    for key, value in entry.items():
        _refuse_uncollatable(path, f"{where}.{key}", value)
    return entry


def check_flag(source: Path, where: str, value: Any) -> None:
    """Raise :class:`InputError` unless ``value`` is true or false: the text "false" would count as true."""
    if not isinstance(value, bool):
        problem, fix = (
            f"{value!r} is neither true nor false",
            "write true or false, without quotes (on the command line True or False)",
        )
        raise InputError(source, problem, fix, where)


def check_case_id(source: Path, case_id: str, where: str) -> None:
    """Raise :class:`InputError` unless files can be named by ``case_id``; found out now, not after segmentation."""
    if Path(case_id).name != case_id or not case_id.isprintable():
        problem = f"id {case_id!r} cannot be part of a file name"
        raise InputError(source, problem, "results are named by id: leave out slashes and control characters", where)
    size = len(case_id.encode())
    if size > MAX_ID_BYTES:
        problem = f"id {case_id[:20]!r}... has {size} bytes"
        raise InputError(source, problem, f"results are named by it: shorten it to at most {MAX_ID_BYTES}", where)


def _resolve_paths(path: Path, where: str, entry: Entry) -> None:
    """Turn paths, and what is said of their files, into the places that ``open_sequence`` takes."""
    options = {key: entry.pop(key) for key in OPTIONS if key in entry}
    of_labels = {AXIS_ORDER_KEY: options[AXIS_ORDER_KEY]} if AXIS_ORDER_KEY in options else {}
    if {FRAME_TIMES_KEY, RR_INTERVAL_KEY} <= options.keys():
        raise InputError(path, f"{FRAME_TIMES_KEY} and {RR_INTERVAL_KEY} both give times", "give one of them", where)
    for key in [key for key in _PATHS if key in entry]:
        name = entry[key]
        if key == LABEL_KEY and isinstance(name, Mapping):
            entry[key] = _by_frame(path, f"{where}.{key}", name, entry[IMAGE_KEY])
            _say_segments(path, where, entry)
            continue
        entry[key] = _resolved(path, f"{where}.{key}", name, options if key == IMAGE_KEY else of_labels)
        if key != IMAGE_KEY and listed_files(entry[key]) == listed_files(entry[IMAGE_KEY]):
            raise InputError(path, f"{name} is the image itself", "give the file of its labels", f"{where}.{key}")


def _resolved(path: Path, where: str, name: Any, options: Mapping[str, Any]) -> str | dict[str, Any]:
    """One absolute path, or a mapping where there are several files or options to open them with."""
    names = name if isinstance(name, list) else [name]
    if not names or not all(isinstance(one, str) and one for one in names):
        fix = 'write such as "imagesTr/case.nii.gz", or a list of such, one per phase'
        raise InputError(path, f"{name!r} is not a path", fix, where)
    files = [file for one in names for file in _existing(path, where, one)]
    if len(files) == 1 and not options:
        return files[0]
    return {FILES: files if len(files) > 1 else files[0], **options}


def _by_frame(path: Path, where: str, files: Mapping[str, Any], image: Place) -> dict[str, Any]:
    """The place of labels that are given as one file per annotated frame: ``{"0": "ed.nii.gz", "7": "es.nii.gz"}``."""
    fix = 'write frames, counted from 0, and their files, such as {"0": "ed.nii.gz", "7": "es.nii.gz"}'
    if not files or not all(frame.isdecimal() and isinstance(file, str) for frame, file in files.items()):
        raise InputError(path, f"{dict(files)!r} does not name a file for each annotated frame", fix, where)
    numbers = sorted(map(int, files))
    found = {int(frame): _existing(path, where, file) for frame, file in files.items()}
    several = [frame for frame, matches in found.items() if len(matches) != 1]
    if several:
        raise InputError(path, f"{files[str(several[0])]} is more than one file", fix, where)
    length = open_sequence(image).num_frames
    return {FILES: [found[n][0] for n in numbers], NUMBERS_KEY: numbers, LENGTH_KEY: length}


def _say_segments(path: Path, where: str, entry: Entry) -> None:
    """Note the image's grid, and what segments are, where label files name them; names in ``label_map`` are theirs."""
    if not any(names_segments(Path(file)) for file in entry[LABEL_KEY][FILES]):
        return
    label_map = entry.get(LABEL_MAP_KEY)
    names = segment_names(path, f"{where}.{LABEL_MAP_KEY}", label_map)
    if names is not None:
        del entry[LABEL_MAP_KEY]
    numbered = names is None and label_map is not None
    image = open_sequence(entry[IMAGE_KEY])
    entry[LABEL_KEY][SEGMENTS_KEY] = segments_field(image, names, numbered=numbered)


def _existing(path: Path, where: str, name: str) -> list[str]:
    """The files that a name stands for, resolved; a folder stays one."""
    file = path.parent / name
    if not exists(file) and not has_wildcard(name):
        problem = f"{name} does not exist (looked for {file})"
        slashes = "write / instead of \\; " if "\\" in name else ""
        raise InputError(path, problem, f"{slashes}correct the path or remove the entry", where)
    if exists(file):
        return [str(file.resolve())]
    try:
        return [str(match.resolve()) for match in listed_files(file)]
    except InputError as error:
        raise InputError(path, f"{name}: {error.problem} (looked for {file})", error.fix, where) from error


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
