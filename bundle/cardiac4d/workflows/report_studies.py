# SPDX-License-Identifier: Apache-2.0
"""Reports of the studies that an evaluator segments."""

from __future__ import annotations

import logging
import math
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from ignite.engine import Engine, Events

from .. import __version__
from ..conventions import CASE_ROW_KEY, META_CYCLE_LENGTH_MS, META_FRAME_TIMES_MS, META_FULL_CYCLE, PRED_KEY
from ..io import SequenceSource, reopen
from ..io.fingerprint import file_sha256
from ..measure import measure_study
from ..report import write_cohort_report, write_study_report
from .calibration import Calibration
from .case_results import case_name, measure_case
from .dicom_report import write_dicom_report
from .distributed import gather_rows, is_main_process
from .reference import reference_document, reference_map
from .runs import remove_other_dicom_reports, remove_other_reports
from .weights import weights_sha256

logger = logging.getLogger(__name__)


@dataclass(frozen=True)
class ChosenFrames:
    """Some frames of a sequence, in the order in which they were loaded."""

    source: SequenceSource
    indices: Sequence[int]

    def frames(self) -> Iterable[np.ndarray]:
        """The frames, one at a time."""
        return self.source.frames([index % self.source.num_frames for index in self.indices])


class StudyReports:
    """Evaluator handler: a report per study, and ``index.html`` over all of them.

    Works on what the postprocessing left in the engine's output: the label map ``pred``, ``(1, H, W, D, T)`` on the
    study's own grid. The pictures are read from the study's file once more, frame by frame, since the network saw
    resampled and scaled ones. Where the study has label maps to compare with, their contours and how well they agree
    are shown too. With several processes each writes the reports of its studies; the first the index.

    Args:
        output_dir: folder of the reports; made if needed.
        model_name: stands in the reports.
        checkpoint: file of the weights; its SHA-256 stands in the reports.
        dicom_dir: folder of a DICOM structured report of each study that came as DICOM; none where it is left out.
            These files name the patient; the others do not.
        calibration: table of an evaluation with these weights, from which intervals follow; none without it
            (:class:`~cardiac4d.workflows.calibration.Calibration`).
        overwrite: remove the reports that an earlier run left of other cases.
    """

    def __init__(
        self,
        output_dir: str | Path,
        model_name: str | None = None,
        checkpoint: str | Path | None = None,
        dicom_dir: str | Path | None = None,
        *,
        calibration: str | Path | None = None,
        overwrite: bool = False,
    ) -> None:
        self.calibration = None if calibration is None else Calibration(calibration, weights_sha256(checkpoint))
        self.dicom_dir = None if dicom_dir is None else Path(dicom_dir)
        self.output_dir, self.overwrite = Path(output_dir), overwrite
        self.model_name, self.checkpoint = model_name, checkpoint
        self._documents: list[dict[str, Any]] = []

    def attach(self, engine: Engine) -> None:
        """Register with the evaluator."""
        engine.add_event_handler(Events.STARTED, lambda _engine: self._documents.clear())
        engine.add_event_handler(Events.ITERATION_COMPLETED, self._iteration_completed)
        engine.add_event_handler(Events.COMPLETED, self._completed)

    def _iteration_completed(self, engine: Engine) -> None:
        outputs: Any = engine.state.output
        items: Any = engine.state.batch
        for output, item in zip(outputs, items, strict=True):
            self._documents.append(self._report({**item, **output}))

    def _report(self, case: Mapping[str, Any]) -> dict[str, Any]:
        pred, case_id = case[PRED_KEY], case_name(case)
        source = reopen(pred.meta)
        place = source.path
        model = {"model": self.model_name, "weights_sha256": weights_sha256(self.checkpoint)}
        cycle_ms = float(pred.meta.get(META_CYCLE_LENGTH_MS, math.nan))
        measures = measure_study(
            pred[0],
            pred.affine,
            pred.meta.get(META_FRAME_TIMES_MS),
            full_cycle=bool(pred.meta.get(META_FULL_CYCLE, False)),
            cycle_length_ms=None if math.isnan(cycle_ms) else cycle_ms,
        )
        measures = measures if self.calibration is None else self.calibration(measures, case_id)
        document = measures.to_document(case_id, {**origin(place, case_id), **model})
        reference = reference_map(case)
        document["reference"] = reference_document(case.get(CASE_ROW_KEY) or measure_case(case), reference)
        frames = ChosenFrames(source, [int(t) for t in pred.meta.get("frame_indices", range(source.num_frames))])
        write_study_report(self.output_dir, document, frames, pred[0], pred.affine, reference=reference)
        if self.dicom_dir is not None:
            write_dicom_report(self.dicom_dir, document, pred.meta, overwrite=self.overwrite)
        return document

    def _completed(self, _engine: Engine) -> None:
        documents = sorted(gather_rows(self._documents), key=lambda document: str(document["case_id"]))
        self._documents.clear()
        if not is_main_process():
            return
        if self.overwrite:
            case_ids = [document["case_id"] for document in documents]
            remove_other_reports(self.output_dir, case_ids)
            if self.dicom_dir is not None:
                remove_other_dicom_reports(self.dicom_dir, case_ids)
        if documents:
            page, _ = write_cohort_report(self.output_dir, documents)
            logger.info("reports: %s", page)


def origin(place: Path, case_id: str) -> dict[str, Any]:
    """What ``provenance`` says of the input and of this software.

    A file name that does not begin with the case id may name the patient whom the id hides: it is left out.
    """
    name = place.name if place.name.startswith(case_id) else "name withheld, it differs from the case id"
    checksum = file_sha256(place) if place.is_file() else None
    return {"input": name, "input_sha256": checksum, "version": __version__}
