# SPDX-License-Identifier: Apache-2.0
"""What a training run shows: a progress bar, and the mean of every loss term per epoch."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Mapping
from typing import Any

from ignite.engine import Engine, Events
from ignite.handlers import ProgressBar
from torch import Tensor
from torch.optim import Optimizer

from ..losses import SparseSequenceLoss


class EpochLosses:
    """Trainer handler: put the epoch means of the loss and its terms, and the learning rate, into the metrics.

    Loggers that show ``engine.state.metrics`` (MONAI's ``StatsHandler`` and ``TensorBoardStatsHandler``) then show
    ``train_loss``, ``train_dice_loss``, ``train_smoothness_loss`` and ``learning_rate``. Crops without any annotated
    frame have no Dice: they do not count in its mean. With several processes the means are those of the main one.

    Args:
        loss: its ``terms`` are logged.
        optimizer: its first parameter group gives the learning rate.
    """

    def __init__(self, loss: SparseSequenceLoss, optimizer: Optimizer) -> None:
        self.loss, self.optimizer = loss, optimizer
        self._values: dict[str, list[float]] = defaultdict(list)

    def attach(self, engine: Engine) -> None:
        """Register with the trainer, before the handlers that log and the one that changes the learning rate."""
        engine.add_event_handler(Events.ITERATION_COMPLETED, self._iteration_completed)
        engine.add_event_handler(Events.EPOCH_COMPLETED, self._epoch_completed)

    def _iteration_completed(self, engine: Engine) -> None:
        self._values["train_loss"].append(_last_loss(engine.state.output)["loss"])
        terms = self.loss.terms
        self._values["train_smoothness_loss"].append(float(terms["smoothness"]))
        if int(terms["num_annotated_frames"]) > 0:
            self._values["train_dice_loss"].append(float(terms["dice"]))

    def _epoch_completed(self, engine: Engine) -> None:
        for name, values in self._values.items():
            engine.state.metrics[name] = sum(values) / len(values)
        engine.state.metrics["learning_rate"] = self.optimizer.param_groups[0]["lr"]
        self._values.clear()


class TrainingProgress:
    """Trainer handler: a progress bar over the iterations of each epoch, with the loss of the last one."""

    def attach(self, engine: Engine) -> None:
        """Register with the trainer."""
        ProgressBar(desc="epoch", bar_format=None, mininterval=0.5).attach(engine, output_transform=_last_loss)


def _last_loss(output: Any) -> dict[str, float]:
    first = output[0] if isinstance(output, list) else output
    return {"loss": loss_of(first)}


def loss_of(output: Mapping[str, Any]) -> float:
    """The loss of an iteration, whether MONAI has made a number of it or left the tensor."""
    loss = output["loss"]
    return loss.item() if isinstance(loss, Tensor) else float(loss)


class EvaluationProgress:
    """Evaluator handler: one progress bar over the cases."""

    def __init__(self, description: str = "cases") -> None:
        self.description = description

    def attach(self, engine: Engine) -> None:
        """Register with the evaluator."""
        ProgressBar(persist=True, desc=self.description, bar_format=None).attach(engine)
