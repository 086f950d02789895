# SPDX-License-Identifier: Apache-2.0
"""What healthy adults have, by sex, with the publication that says so."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

SEXES: Final = {"female": "women", "male": "men"}
"""What a study may say of its patient, and the group it is compared with."""

NUM_SD: Final = 1.96
"""The range is mean +- 1.96 standard deviations: 95 of 100 healthy adults, if values are normally distributed."""


@dataclass(frozen=True)
class Source:
    """A publication of reference values.

    Attributes:
        citation: authors, title, journal, year.
        doi: its identifier.
        about: whom and what it measured, and how that differs from the measurements here.
    """

    citation: str
    doi: str
    about: str


@dataclass(frozen=True)
class ReferenceRange:
    """Mean and standard deviation in healthy adults of one sex, in the unit of the quantity."""

    mean: float
    sd: float

    @property
    def low(self) -> float:
        """Lower end; never below 0."""
        return max(0.0, self.mean - NUM_SD * self.sd)

    @property
    def high(self) -> float:
        """Upper end."""
        return self.mean + NUM_SD * self.sd

    def place(self, value: float) -> str:
        """Where a value lies: ``"below"``, ``"within"`` or ``"above"``."""
        return "below" if value < self.low else "above" if value > self.high else "within"


KANG_2017: Final = Source(
    "Kang E-J et al. Left ventricular functional parameters and geometric patterns in Korean adults on coronary CT "
    "angiography with a 320-detector-row CT scanner. Korean J Radiol 2017;18(4):664-673",
    "10.3348/kjr.2017.18.4.664",
    "172 adults without cardiac disease (65 women, 107 men), contrast CT. Papillary muscles counted as muscle there "
    "and as cavity here, which makes volumes larger and mass and ejection fraction smaller here. Not indexed to body "
    "size.",
)
KAWEL_2012: Final = Source(
    "Kawel N et al. Normal left ventricular myocardial thickness for middle-aged and older subjects with steady-state "
    "free precession cardiac magnetic resonance: the Multi-Ethnic Study of Atherosclerosis. Circ Cardiovasc Imaging "
    "2012;5(4):500-508",
    "10.1161/CIRCIMAGING.112.973560",
    "300 adults without cardiac disease (169 women), cine MR, end-diastole, mean of the mid-cavity on short axes.",
)

REFERENCE_RANGES: Final[dict[str, tuple[Source, dict[str, ReferenceRange]]]] = {
    "edv_ml": (KANG_2017, {"female": ReferenceRange(98.2, 21.0), "male": ReferenceRange(112.9, 26.1)}),
    "esv_ml": (KANG_2017, {"female": ReferenceRange(33.7, 12.2), "male": ReferenceRange(41.7, 14.7)}),
    "sv_ml": (KANG_2017, {"female": ReferenceRange(64.9, 15.1), "male": ReferenceRange(71.4, 18.2)}),
    "ef_percent": (KANG_2017, {"female": ReferenceRange(66.4, 7.6), "male": ReferenceRange(63.4, 7.7)}),
    "ed_mass_g": (KANG_2017, {"female": ReferenceRange(107.9, 20.0), "male": ReferenceRange(145.0, 29.1)}),
    "ed_thickness_mm": (KAWEL_2012, {"female": ReferenceRange(5.3, 0.9), "male": ReferenceRange(6.3, 1.1)}),
}
"""By the names of the six numbers; mean and standard deviation as published."""
