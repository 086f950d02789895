# SPDX-License-Identifier: Apache-2.0
"""A whole network on the fused CUDA operators, without a GPU: tensors of the CPU pass for those of a CUDA device."""

from __future__ import annotations

from copy import deepcopy
from typing import Any

import pytest
import torch
from torch import Tensor
from torch.utils._python_dispatch import TorchDispatchMode

from cardiac4d.layers import ResidualBlock
from cardiac4d.losses import HeadInput, SparseSequenceLoss
from cardiac4d.networks import EncoderDecoder
from cardiac4d.ops import layout, use_backend
from tests.helpers.backends import needs_compiler, needs_native

pytestmark = [needs_compiler, needs_native]


class _Names(TorchDispatchMode):
    """Counts the operators that are called, by name."""

    def __init__(self) -> None:
        super().__init__()
        self.counts: dict[str, int] = {}

    def __torch_dispatch__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        name = func.name().partition("::")[2]
        self.counts[name] = self.counts.get(name, 0) + 1
        return func(*args, **(kwargs or {}))


def _network() -> EncoderDecoder:
    return EncoderDecoder(blocks_down=(1, 1), blocks_up=(1,), num_groups=4)


def _step(network: EncoderDecoder, image: Tensor, seed: Tensor) -> list[Tensor]:
    """Logits, and the gradients of all parameters."""
    logits = network(image)
    return [logits, *torch.autograd.grad(logits, list(network.parameters()), seed.to(logits.dtype))]


def _exact_step(network: EncoderDecoder, image: Tensor, seed: Tensor) -> list[Tensor]:
    with use_backend("composed"):
        return _step(network.double(), image.double(), seed.double())


def _error(actual: Tensor, expected: Tensor) -> float:
    return ((actual.double() - expected).norm() / expected.norm()).item()


@pytest.mark.usefixtures("as_on_cuda")
@pytest.mark.parametrize(("dtype", "limit"), [(torch.float32, 1e-4), (torch.bfloat16, 0.2)], ids=str)
def test_training_step_runs_on_fused_operators_alone(dtype: torch.dtype, limit: float) -> None:
    network, image = _network(), torch.randn(1, 1, 5, 4, 5, 3)
    seed = torch.randn(1, 3, 5, 4, 5, 3)
    with _Names() as names, torch.autocast("cpu", dtype, enabled=dtype != torch.float32):
        results = _step(network, image, seed)
    assert results[0].dtype == dtype
    for name, count in {
        "conv4d_sums": 2,
        "residual_block": 3,
        "residual_block_backward": 3,
        "upsample_conv_add": 1,
        "upsample_backward": 1,
        "conv4d": 1,
        "native_group_norm": 0,
        "relu": 0,
    }.items():
        assert names.counts.get(name, 0) == count, name
    exact = _exact_step(network, image, seed)
    errors = [_error(actual, right) for actual, right in zip(results, exact, strict=True)]
    assert max(errors) < limit, errors
    assert all(gradient.dtype == torch.float32 for gradient in results[1:])


@pytest.mark.slow
@pytest.mark.usefixtures("as_on_cuda")
@pytest.mark.parametrize(
    ("dtype", "limit"), [(torch.float32, 1e-4), (torch.bfloat16, 0.2), (torch.float16, 0.1)], ids=str
)
def test_training_step_with_the_head_in_the_loss(dtype: torch.dtype, limit: float) -> None:
    """A scaled loss, as a GradScaler has it; plain memory and plain numbers nowhere."""
    network, loss = _network(), SparseSequenceLoss()
    network.head_in_loss = True
    image, label = torch.randn(1, 1, 5, 4, 5, 3), torch.randint(0, 3, (1, 1, 5, 4, 5, 3), dtype=torch.uint8)
    label[..., 1] = 255
    parameters = list(network.parameters())
    with _Names() as names, torch.autocast("cpu", dtype, enabled=dtype != torch.float32):
        given = network(image)
        value = loss(given, label)
        gradients = torch.autograd.grad(2.0**12 * value, parameters)
    assert isinstance(given, HeadInput)
    assert {tensor.dtype for tensor in given[:2]} == {dtype}
    for name, count in {"softmax_sums": 1, "softmax_sums_backward": 1, "conv4d": 0, "_softmax": 0}.items():
        assert names.counts.get(name, 0) == count, name
    with use_backend("composed"):
        exact = network.double()
        expected = loss(exact(image.double()), label)
        right = torch.autograd.grad(expected, list(exact.parameters()))
    assert _error(value, expected) < 1e-2 * limit + 1e-6
    assert max(_error(ours / 2**12, theirs) for ours, theirs in zip(gradients, right, strict=True)) < limit


@pytest.mark.usefixtures("as_on_cuda")
@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16], ids=str)
def test_inference_writes_in_place_and_keeps_float32_probabilities(dtype: torch.dtype) -> None:
    network, image = _network(), torch.randn(1, 1, 5, 4, 5, 3)
    with _Names() as names, torch.no_grad(), torch.autocast("cpu", dtype, enabled=dtype != torch.float32):
        probabilities = network.probabilities(image)
    assert names.counts["residual_block_"] == 3
    assert names.counts["pointwise_softmax"] == 1
    assert probabilities.dtype == torch.float32
    with use_backend("composed"), torch.no_grad():
        exact = network.double().probabilities(image.double())
    assert _error(probabilities, exact) < (1e-5 if dtype == torch.float32 else 3e-2)


@pytest.mark.usefixtures("as_on_cuda")
@pytest.mark.parametrize("recompute", [False, True])
def test_block_alone_is_differentiable(recompute: bool) -> None:
    x = torch.randn(1, 4, 3, 4, 3, 2).requires_grad_()
    block, exact = ResidualBlock(4, 4, 2, recompute=recompute), x.detach().double().requires_grad_()
    exact_block = deepcopy(block).double()
    (first,) = torch.autograd.grad(block(layout.as_kernels_want(x)).square().sum(), x, create_graph=not recompute)
    with use_backend("composed"):
        (right,) = torch.autograd.grad(exact_block(exact).square().sum(), exact, create_graph=True)
    assert _error(first, right) < 1e-5
    if not recompute:
        (second,) = torch.autograd.grad(first.square().sum(), x)
        assert _error(second, torch.autograd.grad(right.square().sum(), exact)[0]) < 1e-4
