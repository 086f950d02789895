# SPDX-License-Identifier: Apache-2.0
"""The sums over a softmax on the CPU: against float64 by definition, in both orders of gradient, on any threads."""

from __future__ import annotations

from itertools import product
from typing import Any

import pytest
import torch
from torch import Tensor
from torch.utils.checkpoint import checkpoint

from cardiac4d.ops import use_backend
from cardiac4d.ops.fused import softmax_sums
from cardiac4d.ops.fusion import fuses_softmax_sums
from tests.helpers.backends import needs_native
from tests.helpers.comparison import check_each
from tests.helpers.softmax_sums import Head, draw_head, draw_seed, expected, expected_sums

pytestmark = needs_native

SIZES = [(1, 1, 1, 1), (5, 4, 3, 2), (3, 7, 5, 16), (2, 1, 2, 33)]
LARGE = [(30, 20, 9, 3), (1, 2, 1, 2100), (41, 41, 41, 1)]
"""Several chunks and jobs, columns longer than a chunk."""


def sums_of(head: Head) -> Tensor:
    x, weight, bias, label, squared = head
    return softmax_sums(x, weight, bias, label, squared=squared)


def results(head: Head, seed: Tensor) -> tuple[Tensor, ...]:
    sums = sums_of(head)
    return sums.detach(), *torch.autograd.grad(sums, head.leaves, seed)


@pytest.mark.parametrize(("channels", "classes"), [(8, 3), (3, 3), (1, 1), (9, 8)])
@pytest.mark.parametrize("size", [*SIZES, *(pytest.param(size, marks=pytest.mark.slow) for size in LARGE)], ids=str)
def test_sums_and_gradients_are_those_of_float64(size: tuple[int, int, int, int], channels: int, classes: int) -> None:
    head = draw_head(sum(size) + channels, size, channels, classes)
    head.label[0, 0, 0, 0, 0, 0] = 200  # no class: counted, and else as any annotated voxel
    seed = draw_seed(head)
    sums, gradients = expected(head, seed)
    actual = results(head, seed)
    check_each(actual, (sums, *gradients), 2e-6)
    assert torch.equal(actual[0][..., -2:], sums[..., -2:])


@pytest.mark.parametrize("laid", ["frames", "sliced", "expanded"])
def test_any_strides_give_the_same_numbers(laid: str) -> None:
    head = draw_head(3, (5, 4, 3, 6), 8, 3)
    if laid == "expanded":
        head = head._replace(label=head.label[:, :, :, :, :, :1].expand_as(head.label))
    seed = draw_seed(head)
    dense = results(head._replace(label=head.label.contiguous()), seed)
    if laid == "frames":
        order, back = (0, 5, 2, 3, 4, 1), (0, 5, 2, 3, 4, 1)
        x = head.x.detach().permute(order).contiguous().permute(back).requires_grad_()
        label = head.label.permute(order).contiguous().permute(back)
        head = head._replace(x=x, label=label)
    elif laid == "sliced":
        x = torch.stack([head.x.detach()] * 2, -1)[..., 0].requires_grad_()
        head = head._replace(x=x, label=torch.stack([head.label] * 2, -1)[..., 0])
    assert all(torch.equal(a, b) for a, b in zip(results(head, seed), dense, strict=True))


def test_threads_change_no_bit() -> None:
    head = draw_head(2, (40, 30, 20, 4), 8, 3, batch=1)
    seed, found, before = draw_seed(head), [], torch.get_num_threads()
    try:
        for threads in (1, 3):
            torch.set_num_threads(threads)
            found.append(results(head, seed))
    finally:
        torch.set_num_threads(before)
    assert all(torch.equal(a, b) for a, b in zip(*found, strict=True))


@pytest.mark.slow
@pytest.mark.parametrize(("channels", "bias"), [(4, True), (4, False), (3, False)], ids=["bias", "no bias", "logits"])
def test_operators_are_registered_as_torch_wants_them(channels: int, bias: bool) -> None:
    head = draw_head(3, (2, 3, 2, 4), channels, 3)
    if not bias:
        head = head._replace(bias=None)
    arguments: tuple[Any, ...] = tuple(head)
    torch.library.opcheck(torch.ops.cardiac4d.softmax_sums, arguments)
    seed = draw_seed(head).requires_grad_()
    for wanted in (1, 3) if head.weight is not None else (1,):
        torch.library.opcheck(torch.ops.cardiac4d.softmax_sums_backward, (seed, *arguments, wanted))


def test_recomputed_under_a_checkpoint() -> None:
    """Which counts every look at what was saved."""
    head = draw_head(3, (2, 3, 2, 4), 8, 3)
    x, weight, bias, label, squared = head
    seed = draw_seed(head)
    plain = results(head, seed)
    sums = checkpoint(lambda x: softmax_sums(x, weight, bias, label, squared=squared), x, use_reentrant=False)
    gradients = torch.autograd.grad(sums, head.leaves, seed)
    assert all(torch.equal(a, b) for a, b in zip(gradients, plain[1:], strict=True))


def test_gradient_of_the_gradient_is_that_of_float64() -> None:
    head = draw_head(4, (2, 3, 2, 4), 5, 3)
    found, drawn = [], draw_seed(head)
    for each, compute in ((head, sums_of), (head.to(torch.float64), expected_sums)):
        seed = drawn.clone().requires_grad_()
        sums = compute(each)
        first = torch.autograd.grad(sums, each.leaves, seed, create_graph=True)
        found.append(torch.autograd.grad(sum(g.square().sum() for g in first), [seed, *each.leaves]))
    check_each(*found, 1e-4)


def test_gradients_come_only_for_what_is_wanted() -> None:
    head = draw_head(2, (2, 3, 2, 4), 8, 3)
    seed = draw_seed(head)
    whole = torch.ops.cardiac4d.softmax_sums_backward(seed, *head, 3)
    for wanted, place in product((0, 1, 2), (0, 1)):
        part = torch.ops.cardiac4d.softmax_sums_backward(seed, *head, wanted)[place]
        assert torch.equal(part, whole[place]) if wanted >> place & 1 else part.numel() == 0
    x, weight, bias, label, squared = head
    frozen = softmax_sums(x.detach(), weight, bias.detach(), label, squared=squared)
    (by_weight,) = torch.autograd.grad(frozen, weight, seed)
    assert torch.equal(by_weight.flatten(1), whole[1][:, :-1])


def test_nan_reaches_the_sums_of_its_frames_alone() -> None:
    head = draw_head(6, (3, 2, 2, 5), 4, 3, batch=1)
    head.label[..., 2], head.label[..., 0] = 255, 1
    with torch.no_grad():
        head.x[0, 1, 0, 0, 0, 2] = torch.nan
    sums = sums_of(head).detach()[0]
    assert sums[:, 6].isnan().tolist() == [False, True, True, False, False]  # the change to it, and from it
    assert not sums[:, :6].isnan().any()  # not annotated: no part of the Dice term


@pytest.mark.parametrize(
    ("changes", "words"),
    [
        ({"label": torch.zeros(2, 1, 2, 3, 2, 4)}, "label must be uint8, on the CPU"),
        ({"label": torch.zeros(2, 1, 2, 3, 2, 3, dtype=torch.uint8)}, "label has the wrong size"),
        ({"weight": torch.zeros(3, 5, 1, 1, 1, 1)}, "weight has the wrong size"),
        ({"weight": torch.zeros(9, 4, 1, 1, 1, 1), "bias": None}, "weight must have 1 to 8 classes, got 9"),
        ({"x": torch.zeros(2, 9, 2, 3, 2, 4), "weight": None, "bias": None}, "input must have 1 to 8 classes, got 9"),
        ({"weight": None}, "a bias needs a weight"),
        ({"x": torch.zeros(2, 1361, 2, 3, 2, 4), "weight": torch.zeros(3, 1361, 1, 1, 1, 1)}, "at most 4096, got 4104"),
    ],
    ids=["dtype", "size", "weight", "classes", "logits", "bias of nothing", "head"],
)
def test_what_does_not_fit_is_refused(changes: dict[str, Any], words: str) -> None:
    head = draw_head(2, (2, 3, 2, 4), 4, 3)._replace(**changes)
    with pytest.raises(RuntimeError, match=words):
        sums_of(head)


def test_label_on_another_device_is_refused() -> None:
    head = draw_head(2, (2, 3, 2, 4), 4, 3)
    with pytest.raises(ValueError, match=r"`label` is on meta, but `x` on cpu: move one of them"):
        sums_of(head._replace(label=head.label.to("meta")))


def test_only_what_the_kernels_take_is_fused() -> None:
    head = draw_head(2, (2, 3, 2, 4), 8, 3)
    x, weight, bias, *_ = head
    assert fuses_softmax_sums(x, weight, bias)
    assert fuses_softmax_sums(x, None, None)
    many = torch.randn(1, 9, 2, 2, 2, 2)
    assert not fuses_softmax_sums(many, None, None)
    assert not fuses_softmax_sums(x, many.new_zeros(9, 8, 1, 1, 1, 1), None)
    assert not fuses_softmax_sums(many.new_zeros(1, 1368, 1, 1, 1, 1), many.new_zeros(3, 1368, 1, 1, 1, 1), None)
    assert not fuses_softmax_sums(x[:0], weight, bias)
    assert not fuses_softmax_sums(x.double(), weight.double(), None)
    assert not fuses_softmax_sums(x.bfloat16(), weight.bfloat16(), None)  # on the CPU
    assert not fuses_softmax_sums(x, weight.double(), None)
    for options in ({"backend": "composed"}, {"fused": False}):
        with use_backend(**options):
            assert not fuses_softmax_sums(x, weight, bias)
