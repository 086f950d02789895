# SPDX-License-Identifier: Apache-2.0
"""The measures of studies as tables: a row per number of one study, or a row per study of a cohort."""

from __future__ import annotations

import csv
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

from ..io.spreadsheet import safe_cell
from ..io.whole_file import whole_file
from .numbers import look_up

COHORT_COLUMNS: Mapping[str, tuple[str, ...]] = {
    "case_id": ("case_id",),
    "num_frames": ("time", "num_frames"),
    "cycle_length_ms": ("time", "cycle_length_ms"),
    "ed_frame": ("phases", "ed_frame"),
    "es_frame": ("phases", "es_frame"),
    "edv_ml": ("volumes", "edv_ml"),
    "esv_ml": ("volumes", "esv_ml"),
    "sv_ml": ("volumes", "sv_ml"),
    "ef_percent": ("volumes", "ef_percent"),
    "cardiac_output_l_per_min": ("volumes", "cardiac_output_l_per_min"),
    "ed_mass_g": ("mass", "ed_mass_g"),
    "mass_variation_percent": ("mass", "variation_percent"),
    "ed_thickness_mm": ("wall_thickness", "ed", "mean_mm"),
    "es_thickness_mm": ("wall_thickness", "es", "mean_mm"),
    "thickening_percent": ("wall_thickness", "thickening_percent", "mean"),
}
"""Columns of the table of a cohort, and where each stands in the measures."""


def write_measures_csv(document: Mapping[str, Any], path: str | Path) -> Path:
    """Write every number of one study: ``name,index,value``, names joined by dots, indices counted from 0.

    ``volumes.lv_ml,3,62.1`` is the cavity in frame 3; a number that stands alone has no index, one that is not known no
    value. In flags the index says which one.

    Args:
        document: the measures of a study.
        path: replaced if it exists.
    """
    return _write(path, ["name", "index", "value"], list(flattened(document)))


def flattened(value: Any, name: str = "", index: str = "") -> Iterator[list[Any]]:
    """Name, index and value of everything in a document, in its order.

    Example:
        >>> list(flattened({"volumes": {"lv_ml": [120.0, None]}, "case_id": "a"}))
        [['volumes.lv_ml', '0', 120.0], ['volumes.lv_ml', '1', ''], ['case_id', '', 'a']]
    """
    if isinstance(value, Mapping):
        for key, item in value.items():
            yield from flattened(item, f"{name}.{key}".lstrip("."), index)
    elif isinstance(value, list):
        for position, item in enumerate(value):
            yield from flattened(item, name, f"{index}.{position}".lstrip("."))
    else:
        yield [name, index, "" if value is None else value]


def write_cohort_csv(documents: Sequence[Mapping[str, Any]], path: str | Path) -> Path:
    """Write a row per study: the numbers of ``COHORT_COLUMNS`` and the codes of its flags.

    Args:
        documents: the measures of the studies.
        path: replaced if it exists.
    """
    rows = []
    for document in documents:
        values = [look_up(document, *place) for place in COHORT_COLUMNS.values()]
        codes = " ".join(flag["code"] for flag in document["flags"])
        rows.append([*("" if value is None else value for value in values), codes])
    return _write(path, [*COHORT_COLUMNS, "flags"], rows)


def _write(path: str | Path, head: list[str], rows: list[list[Any]]) -> Path:
    with whole_file(path) as partial, partial.open("w", newline="", encoding="utf-8") as file:
        writer = csv.writer(file)
        writer.writerow(head)
        writer.writerows([safe_cell(cell) for cell in row] for row in rows)
    return Path(path)
