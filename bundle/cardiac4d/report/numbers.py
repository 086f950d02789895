# SPDX-License-Identifier: Apache-2.0
"""The six numbers of a report, taken from the measures of a study, with interval and reference range."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, Final

from .reference_ranges import REFERENCE_RANGES, ReferenceRange, Source

SCHEMA: Final = "cardiac4d-measures"
SUPPORTED_MAJOR: Final = "1"

DASH: Final = "\N{EN DASH}"
"""Stands between the ends of a range, and for a number that is not known."""


@dataclass(frozen=True)
class Quantity:
    """One number of the report.

    Attributes:
        key: its name in ``intervals`` of the measures.
        short: abbreviation, as cardiologists write it.
        name: in words.
        unit: of value, interval and ranges.
        decimals: shown; the measures hold more.
        value: ``None`` where it was not measured.
        interval: lower and upper end, if known.
        source: of the reference ranges.
        ranges: of healthy adults, by sex.
    """

    key: str
    short: str
    name: str
    unit: str
    decimals: int
    value: float | None
    interval: tuple[float, float] | None
    source: Source
    ranges: Mapping[str, ReferenceRange] = field(default_factory=dict)

    @property
    def text(self) -> str:
        """The value as shown, without unit."""
        return shown(self.value, self.decimals)

    def span(self, low: float, high: float) -> str:
        """A range as shown, without unit."""
        return f"{low:.{self.decimals}f}{DASH}{high:.{self.decimals}f}"


_SIX: Final = (
    ("edv_ml", "EDV", "End-diastolic volume", "mL", 0, ("volumes", "edv_ml")),
    ("esv_ml", "ESV", "End-systolic volume", "mL", 0, ("volumes", "esv_ml")),
    ("sv_ml", "SV", "Stroke volume", "mL", 0, ("volumes", "sv_ml")),
    ("ef_percent", "EF", "Ejection fraction", "%", 1, ("volumes", "ef_percent")),
    ("ed_mass_g", "ED mass", "Myocardial mass at end-diastole", "g", 0, ("mass", "ed_mass_g")),
    ("ed_thickness_mm", "ED wall", "Mean wall thickness at end-diastole", "mm", 1, ("wall_thickness", "ed", "mean_mm")),
)


def six_numbers(document: Mapping[str, Any]) -> list[Quantity]:
    """The six numbers in the order of the report.

    Args:
        document: the measures of a study.
    """
    found = []
    for key, short, name, unit, decimals, path in _SIX:
        interval = look_up(document, "intervals", key)
        source, ranges = REFERENCE_RANGES[key]
        ends = None if interval is None else (float(interval[0]), float(interval[1]))
        found.append(Quantity(key, short, name, unit, decimals, look_up(document, *path), ends, source, ranges))
    return found


def shown(value: float | None, decimals: int, sign: str = "") -> str:
    """A number as text; a dash where there is none.

    Args:
        value: the number.
        decimals: digits behind the point.
        sign: ``"+"`` shows that of positive numbers too.
    """
    return DASH if value is None else f"{value:{sign}.{decimals}f}"


def look_up(document: Mapping[str, Any], *path: str) -> Any:
    """The value under nested names; ``None`` where any of them is missing or null."""
    value: Any = document
    for name in path:
        value = value.get(name) if isinstance(value, Mapping) else None
    return value


def check_document(document: Mapping[str, Any]) -> None:
    """Refuse what is no document of measures.

    Raises:
        ValueError: if the schema or its major version is another one, or a part that every study has is missing.
    """
    schema, version = document.get("schema"), str(document.get("schema_version", ""))
    if schema != SCHEMA or version.split(".")[0] != SUPPORTED_MAJOR:
        raise ValueError(f"`document` must be {SCHEMA} version {SUPPORTED_MAJOR}.x, got {schema!r} version {version!r}")
    missing = [name for name in ("case_id", "provenance", "time", "phases", "volumes", "flags") if name not in document]
    if missing:
        raise ValueError(f"`document` must hold {', '.join(missing)}")
