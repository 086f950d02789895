# SPDX-License-Identifier: Apache-2.0
"""The table of an evaluation, read as the errors of a network: what a table may get wrong is refused by name."""

from __future__ import annotations

import csv
import math
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Final

import numpy as np

from ..errors import InputError
from ..io.spreadsheet import original_cell
from ..measure.intervals import Errors

_OPTION: Final = "calibration"
_FIX: Final = "give cases.csv of an evaluation, as it was written"
_VOLUMES: Final = ("edv_ml", "edv_reference_ml", "esv_ml", "esv_reference_ml")
_FRACTIONS: Final = ("ef_percent", "ef_reference_percent")
_RATIOS: Final = {
    "edv_ml": ("edv_ml", "edv_reference_ml"),
    "esv_ml": ("esv_ml", "esv_reference_ml"),
    "ed_mass_g": ("ed_mass_g", "ed_mass_reference_g"),
    "ed_thickness_mm": ("ed_thickness_mm", "ed_thickness_reference_mm"),
}
"""Numbers whose error is a ratio, and their columns; mass and thickness are missing in tables of older versions."""
_CASE, _WEIGHTS = "case_id", "weights_sha256"
_LARGEST_RATIO: Final = 10.0
"""Beyond this the two were not written in one unit."""
_EF_TOLERANCE_POINTS: Final = 1.0
_SMALLEST_EDV_ML: Final = 2.0
"""Volumes are rounded: smaller ones give no ejection fraction to check another by."""

Row = Mapping[str, float]


@dataclass(frozen=True)
class CalibrationTable:
    """Errors by case, NaN where a case has no reference.

    Attributes:
        case_ids: one per case.
        errors: by the names of :data:`~cardiac4d.measure.intervals.QUANTITIES`, one per case: predicted minus true of
            the ejection fraction, in points; predicted over true of the rest.
        weights: SHA-256 of the weights that were evaluated; empty if the table does not say.
    """

    case_ids: tuple[str, ...]
    errors: Mapping[str, Errors]
    weights: frozenset[str]


def read_calibration_table(path: Path) -> CalibrationTable:
    """Read ``cases.csv`` of an evaluation.

    Raises:
        InputError: if it is no such table, names a case twice, mixes units, knows no reference, or if every case has
            one and the same error, which no evaluation has.
    """
    texts = _texts(path)
    case_ids = tuple(original_cell(text[_CASE]) for text in texts)
    twice = [case for case, count in Counter(case_ids).items() if count > 1]
    if twice:
        raise InputError(path, f"the case {twice[0]} stands in it more than once", "keep each case once", _OPTION)
    columns = [*_VOLUMES, *_FRACTIONS, *(name for pair in _RATIOS.values() for name in pair if name in texts[0])]
    rows = [{name: _number(path, text, name) for name in columns} for text in texts]
    for case_id, row in zip(case_ids, rows, strict=True):
        _check_units(path, case_id, row)
    errors = _errors(rows)
    _check_errors(path, errors)
    return CalibrationTable(case_ids, errors, frozenset(filter(None, (text.get(_WEIGHTS) for text in texts))))


def _texts(path: Path) -> list[dict[str, str]]:
    if not path.is_file():
        raise InputError(path, "there is no such table", "give cases.csv of an evaluation", _OPTION)
    try:
        with path.open(newline="", encoding="utf-8-sig") as file:  # spreadsheets put a mark before the first name
            reader = csv.DictReader(file)
            texts, names = list(reader), reader.fieldnames or ()
    except (ValueError, csv.Error) as error:  # not text
        raise InputError(path, "it is no table of comma-separated text", _FIX, _OPTION) from error
    missing = [name for name in (_CASE, *_VOLUMES, *_FRACTIONS) if name not in names]
    if missing:
        raise InputError(path, f"it has no column {', '.join(missing)}", _FIX, _OPTION)
    if not texts:
        raise InputError(path, "it holds no case", _FIX, _OPTION)
    return texts


def _number(path: Path, text: Mapping[str, str | None], name: str) -> float:
    """The number in a cell; NaN in an empty one."""
    try:
        return float(text[name] or "nan")
    except (ValueError, TypeError) as error:
        problem = f"case {text[_CASE]}: {name} is {text[name]!r}, which is no number"
        raise InputError(path, problem, _FIX, _OPTION) from error


def _check_units(path: Path, case_id: str, row: Row) -> None:
    """Find litres, fractions and the like: a table may have been put together by hand."""
    fix = "write all volumes in mL, mass in g, thickness in mm and ejection fractions in percent"
    for names in _RATIOS.values():
        value, true = (row.get(name, math.nan) for name in names)
        if value > 0 and true > 0 and not 1 / _LARGEST_RATIO < value / true < _LARGEST_RATIO:
            problem = f"case {case_id}: {names[0]} is {value:g} and {names[1]} {true:g}, which are not of one unit"
            raise InputError(path, problem, fix, _OPTION)
    edv_ml, esv_ml, ef_percent = row["edv_ml"], row["esv_ml"], row["ef_percent"]
    expected = 100 * (edv_ml - esv_ml) / edv_ml if edv_ml > _SMALLEST_EDV_ML else math.nan
    if abs(ef_percent - expected) > _EF_TOLERANCE_POINTS:  # false for NaN
        problem = f"case {case_id}: ef_percent is {ef_percent:g}, but its volumes give {expected:.1f}"
        raise InputError(path, problem, fix, _OPTION)


def _errors(rows: Sequence[Row]) -> dict[str, Errors]:
    def column(name: str) -> Errors:
        return np.array([row.get(name, math.nan) for row in rows])

    edv_ml, true_edv_ml, esv_ml, true_esv_ml = map(column, _VOLUMES)
    ef_percent, true_ef_percent = map(column, _FRACTIONS)
    with np.errstate(divide="ignore", invalid="ignore"):
        ratios = {name: column(value) / column(true) for name, (value, true) in _RATIOS.items()}
        ratios["sv_ml"] = (edv_ml - esv_ml) / (true_edv_ml - true_esv_ml)
    errors = {**ratios, "ef_percent": ef_percent - true_ef_percent}
    return {name: np.where(np.isfinite(values), values, np.nan) for name, values in errors.items()}


def _check_errors(path: Path, errors: Mapping[str, Errors]) -> None:
    known = {name: values[np.isfinite(values)] for name, values in errors.items()}
    if not any(values.size for values in known.values()):
        raise InputError(path, "no case has a reference", "evaluate studies with labels", _OPTION)
    for name, values in known.items():
        if values.size > 1 and np.ptp(values) == 0:
            problem = f"every case has the same error of {name} ({values[0]:g})"
            raise InputError(path, problem, "evaluate a network on different studies", _OPTION)
