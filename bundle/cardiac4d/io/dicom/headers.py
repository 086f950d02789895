# SPDX-License-Identifier: Apache-2.0
"""From a DICOM data set to its images: one of a plain file, one per frame of an enhanced file."""

from __future__ import annotations

import math
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np

from ...errors import InputError
from .image import Series, SliceImage, SourceFrame, Value
from .keys import KEYS, PhaseKey

ENHANCED = {
    "1.2.840.10008.5.1.4.1.1.2.1": "Enhanced CT",
    "1.2.840.10008.5.1.4.1.1.2.2": "Legacy Converted Enhanced CT",
    "1.2.840.10008.5.1.4.1.1.4.1": "Enhanced MR",
    "1.2.840.10008.5.1.4.1.1.4.4": "Legacy Converted Enhanced MR",
}
PLAIN = {"1.2.840.10008.5.1.4.1.1.2": "CT", "1.2.840.10008.5.1.4.1.1.4": "MR"}
"""SOP classes that are taken; their names are for messages."""

NATIVE = ("1.2.840.10008.1.2", "1.2.840.10008.1.2.1", "1.2.840.10008.1.2.2")
"""Transfer syntaxes that store pixels as they are: implicit and explicit little endian, explicit big endian."""

UNIT_TOLERANCE = 1e-3
"""By which direction cosines may miss being two perpendicular unit vectors; scanners round them to few digits."""
MAX_COMPRESSION = 1000
"""No image compresses by more; a header that announces more pixels is damaged or hostile."""
SHORTEST_HEADER_BYTES = 132
MAX_BITS = 32

_FRAME_GROUPS = ("PerFrameFunctionalGroupsSequence", "SharedFunctionalGroupsSequence")
READ = (
    *("SOPClassUID", "SOPInstanceUID", "StudyInstanceUID", "SeriesInstanceUID", "StudyDescription"),
    *("SeriesDescription", "SeriesNumber", "InstanceNumber", "Modality", "ImageType", "NumberOfFrames"),
    *("Rows", "Columns", "PixelSpacing", "ImagePositionPatient", "ImageOrientationPatient", "SliceThickness"),
    *("SpacingBetweenSlices", "RescaleSlope", "RescaleIntercept", "ModalityLUTSequence", "SamplesPerPixel"),
    *("BitsAllocated", "BitsStored", "PixelRepresentation", "ConvolutionKernel", "NominalInterval", "HeartRate"),
    *("RRIntervalTimeNominal", *_FRAME_GROUPS),
)
"""What is read of a file besides the phase keys. Nothing else is, so that no name can reach a log or an output."""


def images_of(path: Path, dataset: Any, extra: PhaseKey | None = None) -> Iterator[SliceImage]:
    """The images in a file, localizers left out.

    Args:
        path: the file.
        dataset: its header, with the tags of :data:`READ` and of the phase keys.
        extra: a phase key of the user's beside :data:`~cardiac4d.io.dicom.keys.KEYS`.

    Raises:
        InputError: if the header lacks what an image needs, or contradicts itself.
    """
    series = _series(path, dataset)
    _check_size(path, dataset)
    if dataset.SOPClassUID in PLAIN:
        groups: list[list[Any]] = [[dataset]]
    else:
        groups = [[*frame, dataset] for frame in _frames(path, dataset)]
    for index, group in enumerate(groups):
        view = _View(path, group)
        if "LOCALIZER" not in view.words("ImageType") + view.words("FrameType"):
            yield _image(view, series, index + 1, extra)


def is_localizer(dataset: Any) -> bool:
    """Whether a plain file is a localizer: a planning view in other planes."""
    return "LOCALIZER" in _View(Path(), [dataset]).words("ImageType")


class _View:
    """The attributes of one image, wherever they stand: in its frame's groups, the shared groups, or the data set."""

    def __init__(self, path: Path, datasets: list[Any]) -> None:
        self.path, self.datasets = path, datasets

    def get(self, tag: Any) -> Any:
        """The first value that is not empty, or None."""
        found = (dataset[tag].value for dataset in self.datasets if tag in dataset)
        return next((value for value in found if value is not None and value != "" and value != []), None)

    def number(self, keyword: str, default: float | None = None) -> float:
        (number,) = self.numbers(keyword, 1, None if default is None else (default,))
        return number

    def numbers(self, keyword: str, count: int, default: tuple[float, ...] | None = None) -> tuple[float, ...]:
        """``count`` finite numbers; :class:`InputError` where they are missing without a default, or are none."""
        raw = self.get(keyword)
        if raw is None:
            if default is not None:
                return default
            raise InputError(self.path, "missing, but an image needs it", "export the study from the scanner", keyword)
        try:
            values = tuple(float(item) for item in (raw if count > 1 else [raw]))
        except (TypeError, ValueError):
            values = ()
        if len(values) != count or not all(map(math.isfinite, values)):
            problem = f"not {count} finite number{'s' if count > 1 else ''}"
            raise InputError(self.path, problem, "export the study again", keyword)
        return values

    def words(self, keyword: str) -> list[str]:
        raw = self.get(keyword)
        return [] if raw is None else [str(w).upper() for w in ([raw] if isinstance(raw, str) else raw)]


def _series(path: Path, dataset: Any) -> Series:
    view = _View(path, [dataset])
    number = view.get("SeriesNumber")
    return Series(
        uid=str(view.get("SeriesInstanceUID") or ""),
        study_uid=str(view.get("StudyInstanceUID") or ""),
        number=None if number is None else int(view.number("SeriesNumber")),
        description=str(view.get("SeriesDescription") or ""),
        study_description=str(view.get("StudyDescription") or ""),
        modality=str(view.get("Modality") or ""),
    )


def _frames(path: Path, dataset: Any) -> list[list[Any]]:
    """The functional groups of each frame of an enhanced file, its own before the shared ones."""
    own, shared = (dataset.get(name) or [] for name in _FRAME_GROUPS)
    count = int(_View(path, [dataset]).number("NumberOfFrames", 1))
    if len(own) != count:
        problem = f"it announces {count} frames, but describes {len(own)}"
        raise InputError(path, problem, "export the study again", _FRAME_GROUPS[0])
    common = [item for group in shared for item in _items(group)]
    return [[*_items(group), *common] for group in own]


def _items(group: Any) -> list[Any]:
    return [item for element in group if element.VR == "SQ" for item in element.value]


def _check_size(path: Path, dataset: Any) -> None:
    """Refuse a file that cannot hold the pixels that its header announces, before memory is reserved for them."""
    view = _View(path, [dataset])
    if view.number("SamplesPerPixel", 1) != 1:
        raise InputError(path, "a colour picture, not CT or MR numbers", "leave it out", "SamplesPerPixel")
    if view.get("ModalityLUTSequence"):
        fix = "save the study with RescaleSlope and RescaleIntercept"
        raise InputError(path, "its pixels are scaled by a table, which is not supported", fix, "ModalityLUTSequence")
    names = ("Rows", "Columns", "BitsAllocated")
    rows, columns, bits = (int(view.number(name)) for name in names)
    announced = rows * columns * bits // 8 * int(view.number("NumberOfFrames", 1))
    if announced <= 0:
        raise InputError(path, f"an image of {rows} x {columns} pixels", "export the study again", "Rows, Columns")
    packed = dataset.file_meta.TransferSyntaxUID not in NATIVE
    size = path.stat().st_size - SHORTEST_HEADER_BYTES
    if size * (MAX_COMPRESSION if packed else 1) < announced:
        problem = f"it has {size + SHORTEST_HEADER_BYTES} bytes, but its header announces {announced} of pixels"
        raise InputError(path, f"{problem}: the file is truncated or damaged", "copy or export it again")


def _image(view: _View, series: Series, frame_number: int, extra: PhaseKey | None) -> SliceImage:
    rows, columns = int(view.number("Rows")), int(view.number("Columns"))
    syntax = str(view.datasets[-1].file_meta.TransferSyntaxUID)
    words = view.words("ImageType")
    keys = (*KEYS, extra) if extra is not None else KEYS
    values = {key.keyword: _value(view, key, frame_number) for key in keys}
    unscaled = {} if series.modality == "CT" else {"RescaleSlope": 1.0, "RescaleIntercept": 0.0}  # CT must tell
    return SliceImage(
        source=SourceFrame(view.path, frame_number),
        instance_uid=str(view.get("SOPInstanceUID") or ""),
        series=series,
        position=view.numbers("ImagePositionPatient", 3),  # type: ignore[arg-type]
        orientation=_orientation(view),
        size=(rows, columns),
        pixel_spacing_mm=_pixel_spacing(view),
        thickness_mm=view.number("SpacingBetweenSlices", 0) or view.number("SliceThickness", 0),
        slope=view.number("RescaleSlope", unscaled.get("RescaleSlope")),
        intercept=view.number("RescaleIntercept", unscaled.get("RescaleIntercept")),
        stored_range=_stored_range(view),
        syntax=syntax,
        kind=(*view.words("ConvolutionKernel"), *(words[2:3] if series.modality == "MR" else ())),
        phase_values={name: value for name, value in values.items() if value is not None},
        interval_ms=_interval_ms(view),
    )


def _orientation(view: _View) -> tuple[float, float, float, float, float, float]:
    cosines = view.numbers("ImageOrientationPatient", 6)
    row, column = np.array(cosines[:3]), np.array(cosines[3:])
    error = max(abs(row @ row - 1), abs(column @ column - 1), abs(row @ column))
    if error > UNIT_TOLERANCE:
        problem = "the directions of rows and columns are not two perpendicular unit vectors"
        raise InputError(view.path, problem, "export the study again", "ImageOrientationPatient")
    return tuple(cosines)  # type: ignore[return-value]


def _pixel_spacing(view: _View) -> tuple[float, float]:
    rows, columns = view.numbers("PixelSpacing", 2)
    if min(rows, columns) <= 0:
        raise InputError(view.path, f"{rows:g} x {columns:g} mm", "export the study again", "PixelSpacing")
    return rows, columns


def _stored_range(view: _View) -> tuple[int, int]:
    bits = int(view.number("BitsStored", view.number("BitsAllocated")))
    if not 1 <= bits <= MAX_BITS:
        raise InputError(view.path, f"{bits} bits per pixel", "export the study again", "BitsStored")
    return (-(2 ** (bits - 1)), 2 ** (bits - 1) - 1) if view.number("PixelRepresentation", 0) else (0, 2**bits - 1)


def _interval_ms(view: _View) -> float | None:
    """The R-R interval that the file states, or that of the heart rate in it."""
    interval = view.number("RRIntervalTimeNominal", 0) or view.number("NominalInterval", 0)
    rate = view.number("HeartRate", 0)
    return interval if interval > 0 else 60000.0 / rate if rate > 0 else None


def _value(view: _View, key: PhaseKey, frame_number: int) -> Value | None:
    raw = view.get(_tag_number(key.tag))
    if raw is None or (key.creator and not _created_by(view, key)):
        return None
    try:
        value = key.read(raw)
    except (TypeError, ValueError):
        return None
    last = (*value, "", float(frame_number)) if value and key.keyword == "InstanceNumber" else value
    return last if last is None or all(part == part for part in last) else None


def _tag_number(tag: str) -> int:
    return int(tag[1:5] + tag[6:10], 16)


def _created_by(view: _View, key: PhaseKey) -> bool:
    """Whether the block of a private tag belongs to the key's creator."""
    number = _tag_number(key.tag)
    block = (number & 0xFFFF0000) | (number & 0xFF00) >> 8
    return str(view.get(block) or "").strip() == key.creator


def wanted_tags(extra: PhaseKey | None = None) -> list[Any]:
    """The tags to read of every file, by keyword or number."""
    keys = [key for key in (*KEYS, extra) if key is not None]
    numbers = [_tag_number(key.tag) for key in keys]
    creators = [(number & 0xFFFF0000) | (number & 0xFF00) >> 8 for number in numbers if number >> 16 & 1]
    return [*READ, *numbers, *creators]
