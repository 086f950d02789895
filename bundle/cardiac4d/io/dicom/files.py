# SPDX-License-Identifier: Apache-2.0
"""Which files of a folder tree are DICOM, and their headers."""

from __future__ import annotations

import os
from collections import Counter
from collections.abc import Iterable, Iterator, Sequence
from pathlib import Path
from typing import Any, NamedTuple

from ...errors import InputError
from .headers import ENHANCED, PLAIN, images_of, is_localizer, wanted_tags
from .image import SliceImage
from .keys import PhaseKey
from .toolkit import pydicom_for, quiet

DICOM_SUFFIXES = (".dcm", ".dicom", ".ima")
COLOUR_SAMPLES = (3, 4)
"""SamplesPerPixel of RGB and the like, PS3.3 C.7.6.3.1.1."""
_MAGIC, _MAGIC_OFFSET = b"DICM", 128


class Found(NamedTuple):
    """What a search for images gave.

    Attributes:
        images: every image of CT or MR that is no localizer; at least one.
        notes: what was passed over, in words.
    """

    images: list[SliceImage]
    notes: list[str]


def files_below(folder: Path) -> Iterator[Path]:
    """Every file of a folder tree in the order of names, hidden ones left out; links to folders are not followed.

    Raises:
        InputError: if a folder cannot be listed: a phase may be in it.
    """
    for root, folders, names in os.walk(folder, onerror=_refuse_folder):
        folders[:] = sorted(name for name in folders if not name.startswith((".", "__MACOSX")))
        yield from (Path(root, name) for name in sorted(names) if not name.startswith("."))


def _refuse_folder(error: OSError) -> None:
    raise InputError(str(error.filename), f"it cannot be listed ({error.strerror})", "check its permissions") from error


def is_dicom(path: Path) -> bool:
    """Whether a file says that it is DICOM: by the letters DICM after 128 bytes, or by its suffix."""
    return path.is_file() and (path.suffix.lower() in DICOM_SUFFIXES or _has_magic(path))


def find_images(place: Path, files: Iterable[Path], extra: PhaseKey | None = None) -> Found:
    """The images in ``files``, headers only.

    Args:
        place: what the user gave, for messages.
        files: to look at.
        extra: a phase key of the user's; its tag is read too.

    Raises:
        InputError: if a DICOM file cannot be read, or none holds an image of CT or MR.
    """
    images: list[SliceImage] = []
    passed, tags = Counter[str](), wanted_tags(extra)
    for path in files:
        dataset = read_header(place, path, tags)
        reason = "not DICOM" if dataset is None else _passed_over(dataset)
        inside = [] if reason else _images(path, dataset, extra)
        images += inside
        if not inside:
            passed[reason or "localizer"] += 1
    notes = [f"passed over {count} file{'s' * (count > 1)}: {reason}" for reason, count in passed.items()]
    if not images:
        problem = "; ".join(["no CT or MR image", *notes])
        raise InputError(place, problem, "give the folder that holds all phases of one study")
    return Found(images, notes)


def _images(path: Path, dataset: Any, extra: PhaseKey | None) -> list[SliceImage]:
    try:
        return list(images_of(path, dataset, extra))
    except InputError:
        raise
    except Exception as error:  # values of other types than their tags have
        problem = f"its header cannot be understood ({type(error).__name__})"
        raise InputError(path, problem, "copy or export the file again, or remove it") from error


def _passed_over(dataset: Any) -> str:
    """Why a data set is no image to take, or nothing."""
    if dataset.SOPClassUID in (*ENHANCED, *PLAIN) and dataset.get("SamplesPerPixel") in COLOUR_SAMPLES:
        return "colour picture"  # dose reports and renderings that are stored among the images
    if dataset.SOPClassUID in ENHANCED:
        return ""
    if dataset.SOPClassUID in PLAIN:
        return "localizer" if is_localizer(dataset) else ""
    return str(dataset.SOPClassUID.name)


def read_header(place: Path, path: Path, tags: Sequence[Any]) -> Any | None:
    """The header of a DICOM file, of which only ``tags`` are read; None for another kind of file.

    Raises:
        InputError: if the file says that it is DICOM, but cannot be read.
    """
    pydicom = pydicom_for(place)
    claims = is_dicom(path)
    if not claims and path.suffix and not path.suffix[1:].isdigit():
        return None  # files without a preamble have no suffix, or one of a UID
    try:
        with quiet():
            dataset = pydicom.dcmread(path, stop_before_pixels=True, force=True, specific_tags=list(tags))
            dataset.SOPClassUID = pydicom.uid.UID(dataset.get("SOPClassUID") or _media_class(dataset))
            _decode(dataset)
    except Exception as error:  # what a parser raises on damaged bytes has no end, and its text may quote them
        _refuse_if(claims, path, type(error).__name__)
        return None
    if not dataset.SOPClassUID or "TransferSyntaxUID" not in dataset.file_meta:
        _refuse_if(claims, path, "it does not say what it holds")
        return None
    return dataset


def _media_class(dataset: Any) -> str:
    return str(dataset.file_meta.get("MediaStorageSOPClassUID", ""))


def _decode(dataset: Any) -> None:
    """Turn the bytes of every element into its value now, where errors and warnings are caught."""
    for _ in dataset.iterall():
        pass


def _refuse_if(claims: bool, path: Path, reason: str) -> None:
    """Refuse a file that claims to be DICOM; another one is none of this reader's."""
    if claims:
        problem = f"it cannot be read as DICOM ({reason})"
        raise InputError(path, problem, "copy or export the file again, or remove it")


def _has_magic(path: Path) -> bool:
    try:
        with path.open("rb") as file:
            file.seek(_MAGIC_OFFSET)
            return file.read(len(_MAGIC)) == _MAGIC
    except OSError as error:
        raise InputError(path, f"it cannot be read ({error.strerror})", "check the file and its permissions") from error
