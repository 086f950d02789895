# SPDX-License-Identifier: Apache-2.0
"""What the label ids are called, how they are coded and coloured, in files that other software shows."""

from __future__ import annotations

from typing import Final, NamedTuple

from ..conventions import LV, LVM


class Structure(NamedTuple):
    """One structure.

    Attributes:
        key: its name in tables.
        label: its id.
        name: what a viewer lists.
        code: SNOMED CT.
        meaning: of the code.
        colour: red, green, blue in 0..255, as in the report.
    """

    key: str
    label: int
    name: str
    code: str
    meaning: str
    colour: tuple[int, int, int]


SNOMED: Final = "SCT"
CATEGORY: Final = ("123037004", "Anatomical Structure")
"""SNOMED CT code and meaning of what both structures are."""
CODED_STRUCTURES: Final = (
    Structure("LV", LV, "LV cavity", "87878005", "Left ventricle", (213, 94, 0)),
    Structure("LVM", LVM, "LV myocardium", "49848007", "Left ventricle myocardium", (0, 114, 178)),
)
"""In the order of their ids. DICOM's and 3D Slicer's lists code the cavity as the ventricle."""
