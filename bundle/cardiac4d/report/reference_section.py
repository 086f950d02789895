# SPDX-License-Identifier: Apache-2.0
"""How far a study agrees with its reference: contours that overlap, and numbers beside each other."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Final

from .html import Html, element, table
from .numbers import shown, six_numbers

SOURCES: Final = {
    "given": "The true ejection fraction was given with the study.",
    "truth": "The reference is a label map of every frame.",
    "annotated_frames": (
        "The reference is the annotated frames: its volumes are right only if end-diastole and end-systole are among "
        "them."
    ),
    "none": "Fewer than two frames have a reference: its volumes are not known.",
}
"""By ``reference.source`` of the measures."""
_OVERLAP: Final = {
    "Dice, annotated frames": ("dice", 3),
    "Dice, every frame": ("dice_all", 3),
    "HD95 (mm)": ("hd95_mm", 1),
    "Mean distance (mm)": ("assd_mm", 2),
}
_STRUCTURES: Final = {"LV cavity": "lv", "LV myocardium": "lvm"}


def reference_section(document: Mapping[str, Any]) -> Html | None:
    """Overlap and distance of the contours, and the numbers of both; ``None`` without a reference.

    Args:
        document: the measures of the study.
    """
    found = document.get("reference")
    if found is None:
        return None
    return element(
        "section",
        element("h2", "Agreement with the reference"),
        element("p", SOURCES[found["source"]], _frames(found, document["time"]["num_frames"]), class_="note"),
        element("div", _overlap(found), _numbers(document, found), class_="tables"),
        element("p", _phases(found), class_="note"),
        id="reference",
    )


def reference_value(document: Mapping[str, Any], key: str) -> float | None:
    """What one of the six numbers is in the reference.

    Args:
        document: the measures of the study.
        key: name of the number.

    Returns:
        ``None`` where it is not known.
    """
    found = document.get("reference") or {}
    if key != "sv_ml":
        return found.get(key)
    edv_ml, esv_ml = found.get("edv_ml"), found.get("esv_ml")
    return None if edv_ml is None or esv_ml is None else edv_ml - esv_ml


def _frames(found: Mapping[str, Any], num_frames: int) -> str:
    """Which frames have contours, in words."""
    frames = [str(t) for t in found["frames"]]
    if not frames:
        return " No frame has contours."
    if len(frames) == num_frames:
        return " Every frame has contours."
    return f" Contours are known in frame{'s' if len(frames) > 1 else ''} {', '.join(frames)}."


def _overlap(found: Mapping[str, Any]) -> Html:
    rows = [
        [name, *(shown(found[key][structure], decimals) for structure in _STRUCTURES.values())]
        for name, (key, decimals) in _OVERLAP.items()
        if any(found[key][structure] is not None for structure in _STRUCTURES.values())
    ]
    return table(["Contours", *_STRUCTURES], rows, caption="Distances are means over the annotated frames.")


def _numbers(document: Mapping[str, Any], found: Mapping[str, Any]) -> Html:
    rows = []
    for quantity in six_numbers(document):
        reference = reference_value(document, quantity.key)
        error = None if reference is None or quantity.value is None else quantity.value - reference
        cells = [quantity.text, shown(reference, quantity.decimals), shown(error, quantity.decimals, sign="+")]
        rows.append([f"{quantity.short} ({quantity.unit})", *cells])
    caption = "Difference: measured minus reference."
    return table(["Number", "Measured", "Reference", "Difference"], rows, caption=caption)


def _phases(found: Mapping[str, Any]) -> str | None:
    """How far end-diastole and end-systole are from those of the reference."""
    names = {"End-diastole": found["ed_error_frames"], "end-systole": found["es_error_frames"]}
    parts = [f"{name} {frames:.0f}" for name, frames in names.items() if frames is not None]
    return f"Frames between the measured phase and that of the reference: {', '.join(parts)}." if parts else None
