# SPDX-License-Identifier: Apache-2.0
"""The measurements of a study as a DICOM structured report (TID 1500)."""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from os import PathLike
from pathlib import Path
from typing import Any

from ...errors import InputError
from ..structures import CODED_STRUCTURES, SNOMED, Structure
from ..whole_file import whole_file
from ..writer import refuse_existing
from .quantities import CYCLE, EF_BY_MR, END_DIASTOLE, END_SYSTOLE, PROCEDURES, VOLUME, Quantity
from .report_items import QualityFlag, ReportIntervals, comments, measurement, quality_findings
from .report_references import ReportReferences
from .segmentation_files import phase_name
from .sequence import DicomSequence
from .software import EQUIPMENT, NAME, SERIES_NUMBER, coded, lasting_uid, new_uid
from .toolkit import highdicom_for, quiet

_REPORT_SERIES = SERIES_NUMBER + 999


@dataclass(frozen=True)
class Measurements:
    """What is written of a study; what is None or not finite is left out.

    Attributes:
        frames: index in the study of each frame that was measured.
        volumes_ml: by structure (``LV``, ``LVM``), one number per frame.
        ed_frame: end diastole, an index in the study.
        es_frame: end systole.
        values: by the names of :mod:`~cardiac4d.io.dicom.quantities`, such as ``edv_ml`` or ``ef_percent``.
        intervals: how sure they are, if known.
        flags: what speaks against them.
    """

    frames: Sequence[int]
    volumes_ml: Mapping[str, Sequence[float | None]]
    ed_frame: int
    es_frame: int
    values: Mapping[str, float | None] = field(default_factory=dict)
    intervals: ReportIntervals | None = None
    flags: Sequence[QualityFlag] = ()


def write_measurement_report(
    path: str | PathLike[str],
    measurements: Measurements,
    sequence: DicomSequence,
    *,
    segmentations: str | PathLike[str] | None = None,
    overwrite: bool = False,
) -> Path:
    """Write one report: a group for each structure in each phase, for end diastole, end systole, cycle and quality.

    Intervals stand in words beside the numbers, and as ranges of uncertainty (TID 310) where they hold the number;
    flags as coded findings, their reasons in words.

    It says that it is complete, preliminary and not verified by anyone. Patient and study are those of the source
    images, as the standard demands: the file names the patient.

    Args:
        path: ``.dcm``; the folder is made where it does not exist.
        measurements: the numbers.
        sequence: the study that was measured.
        segmentations: folder of :func:`~cardiac4d.io.dicom.write_segmentations`; the volumes then reference its
            segments, else the images alone.
        overwrite: replace an existing file.

    Returns:
        The path written.

    Raises:
        InputError: if the file exists and ``overwrite`` is false, highdicom is not installed, the headers of the study
            cannot be referenced, or nothing was measured.
        ValueError: if ``measurements`` names an unknown quantity or structure, or counts other frames.
    """
    target = Path(path)
    _check(measurements)
    refuse_existing(target, overwrite=overwrite)
    highdicom_for(sequence.path)
    references = ReportReferences(sequence, measurements.frames, None if segmentations is None else Path(segmentations))
    try:
        with quiet(), whole_file(target) as partial:
            _report(measurements, sequence, references).save_as(partial)
    except (ValueError, TypeError, AttributeError) as error:
        problem = (
            f"its headers hold values that DICOM does not allow ({type(error).__name__}); a report takes them over"
        )
        # `from None`: the text of these errors quotes values, which may be the patient's
        raise InputError(sequence.path, problem, "repair the headers, or leave the DICOM report out") from None
    return target


def _check(measurements: Measurements) -> None:
    known = {*END_DIASTOLE, *END_SYSTOLE, *CYCLE}
    bounds = {} if measurements.intervals is None else measurements.intervals.bounds
    for name, given in {"values": measurements.values, "intervals": bounds}.items():
        if not set(given) <= known:
            raise ValueError(f"`{name}` must be some of {sorted(known)}, got {sorted(given)}")
    keys = [structure.key for structure in CODED_STRUCTURES]
    if not set(measurements.volumes_ml) <= set(keys):
        raise ValueError(f"`volumes_ml` must be of {keys}, got {sorted(measurements.volumes_ml)}")
    counts = {len(volumes) for volumes in measurements.volumes_ml.values()}
    if counts - {len(measurements.frames)}:
        raise ValueError(f"`volumes_ml` must count {len(measurements.frames)} frames, got {sorted(counts)}")


def _report(measurements: Measurements, sequence: DicomSequence, references: ReportReferences) -> Any:
    from highdicom.sr import Comprehensive3DSR, MeasurementReport

    groups = [*_phase_groups(measurements, sequence, references), *_study_groups(measurements, sequence, references)]
    content = MeasurementReport(
        observation_context=_observer(),
        procedure_reported=coded(*PROCEDURES[references.modality], SNOMED),
        imaging_measurements=groups,
    )
    equipment = {key: value for key, value in EQUIPMENT.items() if key != "manufacturer"}
    return Comprehensive3DSR(
        evidence=references.evidence,
        content=content[0],
        series_instance_uid=new_uid(),
        series_number=_REPORT_SERIES,
        sop_instance_uid=new_uid(),
        instance_number=1,
        manufacturer=NAME,
        is_complete=True,
        series_description=f"{NAME} left ventricular measurements",
        transfer_syntax_uid="1.2.840.10008.1.2.1",
        **equipment,
    )


def _observer() -> Any:
    """This software, as a device."""
    from highdicom.sr import DeviceObserverIdentifyingAttributes, ObservationContext, ObserverContext

    version = EQUIPMENT["software_versions"]
    device = DeviceObserverIdentifyingAttributes(
        uid=lasting_uid(version), name=NAME, manufacturer_name=NAME, model_name=f"{NAME} {version}"
    )
    return ObservationContext(ObserverContext(coded("121007", "Device", "DCM"), device))


def _phase_groups(measurements: Measurements, sequence: DicomSequence, references: ReportReferences) -> Iterator[Any]:
    """The volume of each structure in each phase; of its segment, where there is one."""
    for structure in CODED_STRUCTURES:
        volumes = measurements.volumes_ml.get(structure.key, ())
        for frame, volume in zip(measurements.frames, volumes, strict=False):
            found = list(_numbers({"volume": VOLUME}, {"volume": volume}, None))
            if found:
                title = f"{structure.name}, {phase_name(sequence, frame)}"
                yield _group(title, found, references, structure, references.segment(frame, structure))


def _study_groups(measurements: Measurements, sequence: DicomSequence, references: ReportReferences) -> Iterator[Any]:
    """End diastole, end systole, and what belongs to the whole cycle."""
    cycle = {**CYCLE, "ef_percent": EF_BY_MR} if references.modality == "MR" else CYCLE
    titled = {
        f"End diastole, {phase_name(sequence, measurements.ed_frame)}": END_DIASTOLE,
        f"End systole, {phase_name(sequence, measurements.es_frame)}": END_SYSTOLE,
        "Cardiac cycle": cycle,
    }
    intervals = measurements.intervals
    for title, quantities in titled.items():
        found = list(_numbers(quantities, measurements.values, intervals))
        if found:
            words = [] if intervals is None else intervals.sentences(quantities)
            yield _group(title, found, references, CODED_STRUCTURES[0], words=words)
    if measurements.flags:
        words = [f"{flag.severity}: {flag.reason}" for flag in measurements.flags]
        findings = quality_findings(measurements.flags)
        yield _group("Quality", [], references, CODED_STRUCTURES[0], words=words, findings=findings)


def _numbers(
    quantities: Mapping[str, Quantity], values: Mapping[str, float | None], intervals: ReportIntervals | None
) -> Iterator[Any]:
    for name, quantity in quantities.items():
        value = values.get(name)
        if value is not None and math.isfinite(value):
            yield measurement(quantity, value, intervals.bounds.get(name) if intervals else None)


def _group(
    title: str,
    numbers: list[Any],
    references: ReportReferences,
    structure: Structure,
    segment: Any | None = None,
    *,
    words: Sequence[str] = (),
    findings: Sequence[Any] = (),
) -> Any:
    from highdicom.sr import (
        AlgorithmIdentification,
        FindingSite,
        MeasurementsAndQualitativeEvaluations,
        TrackingIdentifier,
        VolumetricROIMeasurementsAndQualitativeEvaluations,
    )

    common: dict[str, Any] = {
        "tracking_identifier": TrackingIdentifier(uid=lasting_uid(references.study, title), identifier=title),
        "algorithm_id": AlgorithmIdentification(name=NAME, version=EQUIPMENT["software_versions"]),
        "finding_sites": [FindingSite(coded(structure.code, structure.meaning, SNOMED))],
        "measurements": numbers,
        "qualitative_evaluations": findings,
    }
    if segment is not None:
        return VolumetricROIMeasurementsAndQualitativeEvaluations(**common, referenced_segment=segment)
    group = MeasurementsAndQualitativeEvaluations(**common)
    group[0].ContentSequence.extend(comments(words))
    return group
