# SPDX-License-Identifier: Apache-2.0
"""Gradients added up over crops are those of one batch of them, with the bundle's trainer, loss and inferer."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
import torch
from monai.data import DataLoader
from monai.engines import SupervisedTrainer

from cardiac4d import EncoderDecoder
from cardiac4d.losses import SparseSequenceLoss
from cardiac4d.ops import use_backend
from cardiac4d.workflows import SequenceInferer
from tests.helpers.backends import BACKENDS
from tests.helpers.crops import crops

CONFIGS = Path(__file__).resolve().parents[2] / "configs"


def weights_after(count: int, batch_size: int, accumulation_steps: int) -> list[torch.Tensor]:
    """Train an epoch by plain gradient descent, whose steps are proportional to the gradients."""
    torch.manual_seed(0)
    network = EncoderDecoder(init_filters=4, num_groups=2, blocks_down=(1, 1), blocks_up=(1,))
    trainer = SupervisedTrainer(
        device=torch.device("cpu"),
        max_epochs=1,
        train_data_loader=DataLoader(crops(count), batch_size=batch_size, shuffle=False),
        network=network,
        optimizer=torch.optim.SGD(network.parameters(), lr=0.1),
        loss_function=SparseSequenceLoss(),
        inferer=SequenceInferer(),
        accumulation_steps=accumulation_steps,
    )
    trainer.run()
    return [p.detach().clone() for p in network.parameters()]


@pytest.mark.parametrize("backend", BACKENDS)
def test_accumulated_steps_are_those_of_the_large_batch(backend: str) -> None:
    with use_backend(backend):
        large, small, single = (weights_after(8, *sizes) for sizes in ((4, 1), (1, 4), (1, 1)))
    for ours, theirs in zip(small, large, strict=True):
        torch.testing.assert_close(ours, theirs, rtol=1e-4, atol=1e-5 * theirs.abs().max().item())
    assert not any(torch.allclose(a, b, rtol=1e-4) for a, b in zip(single, large, strict=True) if a.ndim > 1)


@pytest.mark.parametrize("name", ["train", "train_3d"])
def test_configs_pass_the_number_on(name: str) -> None:
    config = json.loads((CONFIGS / f"{name}.json").read_text(encoding="utf-8"))
    assert config["accumulation_steps"] == 1
    assert config["train"]["trainer"]["accumulation_steps"] == "@accumulation_steps"
