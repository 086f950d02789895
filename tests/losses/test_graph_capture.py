# SPDX-License-Identifier: Apache-2.0
"""What a training step must not do if it is to become a CUDA graph: look at numbers. No GPU is needed.

torch's fake tensors have no numbers: whatever asks for one raises. They stand for tensors on a CUDA device.
"""

from __future__ import annotations

from itertools import product
from typing import Any

import pytest
import torch
from torch import Tensor
from torch._subclasses import FakeTensorMode
from torch.utils._python_dispatch import TorchDispatchMode

from cardiac4d.losses import (
    HeadInput,
    SparseDiceLoss,
    SparseSequenceLoss,
    TemporalSmoothnessLoss,
    sequences,
    sparse_dice,
)
from cardiac4d.networks import EncoderDecoder
from cardiac4d.ops import fusion, layout, use_backend
from cardiac4d.ops.layout import from_frames, lies_as_frames, to_frames
from tests.helpers.backends import needs_native

OPTIONS = [
    dict(zip(("include_background", "squared_denominator", "pooled"), flags, strict=True))
    for flags in product([True, False], repeat=3)
]


@pytest.fixture
def _off_the_host(monkeypatch: pytest.MonkeyPatch) -> None:
    """Let tensors of the CPU pass for those of an accelerator."""
    for module in (sequences, sparse_dice):
        monkeypatch.setattr(module, "host_sees", lambda x: False)


@pytest.fixture
def batch() -> tuple[Tensor, Tensor]:
    """Scores and label of three samples: some frames annotated, none, and one with voxels left out."""
    label = torch.randint(0, 3, (3, 1, 4, 3, 2, 5))
    label[0, ..., [0, 2]] = 255
    label[1] = 255
    label[2, ..., 1:] = 255
    label[2, :, 0] = 255
    return torch.randn(3, 3, 4, 3, 2, 5, requires_grad=True), label


def _with_gradient(loss: torch.nn.Module, batch: tuple[Tensor, Tensor]) -> tuple[Tensor, Tensor]:
    result = loss(*batch)
    return result, torch.autograd.grad(result, batch[0])[0]


@pytest.mark.parametrize("options", OPTIONS, ids=str)
@pytest.mark.parametrize("frames", [False, True])
def test_device_computes_the_loss_of_the_host(
    batch: tuple[Tensor, Tensor], options: dict[str, Any], frames: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    if frames:
        batch = from_frames(to_frames(batch[0])).detach().requires_grad_(), batch[1]
    loss = SparseSequenceLoss(SparseDiceLoss(**options, smooth_nr=0.1))
    host, by_host = _with_gradient(loss, batch)
    terms = loss.terms
    for module in (sequences, sparse_dice):
        monkeypatch.setattr(module, "host_sees", lambda x: False)
    device, by_device = _with_gradient(loss, batch)
    torch.testing.assert_close(device, host)
    torch.testing.assert_close(by_device, by_host)
    torch.testing.assert_close(loss.terms, terms)
    (by_dice,) = torch.autograd.grad(loss.dice(*batch), batch[0])
    assert torch.count_nonzero(by_dice[(batch[1] == 255).expand_as(by_dice)]) == 0


@pytest.mark.usefixtures("_off_the_host")
def test_nothing_annotated_is_a_zero_with_a_graph(batch: tuple[Tensor, Tensor]) -> None:
    loss, gradient = _with_gradient(SparseDiceLoss(), (batch[0], torch.full_like(batch[1], 255)))
    assert loss.item() == 0
    assert torch.equal(gradient, torch.zeros_like(gradient))


@pytest.mark.usefixtures("_off_the_host")
@pytest.mark.parametrize(("value", "dtype"), [(3, torch.uint8), (-1, torch.int16), (0.5, torch.float32)])
def test_device_asserts_what_the_host_raises(batch: tuple[Tensor, Tensor], value: float, dtype: torch.dtype) -> None:
    label = batch[1].to(dtype)
    SparseDiceLoss()(batch[0], label)
    label[0, 0, 0, 0, 0, 0] = value
    with pytest.raises(RuntimeError, match="`label` must hold"):
        SparseDiceLoss()(batch[0], label)


@pytest.mark.usefixtures("_off_the_host")
def test_softmax_keeps_frames(batch: tuple[Tensor, Tensor]) -> None:
    logits = from_frames(to_frames(batch[0]))
    assert not lies_as_frames(torch.softmax(logits, 1))
    assert lies_as_frames(sequences.softmax(logits))
    torch.testing.assert_close(sequences.softmax(logits), torch.softmax(logits, 1))


@pytest.mark.usefixtures("_off_the_host")
@pytest.mark.parametrize("smoothness", [{}, {"norm": "l1", "cyclic": True}, {"norm": "l2"}], ids=str)
def test_losses_never_look_at_numbers(smoothness: dict[str, Any]) -> None:
    with FakeTensorMode():
        logits, label = torch.randn(2, 3, 4, 3, 2, 5, requires_grad=True), torch.zeros(2, 1, 4, 3, 2, 5)
        loss = SparseSequenceLoss(smoothness=TemporalSmoothnessLoss(**smoothness))
        loss(logits, label, full_cycle=[True, False]).backward()
        assert logits.grad is not None


class _Copies(TorchDispatchMode):
    """Notes the tensors of six axes that something brings from frames into plain memory."""

    def __init__(self) -> None:
        super().__init__()
        self.sizes: list[torch.Size] = []

    def __torch_dispatch__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        result = func(*args, **(kwargs or {}))
        if func is torch.ops.aten.clone.default and result.stride() != args[0].stride():
            self.sizes.append(result.shape)
        return result


@needs_native
@pytest.mark.usefixtures("_off_the_host")
@pytest.mark.parametrize("head_in_loss", [False, True])
@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16], ids=str)
def test_training_step_never_looks_at_numbers_and_keeps_its_layout(
    dtype: torch.dtype, head_in_loss: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    for module in (layout, fusion):
        monkeypatch.setattr(module, "kernels_want_frames", lambda x: True)
    monkeypatch.setattr(fusion, "_is_autocast", lambda x: dtype != torch.float32)
    with FakeTensorMode(), use_backend("native", fused=True), _Copies() as copies:
        network, loss = EncoderDecoder(head_in_loss=head_in_loss), SparseSequenceLoss()
        image, label = torch.randn(1, 1, 12, 12, 8, 6), torch.zeros(1, 1, 12, 12, 8, 6, dtype=torch.uint8)
        copies.sizes.clear()
        with torch.autocast("cpu", dtype, enabled=dtype != torch.float32):
            scores = network(image)
        assert isinstance(scores, HeadInput) == head_in_loss
        first = scores[0] if head_in_loss else scores
        assert (first.dtype, lies_as_frames(first)) == (dtype, True)
        loss(scores, label).backward()
    # Image and label, of one channel, may be copied.
    assert [size for size in copies.sizes if len(size) == 6 and 1 not in (size[1], size[5])] == []
    assert all(parameter.grad is not None for parameter in network.parameters())
