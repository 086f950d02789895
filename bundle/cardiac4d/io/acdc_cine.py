# SPDX-License-Identifier: Apache-2.0
"""Make a data list for a folder of cine-MR sequences annotated at end-diastole and end-systole (ACDC labels)."""

from __future__ import annotations

import csv
import json
import random
from collections import defaultdict
from collections.abc import Mapping, Sequence
from os import PathLike
from pathlib import Path
from typing import Any

import numpy as np

from ..conventions import BACKGROUND, LV, LVM, NOT_ANNOTATED, REFERENCE_EF_KEY, REFERENCE_EF_RANGE_PERCENT
from ..errors import InputError
from .open_sequence import open_sequence
from .whole_file import whole_file

ACDC_LABELS: Mapping[int, int] = {3: LV, 2: LVM, 1: BACKGROUND}
"""ACDC: right ventricle 1 (background here), myocardium 2, left-ventricular cavity 3."""

_CAVITY = 3
_COLUMNS = ("id", "group", "ed_frame", "es_frame", "spacing_known")


def write_cine_datalist(
    source_dir: str | PathLike[str],
    output_json: str | PathLike[str],
    *,
    seed: int = 0,
    validation_fraction: float = 0.2,
) -> Path:
    """Write a data list with a split by patient, stratified by diagnosis group. Images are not copied.

    Reads ``index.csv`` (``id,group,num_frames,ed_frame,es_frame,spacing_known``, frames 0-based) beside
    ``<id>_4d.nii.gz`` and ``<id>_4d_sparse_gt.nii.gz``. Each entry gets the reference ejection fraction of its two
    labels: a ratio, right although these files are cropped. It is left out where it is none that
    :func:`~cardiac4d.io.datalist.load_datalist` accepts, such as where the cavity is larger at end-systole.

    Args:
        source_dir: the folder.
        output_json: the file to write; it may be replaced.
        seed: of the split.
        validation_fraction: share of each group that is held back, between 0 and 1; at least one patient per group.

    Returns:
        The path written.

    Raises:
        InputError: if ``index.csv`` or a file it names is missing or unusable.
    """
    if not 0 < validation_fraction < 1:
        raise ValueError(f"`validation_fraction` must lie between 0 and 1, got {validation_fraction}")
    source, target = Path(source_dir).resolve(), Path(output_json)
    training, validation = _split(_read_index(source / "index.csv"), seed, validation_fraction)
    document = {
        "name": source.name,
        "description": f"cine MR, annotated at end-diastole and end-systole; split by patient and group, seed {seed}",
        "modality": {"0": "MR"},
        "labels": {"0": "background", "1": "LV", "2": "LVM", str(NOT_ANNOTATED): "not annotated"},
        "label_map": {str(value): label for value, label in ACDC_LABELS.items()},
        "full_cycle": True,
        "training": [_entry(source, row) for row in training],
        "validation": [_entry(source, row) for row in validation],
    }
    with whole_file(target) as partial:
        partial.write_text(json.dumps(document, indent=2) + "\n", encoding="utf-8")
    return target


def _read_index(path: Path) -> list[dict[str, str]]:
    if not path.is_file():
        raise InputError(path, "the index of the data set does not exist", "give the folder that holds index.csv")
    with path.open(newline="", encoding="utf-8") as file:
        rows = list(csv.DictReader(file))
    if not rows or not set(_COLUMNS) <= set(rows[0]):
        raise InputError(path, "columns or rows are missing", f"write a header with {', '.join(_COLUMNS)}")
    return rows


def _split(rows: Sequence[dict[str, str]], seed: int, fraction: float) -> tuple[list[dict], list[dict]]:
    groups: dict[str, list[dict[str, str]]] = defaultdict(list)
    for row in sorted(rows, key=lambda r: r["id"]):
        groups[row["group"]].append(row)
    generator = random.Random(seed)
    training, validation = [], []
    for _, members in sorted(groups.items()):
        generator.shuffle(members)
        held_back = max(1, round(len(members) * fraction))
        validation += members[:held_back]
        training += members[held_back:]
    return sorted(training, key=lambda r: r["id"]), sorted(validation, key=lambda r: r["id"])


def _entry(source: Path, row: Mapping[str, str]) -> dict[str, Any]:
    frames = [int(row["ed_frame"]), int(row["es_frame"])]
    label = source / f"{row['id']}_4d_sparse_gt.nii.gz"
    diastole, systole = (np.count_nonzero(frame == _CAVITY) for frame in open_sequence(label).frames(frames))
    if diastole == 0:
        raise InputError(label, f"no cavity (label {_CAVITY}) at end-diastole", "correct index.csv", "ed_frame")
    low, high = REFERENCE_EF_RANGE_PERCENT
    ef_percent = round(100.0 * (1.0 - systole / diastole), 2)
    reference = {REFERENCE_EF_KEY: ef_percent} if low < ef_percent <= high else {}
    return {
        "id": row["id"],
        "group": row["group"],
        "image": str(source / f"{row['id']}_4d.nii.gz"),
        "label": str(label),
        "labeled_frames": sorted(frames),
        "spacing_known": row["spacing_known"] == "1",
        **reference,
    }
