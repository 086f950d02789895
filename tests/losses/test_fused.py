# SPDX-License-Identifier: Apache-2.0
"""The loss of what a network's last convolution takes, against the loss of its logits in float64."""

from __future__ import annotations

import random
from typing import Any

import pytest
import torch
from monai.data import MetaTensor
from monai.losses import DiceLoss
from torch import Tensor, nn

from cardiac4d.losses import HeadInput, SparseDiceLoss, SparseSequenceLoss, TemporalSmoothnessLoss, fused
from cardiac4d.ops import use_backend
from tests.helpers.backends import needs_native
from tests.helpers.softmax_sums import Head, draw_head, logits_of

pytestmark = needs_native

LIMIT = 1e-5


def draw(seed: int) -> tuple[Head, SparseSequenceLoss, list[bool] | None]:
    """A head, a loss that its sums can express, and which samples are whole cycles."""
    numbers = random.Random(seed)
    size = *(numbers.randint(1, 8) for _ in range(3)), numbers.choice([1, 2, 3, 5, 16])
    channels, classes, batch = numbers.choice([1, 3, 8, 9]), numbers.randint(2, 8), numbers.randint(1, 3)
    head = draw_head(seed, size, channels, classes, batch=batch)
    if seed % 5 == 0:
        head.label.fill_(255)
    loss = SparseSequenceLoss(
        SparseDiceLoss(
            include_background=numbers.random() < 0.5,
            squared_denominator=numbers.random() < 0.5,
            pooled=numbers.random() < 0.5,
            smooth_nr=numbers.choice([0, 0.1]),
        ),
        TemporalSmoothnessLoss(divide_by=numbers.choice(["pairs", "frames"]), cyclic=numbers.random() < 0.5),
        weight=numbers.choice([0.5, 1.0]),
    )
    return head, loss, numbers.choice([None, [numbers.random() < 0.5 for _ in range(batch)]])


def for_loss(head: Head) -> HeadInput:
    assert head.weight is not None
    return HeadInput(head.x, head.weight, head.bias, "auto")


def with_gradients(loss: SparseSequenceLoss, scores: Any, head: Head, **options: Any) -> list[Tensor]:
    """The loss, its terms and the gradients of all leaves."""
    value = loss(scores, head.label, **options)
    return [value.detach(), *loss.terms.values(), *torch.autograd.grad(value, head.leaves)]


def compare(found: list[Tensor], expected: list[Tensor]) -> None:
    for ours, theirs in zip(found, expected, strict=True):
        assert torch.equal(ours.isnan(), theirs.isnan())
        right = theirs.double().nan_to_num()
        assert (ours.double().nan_to_num() - right).norm() <= LIMIT * (right.norm() + 1e-3)


@pytest.mark.parametrize("seed", [pytest.param(s, marks=pytest.mark.slow if s > 6 else ()) for s in range(0, 40, 2)])
def test_loss_terms_and_gradients_are_those_of_the_logits(seed: int) -> None:
    head, loss, full_cycle = draw(seed)
    assert fused.fuses_terms(loss.dice, loss.smoothness, for_loss(head))
    found = with_gradients(loss, for_loss(head), head, full_cycle=full_cycle)
    assert found[0].dtype == found[1].dtype == found[2].dtype == torch.float32
    exact = head.to(torch.float64)
    compare(found, with_gradients(loss, logits_of(exact), exact, full_cycle=full_cycle))


@pytest.mark.parametrize("seed", [9, 11])
def test_logits_on_a_gpu_take_the_same_way(seed: int, monkeypatch: pytest.MonkeyPatch) -> None:
    head, loss, full_cycle = draw(seed)
    logits = logits_of(head).detach().requires_grad_()
    head = Head(logits, None, None, head.label, head.squared)
    assert not fused.fuses_terms(loss.dice, loss.smoothness, logits)  # on the CPU
    expected = with_gradients(loss, logits, head, full_cycle=full_cycle)
    monkeypatch.setattr("cardiac4d.losses.sparse_sequence.fuses_terms", lambda *arguments: True)
    compare(with_gradients(loss, logits, head, full_cycle=full_cycle), expected)


def test_nothing_annotated_is_smoothness_alone_and_one_frame_is_zero() -> None:
    head, loss, _ = draw(0)
    value = loss(for_loss(head), head.label)
    assert loss.terms["dice"].isnan()
    assert value.item() == pytest.approx(loss.weight * loss.terms["smoothness"].item())
    head = draw_head(2, (3, 2, 4, 1), 8, 3)
    head.label.fill_(255)
    value = SparseSequenceLoss()(for_loss(head), head.label)
    assert value.item() == 0
    assert all(torch.count_nonzero(gradient) == 0 for gradient in torch.autograd.grad(value, head.leaves))


def test_gradient_of_dice_is_exactly_zero_where_not_annotated() -> None:
    head = draw_head(4, (4, 3, 5, 3), 8, 3)
    (by_x,) = torch.autograd.grad(SparseSequenceLoss(weight=0)(for_loss(head), head.label), head.x)
    missing = (head.label == 255).expand_as(by_x)
    assert torch.count_nonzero(by_x[missing]) == 0
    assert torch.count_nonzero(by_x[~missing]) > 0


class _Doubled(SparseDiceLoss):
    def forward(self, *arguments: Any, **options: Any) -> Tensor:
        return 2 * super().forward(*arguments, **options)


@pytest.mark.parametrize(
    "terms",
    [
        {"smoothness": TemporalSmoothnessLoss(norm="l1")},
        {"smoothness": TemporalSmoothnessLoss(norm="l2")},
        {"smoothness": TemporalSmoothnessLoss(on_logits=True)},
        {"dice": _Doubled()},
    ],
    ids=["l1", "l2", "on logits", "subclass"],
)
def test_what_sums_cannot_express_is_computed_from_logits(terms: dict[str, Any]) -> None:
    head, loss = draw_head(4, (4, 3, 5, 3), 8, 3), SparseSequenceLoss(**terms)
    assert not fused.fuses_terms(loss.dice, loss.smoothness, for_loss(head))
    exact = head.to(torch.float64)
    compare(with_gradients(loss, for_loss(head), head), with_gradients(loss, logits_of(exact), exact))


@pytest.mark.parametrize("register", ["own", "global"])
def test_hook_of_a_term_is_called(register: str) -> None:
    head, loss, seen = draw_head(4, (4, 3, 5, 3), 8, 3), SparseSequenceLoss(), {}

    def see(module: nn.Module, _: Any, out: Tensor) -> None:
        seen[module] = out.item()

    own, of_all = loss.dice.register_forward_hook, nn.modules.module.register_module_forward_hook
    handle = (own if register == "own" else of_all)(see)
    try:
        loss(for_loss(head), head.label)
    finally:
        handle.remove()
    assert seen[loss.dice] == loss.terms["dice"].item()
    assert (loss.smoothness in seen) == (register == "global")


@pytest.mark.parametrize("term", ["dice", "smoothness"])
def test_patched_forward_of_a_term_is_called(term: str, monkeypatch: pytest.MonkeyPatch) -> None:
    head, loss = draw_head(4, (4, 3, 5, 3), 8, 3), SparseSequenceLoss()
    monkeypatch.setattr(getattr(loss, term), "forward", lambda scores, *_, **__: scores.sum() * 0 + 7)
    loss(for_loss(head), head.label)
    assert loss.terms[term].item() == 7


@pytest.mark.parametrize("backend", ["auto", "composed"])
def test_without_native_kernels_logits_are_computed(backend: str) -> None:
    head, loss = draw_head(4, (4, 3, 5, 3), 8, 3), SparseSequenceLoss()
    with use_backend("composed"):
        given = for_loss(head)._replace(backend=backend)
        assert not fused.fuses_terms(loss.dice, loss.smoothness, given)
        found = with_gradients(loss, given, head)
    assert fused.fuses_terms(loss.dice, loss.smoothness, for_loss(head)._replace(backend="native"))
    compare(found, with_gradients(loss, for_loss(head), head))


@pytest.mark.parametrize("dtype", [torch.int64, torch.float32, torch.uint8, torch.int16], ids=str)
def test_labels_of_any_type_are_checked(dtype: torch.dtype) -> None:
    head, loss = draw_head(4, (4, 3, 5, 3), 8, 3), SparseSequenceLoss()
    expected, label = loss(for_loss(head), head.label), head.label.to(dtype)
    assert torch.equal(loss(for_loss(head), MetaTensor(label)), expected)
    label[0, 0, 1, 1, 1, 1] = 7
    with pytest.raises(ValueError, match=r"`label` must hold 0 .. 2 or 255 \(not annotated\), got \[7\]"):
        loss(for_loss(head), label)
    with pytest.raises(ValueError, match=r"`label` must have shape \(2, 1, 4, 3, 5, 3\)"):
        loss(for_loss(head), label[..., :2])


def test_loss_of_logits_alone_is_told_what_to_do() -> None:
    head = draw_head(4, (4, 3, 5, 3), 8, 3)
    with pytest.raises(AttributeError, match=r"take its `.logits\(\)`, or set `head_in_loss` to False"):
        DiceLoss(softmax=True)(for_loss(head), head.label)
    assert SparseDiceLoss()(for_loss(head), head.label).item() == pytest.approx(
        SparseDiceLoss()(logits_of(head), head.label).item()
    )


def test_wrong_number_of_flags_is_refused() -> None:
    head = draw_head(4, (4, 3, 5, 3), 8, 3)
    with pytest.raises(ValueError, match=r"one per sample \(2\), got 3"):
        SparseSequenceLoss()(for_loss(head), head.label, full_cycle=[True] * 3)


@pytest.mark.parametrize(
    ("norm", "frames"),
    [
        ("squared_l2", False),
        pytest.param("squared_l2", True, marks=pytest.mark.slow),
        pytest.param("l1", False, marks=pytest.mark.slow),
    ],
)
def test_loss_of_logits_compiles_into_one_graph(norm: Any, frames: bool) -> None:
    head = draw_head(4, (4, 3, 5, 3), 8, 3)
    logits = logits_of(head).detach()
    if frames:
        logits = logits.permute(0, 5, 2, 3, 4, 1).contiguous().permute(0, 5, 2, 3, 4, 1)
    head = Head(logits.requires_grad_(), None, None, head.label, squared=True)
    loss = SparseSequenceLoss(smoothness=TemporalSmoothnessLoss(norm=norm))
    compiled: Any = torch.compile(loss, fullgraph=True, backend="aot_eager")
    found = [value := compiled(head.x, head.label), *torch.autograd.grad(value, head.x)]
    expected = [value := loss(head.x, head.label), *torch.autograd.grad(value, head.x)]
    compare([t.detach() for t in found], [t.detach() for t in expected])


@pytest.mark.slow
def test_loss_of_a_head_compiles_into_one_graph() -> None:
    head, loss = draw_head(4, (4, 3, 5, 3), 8, 3), SparseSequenceLoss()
    expected = with_gradients(loss, for_loss(head), head)
    compiled: Any = torch.compile(
        lambda *tensors: loss(HeadInput(*tensors[:3], "auto"), tensors[3]), fullgraph=True, backend="aot_eager"
    )
    value = compiled(*for_loss(head)[:3], head.label)
    compare([value.detach(), *torch.autograd.grad(value, head.leaves)], [expected[0], *expected[4:]])
