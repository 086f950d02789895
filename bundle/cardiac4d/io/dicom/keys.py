# SPDX-License-Identifier: Apache-2.0
"""The tags that may tell phases apart, in the order in which they are trusted."""

from __future__ import annotations

import re
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from ...errors import InputError
from .image import Value

_NUMBER = re.compile(r"(\d+(?:\.\d+)?)")
_PERCENT = re.compile(r"(\d+(?:\.\d+)?)\s*%")


_VISIT_GROUPS = (0x0010, 0x0032, 0x0038)
_VISIT_TYPES = ("PN", "DA", "DT", "LT", "ST", "UT")
"""Names, dates, and texts that people write freely."""
_VISIT_TAGS = (0x00080050, 0x00080080, 0x00081010, 0x00081040, 0x00181000, 0x00200010, 0x00400244, 0x00401001)
"""Accession number, institution, station, department, device's serial number, StudyID, and two of the order."""


def natural(raw: Any) -> Value:
    """Text and numbers by turns: ``"TP 5"`` sorts before ``"TP 10"``.

    Example:
        >>> natural("TP 10"), natural(3)
        (('TP ', 10.0, ''), ('', 3.0))
    """
    if isinstance(raw, (int, float)):
        return ("", float(raw))
    parts = _NUMBER.split(str(raw).strip())
    return tuple(float(part) if index % 2 else part for index, part in enumerate(parts))


def _number(raw: Any) -> Value:
    return ("", float(raw))


def _percents(raw: Any) -> Value | None:
    """Every percentage in a text; a kernel's blending stands beside the phase in some descriptions."""
    found = _PERCENT.findall(str(raw))
    return tuple(item for percent in found for item in ("", float(percent))) or None


def _joined(raw: Any) -> Value:
    return natural(raw if isinstance(raw, str) else "\\".join(map(str, raw)) if hasattr(raw, "__iter__") else raw)


def _seconds(raw: Any) -> Value:
    """A DICOM time, HHMMSS.ffffff."""
    digits = str(raw).replace(":", "").strip()
    hours, minutes, seconds = int(digits[:2]), int(digits[2:4] or 0), float(digits[4:] or 0)
    return ("", 3600.0 * hours + 60.0 * minutes + seconds)


@dataclass(frozen=True)
class PhaseKey:
    """A tag that may tell phases apart.

    Args:
        keyword: DICOM keyword of the tag, or ``(gggg,eeee)`` of a private one.
        tag: ``(gggg,eeee)``.
        read: from the tag's value to one that sorts; None where it holds nothing of use.
        trusted: it speaks of nothing but phases; one that varies must tell all of them apart.
        unit: ``percent`` of the R-R interval, ``ms`` after the R peak, or neither.
        creator: of a private tag.
    """

    keyword: str
    tag: str
    read: Callable[[Any], Value | None] = _number
    trusted: bool = False
    unit: str = ""
    creator: str = ""

    def __str__(self) -> str:
        return f"{self.keyword} {self.tag}"


KEYS = (
    PhaseKey("NominalPercentageOfCardiacPhase", "(0020,9241)", trusted=True, unit="percent"),
    PhaseKey("TriggerTime", "(0018,1060)", trusted=True, unit="ms"),
    PhaseKey("TemporalPositionIdentifier", "(0020,0100)", trusted=True),
    PhaseKey("TemporalPositionIndex", "(0020,9128)", trusted=True),
    PhaseKey("NominalCardiacTriggerDelayTime", "(0020,9153)", trusted=True, unit="ms"),
    PhaseKey("DeltaStartTime", "(0043,101E)", creator="GEMS_PARM_01"),
    PhaseKey("SeriesDescription", "(0008,103E)", _percents, unit="percent"),
    PhaseKey("ScanOptions", "(0018,0022)", _joined),
    PhaseKey("AcquisitionTime", "(0008,0032)", _seconds),
    PhaseKey("ContentTime", "(0008,0033)", _seconds),
    PhaseKey("SeriesNumber", "(0020,0011)"),
    PhaseKey("InstanceNumber", "(0020,0013)"),
)
"""The first that every image has, and that differs among the images of every slice position, tells the phases.

The order follows what vendors write: GE gives the percentage, cine MR the trigger time, some GE cines the temporal
position, enhanced files the last two trusted ones, GE's kinematic protocol the private one; of a Siemens CT only
ScanOptions or ContentTime may differ. The two numbers at the end only say in which order images were stored.
"""


def phase_key(place: Path, name: str) -> PhaseKey:
    """The key of a name that a user gave: a DICOM keyword, or a tag as ``(0018,1060)`` or ``00181060``.

    Raises:
        InputError: if there is no such tag.
    """
    from pydicom.datadict import keyword_for_tag, tag_for_keyword

    if not isinstance(name, str):
        raise InputError(place, f"{name!r} is no text", "give a DICOM keyword such as TriggerTime", "phase_key")
    known = next((key for key in KEYS if name.strip().lower() in (key.keyword.lower(), key.tag.lower())), None)
    if known is not None:
        return known
    digits = re.sub(r"[(),\s]", "", name)
    number = int(digits, 16) if re.fullmatch(r"[0-9a-fA-F]{8}", digits) else tag_for_keyword(name.strip())
    if number is None:
        fix = "give a DICOM keyword such as TriggerTime, or a tag such as (0018,1060)"
        raise InputError(place, f"{name!r} is no DICOM attribute", fix, "phase_key")
    tag = f"({number >> 16:04X},{number & 0xFFFF:04X})"
    known = next((key for key in KEYS if key.tag == tag), None)
    if known is None and _tells_who(number):
        problem = f"{tag} speaks of the patient or the visit, not of a phase"
        raise InputError(place, problem, "give a tag that differs between phases", "phase_key")
    return known or PhaseKey(keyword_for_tag(number) or tag, tag, _joined)


def _tells_who(number: int) -> bool:
    """Whether a tag may hold a name, a date, an institution or an order: messages quote the values of a phase key."""
    from pydicom.datadict import dictionary_has_tag, dictionary_VR

    if number >> 16 in _VISIT_GROUPS or number in _VISIT_TAGS:
        return True
    return dictionary_has_tag(number) and dictionary_VR(number) in _VISIT_TYPES


def text_of(value: Value) -> str:
    """A phase value as a person writes it.

    Example:
        >>> text_of(("", 30.0)), text_of(("TP ", 10.0, ""))
        ('30', 'TP 10')
    """
    return "".join(f"{part:g}" if isinstance(part, float) else part for part in value)
