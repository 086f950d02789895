# SPDX-License-Identifier: Apache-2.0
import pytest
import torch
from ignite.engine import Engine, Events
from monai.data import DataLoader, Dataset
from monai.transforms import Compose, RandShiftIntensity

from cardiac4d.workflows import EpochSeed
from cardiac4d.workflows import epoch_seed as module


def draws(first_epoch: int, last_epoch: int, num_workers: int, seed: int = 0) -> list[float]:
    """What a training sees from one epoch to another: order and augmentation in one number per case."""
    transform = Compose([float_tensor, RandShiftIntensity(0.4, prob=1.0)])
    dataset = Dataset([1.0, 2.0, 3.0], transform)
    seen: list[float] = []
    trainer = Engine(lambda _engine, batch: seen.append(float(batch)))
    EpochSeed(dataset, seed).attach(trainer)

    def skip(engine):
        engine.state.epoch, engine.state.iteration = first_epoch - 1, 3 * (first_epoch - 1)

    trainer.add_event_handler(Events.STARTED, skip)
    trainer.run(DataLoader(dataset, batch_size=1, shuffle=True, num_workers=num_workers), max_epochs=last_epoch)
    return seen


def float_tensor(value):
    return torch.tensor([value])


@pytest.mark.parametrize("num_workers", [0, 2])
def test_resumed_training_draws_what_the_uninterrupted_would_have(num_workers):
    whole = draws(1, 4, num_workers)
    assert len(set(whole)) == 12, "epochs differ from each other"
    assert whole[6:] == draws(3, 4, num_workers)


def test_seed_changes_the_draws():
    assert draws(1, 2, 0, seed=0) != draws(1, 2, 0, seed=1)


def test_processes_draw_differently(monkeypatch):
    first = draws(1, 2, 0)
    monkeypatch.setattr(module, "process_rank", lambda: 1)
    assert draws(1, 2, 0) != first
