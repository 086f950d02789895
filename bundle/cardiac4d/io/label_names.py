# SPDX-License-Identifier: Apache-2.0
"""Label maps by name: ``{"MYO": "LVM", "LV": "LV", "RV": "background"}`` beside the data list's table of names."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from ..conventions import BACKGROUND, NOT_ANNOTATED, STRUCTURES
from ..errors import InputError

LABELS_FIELD = "labels"
TARGETS: Mapping[str, int] = {"background": BACKGROUND, **STRUCTURES, "not annotated": NOT_ANNOTATED}
"""What a label may be mapped to, by name."""
_SHORTEST_CODE = 6
"""Digits of the shortest code of SNOMED CT."""


def numbered_label_map(path: Path, where: str, label_map: Mapping[Any, Any], document: Mapping[str, Any]) -> dict:
    """Replace the names in a label map by numbers; what is a number already stays.

    Args:
        path: the data list, to name it.
        where: the field.
        label_map: from a number in the label files, or its name in the data list's ``labels``, to a label of this
            package or its name.
        document: the data list; its ``labels`` may be written either way round, ``{"3": "LV"}`` or ``{"LV": 3}``.

    Raises:
        InputError: for a name that is not known, or that stands for two numbers.
    """
    if not isinstance(label_map, Mapping):
        return label_map  # refused where the numbers are checked
    named = numbers_by_name(document.get(LABELS_FIELD))
    numbered: dict[Any, Any] = {}
    for value, label in label_map.items():
        if isinstance(value, str) and not value.lstrip("-").isdecimal():
            value = _known(path, where, value, named)
        if isinstance(label, str) and not label.isdecimal():
            label = _known(path, where, label, TARGETS)
        numbered[value] = label
    return numbered


def segment_names(path: Path, where: str, label_map: Any) -> dict[str, int] | None:
    """The labels that a label map gives to segments by their names or codes; None where it has numbers only.

    Args:
        path: the data list, to name it.
        where: the field.
        label_map: from the name or code of a segment to a label of this package or its name.

    Raises:
        InputError: for a label that is not known.
    """
    if not isinstance(label_map, Mapping) or all(map(_is_voxel_value, label_map)):
        return None
    return {
        str(name): _known(path, where, label, TARGETS) if isinstance(label, str) else int(label)
        for name, label in label_map.items()
    }


def _is_voxel_value(key: Any) -> bool:
    """Not a name, and shorter than the codes of SNOMED CT."""
    text = str(key).lstrip("-")
    return text.isdecimal() and len(text) < _SHORTEST_CODE


def numbers_by_name(labels: Any) -> dict[str, int]:
    """The numbers in a table of names, whichever way round it is; names that stand for several numbers are left out."""
    pairs = labels.items() if isinstance(labels, Mapping) else ()
    known: dict[str, set[int]] = {}
    for a, b in pairs:
        name, number = (a, b) if isinstance(b, int) else (b, a)
        if isinstance(name, str) and str(number).isdecimal():
            known.setdefault(name, set()).add(int(number))
    return {name: numbers.pop() for name, numbers in known.items() if len(numbers) == 1}


def _known(path: Path, where: str, name: str, table: Mapping[str, int]) -> int:
    if name not in table:
        fix = (
            f"write one of {sorted(table)}, or a number"
            if table
            else 'write numbers such as {"3": 1, "2": 2}, or name them in "labels"'
        )
        raise InputError(path, f"no label is called {name!r}", fix, where)
    return table[name]
