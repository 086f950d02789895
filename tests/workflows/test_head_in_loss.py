# SPDX-License-Identifier: Apache-2.0
"""The bundle's trainer, inferer, handlers and loss with a network that leaves its last convolution to the loss."""

from __future__ import annotations

from typing import Any

import pytest
import torch
from monai.data import DataLoader
from monai.engines import SupervisedTrainer

from cardiac4d import EncoderDecoder
from cardiac4d.errors import InputError
from cardiac4d.losses import HeadInput, SparseSequenceLoss
from cardiac4d.workflows import EpochLosses, FiniteTraining, SequenceInferer, TrainingProgress
from tests.helpers.backends import needs_native
from tests.helpers.crops import crops

pytestmark = needs_native


class Trainer(SupervisedTrainer):
    """As configs/train.json builds it; notes what the network returned, and the losses."""

    def __init__(self, *, head_in_loss: bool, learning_rate: float = 0.01) -> None:
        torch.manual_seed(0)
        network = EncoderDecoder(blocks_down=(1, 1), blocks_up=(1,), num_groups=4, head_in_loss=head_in_loss)
        loss = SparseSequenceLoss()
        self.seen: list[Any] = []
        self.curve: list[list[float]] = []
        optimizer: Any = torch.optim.Adam(network.parameters(), lr=learning_rate)
        super().__init__(
            device=torch.device("cpu"),
            max_epochs=3,
            train_data_loader=DataLoader(crops(2), batch_size=2, shuffle=False),
            network=network,
            optimizer=optimizer,
            loss_function=loss,
            inferer=SequenceInferer(),
            decollate=not head_in_loss,
            train_handlers=[EpochLosses(loss, optimizer), FiniteTraining(network), TrainingProgress()],
        )

    def _iteration(self, engine: Any, batchdata: Any) -> Any:
        output = super()._iteration(engine, batchdata)
        first: Any = output[0] if isinstance(output, list) else output
        self.seen.append(first["pred"])
        self.curve.append([float(first["loss"].detach() if isinstance(output, dict) else first["loss"])])
        self.curve[-1].extend(term.item() for term in self.loss_function.terms.values())
        return output


def test_training_has_the_same_curve_with_and_without() -> None:
    curves = []
    for head_in_loss in (True, False):
        trainer = Trainer(head_in_loss=head_in_loss)
        trainer.run()
        assert isinstance(trainer.seen[-1], HeadInput) == head_in_loss
        assert trainer.state.metrics["train_loss"] == pytest.approx(trainer.curve[-1][0])
        assert trainer.state.metrics["train_dice_loss"] == pytest.approx(trainer.curve[-1][1])
        curves.append(torch.tensor(trainer.curve))
    assert len(curves[0]) == 3
    assert len(set(curves[0][:, 0].tolist())) == 3
    torch.testing.assert_close(*curves, rtol=1e-3, atol=1e-4)


def test_loss_that_is_not_finite_stops_it() -> None:
    with pytest.raises(InputError, match="the loss is nan"):
        Trainer(head_in_loss=True, learning_rate=1e30).run()
