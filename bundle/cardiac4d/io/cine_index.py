# SPDX-License-Identifier: Apache-2.0
"""List a folder of cine-MR sequences with an ``index.csv``, annotated at end-diastole and end-systole (ACDC labels)."""

from __future__ import annotations

from collections.abc import Mapping
from os import PathLike
from pathlib import Path
from typing import Any

import numpy as np

from ..conventions import REFERENCE_EF_KEY, REFERENCE_EF_RANGE_PERCENT
from ..errors import InputError
from .open_sequence import open_sequence
from .study_lists import (
    ACDC_LABELS,
    DEFAULTS,
    ListOptions,
    existing_folder,
    read_table,
    split_by_group,
    write_study_list,
)

_CAVITY = 3
_COLUMNS = ("id", "group", "ed_frame", "es_frame", "spacing_known")


def write_cine_datalist(
    source_dir: str | PathLike[str],
    output_json: str | PathLike[str],
    options: ListOptions = DEFAULTS,
) -> Path:
    """Write a data list with a split by patient, stratified by diagnosis group. Images are not copied.

    Reads ``index.csv`` (``id,group,num_frames,ed_frame,es_frame,spacing_known``, frames 0-based) beside
    ``<id>_4d.nii.gz`` and ``<id>_4d_sparse_gt.nii.gz``. Each entry gets the reference ejection fraction of its two
    labels: a ratio, right although these files are cropped. It is left out where it is none that
    :func:`~cardiac4d.io.datalist.load_datalist` accepts, such as where the cavity is larger at end-systole.

    Args:
        source_dir: the folder.
        output_json: the file to write.
        options: of the split, by diagnosis group, and of the file.

    Returns:
        The path written.

    Raises:
        InputError: if ``index.csv`` or a file it names is missing or unusable, or the data list exists.
    """
    source = existing_folder(source_dir)
    entries = [_entry(source, row) for row in read_table(source / "index.csv", _COLUMNS)]
    return write_study_list(
        output_json,
        split_by_group(entries, options),
        name=source.name,
        description=f"cine MR, annotated at two frames; split by patient and group, seed {options.seed}",
        label_map=ACDC_LABELS,
        modality="MR",
        full_cycle=True,
        options=options,
    )


def _entry(source: Path, row: Mapping[str, str]) -> dict[str, Any]:
    frames = [int(row["ed_frame"]), int(row["es_frame"])]
    label = source / f"{row['id']}_4d_sparse_gt.nii.gz"
    diastole, systole = (np.count_nonzero(frame == _CAVITY) for frame in open_sequence(str(label)).frames(frames))
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
