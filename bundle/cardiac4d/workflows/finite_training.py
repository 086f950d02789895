# SPDX-License-Identifier: Apache-2.0
"""Stop a training that has diverged, before it overwrites the checkpoints of when it had not."""

from __future__ import annotations

import math
from typing import Any

from ignite.engine import Engine, Events
from torch import nn

from ..errors import InputError
from .training_log import loss_of
from .weights import bare

_FIX = (
    "train anew with a lower --learning_rate, or on a GPU go on with --resume True --amp False; "
    "the checkpoints written so far are from before"
)


class FiniteTraining:
    """Trainer handler: the engine raises ``InputError`` at the first loss, or weights, that are NaN or infinite.

    Ignite's ``TerminateOnNan`` ends the run as if it were complete, with a model of the last epoch. The weights are
    looked at after each epoch, since the loss of an iteration is that of the weights before its step.

    Args:
        network: being trained.
    """

    def __init__(self, network: nn.Module) -> None:
        self.network = network

    def attach(self, engine: Engine) -> None:
        """Register with the trainer, before the handlers that validate and write checkpoints."""
        engine.add_event_handler(Events.ITERATION_COMPLETED, self._iteration_completed)
        engine.add_event_handler(Events.EPOCH_COMPLETED, self._epoch_completed)

    def _iteration_completed(self, engine: Engine) -> None:
        output: Any = engine.state.output
        for item in output if isinstance(output, list) else [output]:
            loss, length = loss_of(item), engine.state.epoch_length or engine.state.iteration
            if not math.isfinite(loss):
                where = f"epoch {engine.state.epoch}, iteration {(engine.state.iteration - 1) % length + 1} of {length}"
                raise InputError("training", f"the loss is {loss} in {where}", _FIX)

    def _epoch_completed(self, engine: Engine) -> None:
        for name, value in bare(self.network).state_dict().items():
            if not value.isfinite().all():
                raise InputError("training", f"{name} is not finite after epoch {engine.state.epoch}", _FIX)
