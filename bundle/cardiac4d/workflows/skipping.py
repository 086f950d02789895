# SPDX-License-Identifier: Apache-2.0
"""Go on where one study of many cannot be read: segment the others, and fail at the end by name.

A truncated ``.nii.gz`` shows only while it is decompressed, perhaps hours after the first study was segmented. With
several processes an error in one of them would end the others too.
"""

from __future__ import annotations

import logging
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from ignite.engine import Engine, Events
from monai.data import Dataset
from monai.engines import SupervisedEvaluator

from ..conventions import CASE_ID_KEY
from ..errors import InputError
from .case_results import write_csv
from .distributed import gather_rows, is_main_process
from .input_errors import find_input_error

PROBLEM_KEY = "why_skipped"
SHOWN = 3
"""So many problems stand in the error; the table and the log have all of them."""

logger = logging.getLogger(__name__)


class SkippingDataset(Dataset):
    """A data set of cases, in which one that cannot be used comes as its ``id`` and the problem, as text.

    For :class:`SkippingEvaluator` and batches of one case, since such an item has no image. Errors other than
    :class:`InputError` are raised: they are no fault of the case.

    Args:
        data: entries with an ``id``.
        transform: loads an entry.
    """

    def _transform(self, index: int) -> Any:
        try:
            return super()._transform(index)
        except Exception as error:
            problem = find_input_error(error)
            if problem is None:
                raise
            return {CASE_ID_KEY: self.data[index][CASE_ID_KEY], PROBLEM_KEY: str(problem)}


class SkippingEvaluator(SupervisedEvaluator):
    """An evaluator that passes over the items that :class:`SkippingDataset` could not load.

    So it does with those whose results cannot be written as asked, such as a DICOM SEG of a study that is no DICOM.

    Handlers and postprocessing see no case in such an iteration: batch and output are empty lists. The run ends as any
    other, with the results of all other cases; then it is reported as failed.

    Args:
        args: as of :class:`monai.engines.SupervisedEvaluator`.
        failures_csv: receives the cases passed over, if there are any, with problem and fix.
        kwargs: as of :class:`monai.engines.SupervisedEvaluator`.

    Raises:
        InputError: at the end of a run, if cases were passed over; in the main process, which knows those of all
            processes and has written ``failures_csv`` then.
    """

    def __init__(self, *args: Any, failures_csv: str | Path, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self.failures_csv = Path(failures_csv)
        self._skipped: list[dict[str, Any]] = []
        # After the handlers given above have done their part.
        self.add_event_handler(Events.STARTED, self._start_anew)
        self.add_event_handler(Events.COMPLETED, self._report)

    def _start_anew(self, _engine: Engine) -> None:
        self._skipped.clear()

    def _report(self, _engine: Engine) -> None:
        """Gather what all processes passed over: on an event, which a process without a case sees as well."""
        skipped = sorted(gather_rows(self._skipped), key=lambda row: row["case_id"])
        if skipped and is_main_process():
            write_csv(skipped, self.failures_csv)
            raise self._failure(skipped)

    def _iteration(self, engine: Any, batchdata: Any) -> Any:
        problems = batchdata.get(PROBLEM_KEY)
        if problems is None:
            try:
                return super()._iteration(engine, batchdata)
            except Exception as error:
                problem = find_input_error(error)
                if problem is None:
                    raise
                problems = [str(problem)] * len(batchdata[CASE_ID_KEY])
        for case_id, problem in zip(batchdata[CASE_ID_KEY], problems, strict=True):
            logger.error("%s is passed over: %s", case_id, problem)
            self._skipped.append({"case_id": case_id, "problem": problem})
        engine.state.batch = []
        return []

    def _failure(self, skipped: Sequence[dict[str, Any]]) -> InputError:
        named = [f"{row['case_id']} ({row['problem'].rstrip('.')})" for row in skipped[:SHOWN]]
        named += [f"{len(skipped) - SHOWN} more"] if len(skipped) > SHOWN else []
        cases = "1 case was" if len(skipped) == 1 else f"{len(skipped)} cases were"
        problem = f"{cases} passed over, all others are done: {', '.join(named)}"
        return InputError(self.failures_csv, problem, "mend these files, then segment them into another output folder")
