# SPDX-License-Identifier: Apache-2.0
"""One door for every kind of sequence: the reader is chosen by what is there."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from os import PathLike
from pathlib import Path
from typing import Any

from ..conventions import META_PLACE
from ..errors import InputError
from .dicom import DicomSequence, holds_dicom, is_dicom_study, refuse_mixture
from .given_times import TimedSequence
from .image_names import METAIMAGE_SUFFIXES, NIFTI_SUFFIXES, NRRD_SUFFIXES, has_suffix
from .labeled_phases import LENGTH_KEY, NUMBERS_KEY, SEGMENTS_KEY, LabeledPhases
from .metaimage import MetaImageSequence
from .nifti import AXIS_ORDERS, NiftiSequence
from .nrrd import NrrdSequence
from .phase_files import PhaseFiles, percent_times_ms, warn_of_other_order
from .places import (
    AXIS_ORDER_KEY,
    DICOM_OPTIONS,
    FILES,
    FRAME_TIMES_KEY,
    OPTIONS,
    RR_INTERVAL_KEY,
    Place,
    listed_files,
    place_of_text,
    place_text,
)
from .segmentation_volume import SegmentationVolume, names_segments
from .source import SequenceSource


def open_sequence(place: Place) -> SequenceSource:
    """Open a sequence; its frames are read later, on demand.

    Args:
        place: a 4D file (NIfTI, NRRD, MetaImage); a folder or a pattern (``phases/*.nii.gz``) of 3D files, one per
            phase, taken in natural order; a list of such files in order of time; a folder, list or file of DICOM; or a
            mapping of ``files`` (one of these) and, where the files do not tell, ``axis_order`` (``"xytz"``),
            ``frame_times_ms`` (one number per frame) or ``rr_interval_ms`` (the names, or the DICOM phases, then hold
            percentages of it), and of DICOM ``phase_key``, ``series`` and ``study``; for labels ``frame_numbers``
            and ``num_frames``, where there is one file for each annotated frame.

    Returns:
        The reader that takes it.

    Raises:
        InputError: if nothing is there, no reader takes it, or its reader refuses it.
    """
    source = _opened(place)
    source.place = place_text(place)
    return source


def reopen(meta: Mapping[str, Any]) -> SequenceSource:
    """Open the sequence that a loaded image came from.

    Args:
        meta: of the image, or of what was made from it, such as a prediction.

    Raises:
        InputError: if it is not there any more, or has become unusable.
        KeyError: if the image was not loaded by this package's loaders.
    """
    return open_sequence(place_of_text(meta[META_PLACE]))


def reopen_dicom(meta: Mapping[str, Any]) -> DicomSequence | None:
    """Open the DICOM study that a loaded image came from; None where it came from another format.

    Raises:
        InputError: see :func:`reopen`.
        KeyError: see :func:`reopen`.
    """
    source = reopen(meta)
    source = source.source if isinstance(source, TimedSequence) else source
    return source if isinstance(source, DicomSequence) else None


def _opened(place: Place) -> SequenceSource:
    options = _options(place)
    files = _chosen(place, options)
    if isinstance(place, Sequence) and not isinstance(place, str) and not is_dicom_study(files):
        warn_of_other_order(files)
    if isinstance(place, Mapping) and NUMBERS_KEY in place:
        return _labeled_phases(files, place)
    source = _open(files, options)
    if options.get(FRAME_TIMES_KEY) is not None:
        return TimedSequence(source, options[FRAME_TIMES_KEY])
    if options.get(RR_INTERVAL_KEY) is not None:
        return _timed_by_names(source, files, options[RR_INTERVAL_KEY])
    return source


def _chosen(place: Place, options: Mapping[str, Any]) -> list[Path]:
    """The files of a place; in a folder of image files and DICOM files options of DICOM take these."""
    files, named = listed_files(place), place[FILES] if isinstance(place, Mapping) else place
    if not isinstance(named, (str, PathLike)) or not Path(named).is_dir() or files == [Path(named)]:
        return files
    if any(options.get(key) is not None for key in DICOM_OPTIONS) and holds_dicom(named):
        return [Path(named)]
    refuse_mixture(Path(named), files)
    return files


def open_volume(path: Path) -> SequenceSource:
    """Open one file of any image format; a 3D file is a sequence of one frame.

    Raises:
        InputError: if no reader takes it, or its reader refuses it.
    """
    return _open_file(path, None, one_frame=True)


def _labeled_phases(files: list[Path], place: Mapping[str, Any]) -> SequenceSource:
    def open_label(path: Path) -> SequenceSource:
        if SEGMENTS_KEY in place and names_segments(path):
            return SegmentationVolume.from_field(path, place[SEGMENTS_KEY])
        return open_volume(path)

    return LabeledPhases(PhaseFiles(files, open_label), place[NUMBERS_KEY], place[LENGTH_KEY])


def _open(files: list[Path], options: Mapping[str, Any]) -> SequenceSource:
    axis_order = options.get(AXIS_ORDER_KEY)
    of_dicom = {key: options[key] for key in DICOM_OPTIONS if options.get(key) is not None}
    if axis_order is None and is_dicom_study(files):
        return DicomSequence(files[0] if len(files) == 1 else files, **of_dicom)
    if of_dicom:
        raise InputError(files[0], "it is for DICOM studies only", "leave it out", next(iter(of_dicom)))
    if len(files) > 1 and axis_order is not None:
        raise InputError(files[0], "several files can have no axis of time", "leave it out", AXIS_ORDER_KEY)
    if len(files) > 1:
        return PhaseFiles(files, open_volume)
    return _open_file(files[0], axis_order, one_frame=False)


def _open_file(path: Path, axis_order: str | None, *, one_frame: bool) -> SequenceSource:
    is_file = path.is_file()
    if is_file and has_suffix(path, NIFTI_SUFFIXES):
        return NiftiSequence(path, axis_order=axis_order or AXIS_ORDERS[0], one_frame=one_frame)
    if axis_order is not None:
        raise InputError(path, "only NIfTI files can be told their axes", "leave it out", AXIS_ORDER_KEY)
    if is_file and has_suffix(path, NRRD_SUFFIXES):
        return NrrdSequence(path, one_frame=one_frame)
    if is_file and has_suffix(path, METAIMAGE_SUFFIXES):
        return MetaImageSequence(path, one_frame=one_frame)
    fix = "give a 4D file (.nii, .nii.gz, .nrrd, .mha, .mhd), 3D files, one per phase, or a folder of DICOM files"
    raise InputError(path, "not a NIfTI, NRRD, MetaImage or DICOM file", fix)


def _options(place: Place) -> Mapping[str, Any]:
    return {key: place[key] for key in OPTIONS if key in place} if isinstance(place, Mapping) else {}


def _timed_by_names(source: SequenceSource, files: list[Path], rr_interval_ms: Any) -> SequenceSource:
    is_number = isinstance(rr_interval_ms, (int, float)) and not isinstance(rr_interval_ms, bool)
    if not is_number or not rr_interval_ms > 0:
        fix = "give the length of the R-R interval in milliseconds"
        raise InputError(source.path, f"{rr_interval_ms!r} is not a length of time", fix, RR_INTERVAL_KEY)
    percents = source.phase_percents if isinstance(source, DicomSequence) else None
    times = percent_times_ms(files, float(rr_interval_ms)) if percents is None else percents * rr_interval_ms / 100
    return TimedSequence(source, times, cycle_length_ms=float(rr_interval_ms), field=RR_INTERVAL_KEY)
