# SPDX-License-Identifier: Apache-2.0
"""The history of a training, and the page that it ends with."""

from __future__ import annotations

import csv
import logging
import platform
import time
from collections.abc import Mapping, Sequence
from datetime import datetime, timezone
from importlib.metadata import version
from pathlib import Path
from typing import Any

import torch
from ignite.engine import Engine, Events
from torch import nn

from .. import __version__
from ..io.fingerprint import file_sha256
from ..report import write_training_summary
from .case_results import write_csv
from .checkpoint import BEST_MODEL, LAST_MODEL
from .spared import training_spared
from .validation_pictures import EF_PNG, PANEL_PNG, VOLUMES_PNG

logger = logging.getLogger(__name__)

HISTORY_CSV = "history.csv"


class TrainingSummary:
    """Trainer handler: ``history.csv`` after every epoch, ``training_summary.png`` and ``.html`` at the end.

    The history holds what other handlers put into the metrics of trainer and evaluator: loss terms, learning rate,
    validation Dice and error of the ejection fraction. A resumed training goes on in the file that is there. Belongs
    into the main process alone; attach after the handlers that log and save.

    A page that cannot be drawn is logged as an error, and does not end the run.

    Args:
        folder: of the run.
        evaluator: validation engine; ``None`` where there is none.
        network: its size is stated.
        settings: by name, as the page shall state them.
        data: name and path of the data list, and the numbers of cases: ``{"data list": ..., "training cases": 49}``.
            The SHA-256 of a value that is the path of a file stands beside it.
        ckpt_dir: holds the models, whose SHA-256 are stated.
        pictures: folder of :class:`~cardiac4d.workflows.ValidationPictures`.
        title: of the page.
    """

    def __init__(
        self,
        folder: str | Path,
        *,
        evaluator: Engine | None = None,
        network: nn.Module | None = None,
        settings: Mapping[str, Any] | None = None,
        data: Mapping[str, Any] | None = None,
        ckpt_dir: str | Path | None = None,
        pictures: str | Path | None = None,
        title: str = "Training",
    ) -> None:
        self.folder, self.evaluator, self.network, self.title = Path(folder), evaluator, network, title
        self.settings, self.data = dict(settings or {}), dict(data or {})
        self.ckpt_dir = Path(ckpt_dir) if ckpt_dir is not None else None
        self.pictures = Path(pictures) if pictures is not None else self.folder
        self.history: list[dict[str, float]] = []
        self._validated: dict[str, float] = {}
        self._started_at = self._epoch_at = time.monotonic()

    def attach(self, engine: Engine) -> None:
        """Register with the trainer."""
        engine.add_event_handler(Events.STARTED, self._started)
        engine.add_event_handler(Events.EPOCH_COMPLETED, self._epoch_completed)
        engine.add_event_handler(Events.COMPLETED, self._completed)
        if self.evaluator is not None:
            self.evaluator.add_event_handler(Events.COMPLETED, self._keep_validation)

    def _started(self, engine: Engine) -> None:
        """Read what an earlier run of this training noted, up to the epoch that is resumed from."""
        self._started_at = self._epoch_at = time.monotonic()
        path = self.folder / HISTORY_CSV
        done = engine.state.epoch
        self.history = [row for row in read_history(path) if row["epoch"] <= done] if path.is_file() and done else []

    def _keep_validation(self, evaluator: Engine) -> None:
        self._validated = {name: float(value) for name, value in evaluator.state.metrics.items()}

    def _epoch_completed(self, engine: Engine) -> None:
        now = time.monotonic()
        row = {"epoch": engine.state.epoch, "seconds": round(now - self._epoch_at, 3)}
        row |= {name: float(value) for name, value in engine.state.metrics.items()}
        self.history.append(row | self._validated)
        self._validated, self._epoch_at = {}, now
        write_csv(self.history, self.folder / HISTORY_CSV)

    def _completed(self, _engine: Engine) -> None:
        if self.history:
            with training_spared("summary of the training"):
                self._write_page()

    def _write_page(self) -> None:
        captions = {"Last validation: first case": PANEL_PNG, "Its volumes": VOLUMES_PNG, "Ejection fractions": EF_PNG}
        pictures = {caption: self.pictures / name for caption, name in captions.items()}
        now = f"{datetime.now(timezone.utc):%Y-%m-%d %H:%M} UTC"
        last = self.history[-1]
        subtitle = (
            f"{last['epoch']:.0f} epochs in {_duration(sum(row['seconds'] for row in self.history))}, ended {now}"
        )
        facts = {"Result": self._result(), "Settings": _as_text(self.settings), "Provenance": self._provenance()}
        _, page = write_training_summary(
            self.folder, self.history, facts, pictures, title=self.title, subtitle=subtitle
        )
        logger.info("summary of the training: %s", page)

    def _result(self) -> dict[str, str]:
        """The last value of every number, and the best validation."""
        last = {name: value for row in self.history for name, value in row.items() if name != "epoch"}
        lines = {name: f"{value:.4g}" for name, value in last.items() if name != "seconds"}
        scored = [row for row in self.history if "val_mean_dice" in row]
        if scored:
            best = max(scored, key=lambda row: row["val_mean_dice"])
            lines["best val_mean_dice"] = f"{best['val_mean_dice']:.4f}, epoch {best['epoch']:.0f}"
        seconds = [row["seconds"] for row in self.history]
        return lines | {"time per epoch, validation included": _duration(sum(seconds) / len(seconds))}

    def _provenance(self) -> dict[str, str]:
        lines = {"software": f"cardiac4d {__version__}, MONAI {version('monai')}, torch {torch.__version__}"}
        lines["machine"] = f"{platform.system()} {platform.machine()}, Python {platform.python_version()}, {_device()}"
        if self.network is not None:
            lines["parameters"] = f"{sum(p.numel() for p in self.network.parameters()):,}"
        files = {} if self.ckpt_dir is None else {name: self.ckpt_dir / name for name in (LAST_MODEL, BEST_MODEL)}
        for name, value in {**self.data, **{name: path for name, path in files.items() if path.is_file()}}.items():
            text = str(value)
            is_file = isinstance(value, (str, Path)) and Path(value).is_file()
            if not is_file:
                lines[name] = text
                continue
            shown = name if Path(text).name == name else f"{name} {Path(text).name}"
            lines[f"{shown}, SHA-256"] = file_sha256(Path(text))
        return lines


def read_history(path: Path) -> list[dict[str, float]]:
    """Rows of a ``history.csv``; what a row does not hold was not measured in its epoch."""
    with path.open(newline="", encoding="utf-8") as file:
        return [{name: float(value) for name, value in row.items() if value} for row in csv.DictReader(file)]


def _as_text(settings: Mapping[str, Any]) -> dict[str, str]:
    return {name: _one_line(value) for name, value in settings.items()}


def _one_line(value: Any) -> str:
    if isinstance(value, Sequence) and not isinstance(value, str):
        return " x ".join(str(item) for item in value)
    return str(value)


def _device() -> str:
    return torch.cuda.get_device_name() if torch.cuda.is_available() else f"CPU, threads: {torch.get_num_threads()}"


def _duration(seconds: float) -> str:
    """Example: 1 h 02 min, 3 min 20 s, 0.8 s."""
    if seconds < 60:
        return f"{seconds:.1f} s"
    minutes, rest = divmod(round(seconds), 60)
    return f"{minutes} min {rest} s" if minutes < 60 else f"{minutes // 60} h {minutes % 60:02d} min"
