# SPDX-License-Identifier: Apache-2.0
"""The measurements of a study as DICOM SR: numbers, units, codes and references, checked against the standard."""

from __future__ import annotations

import math
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pydicom
import pytest
from highdicom.sr import Comprehensive3DSR, srread

from cardiac4d.errors import InputError
from cardiac4d.io.dicom import (
    DicomSequence,
    Measurements,
    QualityFlag,
    ReportIntervals,
    write_measurement_report,
    write_segmentations,
)
from tests.helpers.dicom_results import dump, random_labels, standard_errors
from tests.helpers.dicom_studies import IDENTITY, Study, write_images

FRAMES = [0, 1, 2]
NUMBERS = Measurements(
    FRAMES,
    {"LV": [120.25, 90.5, 48.123456789], "LVM": [100.0, None, 99.5]},
    ed_frame=0,
    es_frame=2,
    values={"edv_ml": 120.25, "esv_ml": 48.123456789, "sv_ml": 72.1265, "ef_percent": 59.98, "ed_mass_g": 105.0}
    | {"ed_thickness_mm": 8.5, "cardiac_output_l_per_min": None, "heart_rate_per_min": math.nan},
)


def _tags(k: int, t: int) -> dict[str, Any]:
    return {"SeriesInstanceUID": f"1.2.77.{t}", "SeriesNumber": 9 - t, "SeriesDescription": f"CTA {5 + 35 * t} %"}


def _numbers(report: Comprehensive3DSR) -> dict[str, dict[str, tuple[float, str]]]:
    """Value and unit by name of quantity, by title of the group."""
    return {
        group.tracking_identifier: {
            item.name.value: (float(item.value), item.unit.value) for item in group.get_measurements()
        }
        for group in (
            *report.content.get_image_measurement_groups(),
            *report.content.get_volumetric_roi_measurement_groups(),
        )
    }


@pytest.fixture
def study(tmp_path: Path) -> DicomSequence:
    write_images(tmp_path / "study", Study(_tags))
    return DicomSequence(tmp_path / "study")


def test_numbers_and_codes_come_back(tmp_path: Path, study: DicomSequence) -> None:
    path = write_measurement_report(tmp_path / "out" / "a.dcm", NUMBERS, study)
    assert standard_errors(path) == []
    report = srread(path)
    assert _numbers(report) == {
        "LV cavity, 5 % R-R (frame 0)": {"118565006": (120.25, "mL")},
        "LV cavity, 40 % R-R (frame 1)": {"118565006": (90.5, "mL")},
        "LV cavity, 75 % R-R (frame 2)": {"118565006": (48.1235, "mL")},
        "LV myocardium, 5 % R-R (frame 0)": {"118565006": (100.0, "mL")},
        "LV myocardium, 75 % R-R (frame 2)": {"118565006": (99.5, "mL")},
        "End diastole, 5 % R-R (frame 0)": {
            "8821-1": (120.25, "mL"),
            "18087-7": (105.0, "g"),
            "ED_WALL_THICKNESS": (8.5, "mm"),
        },
        "End systole, 75 % R-R (frame 2)": {"8823-7": (48.1235, "mL")},
        "Cardiac cycle": {"90096001": (72.1265, "mL"), "8810-4": (59.98, "%")},
    }
    assert (report.CompletionFlag, report.PreliminaryFlag, report.VerificationFlag) == (
        "COMPLETE",
        "PRELIMINARY",
        "UNVERIFIED",
    )
    assert (report.PatientID, report.Manufacturer) == (IDENTITY["PatientID"], "cardiac4d")
    evidence = report.CurrentRequestedProcedureEvidenceSequence[0].ReferencedSeriesSequence
    assert {item.SeriesInstanceUID: len(item.ReferencedSOPSequence) for item in evidence} == {
        "1.2.77.0": 4,
        "1.2.77.1": 4,
        "1.2.77.2": 4,
    }


def test_intervals_and_flags_are_written_as_the_standard_allows(tmp_path: Path, study: DicomSequence) -> None:
    bounds = {"edv_ml": (130.0, 150.0), "esv_ml": (40.0, 60.5), "ef_percent": (57.0, 66.5)}
    flags = [QualityFlag("touches_field_of_view", "warning", "the ventricle lies in the outermost voxels")]
    sure = replace(NUMBERS, intervals=ReportIntervals(0.9, "errors on 40 studies", bounds), flags=flags)
    path = write_measurement_report(tmp_path / "a.dcm", sure, study)
    assert standard_errors(path) == []
    assert _numbers(srread(path))["End systole, 75 % R-R (frame 2)"] == {"8823-7": (48.1235, "mL")}, "no number more"
    groups = {group.tracking_identifier: group for group in srread(path).content.get_image_measurement_groups()}
    (esv,) = groups["End systole, 75 % R-R (frame 2)"].get_measurements()
    ranges = {item.name.value: (item.value, item.unit.value) for item in esv[0].ContentSequence}
    assert ranges == {"371886008": (pytest.approx(12.3765), "mL"), "371885007": (pytest.approx(8.12346), "mL")}
    edv, *_ = groups["End diastole, 5 % R-R (frame 0)"].get_measurements()
    assert "ContentSequence" not in edv[0], "its interval lies beside it, for which there are no ranges"
    words = {
        title: [item.value for item in group[0].ContentSequence if item.name.value == "121106"]
        for title, group in groups.items()
    }
    assert words["End diastole, 5 % R-R (frame 0)"] == [
        "Left Ventricular ED Volume: 90 % interval 130 to 150 mL, from errors on 40 studies"
    ]
    assert words["Quality"] == ["warning: the ventricle lies in the outermost voxels"]
    (finding,) = groups["Quality"].get_qualitative_evaluations()
    assert (finding.name.value, finding.value.value) == ("111052", "TOUCHES_FIELD_OF_VIEW")
    dumped = dump(path)
    assert "touches field of view" in dumped
    assert "90 % interval 57 to 66.5 %" in dumped


def test_volumes_reference_their_segments(tmp_path: Path, study: DicomSequence) -> None:
    labels = random_labels((*study.grid.shape, 3))
    folder = write_segmentations(tmp_path / "seg", labels, study.grid.affine, study)
    path = write_measurement_report(tmp_path / "a.dcm", NUMBERS, study, segmentations=folder)
    assert standard_errors(path) == []
    groups = srread(path).content.get_volumetric_roi_measurement_groups()
    by_title = {group.tracking_identifier: group for group in groups}
    segment = by_title["LV myocardium, 75 % R-R (frame 2)"].referenced_segment[0]
    seg = pydicom.dcmread(folder / "frame_002.dcm", stop_before_pixels=True)
    reference = segment.ReferencedSOPSequence[0]
    assert (reference.ReferencedSOPInstanceUID, reference.ReferencedSegmentNumber) == (seg.SOPInstanceUID, 2)
    assert len(by_title) == 5


def test_ejection_fractions_of_mr_are_called_so(tmp_path: Path) -> None:
    tags = {"SeriesInstanceUID": "1.2.5", "SeriesNumber": 1}
    write_images(
        tmp_path / "study",
        Study(
            lambda k, t: {**tags, "SeriesInstanceUID": f"1.2.5.{k}", "TriggerTime": 40.0 * t},
            row=(0.0, 1.0, 0.0),
            column=(0.0, 0.0, -1.0),
            modality="MR",
        ),
    )
    study = DicomSequence(tmp_path / "study")
    labels = np.ones((*study.grid.shape, 3), np.uint8)
    folder = write_segmentations(tmp_path / "seg", labels, study.grid.affine, study)
    path = write_measurement_report(tmp_path / "a.dcm", NUMBERS, study, segmentations=folder)
    assert standard_errors(path) == []
    assert _numbers(srread(path))["Cardiac cycle"]["8811-2"] == (59.98, "%")


def test_what_cannot_be_written_is_refused(tmp_path: Path, study: DicomSequence) -> None:
    path = write_measurement_report(tmp_path / "a.dcm", NUMBERS, study)
    with pytest.raises(InputError, match="exists already"):
        write_measurement_report(path, NUMBERS, study)
    with pytest.raises(InputError, match=r"frame_000\.dcm: no such file"):
        write_measurement_report(path, NUMBERS, study, segmentations=tmp_path, overwrite=True)
    for wrong, message in (
        (Measurements([0], {"LV": [1.0, 2.0]}, 0, 0), "`volumes_ml` must count 1 frames"),
        (Measurements([0], {"RV": [1.0]}, 0, 0), "`volumes_ml` must be of"),
        (Measurements([0], {}, 0, 0, {}, ReportIntervals(0.9, "", {"rvef": (0, 1)})), "`intervals` must be some of"),
        (Measurements([0], {}, 0, 0, {"ef": 0.6}), "`values` must be some of"),
    ):
        with pytest.raises(ValueError, match=message):
            write_measurement_report(path, wrong, study, overwrite=True)
