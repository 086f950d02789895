# SPDX-License-Identifier: Apache-2.0
"""Random numbers that depend on seed, epoch and process alone."""

from __future__ import annotations

import numpy as np
import torch
from ignite.engine import Engine, Events
from monai.data import Dataset
from monai.data.utils import set_rnd

from .distributed import process_rank


class EpochSeed:
    """Trainer handler: seed order and crops anew at the start of every epoch.

    A training that was killed and resumed so draws what it would have drawn without the kill, instead of the numbers of
    the first epochs again; and processes that train together draw different crops.

    Args:
        dataset: its random transforms are seeded (in data-loading workers MONAI seeds them, from torch's generator).
        seed: of the whole training.
    """

    def __init__(self, dataset: Dataset, seed: int) -> None:
        self.dataset, self.seed = dataset, seed

    def attach(self, engine: Engine) -> None:
        """Register with the trainer."""
        engine.add_event_handler(Events.EPOCH_STARTED, self)

    def __call__(self, engine: Engine) -> None:
        """Seed for the epoch that starts."""
        entropy = [self.seed, engine.state.epoch, process_rank()]
        value = int(np.random.SeedSequence(entropy).generate_state(1)[0])
        torch.manual_seed(value)
        set_rnd(self.dataset, seed=value)
