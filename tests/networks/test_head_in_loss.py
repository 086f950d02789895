# SPDX-License-Identifier: Apache-2.0
"""A network that leaves its last convolution to the loss: when it does, and that it trains as without."""

from __future__ import annotations

from typing import Any

import pytest
import torch
from torch import Tensor, nn

from cardiac4d.losses import HeadInput, SparseSequenceLoss
from cardiac4d.networks import EncoderDecoder
from cardiac4d.ops import use_backend
from tests.helpers.backends import needs_native

pytestmark = needs_native

SMALL: dict[str, Any] = {"blocks_down": (1, 1), "blocks_up": (1,), "num_groups": 4, "bias": True}


def build(**options: Any) -> EncoderDecoder:
    torch.manual_seed(3)
    return EncoderDecoder(**SMALL, head_in_loss=True, **options)


def batch() -> tuple[Tensor, Tensor]:
    generator = torch.Generator().manual_seed(1)
    label = torch.randint(0, 3, (1, 1, 6, 5, 4, 5), generator=generator, dtype=torch.uint8)
    label[..., 1::2] = 255
    return torch.randn(1, 1, 6, 5, 4, 5, generator=generator), label


@pytest.mark.parametrize(
    "options",
    [{}, *(pytest.param({name: True}, marks=pytest.mark.slow) for name in ("final_norm_act", "checkpoint_blocks"))],
    ids=str,
)
def test_logits_and_gradients_are_those_of_the_plain_network(options: dict[str, Any]) -> None:
    network, (image, label), loss = build(**options), batch(), SparseSequenceLoss()
    given = network(image)
    assert isinstance(given, HeadInput)
    parameters = list(network.parameters())
    found = loss(given, label)
    by_head = torch.autograd.grad(found, parameters)
    network.head_in_loss = False
    logits = network(image)
    torch.testing.assert_close(given.logits(), logits)
    expected = loss(logits, label)
    torch.testing.assert_close(found, expected)
    for ours, theirs in zip(by_head, torch.autograd.grad(expected, parameters), strict=True):
        assert (ours - theirs).norm() <= 1e-4 * theirs.norm() + 1e-7


@pytest.mark.slow
def test_steps_give_the_same_losses_with_and_without() -> None:
    (image, label), curves = batch(), []
    for head_in_loss in (True, False):
        network, loss = build(), SparseSequenceLoss()
        network.head_in_loss = head_in_loss
        optimizer, curve = torch.optim.Adam(network.parameters(), lr=1e-2), []
        for _ in range(6):
            optimizer.zero_grad()
            value = loss(network(image), label)
            value.backward()
            optimizer.step()
            curve.append([value.item(), *(term.item() for term in loss.terms.values())])
        curves.append(torch.tensor(curve))
    assert curves[0][-1, 0] < 0.9 * curves[0][0, 0]
    torch.testing.assert_close(*curves, rtol=1e-3, atol=1e-4)


@pytest.mark.slow
def test_gradients_add_up_over_crops() -> None:
    network, (image, label), loss = build(), batch(), SparseSequenceLoss()
    for _ in range(2):
        (loss(network(image), label) / 2).backward()
    twice = [p.grad.clone() for p in network.parameters() if p.grad is not None]
    once = torch.autograd.grad(loss(network(image), label), list(network.parameters()))
    for ours, theirs in zip(twice, once, strict=True):
        torch.testing.assert_close(ours, theirs)


@pytest.mark.slow
def test_everything_else_gets_logits() -> None:
    network, (image, _) = build(), batch()
    with torch.no_grad():
        assert isinstance(network(image), Tensor)
    with use_backend("composed"):
        assert isinstance(network(image), Tensor)
    with torch.autocast("cpu", torch.bfloat16):
        assert isinstance(network(image), Tensor)  # the CPU's kernels are float32
    assert isinstance(network.double()(image.double()), Tensor)
    network.float().eval()
    assert isinstance(network(image), Tensor)
    assert isinstance(torch.jit.script(network.train())(image), Tensor)
    assert isinstance(network(image), HeadInput)
    assert isinstance(EncoderDecoder(3, head_in_loss=True)(torch.randn(1, 1, 8, 8, 8)), Tensor)
    assert isinstance(EncoderDecoder(**SMALL)(image), Tensor)
    assert isinstance(build(out_channels=9)(image), Tensor)


@pytest.mark.parametrize("place", ["", "head", "head.0"])
def test_hooks_see_logits(place: str) -> None:
    network, (image, _), seen = build(), batch(), []
    hook = network.get_submodule(place).register_forward_hook(lambda *arguments: seen.append(arguments[-1]))
    logits = network(image)
    assert seen[0] is logits
    assert isinstance(logits, Tensor)
    hook.remove()
    assert isinstance(network(image), HeadInput)


@pytest.mark.filterwarnings("ignore::torch.jit.TracerWarning")
def test_traced_network_gives_logits() -> None:
    network, (image, _) = build(), batch()
    traced = torch.jit.trace(network, image)
    torch.testing.assert_close(traced(image), network(image).logits())


def test_replicas_of_data_parallel_give_logits() -> None:
    """They are gathered along the first axis, which is no sample of a weight."""
    network, (image, _) = build(), batch()
    replica = network._replicate_for_data_parallel()
    assert isinstance(replica(image), Tensor)


@pytest.mark.slow
@pytest.mark.parametrize("whole_step", [True, False])
def test_training_compiles_into_one_graph(whole_step: bool) -> None:
    network, (image, label), loss = build(), batch(), SparseSequenceLoss()
    expected = torch.autograd.grad(loss(network(image), label), list(network.parameters()))
    options: dict[str, Any] = {"fullgraph": True, "backend": "aot_eager"}
    if whole_step:
        value = torch.compile(lambda image, label: loss(network(image), label), **options)(image, label)
    else:
        given: Any = torch.compile(network, **options)(image)
        assert isinstance(given, HeadInput)
        value = loss(given, label)
    for ours, theirs in zip(torch.autograd.grad(value, list(network.parameters())), expected, strict=True):
        torch.testing.assert_close(ours, theirs)


def test_frozen_encoder_trains_the_head_alone() -> None:
    network, (image, label) = build(), batch()
    network.requires_grad_(False)
    head: nn.Module = network.head[-1].requires_grad_(True)
    SparseSequenceLoss()(network(image), label).backward()
    assert all(parameter.grad is not None for parameter in head.parameters())
    assert all(p.grad is None for name, p in network.named_parameters() if not name.startswith("head"))
