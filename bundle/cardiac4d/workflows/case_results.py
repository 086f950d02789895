# SPDX-License-Identifier: Apache-2.0
"""Measure every case that an evaluator segments, and write one table for the whole run."""

from __future__ import annotations

import csv
import json
import logging
import math
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from ignite.engine import Engine, Events
from torch import Tensor

from ..conventions import (
    CASE_ID_KEY,
    CASE_ROW_KEY,
    LABEL_KEY,
    META_FRAME_TIMES_MS,
    META_FULL_CYCLE,
    PRED_KEY,
    REFERENCE_EF_KEY,
    TRUTH_KEY,
)
from ..io import case_stem
from ..io.spreadsheet import safe_cell
from ..io.whole_file import whole_file
from ..measure import Flag, lost_cavity, mass_variation, volumes_ml
from ..metrics import evaluate_case, format_cases, format_table, rounded, summarize_cases
from ..transforms.save_sequence import SAVED_TO
from .distributed import gather_rows, is_main_process, process_rank
from .runs import remove_other_segmentations, remove_tables
from .weights import weights_sha256

logger = logging.getLogger(__name__)


class CaseResults:
    """Evaluator handler: a row per case, ``cases.csv`` and ``summary.json`` per run, and a table in the log.

    Works on what the postprocessing left in the engine's output: label maps ``pred`` and, where they exist, ``label``
    (sparse) and ``truth`` (dense), all ``(1, H, W, D, T)`` **on the study's own grid**, so that volumes are true.
    With several processes the rows are gathered, ordered by case id, and written once. Each is left in the engine's
    output too, under ``case_row``, for handlers that are attached after this one.

    Args:
        output_dir: folder of the two files; made if needed.
        model_name: name of the model in the printed table.
        checkpoint: file of the weights; its SHA-256 stands in every row.
        overwrite: remove what an earlier run left in the folder: its tables when the engine starts, segmentations of
            other cases when it is done. Else they would be mixed up with the results of this run.
    """

    def __init__(
        self,
        output_dir: str | Path,
        model_name: str = "4D network",
        checkpoint: str | Path | None = None,
        *,
        overwrite: bool = False,
    ) -> None:
        self.output_dir, self.model_name, self.overwrite = Path(output_dir), model_name, overwrite
        self.checkpoint = checkpoint
        self._rows: list[dict[str, Any]] = []
        self._saved_in: set[str] = set()

    def attach(self, engine: Engine) -> None:
        """Register with the evaluator."""
        engine.add_event_handler(Events.STARTED, self._started)
        engine.add_event_handler(Events.ITERATION_COMPLETED, self._iteration_completed)
        engine.add_event_handler(Events.COMPLETED, self._completed)
        engine.add_event_handler(Events.EXCEPTION_RAISED, self._failed)

    def _started(self, _engine: Engine) -> None:
        self._rows.clear()
        if self.overwrite and is_main_process():
            remove_tables(self.output_dir)
        self._saved_in.clear()

    def _iteration_completed(self, engine: Engine) -> None:
        outputs: Any = engine.state.output
        items: Any = engine.state.batch
        for output, item in zip(outputs, items, strict=True):
            row = measure_case({**item, **output})
            output[CASE_ROW_KEY] = row
            self._rows.append({**row, "weights_sha256": weights_sha256(self.checkpoint) or ""})
            pred = output[PRED_KEY]
            _warn(self._rows[-1]["case_id"], lost_cavity(volumes_ml(pred[0], pred.affine, "LV")))
            saved_to = pred.meta.get(SAVED_TO)
            self._saved_in |= {str(Path(saved_to).parent)} if saved_to else set()

    def _completed(self, engine: Engine) -> None:
        by_id = {row["case_id"]: row for row in gather_rows(self._rows)}
        self._rows.clear()
        rows = [by_id[case_id] for case_id in sorted(by_id)]
        if self.overwrite and is_main_process():
            remove_other_segmentations(self.output_dir, by_id)
        if not rows:  # the evaluator passed over every case, and says so
            return
        summary = summarize_cases(rows)
        engine.state.metrics.update({key: value for key, value in summary.items() if isinstance(value, float)})
        if is_main_process():
            self._write(rows, summary)

    def _failed(self, _engine: Engine, error: Exception) -> None:
        """Keep the rows of the cases that were done before one failed."""
        if self._rows:
            path = self.output_dir / f"cases_before_failure_{process_rank()}.csv"
            write_csv([rounded(row) for row in self._rows], path)
            logger.error("%d cases were done before the failure: %s", len(self._rows), path)
            self._rows.clear()  # Ignite reports one failure twice
        raise error

    def _write(self, rows: Sequence[Mapping[str, Any]], summary: dict[str, Any]) -> None:
        for row in rows:
            _warn(row["case_id"], mass_variation(row["lvm_variation_percent"]))
        written = [rounded(row) for row in rows]
        write_csv(written, self.output_dir / "cases.csv")
        document = without_nan({"model": self.model_name, "summary": rounded(summary), "cases": written})
        text = json.dumps(document, indent=4, allow_nan=False)
        with whole_file(self.output_dir / "summary.json") as partial:
            partial.write_text(text + "\n", encoding="utf-8")
        # Without any reference the table of the paper would be one of dashes.
        table = format_table({self.model_name: summary}) if any(map(_has_reference, rows)) else format_cases(rows)
        logger.info("%d cases: %s\n%s", len(rows), self.output_dir / "cases.csv", table)
        for folder in sorted(self._saved_in):
            logger.info("segmentations: %s", folder)


def _warn(case_id: str, flag: Flag | None) -> None:
    """Log a doubt about a case, if there is one."""
    if flag is not None:
        logger.warning("%s: %s.", case_id, flag.reason)


def _has_reference(row: Mapping[str, Any]) -> bool:
    """Whether there is anything to compare a case with: annotated frames, a dense truth, an ejection fraction."""
    return bool(row["num_annotated_frames"]) or row["ef_reference_source"] != "none"


def measure_case(case: Mapping[str, Any]) -> dict[str, Any]:
    """One row of numbers for a segmented case; see :func:`cardiac4d.metrics.evaluate_case`."""
    pred = case[PRED_KEY]
    return evaluate_case(
        case_name(case),
        pred[0],
        label=_loaded(case, LABEL_KEY),
        truth=_loaded(case, TRUTH_KEY),
        affine=pred.affine,
        frame_times_ms=pred.meta.get(META_FRAME_TIMES_MS),
        reference_ef_percent=case.get(REFERENCE_EF_KEY),
        full_cycle=bool(pred.meta.get(META_FULL_CYCLE, False)),
        wall_thickness=True,
    )


def _loaded(case: Mapping[str, Any], key: str) -> Tensor | None:
    """The label map under ``key``; inference leaves the path in the entry, which is no label map."""
    return case[key][0] if isinstance(case.get(key), Tensor) else None


def case_name(case: Mapping[str, Any]) -> str:
    """The case's id, or the name of its image file without suffixes."""
    if case.get(CASE_ID_KEY):
        return str(case[CASE_ID_KEY])
    return case_stem(case[PRED_KEY].meta["filename_or_obj"])


def without_nan(value: Any) -> Any:
    """Replace NaN by ``None``, which JSON knows, all the way down."""
    if isinstance(value, Mapping):
        return {key: without_nan(item) for key, item in value.items()}
    if isinstance(value, list):
        return [without_nan(item) for item in value]
    return None if isinstance(value, float) and math.isnan(value) else value


def write_csv(rows: Sequence[Mapping[str, Any]], path: Path) -> None:
    """Write rows of flat dictionaries; columns are the keys in the order of their first appearance."""
    columns = list(dict.fromkeys(key for row in rows for key in row))
    with whole_file(path) as partial, partial.open("w", newline="", encoding="utf-8") as file:
        writer = csv.DictWriter(file, columns)
        writer.writeheader()
        writer.writerows({name: safe_cell(cell) for name, cell in row.items()} for row in rows)
