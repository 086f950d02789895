# SPDX-License-Identifier: Apache-2.0
"""Everything a study leaves behind: a page, one sheet of paper, and its numbers as JSON and CSV."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

import numpy as np
import numpy.typing as npt
import torch

from ..io.whole_file import whole_file
from ..measure import as_affine, as_label_map
from .beating_pictures import Window
from .beating_views import Frames, beating_views
from .measures_csv import write_measures_csv
from .one_page import one_page, write_one_page
from .study_page import study_page

Array = npt.NDArray[np.generic]

PAGE_SUFFIX: Final = "_report.html"
MEASURES_SUFFIX: Final = "_measures.json"
SUFFIXES: Final = (PAGE_SUFFIX, "_report.pdf", "_report.png", MEASURES_SUFFIX, "_measures.csv")
"""What follows the case id in the names of the files."""


@dataclass(frozen=True)
class StudyReport:
    """The files of one study."""

    page: Path
    pdf: Path
    png: Path
    measures_json: Path
    measures_csv: Path


def write_study_report(
    folder: str | Path,
    document: Mapping[str, Any],
    image: Frames,
    labels: Array | torch.Tensor,
    affine: Array | torch.Tensor,
    *,
    sex: str | None = None,
    window: Window | None = None,
    reference: Array | torch.Tensor | None = None,
) -> StudyReport:
    """Write the report of one study; files of the same names are replaced, each in one step.

    Args:
        folder: made if needed.
        document: its measures, from :meth:`cardiac4d.measure.StudyMeasures.to_document`; ``case_id`` names the files.
        image: the sequence, read one frame at a time, such as that of :func:`cardiac4d.io.open_sequence`.
        labels: ``(H, W, D, T)``; 0, 1 LV, 2 LVM, 255 = not annotated.
        affine: ``(4, 4)``, voxel to RAS millimetres, of image and labels.
        sex: ``"female"`` or ``"male"``: the reference ranges of that sex; ``None`` shows both.
        window: intensities drawn black and white; default: (-160, 560) HU for CT, percentiles else.
        reference: another label map of the same study, such as an annotation: its contours are shown beside those of
            ``labels``. What the comparison gave stands in the document, under ``reference``.

    Returns:
        The paths of the files.

    Raises:
        ValueError: if the document is none of measures, counts other frames than the labels, or ``case_id`` cannot be
            part of a file name; if ``reference`` has another shape than ``labels``; if ``sex`` is something else.
    """
    maps, matrix, case_id = as_label_map(labels), as_affine(affine), str(document["case_id"])
    other = None if reference is None else as_label_map(reference, "reference")
    _check(document, maps, other, case_id)
    views = beating_views(image, maps, matrix, document, window=window, reference=other)
    page = study_page(document, views, sex=sex)
    figure = one_page(document, views, sex=sex)
    target, *_ = (Path(folder) / f"{case_id}{suffix}" for suffix in SUFFIXES)
    with whole_file(target) as partial:
        partial.write_text(page, encoding="utf-8")
    pdf, png = write_one_page(figure, Path(folder) / f"{case_id}_report")
    measures = write_measures_json(document, Path(folder) / f"{case_id}{MEASURES_SUFFIX}")
    table = write_measures_csv(document, Path(folder) / f"{case_id}_measures.csv")
    return StudyReport(target, pdf, png, measures, table)


def write_measures_json(document: Mapping[str, Any], path: str | Path) -> Path:
    """Write the measures of a study; see ``measures.schema.json`` of :mod:`cardiac4d.measure`."""
    with whole_file(path) as partial:
        partial.write_text(json.dumps(document, indent=2, allow_nan=False) + "\n", encoding="utf-8")
    return Path(path)


def _check(document: Mapping[str, Any], labels: Array, reference: Array | None, case_id: str) -> None:
    if not case_id or Path(case_id).name != case_id:
        raise ValueError(f"`document` must have a `case_id` that files can be named by, got {case_id!r}")
    frames = document["time"]["num_frames"]
    if frames != labels.shape[3]:
        raise ValueError(f"`document` must measure the frames of `labels` ({labels.shape[3]}), got {frames}")
    if reference is not None and reference.shape != labels.shape:
        raise ValueError(f"`reference` must have the shape of `labels`, {labels.shape}, got {reference.shape}")
