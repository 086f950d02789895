# SPDX-License-Identifier: Apache-2.0
"""Items of a structured report: a number with what is known of its uncertainty, comments, quality findings."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Final

from .quantities import Quantity
from .software import OWN_SCHEME, coded

_SIGNIFICANT_DIGITS: Final = 6
_LOWER: Final = ("371885007", "-, range of lower measurement uncertainty", "SCT")
_UPPER: Final = ("371886008", "+, range of upper measurement uncertainty", "SCT")
_COMMENT: Final = ("121106", "Comment", "DCM")
_FINDING: Final = ("111052", "Quality Finding", "DCM")


@dataclass(frozen=True)
class ReportIntervals:
    """How sure the numbers are.

    Attributes:
        level: intended probability that an interval holds the true value, in (0, 1).
        method: how they were made.
        bounds: lower and upper end by the names of :mod:`~cardiac4d.io.dicom.quantities`.
    """

    level: float
    method: str
    bounds: Mapping[str, tuple[float, float]] = field(default_factory=dict)

    def sentences(self, quantities: Mapping[str, Quantity]) -> list[str]:
        """The intervals of some quantities, in words."""
        found = []
        for name, quantity in quantities.items():
            if name in self.bounds:
                low, high = (f"{digits(end):g}" for end in self.bounds[name])
                share = f"{100 * self.level:g} % interval {low} to {high} {quantity.unit}"
                found.append(f"{quantity.meaning}: {share}, from {self.method}")
        return found


@dataclass(frozen=True)
class QualityFlag:
    """What speaks against the numbers of a study.

    Attributes:
        code: short name, such as ``implausible_ef``.
        severity: ``info``, ``warning`` or ``error``.
        reason: in words.
    """

    code: str
    severity: str
    reason: str


def digits(value: float) -> float:
    """A number with as many digits as a report holds."""
    return float(f"{value:.{_SIGNIFICANT_DIGITS}g}")


def measurement(quantity: Quantity, value: float, bounds: tuple[float, float] | None) -> Any:
    """A number; with the ranges of its uncertainty (TID 310) where an interval holds it.

    A calibrated interval may lie beside its number. The standard has no words for that: see :func:`comments`.
    """
    from highdicom.sr import Measurement, MeasurementProperties, NumContentItem, RelationshipTypeValues

    unit, properties = coded(quantity.unit, quantity.unit, "UCUM"), MeasurementProperties()
    if bounds is not None and bounds[0] <= value <= bounds[1]:
        for name, width in ((_UPPER, bounds[1] - value), (_LOWER, value - bounds[0])):
            relation = RelationshipTypeValues.HAS_PROPERTIES  # not highdicom's own, which have no unit
            properties.append(NumContentItem(coded(*name), digits(width), unit, relationship_type=relation))
    name = coded(quantity.code, quantity.meaning, quantity.scheme)
    return Measurement(name, digits(value), unit, properties=properties)


def comments(texts: Sequence[str]) -> Iterator[Any]:
    """Sentences, to be appended to the content of a group."""
    from highdicom.sr import RelationshipTypeValues, TextContentItem

    for text in texts:
        yield TextContentItem(coded(*_COMMENT), text, RelationshipTypeValues.CONTAINS)


def quality_findings(flags: Sequence[QualityFlag]) -> list[Any]:
    """The flags as codes of this software."""
    from highdicom.sr import QualitativeEvaluation

    return [
        QualitativeEvaluation(
            coded(*_FINDING), coded(flag.code.upper(), f"{flag.severity}: {flag.code.replace('_', ' ')}", OWN_SCHEME)
        )
        for flag in flags
    ]
