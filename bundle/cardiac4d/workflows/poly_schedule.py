# SPDX-License-Identifier: Apache-2.0
"""The polynomial decay of the learning rate, in closed form, so that a training can be resumed to train longer."""

from __future__ import annotations

import logging
from typing import Any

from torch.optim import Optimizer
from torch.optim.lr_scheduler import LRScheduler

logger = logging.getLogger(__name__)


class PolySchedule(LRScheduler):
    """Learning rate ``lr * (1 - epoch / total_iters) ** power``; zero from ``total_iters`` on.

    Unlike ``torch.optim.lr_scheduler.PolynomialLR``, which multiplies the rate of the epoch before by a factor, it
    computes each rate from the first one: a finished training, whose rate is zero, can be given more epochs.

    Args:
        optimizer: its learning rates are the first ones.
        total_iters: number of steps (epochs, in our configs) until the rate is zero.
        power: exponent of the decay.

    Raises:
        ValueError: if ``total_iters`` is less than one.
    """

    def __init__(self, optimizer: Optimizer, total_iters: int, power: float = 0.9) -> None:
        if total_iters < 1:
            raise ValueError(f"`total_iters` must be at least 1, got {total_iters}")
        self.total_iters, self.power = total_iters, power
        super().__init__(optimizer)

    def get_lr(self) -> list[Any]:
        """Return the learning rate of each parameter group at the current step."""
        left = max(0.0, 1 - self.last_epoch / self.total_iters)
        return [first * left**self.power for first in self.base_lrs]

    def load_state_dict(self, state_dict: dict[str, Any]) -> None:
        """Go on where the saved schedule stood, and set the optimizer's rate to what this schedule has there.

        The first learning rates and the power are the saved ones; the length remains that of this schedule. Restore the
        optimizer before: its state brings the rate of the old curve.
        """
        if (state_dict["base_lrs"], state_dict["power"]) != (self.base_lrs, self.power):
            logger.warning(
                "the resumed training keeps its learning rate %s with power %s, not %s with power %s: "
                "train anew in another folder to change them",
                *(_listed(state_dict["base_lrs"]), state_dict["power"], _listed(self.base_lrs), self.power),
            )
        # One step back and one forward, since only a step sets the optimizer's rate.
        before = {"total_iters": self.total_iters, "last_epoch": state_dict["last_epoch"] - 1}
        super().load_state_dict({**state_dict, **before})
        self.step()


def _listed(rates: list[Any]) -> str:
    return ", ".join(str(rate) for rate in dict.fromkeys(rates))
