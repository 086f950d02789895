# SPDX-License-Identifier: Apache-2.0
"""How the quantities that are measured are coded in DICOM."""

from __future__ import annotations

from typing import Final, NamedTuple

from .software import OWN_SCHEME

_LOINC, _SNOMED = "LN", "SCT"


class Quantity(NamedTuple):
    """The name of a quantity, and its unit in UCUM.

    Attributes:
        code: of the name.
        scheme: of the code: LOINC (``LN``), SNOMED CT (``SCT``), or this software's own where neither has one.
        meaning: of the code.
        unit: UCUM code.
    """

    code: str
    scheme: str
    meaning: str
    unit: str


VOLUME: Final = Quantity("118565006", _SNOMED, "Volume", "mL")
"""Of a structure in one phase."""
END_DIASTOLE: Final = {
    "edv_ml": Quantity("8821-1", _LOINC, "Left Ventricular ED Volume", "mL"),
    "ed_mass_g": Quantity("18087-7", _LOINC, "Left Ventricle Mass", "g"),
    "ed_thickness_mm": Quantity("ED_WALL_THICKNESS", OWN_SCHEME, "Mean left ventricular wall thickness at ED", "mm"),
}
END_SYSTOLE: Final = {"esv_ml": Quantity("8823-7", _LOINC, "Left Ventricular ES Volume", "mL")}
CYCLE: Final = {
    "sv_ml": Quantity("90096001", _SNOMED, "Stroke Volume", "mL"),
    "ef_percent": Quantity("8810-4", _LOINC, "Left ventricular ejection fraction by CT", "%"),
    "cardiac_output_l_per_min": Quantity("82799009", _SNOMED, "Cardiac Output", "L/min"),
    "heart_rate_per_min": Quantity("8867-4", _LOINC, "Heart rate", "/min"),
}
EF_BY_MR: Final = Quantity("8811-2", _LOINC, "Left ventricular ejection fraction by MR", "%")
PROCEDURES: Final = {
    "CT": ("241547009", "Computed tomography of heart"),
    "MR": ("241620005", "Magnetic resonance imaging of heart"),
}
"""SNOMED CT code and meaning by modality."""
