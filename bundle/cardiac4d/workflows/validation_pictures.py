# SPDX-License-Identifier: Apache-2.0
"""What a validation shows: a case at end-diastole and end-systole, the ejection fractions, and their numbers."""

from __future__ import annotations

import math
from collections.abc import Mapping
from functools import cached_property
from pathlib import Path
from typing import Any

from ignite.engine import Engine, Events

from ..conventions import IMAGE_KEY, LABEL_KEY, META_FRAME_TIMES_MS, PRED_KEY, REFERENCE_EF_KEY, STRUCTURES
from ..measure import measure_left_ventricle, measured_frames
from ..measure.inputs import as_label_map
from ..metrics import dice_per_frame
from ..metrics.averages import mean_of_defined
from ..report import as_pixels, ef_agreement, save_png, training_panel, volume_curve
from .case_results import case_name
from .distributed import gather_rows, is_main_process
from .spared import training_spared

PANEL_PNG, VOLUMES_PNG, EF_PNG = "validation_case.png", "validation_volumes.png", "validation_ef.png"


class ValidationPictures:
    """Evaluator handler: pictures to TensorBoard and to files, Dice and ejection-fraction error to the metrics.

    After each validation it draws the first case of the main process (image, label and prediction at end-diastole and
    end-systole, in slices through the ventricle; its volume curve with the annotated frames) and a scatter of the
    ejection fractions of all cases that have a reference. Into ``engine.state.metrics`` go ``val_dice_lv``,
    ``val_dice_lvm``, ``val_ef_mae_points`` and ``val_ef_bias_points``, over the cases of all processes; what is not
    defined is left out. Everything is taken on the grid of the training: good enough to watch, not to report.

    A picture that cannot be drawn is logged as an error, and the training goes on.

    Must run in every process, and before the handlers that log: list it first.

    Args:
        folder: receives the last pictures; ``None`` writes no files.
        log_dir: of TensorBoard; ``None`` logs nothing there.
    """

    def __init__(self, folder: str | Path | None, log_dir: str | Path | None) -> None:
        self.folder = None if folder is None else Path(folder)
        self.log_dir = None if log_dir is None else Path(log_dir)
        self._rows: list[dict[str, Any]] = []

    def attach(self, engine: Engine) -> None:
        """Register with the evaluator."""
        engine.add_event_handler(Events.STARTED, self._started)
        engine.add_event_handler(Events.ITERATION_COMPLETED, self._iteration_completed)
        engine.add_event_handler(Events.EPOCH_COMPLETED, self._epoch_completed)

    def _started(self, _engine: Engine) -> None:
        self._rows.clear()

    def _iteration_completed(self, engine: Engine) -> None:
        outputs: Any = engine.state.output
        for output in outputs:
            if not self._rows and is_main_process():
                with training_spared("pictures of the validation"):
                    self._show(engine.state.epoch, _draw_case(output, engine.state.epoch))
            self._rows.append(_measure(output))

    def _epoch_completed(self, engine: Engine) -> None:
        rows = gather_rows(self._rows)
        self._rows.clear()
        engine.state.metrics.update(_numbers(rows))
        pairs = [(row["ef_percent"], row["ef_reference_percent"]) for row in rows]
        if is_main_process() and not all(math.isnan(a + b) for a, b in pairs):
            with training_spared("ejection fractions of the validation"):
                predicted, reference = zip(*pairs, strict=True)
                figure = ef_agreement(predicted, reference, title=f"Validation after epoch {engine.state.epoch}")
                self._show(engine.state.epoch, {EF_PNG: figure})

    def _show(self, epoch: int, figures: Mapping[str, Any]) -> None:
        if self.folder is not None:
            for name, figure in figures.items():
                save_png(figure, self.folder / name)
        if self.log_dir is not None:
            for name, figure in figures.items():
                self._writer.add_image(f"pictures/{Path(name).stem}", as_pixels(figure), epoch, dataformats="HWC")
            self._writer.flush()

    @cached_property
    def _writer(self) -> Any:
        """Opened with the first picture, and once: every writer has a file of its own."""
        from torch.utils.tensorboard import SummaryWriter  # needs the extra `train`, as MONAI's own handlers do

        return SummaryWriter(str(self.log_dir))


def _draw_case(case: Mapping[str, Any], epoch: int) -> dict[str, Any]:
    image, label, pred = (case[key] for key in (IMAGE_KEY, LABEL_KEY, PRED_KEY))
    meta = getattr(image, "meta", {})
    title = f"{_name(case)}, after epoch {epoch}"
    times_ms = meta.get(META_FRAME_TIMES_MS)
    found = measure_left_ventricle(pred[0], image.affine, times_ms)
    known = measured_frames(as_label_map(label[0])).any()
    reference = measure_left_ventricle(label[0], image.affine, times_ms) if known else None
    return {
        PANEL_PNG: training_panel(image[0], label[0], pred[0], image.affine, title=title),
        VOLUMES_PNG: volume_curve(found, times_ms, reference=reference, title=title),
    }


def _name(case: Mapping[str, Any]) -> str:
    try:
        return case_name(case)
    except (AttributeError, KeyError):  # neither an id nor a file name
        return "first case"


def _measure(case: Mapping[str, Any]) -> dict[str, Any]:
    pred, label = as_label_map(case[PRED_KEY][0], "pred"), as_label_map(case[LABEL_KEY][0], "label")
    affine = case[IMAGE_KEY].affine
    dice = dice_per_frame(pred, label)
    row = {f"dice_{name.lower()}": mean_of_defined(scores) for name, scores in zip(STRUCTURES, dice, strict=True)}
    row["ef_percent"] = measure_left_ventricle(pred, affine).ef_percent
    given = case.get(REFERENCE_EF_KEY)
    row["ef_reference_percent"] = float("nan") if given is None else float(given)
    if math.isnan(row["ef_reference_percent"]) and measured_frames(label).sum() > 1:
        row["ef_reference_percent"] = measure_left_ventricle(label, affine).ef_percent
    return row


def _numbers(rows: list[dict[str, Any]]) -> dict[str, float]:
    errors = [row["ef_percent"] - row["ef_reference_percent"] for row in rows]
    numbers = {
        f"val_dice_{name.lower()}": mean_of_defined(row[f"dice_{name.lower()}"] for row in rows) for name in STRUCTURES
    }
    numbers["val_ef_mae_points"] = mean_of_defined(abs(error) for error in errors)
    numbers["val_ef_bias_points"] = mean_of_defined(errors)
    return {name: value for name, value in numbers.items() if not math.isnan(value)}
