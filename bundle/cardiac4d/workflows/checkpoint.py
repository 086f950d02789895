# SPDX-License-Identifier: Apache-2.0
"""Checkpoints that survive a kill at any moment.

A training folder holds ``checkpoint_epoch=N.pt`` (everything needed to go on), ``model_best.pt`` and ``model_last.pt``
(bare state dicts, see :mod:`cardiac4d.workflows.weights`). Each file is written under another name and then renamed,
and an older checkpoint goes only after its successor is complete: there is a whole one on disk at every moment.
"""

from __future__ import annotations

import logging
import os
import re
from collections.abc import Mapping
from itertools import count
from pathlib import Path
from typing import Any, Protocol

import torch
from ignite.engine import Engine, Events
from torch import nn

from ..errors import InputError
from .distributed import is_main_process
from .weights import Recipe, bare, check_recipe, load_weights, save_atomically, write_model

LAST_MODEL = "model_last.pt"
BEST_MODEL = "model_best.pt"
_PATTERN = re.compile(r"checkpoint_epoch=(\d+)\.pt")
logger = logging.getLogger(__name__)


class Stateful(Protocol):
    """Anything that saves and restores itself: network, optimizer, scheduler, gradient scaler."""

    def state_dict(self) -> dict[str, Any]:
        """Return what is needed to restore the object."""
        ...

    def load_state_dict(self, state_dict: dict[str, Any]) -> Any:
        """Restore the object."""
        ...


def list_checkpoints(folder: str | os.PathLike[str]) -> list[Path]:
    """Checkpoints of a training folder, newest first."""
    found = ((_PATTERN.fullmatch(path.name), path) for path in Path(folder).glob("checkpoint_epoch=*.pt"))
    return [path for _, path in sorted(((int(match[1]), path) for match, path in found if match), reverse=True)]


class Checkpoints:
    """Trainer handler: rolling checkpoints to go on from, the best model so far, and the model of the last epoch.

    Args:
        folder: where the files go.
        network: saved without its data-parallel wrapper.
        optimizer, lr_scheduler: saved with their state, and restored in this order. Only a schedule that keeps its own
            length, as :class:`~cardiac4d.workflows.PolySchedule`, lets a training be resumed to train longer.
        interval: epochs between checkpoints; the last epoch always writes one.
        keep: number of checkpoints kept, at least two.
        evaluator: validation engine whose key metric decides on ``model_best.pt``; ``None`` writes no best model.
        resume: go on from the newest readable checkpoint in the folder, if there is one. Newer ones that cannot be read
            are renamed; where none can be read, the engine raises ``InputError``.
        map_location: device for the restored tensors.
        recipe: what the network's input must look like, such as ``{"spacing_mm": [1, 1, 1]}``; kept beside the models.
            A checkpoint of another recipe is not resumed: the engine raises ``InputError``.
        seed: of this training; resuming with another one gives a warning.

    Raises:
        ValueError: if ``keep`` is less than two.
    """

    def __init__(
        self,
        folder: str | os.PathLike[str],
        network: nn.Module,
        optimizer: Stateful,
        lr_scheduler: Stateful,
        *,
        interval: int = 1,
        keep: int = 2,
        evaluator: Engine | None = None,
        resume: bool = False,
        map_location: torch.device | str = "cpu",
        recipe: Recipe | None = None,
        seed: int | None = None,
    ) -> None:
        if keep < 2:
            raise ValueError(f"`keep` must be at least 2, so that one checkpoint is always complete, got {keep}")
        self.folder, self.network, self.interval, self.keep = Path(folder), network, interval, keep
        self.parts: dict[str, Stateful] = {"optimizer": optimizer, "lr_scheduler": lr_scheduler}
        self.evaluator, self.recipe, self.seed = evaluator, recipe, seed
        self.resume, self.map_location = resume, map_location
        self.best_metric = float("-inf")

    def attach(self, engine: Engine) -> None:
        """Register with the trainer. Attach after the learning-rate handler, so that its step is saved too."""
        if self.resume:
            engine.add_event_handler(Events.STARTED, self._restore)
        engine.add_event_handler(Events.EPOCH_COMPLETED, self._epoch_completed)
        engine.add_event_handler(Events.COMPLETED, self._completed)
        if self.evaluator is not None:
            self.evaluator.add_event_handler(Events.COMPLETED, self._validated)

    def _epoch_completed(self, engine: Engine) -> None:
        epoch = engine.state.epoch
        if is_main_process() and (epoch % self.interval == 0 or epoch == engine.state.max_epochs):
            self.write(engine)

    def write(self, engine: Engine) -> None:
        """Write the checkpoint of the current epoch, then drop the oldest of those before it."""
        content: dict[str, Any] = {name: part.state_dict() for name, part in self.parts.items()}
        content["network"] = bare(self.network).state_dict()
        content["epoch"] = engine.state.epoch
        content["recipe"], content["seed"] = dict(self.recipe or {}), self.seed
        content["best_metric"] = self.best_metric
        scaler = getattr(engine, "scaler", None)
        if scaler is not None:
            content["scaler"] = scaler.state_dict()
        path = self.folder / f"checkpoint_epoch={engine.state.epoch}.pt"
        save_atomically(content, path)
        # Counted from the one just written: a higher number is another training's, and is left alone.
        present = list_checkpoints(self.folder)
        for outdated in present[present.index(path) + self.keep :]:
            outdated.unlink()

    def _validated(self, evaluator: Engine) -> None:
        state: Any = evaluator.state  # MONAI adds key_metric_name to Ignite's state
        metric = float(state.metrics[state.key_metric_name])
        if metric > self.best_metric:
            self.best_metric = metric
            if is_main_process():
                write_model(self.network, self.folder / BEST_MODEL, self.recipe)

    def _completed(self, engine: Engine) -> None:
        if not is_main_process():
            return
        write_model(self.network, self.folder / LAST_MODEL, self.recipe)
        logger.info("model of the last epoch: %s", self.folder / LAST_MODEL)

    def _restore(self, engine: Engine) -> None:
        unreadable: dict[Path, str] = {}
        for path in list_checkpoints(self.folder):
            try:
                content = torch.load(path, map_location=self.map_location, weights_only=True)
            except Exception as error:  # a damaged zip, a truncated pickle: each has its own error class
                # torch's own message advises to switch weights_only off, which would run code from the file
                unreadable[path] = type(error).__name__
                continue
            self._apply(engine, content, path)
            _put_aside(unreadable)
            return
        if unreadable:
            raise InputError(
                self.folder,
                "no checkpoint can be read: " + ", ".join(f"{path.name} ({why})" for path, why in unreadable.items()),
                "move them away to start anew, or put copies in their place",
            )
        logger.info("nothing to resume in %s: training starts at the first epoch", self.folder)

    def _apply(self, engine: Engine, content: dict[str, Any], path: Path) -> None:
        check_recipe(path, content["recipe"], self.recipe or {})
        load_weights(bare(self.network), content["network"], path)
        for name, part in self.parts.items():
            part.load_state_dict(content[name])
        scaler = getattr(engine, "scaler", None)
        if scaler is not None and "scaler" in content:
            scaler.load_state_dict(content["scaler"])
        self.best_metric = content["best_metric"]
        self._compare_seed(content.get("seed"), path)
        epoch, max_epochs = content["epoch"], engine.state.max_epochs
        if max_epochs is not None and epoch >= max_epochs:
            logger.info("%s is already the last of %d epochs: nothing left to train", path, max_epochs)
        # Iterations are counted in epochs of *this* run: with other data or more processes an epoch has another length,
        # and Ignite would take a larger count for the end of the training.
        engine.state.epoch, engine.state.iteration = epoch, epoch * (engine.state.epoch_length or 0)
        logger.info("resumed from %s: %d epochs are done", path, epoch)

    def _compare_seed(self, seed: int | None, path: Path) -> None:
        if None not in (seed, self.seed) and seed != self.seed:
            logger.warning(
                "%s was begun with seed %s: its weights are kept, order and crops are drawn with %s from now on",
                *(path, seed, self.seed),
            )


def _put_aside(unreadable: Mapping[Path, str]) -> None:
    """Rename checkpoints that cannot be read: under their names the training would write over them."""
    if not is_main_process():
        return
    for path, why in unreadable.items():
        names = (path.with_name(f"{path.name}.unreadable{number or ''}") for number in count())
        aside = path.rename(next(name for name in names if not name.exists()))
        logger.warning("%s cannot be read (%s): kept as %s", path, why, aside.name)
