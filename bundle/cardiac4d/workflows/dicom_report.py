# SPDX-License-Identifier: Apache-2.0
"""The measures of a study as a DICOM structured report, where the study came as DICOM."""

from __future__ import annotations

import logging
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from ..errors import InputError
from ..io import DICOM_SEG, DICOM_SR, OUTPUT_FORMATS, reopen_dicom
from ..io.dicom import Measurements, QualityFlag, ReportIntervals, write_measurement_report
from ..measure import QUANTITIES
from ..transforms.save_sequence import SAVED_TO
from .runs import DICOM_REPORT_SUFFIX

logger = logging.getLogger(__name__)


def write_dicom_report(
    folder: Path, document: Mapping[str, Any], meta: Mapping[str, Any], *, overwrite: bool = False
) -> Path | None:
    """Write ``<folder>/<case_id>_measures.dcm``; it references the DICOM SEGs of the case where they were written.

    A study that cannot have one, because it is no DICOM or its headers lack what a reference needs, is named in a
    warning, and the run goes on: its other results are whole.

    Args:
        folder: made if needed.
        document: the measures, from :meth:`cardiac4d.measure.StudyMeasures.to_document`.
        meta: metadata of the prediction.
        overwrite: replace an existing file.

    Returns:
        The path written, or None.
    """
    try:
        study = reopen_dicom(meta)
        if study is None:
            fix = f"leave {DICOM_SR} out of `outputs`"
            raise InputError(meta["filename_or_obj"], "it is no DICOM study, so that no DICOM report is written", fix)
        frames = [int(index) % study.num_frames for index in meta["frame_indices"]]
        path = folder / f"{document['case_id']}{DICOM_REPORT_SUFFIX}"
        segmentations = _segmentations(document["case_id"], meta)
        numbers = measurements_of(document, frames)
        return write_measurement_report(path, numbers, study, segmentations=segmentations, overwrite=overwrite)
    except InputError as error:
        logger.warning("no DICOM report of %s: %s", document["case_id"], error)
        return None


def measurements_of(document: Mapping[str, Any], frames: list[int]) -> Measurements:
    """The numbers of a document of measures that a DICOM report holds.

    Args:
        document: the measures.
        frames: index in the study of each frame that was measured.
    """
    volumes, wall = document["volumes"], document["wall_thickness"]
    ed_wall = wall and wall["ed"]
    function = ("edv_ml", "esv_ml", "sv_ml", "ef_percent", "cardiac_output_l_per_min", "heart_rate_per_min")
    values = {name: volumes[name] for name in function}
    values |= {"ed_mass_g": document["mass"]["ed_mass_g"], "ed_thickness_mm": ed_wall and ed_wall["mean_mm"]}
    phases = document["phases"]
    return Measurements(
        frames,
        {"LV": volumes["lv_ml"], "LVM": volumes["lvm_ml"]},
        ed_frame=frames[phases["ed_frame"]],
        es_frame=frames[phases["es_frame"]],
        values=values,
        intervals=_intervals(document["intervals"]),
        flags=[QualityFlag(*(flag[name] for name in ("code", "severity", "reason"))) for flag in document["flags"]],
    )


def _intervals(found: Mapping[str, Any] | None) -> ReportIntervals | None:
    if found is None:
        return None
    bounds = {name: (found[name][0], found[name][1]) for name in QUANTITIES if found[name] is not None}
    studies = "" if found["num_studies"] is None else f" on {found['num_studies']} studies"
    return ReportIntervals(found["level"], f"{found['method']}{studies}", bounds)


def _segmentations(case_id: str, meta: Mapping[str, Any]) -> Path | None:
    """The folder of the case's DICOM SEGs beside its other segmentations, if it was written."""
    if SAVED_TO not in meta:
        return None
    folder = Path(meta[SAVED_TO]).parent / f"{case_id}_seg{OUTPUT_FORMATS[DICOM_SEG].suffix}"
    return folder if folder.is_dir() else None
