# SPDX-License-Identifier: Apache-2.0
"""List the folders of the ACDC challenge: ``Info.cfg``, a 4D image, and a label file for each of two frames."""

from __future__ import annotations

import logging
import re
from os import PathLike
from pathlib import Path
from typing import Any

from ..errors import InputError
from .study_lists import ACDC_LABELS, DEFAULTS, ListOptions, existing_folder, split_by_group, write_study_list

logger = logging.getLogger(__name__)

INFO_NAME = "Info.cfg"
TEST_FOLDER = "testing"
_FRAME_LABEL = re.compile(r"_frame(\d+)_gt\.nii(\.gz)?$")


def write_acdc_datalist(
    source_dir: str | PathLike[str],
    output_json: str | PathLike[str],
    options: ListOptions = DEFAULTS,
) -> Path:
    """Write a data list for patient folders as ACDC has them. Nothing is copied.

    ``Info.cfg`` and file names count frames from 1, the data list from 0. Each patient gets its 4D image, with labels
    from the two ``_frameNN_gt`` files; where the 4D file is missing, the annotated frames alone are listed as a short
    sequence, which covers no cycle. Patients below a folder ``testing`` make the list ``test``.

    Args:
        source_dir: folder of the patients' folders, at any depth.
        output_json: the file to write.
        options: of the split, by diagnosis group, and of the file.

    Returns:
        The path written.

    Raises:
        InputError: if there is no patient folder, or one whose files and ``Info.cfg`` contradict each other.
    """
    source = existing_folder(source_dir)
    folders = sorted(info.parent for info in source.rglob(INFO_NAME))
    if not folders:
        raise InputError(source, f"no {INFO_NAME} in any folder below", "give the folder of the patients' folders")
    entries = {folder: _entry(folder) for folder in folders}
    held = [entry for folder, entry in entries.items() if TEST_FOLDER in folder.relative_to(source).parts]
    others = [entry for entry in entries.values() if entry not in held]
    lists = {**split_by_group(others, options), "test": held}
    return write_study_list(
        output_json,
        lists,
        name=source.name,
        description=f"cine MR in the layout of ACDC; split by patient and group, seed {options.seed}",
        label_map=ACDC_LABELS,
        modality="MR",
        options=options,
    )


def _entry(folder: Path) -> dict[str, Any]:
    info = _read_info(folder / INFO_NAME)
    labels = _labels(folder, info)
    common = {"id": folder.name, "group": info.get("Group", "")}
    images = sorted(folder.glob("*_4d.nii*"))
    if images:
        label = {str(frame - 1): str(file) for frame, file in labels.items()}
        return {**common, "image": str(images[0]), "label": label, "full_cycle": True}
    logger.warning("%s: no 4D image; its %d annotated frames alone are listed", folder, len(labels))
    files = [file.with_name(file.name.replace("_gt", "")) for file in labels.values()]
    missing = [file for file in files if not file.is_file()]
    if missing:
        raise InputError(missing[0], "the image of this label is missing", "copy the patient's folder again")
    label = {str(index): str(file) for index, file in enumerate(labels.values())}
    return {**common, "image": [str(file) for file in files], "label": label}


def _read_info(path: Path) -> dict[str, str]:
    lines = path.read_text(encoding="utf-8", errors="replace").splitlines()
    info = {key.strip(): value.strip() for key, found, value in (line.partition(":") for line in lines) if found}
    for name in ("ED", "ES"):
        if not info.get(name, "").isdigit():
            raise InputError(path, f"{info.get(name)!r} is no frame number", f"write such as {name}: 1", name)
    return info


def _labels(folder: Path, info: dict[str, str]) -> dict[int, Path]:
    """The label files by the number in their names, which counts from 1 as ``Info.cfg`` does."""
    matches = {file: _FRAME_LABEL.search(file.name) for file in sorted(folder.iterdir())}
    labels = {int(match[1]): file for file, match in matches.items() if match}
    phases = {int(info["ED"]), int(info["ES"])}
    if set(labels) != phases:
        problem = f"labels of frames {sorted(labels)}, but ED and ES are {sorted(phases)} (counted from 1)"
        raise InputError(folder / INFO_NAME, problem, "copy the folder again, or correct ED and ES")
    return dict(sorted(labels.items()))
