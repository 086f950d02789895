# SPDX-License-Identifier: Apache-2.0
"""How wrong the network was on studies with a reference, from the table of an evaluation: the source of intervals."""

from __future__ import annotations

import logging
import math
from dataclasses import replace
from os import PathLike
from pathlib import Path
from typing import Final

import numpy as np

from ..errors import InputError
from ..measure import StudyMeasures, intervals_from_errors
from .calibration_table import read_calibration_table

logger = logging.getLogger(__name__)

LEVEL: Final = 0.9


class Calibration:
    """Intervals by split conformal prediction from the cases of an evaluation.

    They hold the true value in nine studies of ten **if the studies are like those of the evaluation**: another
    scanner, another hospital or another network needs its own table. The evaluation's references decide what is true:
    with annotated frames alone these must be end-diastole and end-systole. A case of the table that is reported itself
    is left out of its own interval.

    Args:
        cases_csv: ``cases.csv`` of an evaluation with the same weights, see
            :class:`~cardiac4d.workflows.CaseResults`.
        weights_sha256: of the weights that segment now, if known.

    Raises:
        InputError: if the table cannot be used (:func:`~.calibration_table.read_calibration_table`), or is that of
            other weights.
    """

    def __init__(self, cases_csv: str | PathLike[str], weights_sha256: str | None = None) -> None:
        path = Path(cases_csv)
        self._table = read_calibration_table(path)
        _check_weights(path, self._table.weights, weights_sha256)
        needed = math.ceil(2 / (1 - LEVEL) - 1e-9) - 1
        counts = {name: np.isfinite(values).sum() for name, values in self._table.errors.items()}
        few = ", ".join(f"{name} ({count})" for name, count in counts.items() if count < needed)
        if few:
            text = "%s: too few cases with a reference for an interval of %s; %.0f %% need %d"
            logger.warning(text, path, few, 100 * LEVEL, needed)

    def __call__(self, measures: StudyMeasures, case_id: str | None = None) -> StudyMeasures:
        """The measures with their intervals.

        Args:
            measures: of a study.
            case_id: its name; if the table has it, the interval comes from all the others.
        """
        others = np.array([known != case_id for known in self._table.case_ids])
        errors = {name: values[others & np.isfinite(values)] for name, values in self._table.errors.items()}
        return replace(measures, intervals=intervals_from_errors(measures, errors, LEVEL))


def _check_weights(path: Path, evaluated: frozenset[str], used: str | None) -> None:
    if not evaluated:
        logger.warning("%s does not say which weights were evaluated: make sure that they are those used now", path)
    elif used is not None and evaluated != {used}:
        found = ", ".join(sorted(checksum[:12] for checksum in evaluated))
        fix = "evaluate with the weights used now (or delete that column, if they are the same, saved anew)"
        raise InputError(path, f"it is of other weights ({found}; now {used[:12]})", fix, "weights_sha256")
