# SPDX-License-Identifier: Apache-2.0
"""List studies that are kept as one 3D file per phase, with labels of some phases: plain folders, and nnU-Net's."""

from __future__ import annotations

import json
import logging
import re
from collections import defaultdict
from collections.abc import Mapping
from dataclasses import dataclass
from os import PathLike
from pathlib import Path
from typing import Any, TypeAlias

from ..conventions import BACKGROUND, LV, LVM, NOT_ANNOTATED
from ..errors import InputError
from .study_lists import DEFAULTS, ListOptions, existing_folder, split_by_group, write_study_list

logger = logging.getLogger(__name__)

_NUMBER = re.compile(r"(\d+)(?=\D*$)")
Numbered: TypeAlias = "Mapping[int, Path]"
"""Files by the number of their phase."""
NNUNET_CASE = re.compile(r"(?P<case>.+?)_?(?:frame|phase|tf|t)?(?P<frame>\d+)$", re.IGNORECASE)


def write_phase_datalist(
    source_dir: str | PathLike[str],
    output_json: str | PathLike[str],
    *,
    images: str = "img/*.nii.gz",
    labels: str = "seg/*.nii.gz",
    label_map: Mapping[int, int] | None = None,
    full_cycle: bool = False,
    options: ListOptions = DEFAULTS,
) -> Path:
    """Write a data list for folders with one image per phase. Nothing is copied.

    Phases are ordered by the last number in their names, ``tf2`` before ``tf10``; a label belongs to the image of the
    same number. A phase without a label file is not annotated.

    Args:
        source_dir: folder with one folder per study.
        output_json: the file to write.
        images: pattern of a study's images, relative to its folder.
        labels: pattern of its labels.
        label_map: value in the label files to 0, 1 LV, 2 LVM or 255; default: they hold these already.
        full_cycle: the phases of every study cover one R-R interval.
        options: of the split, by study, and of the file.

    Returns:
        The path written.

    Raises:
        InputError: if no folder has images, a name holds no number, two hold the same, or a label has no image.
    """
    source = existing_folder(source_dir)
    folders = [folder for folder in sorted(source.iterdir()) if folder.is_dir() and any(folder.glob(images))]
    if not folders:
        raise InputError(source, f"no folder in it has images {images}", "give the folder of the studies, or --images")
    studies = {folder.name: (_numbered(folder.glob(images)), _numbered(folder.glob(labels))) for folder in folders}
    kind = _Kind("one file per phase", label_map, full_cycle)
    return _write(source, output_json, studies, kind, options)


def write_nnunet_datalist(
    source_dir: str | PathLike[str],
    output_json: str | PathLike[str],
    *,
    lv: str,
    lvm: str,
    full_cycle: bool = False,
    options: ListOptions = DEFAULTS,
) -> Path:
    """Write a data list for nnU-Net's folders, in which every frame is a case of its own. Nothing is copied.

    ``imagesTr/s01_frame03_0000.nii.gz`` is a frame of the study ``s01``; frames are ordered by their numbers, and a
    frame without a file in ``labelsTr`` is not annotated. The region that ``dataset.json`` calls ``ignore`` is not
    annotated either; structures other than the two named become background.

    Args:
        source_dir: folder with ``dataset.json``, ``imagesTr`` and ``labelsTr``.
        output_json: the file to write.
        lv: name of the left-ventricular cavity in ``dataset.json``.
        lvm: name of the left-ventricular myocardium.
        full_cycle: the frames of every study cover one R-R interval.
        options: of the split, by study, and of the file.

    Returns:
        The path written.

    Raises:
        InputError: if a file is missing, a name tells no frame, or a structure is not named in ``dataset.json``.
    """
    source = existing_folder(source_dir)
    label_map = _label_map(source / "dataset.json", lv, lvm)
    images = _by_case(source / "imagesTr", "_0000")
    labels = _by_case(source / "labelsTr", "")
    studies = {case: (files, labels.get(case, {})) for case, files in sorted(images.items())}
    kind = _Kind("frames of an nnU-Net data set joined to sequences", label_map, full_cycle)
    return _write(source, output_json, studies, kind, options)


@dataclass(frozen=True)
class _Kind:
    """What is said of a whole data set: what it is, what its labels mean, whether it covers the cycle."""

    description: str
    label_map: Mapping[int, int] | None
    full_cycle: bool


def _write(
    source: Path,
    target: str | PathLike[str],
    studies: Mapping[str, tuple[Numbered, Numbered]],
    kind: _Kind,
    options: ListOptions,
) -> Path:
    entries = [_entry(case, images, labels) for case, (images, labels) in studies.items()]
    return write_study_list(
        target,
        split_by_group(entries, options),
        name=source.name,
        description=f"{kind.description}; split by study, seed {options.seed}",
        label_map=kind.label_map,
        full_cycle=kind.full_cycle,
        options=options,
    )


def _entry(case: str, images: Numbered, labels: Numbered) -> dict[str, Any]:
    stray = sorted(set(labels) - set(images))
    if stray:
        raise InputError(labels[stray[0]], "there is no image of this number", "add it, or remove the label")
    numbers = sorted(images)
    label = {str(numbers.index(number)): str(file) for number, file in sorted(labels.items())}
    if not label:
        logger.warning("%s: no phase has a label", case)
    return {"id": case, "image": [str(images[number]) for number in numbers], **({"label": label} if label else {})}


def _numbered(files: Any) -> dict[int, Path]:
    """The files by the last number in their names."""
    numbered: dict[int, Path] = {}
    for file in sorted(files):
        found = _NUMBER.search(file.name.partition(".")[0])
        if found is None:
            raise InputError(file, "its name holds no number of a phase", "rename it such as phase07.nii.gz")
        _add(numbered, int(found[1]), file)
    return numbered


def _by_case(folder: Path, ending: str) -> dict[str, dict[int, Path]]:
    cases: dict[str, dict[int, Path]] = defaultdict(dict)
    for file in sorted(existing_folder(folder).glob(f"*{ending}.nii.gz")):
        found = NNUNET_CASE.match(file.name.removesuffix(".nii.gz").removesuffix(ending))
        if found is None:
            raise InputError(file, "its name tells no frame", "name it such as s01_frame03" + ending + ".nii.gz")
        _add(cases[found["case"]], int(found["frame"]), file)
    return cases


def _add(numbered: dict[int, Path], number: int, file: Path) -> None:
    other = numbered.setdefault(number, file)
    if other != file:
        raise InputError(file, f"{other.name} is phase {number} too", "rename or remove one of the two")


def _label_map(path: Path, lv: str, lvm: str) -> dict[int, int]:
    if not path.is_file():
        raise InputError(path, "the file does not exist", "give the folder of an nnU-Net data set")
    names = json.loads(path.read_text(encoding="utf-8")).get("labels", {})
    wanted = {lv: LV, lvm: LVM, "ignore": NOT_ANNOTATED}
    for name in (lv, lvm):
        if name not in names:
            raise InputError(path, f"no structure {name!r}, it has {sorted(names)}", "name one of these", "labels")
    return {int(value): wanted.get(name, BACKGROUND) for name, value in names.items() if value != BACKGROUND}
