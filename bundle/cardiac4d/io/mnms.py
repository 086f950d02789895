# SPDX-License-Identifier: Apache-2.0
"""List the folders of the M&Ms challenge: a table of frames, and 4D labels that are zero where nothing is annotated."""

from __future__ import annotations

import logging
from collections.abc import Mapping
from os import PathLike
from pathlib import Path
from typing import Any

from ..conventions import BACKGROUND, LV, LVM
from ..errors import InputError
from .study_lists import DEFAULTS, ListOptions, existing_folder, read_table, split_by_group, write_study_list

logger = logging.getLogger(__name__)

MNMS_LABELS: Mapping[int, int] = {1: LV, 2: LVM, 3: BACKGROUND}
"""M&Ms: left-ventricular cavity 1, myocardium 2, right ventricle 3 (background here)."""

UNLABELED = "unlabeled"
_COLUMNS = ("External code", "ED", "ES")
_SECTIONS = {"training": "training", "validation": "validation", "testing": "test"}


def write_mnms_datalist(
    source_dir: str | PathLike[str],
    table_csv: str | PathLike[str],
    output_json: str | PathLike[str],
    options: ListOptions = DEFAULTS,
) -> Path:
    """Write a data list for sequences as M&Ms has them. Nothing is copied.

    The table counts frames from 0. ``CODE_sa_gt.nii.gz`` is zero in frames that nobody annotated, so the frames of the
    table are listed. Below a folder ``Unlabeled`` the label files are zero throughout and no labels at all: those
    studies are left out, and counted in the log. Folders ``Training``, ``Validation`` and ``Testing`` become the
    lists; without a validation list the training list is split by vendor.

    Args:
        source_dir: folder that holds ``CODE_sa.nii.gz`` and ``CODE_sa_gt.nii.gz``, at any depth.
        table_csv: the table, with the columns ``External code``, ``ED``, ``ES`` and perhaps ``Vendor``.
        output_json: the file to write.
        options: of the split, by vendor, and of the file.

    Returns:
        The path written.

    Raises:
        InputError: if the table is unusable, or names a study of which a file is missing or there are two.
    """
    source = existing_folder(source_dir)
    images = _by_code(source)
    lists: dict[str, list[dict[str, Any]]] = {section: [] for section in _SECTIONS.values()}
    passed_over = 0
    for row in read_table(Path(table_csv), _COLUMNS):
        image = images.get(row["External code"])
        if image is None or UNLABELED in _folders(source, image):
            passed_over += 1
            continue
        section = next((_SECTIONS[name] for name in _folders(source, image) if name in _SECTIONS), "training")
        lists[section].append(_entry(Path(table_csv), row, image))
    logger.info("%d rows of %s have no annotated sequence here and are left out", passed_over, table_csv)
    if not lists["validation"] and lists["training"]:
        lists |= split_by_group(lists["training"], options)
    return write_study_list(
        output_json,
        lists,
        name=source.name,
        description=f"cine MR in the layout of M&Ms; seed of the split {options.seed}",
        label_map=MNMS_LABELS,
        modality="MR",
        full_cycle=True,
        options=options,
    )


def _by_code(source: Path) -> dict[str, Path]:
    images: dict[str, Path] = {}
    for image in sorted(source.rglob("*_sa.nii*")):
        code = image.name.partition("_sa.")[0]
        if code in images:
            raise InputError(image, f"{code} is in {images[code]} too", "keep one of the two")
        images[code] = image
    if not images:
        raise InputError(source, "no CODE_sa.nii.gz in any folder below", "give the folder of the images")
    return images


def _folders(source: Path, image: Path) -> list[str]:
    return [part.lower() for part in image.parent.relative_to(source).parts]


def _entry(table: Path, row: Mapping[str, str], image: Path) -> dict[str, Any]:
    label = image.with_name(image.name.replace("_sa.", "_sa_gt."))
    if not label.is_file():
        raise InputError(label, "the label of this image is missing", "copy it, or move the image to Unlabeled")
    frames = [row[name] for name in ("ED", "ES")]
    if not all(frame.isdigit() for frame in frames):
        raise InputError(table, f"{frames} are no frame numbers", "write numbers counted from 0", row["External code"])
    listed = sorted({int(frame) for frame in frames})
    group = {"group": row["Vendor"]} if row.get("Vendor") else {}
    return {"id": row["External code"], **group, "image": str(image), "label": str(label), "labeled_frames": listed}
