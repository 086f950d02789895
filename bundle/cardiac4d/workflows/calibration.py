# SPDX-License-Identifier: Apache-2.0
"""How wrong the network was on studies with a reference, from the table of an evaluation: the source of intervals."""

from __future__ import annotations

import csv
import logging
import math
from collections.abc import Mapping, Sequence
from dataclasses import replace
from os import PathLike
from pathlib import Path

import numpy as np

from ..errors import InputError
from ..measure import StudyMeasures, intervals_from_errors
from ..measure.intervals import Errors

logger = logging.getLogger(__name__)

LEVEL = 0.9
_COLUMNS = ("edv_ml", "edv_reference_ml", "esv_ml", "esv_reference_ml", "ef_error_points")


class Calibration:
    """Intervals by split conformal prediction from the cases of an evaluation.

    They hold the true value in nine studies of ten **if the studies are like those of the evaluation**: another
    scanner, another hospital or another network needs its own table. The evaluation's references decide what is true:
    with annotated frames alone these must be end-diastole and end-systole.

    Args:
        cases_csv: ``cases.csv`` of an evaluation with the same weights, see
            :class:`~cardiac4d.workflows.CaseResults`.

    Raises:
        InputError: if the table cannot be read, or knows no reference.
    """

    def __init__(self, cases_csv: str | PathLike[str]) -> None:
        path = Path(cases_csv)
        self.errors = _errors(path, _rows(path))
        count = len(self.errors["ef_percent"])
        needed = math.ceil(2 / (1 - LEVEL) - 1e-9) - 1
        if count < needed:
            logger.warning("%s: %d cases with a reference give no interval; %.0f %% need %d", path, count, 90, needed)

    def __call__(self, measures: StudyMeasures) -> StudyMeasures:
        """The measures with their intervals."""
        return replace(measures, intervals=intervals_from_errors(measures, self.errors, LEVEL))


def _rows(path: Path) -> list[dict[str, float]]:
    if not path.is_file():
        raise InputError(path, "the table does not exist", "give cases.csv of an evaluation", "calibration")
    try:
        with path.open(newline="", encoding="utf-8") as file:
            rows = list(csv.DictReader(file))
        return [{name: float(row[name] or math.nan) for name in _COLUMNS} for row in rows]
    except (ValueError, TypeError, KeyError, csv.Error) as error:
        raise InputError(path, f"not cases.csv of an evaluation ({error})", "give that file", "calibration") from error


def _errors(path: Path, rows: Sequence[Mapping[str, float]]) -> dict[str, Errors]:
    columns = {name: np.array([row[name] for row in rows]) for name in _COLUMNS}
    edv, esv = columns["edv_ml"], columns["esv_ml"]
    true_edv, true_esv = columns["edv_reference_ml"], columns["esv_reference_ml"]
    with np.errstate(divide="ignore", invalid="ignore"):
        errors = {
            "edv_ml": edv / true_edv,
            "esv_ml": esv / true_esv,
            "sv_ml": (edv - esv) / (true_edv - true_esv),
            "ef_percent": columns["ef_error_points"],
        }
    known = {name: values[np.isfinite(values)] for name, values in errors.items()}
    if not any(values.size for values in known.values()):
        raise InputError(path, "no case has a reference", "evaluate studies with labels", "calibration")
    return known
