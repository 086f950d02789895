# SPDX-License-Identifier: Apache-2.0
"""Reports of label maps that are there already, from any source."""

from __future__ import annotations

import logging
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from ..conventions import NOT_ANNOTATED
from ..errors import InputError
from ..io import (
    LabelConvention,
    SequenceSource,
    case_stem,
    check_same_grid,
    open_sequence,
    prepare_output_dir,
    read_labels,
)
from ..io.places import image_files
from ..measure import MeasureOptions, measure_study
from ..measure.inputs import LabelMap
from ..metrics import evaluate_case
from ..report import write_cohort_report, write_study_report
from .reference import reference_document
from .report_studies import origin

logger = logging.getLogger(__name__)


@dataclass(frozen=True)
class _Study:
    """The files of one study."""

    image: Path
    labels: Path
    reference: Path | None


def report_label_maps(
    image: str | Path,
    labels: str | Path,
    output_dir: str | Path,
    *,
    reference: str | Path | None = None,
    full_cycle: bool = False,
    septal_direction: Sequence[float] | None = None,
    sex: str | None = None,
    model_name: str | None = None,
    overwrite: bool = False,
) -> Path:
    """Write reports of label maps that are there already.

    Args:
        image: a 4D sequence, or a folder of NIfTI sequences.
        labels: its label map (0, 1 LV, 2 LVM, 255 = not annotated), or a folder of maps of the same names, with
            ``_seg`` behind them or not.
        output_dir: folder of the reports; made if needed.
        reference: another label map to compare with, such as an annotation, or a folder of such maps.
        full_cycle: the frames cover one R-R interval.
        septal_direction: RAS direction from the cavity to the septum, which gives the 17 segments; of one study.
        sex: ``"female"`` or ``"male"``: the reference ranges of that sex; of one study.
        model_name: what made the label maps.
        overwrite: accept a folder that is not empty, and replace reports in it.

    Returns:
        The page of the study, or ``index.html`` over several.

    Raises:
        InputError: if a file cannot be used, a label map does not lie on its image's grid, or files do not pair.
    """
    studies = _studies(Path(image), Path(labels), None if reference is None else Path(reference))
    if len(studies) > 1 and (septal_direction is not None or sex is not None):
        fix = "give one image and one label map"
        raise InputError(image, "septal_direction and sex belong to one study, but this is a folder of several", fix)
    folder = prepare_output_dir(output_dir, overwrite=overwrite)
    options = MeasureOptions(septal_direction=septal_direction)
    pages, documents = [], []
    for case_id, study in studies.items():
        source = open_sequence(study.image)
        voxels, time = _label_map(study.labels, source), source.time_axis(full_cycle=full_cycle)
        affine = source.grid.affine
        measures = measure_study(voxels, affine, time.frame_times_ms, full_cycle=full_cycle, options=options)
        documents.append(measures.to_document(case_id, {**origin(study.image, case_id), "model": model_name}))
        other = None if study.reference is None else _label_map(study.reference, source)
        if other is not None:
            documents[-1]["reference"] = _compared(case_id, voxels, other, affine, full_cycle)
        pages.append(write_study_report(folder, documents[-1], source, voxels, affine, sex=sex, reference=other).page)
    return pages[0] if len(pages) == 1 else write_cohort_report(folder, documents)[0]


def _label_map(path: Path, source: SequenceSource) -> LabelMap:
    """A label map ``(H, W, D, T)`` on the grid of its image."""
    maps = open_sequence(path)
    check_same_grid(maps, source)
    return np.stack(list(read_labels(maps, LabelConvention())), -1)


def _compared(
    case_id: str, labels: LabelMap, reference: LabelMap, affine: Any, full_cycle: bool
) -> dict[str, Any] | None:
    """The part ``reference`` of a document; a reference without any 255 is a truth of every frame too."""
    truth = None if (reference == NOT_ANNOTATED).any() else reference
    row = evaluate_case(case_id, labels, reference, truth, affine=affine, full_cycle=full_cycle, wall_thickness=True)
    return reference_document(row, reference)


def _studies(image: Path, labels: Path, reference: Path | None) -> dict[str, _Study]:
    """The files of each study, by case id."""
    if not (image.is_dir() and labels.is_dir() and _by_name(image)):
        return {case_stem(image): _Study(image, labels, reference)}
    if reference is not None and not reference.is_dir():
        raise InputError(
            reference, "images and label maps are folders, but this is none", "give a folder of references"
        )
    images, maps = _by_name(image), _maps_by_name(labels)
    references = {} if reference is None else _maps_by_name(reference)
    found = {stem: _Study(path, maps[stem], references.get(stem)) for stem, path in images.items() if stem in maps}
    if not found:
        raise InputError(labels, f"no label map is named like an image in {image}", "name it <image>_seg.nii.gz")
    for what, names in {"label map": set(images) - set(maps), "image": set(maps) - set(images)}.items():
        if names:
            logger.warning("%d studies have no %s and are left out: %s", len(names), what, ", ".join(sorted(names)))
    return found


def _maps_by_name(folder: Path) -> dict[str, Path]:
    return {stem.removesuffix("_seg"): path for stem, path in _by_name(folder).items()}


def _by_name(folder: Path) -> dict[str, Path]:
    return {case_stem(path): path for path in image_files(folder)}
