# SPDX-License-Identifier: Apache-2.0
"""Heads to sum over, drawn at random, and what their sums are in float64 by definition."""

from __future__ import annotations

import random
from typing import NamedTuple

import torch
from torch import Tensor

NOT_ANNOTATED = 255


class Head(NamedTuple):
    """Operands of ``softmax_sums``; without a weight ``x`` are logits."""

    x: Tensor
    weight: Tensor | None
    bias: Tensor | None
    label: Tensor
    squared: bool

    @property
    def leaves(self) -> list[Tensor]:
        """What has a gradient."""
        return [tensor for tensor in self[:3] if tensor is not None]

    def to(self, dtype: torch.dtype) -> Head:
        """New leaves of another dtype."""
        tensors = [None if t is None else t.detach().to(dtype).requires_grad_() for t in self[:3]]
        return Head(*tensors, *self[3:])


def draw_label(draw: random.Random, batch: int, classes: int, size: tuple[int, ...]) -> Tensor:
    """Some frames are not annotated, some voxels neither."""
    label = torch.randint(0, classes, (batch, 1, *size), dtype=torch.uint8)
    for n in range(batch):
        for t in range(size[3]):
            if draw.random() < 0.4:
                label[n, ..., t] = NOT_ANNOTATED
    label[torch.rand(label.shape) < 0.2] = NOT_ANNOTATED
    return label


def draw_head(
    seed: int,
    size: tuple[int, int, int, int],
    channels: int,
    classes: int,
    *,
    dtype: torch.dtype = torch.float32,
    batch: int = 2,
) -> Head:
    """Draw a head; one of as many classes as channels has no weight if the seed is odd."""
    torch.manual_seed(seed)
    draw = random.Random(seed)
    x, label = 2 * torch.randn(batch, channels, *size), draw_label(draw, batch, classes, size)
    weight = bias = None
    if channels != classes or seed % 2 == 0:
        weight = torch.randn(classes, channels, 1, 1, 1, 1)
        bias = torch.randn(classes) if draw.random() < 0.7 else None
    return Head(x, weight, bias, label, draw.random() < 0.5).to(dtype)


def logits_of(head: Head) -> Tensor:
    """The convolution by definition."""
    if head.weight is None:
        return head.x
    logits = (head.weight.flatten(1)[..., None, None, None, None] * head.x[:, None]).sum(2)
    return logits if head.bias is None else logits + head.bias[:, None, None, None, None]


def expected_sums(head: Head) -> Tensor:
    """``(N, T, 2 * classes + 3)`` of a head in float64."""
    p = logits_of(head).softmax(1)
    frames = []
    for t in range(p.shape[-1]):
        here, later, y = p[..., t], p[..., (t + 1) % p.shape[-1]], head.label[:, 0, ..., t]
        known = y != NOT_ANNOTATED
        classes = [(here[:, c], y == c) for c in range(p.shape[1])]
        overlap = [(q * own).sum((1, 2, 3)) for q, own in classes]
        size = [((q * q if head.squared else q) * known + own).sum((1, 2, 3)) for q, own in classes]
        wrong = known & (y >= p.shape[1])
        change = (later - here).square().sum((1, 2, 3, 4))
        frames.append(torch.stack([*overlap, *size, change, known.sum((1, 2, 3)), wrong.sum((1, 2, 3))], 1))
    return torch.stack(frames, 1)


def expected(head: Head, seed: Tensor) -> tuple[Tensor, list[Tensor]]:
    """The sums and the gradients of all leaves, by definition in float64."""
    exact = head.to(torch.float64)
    sums = expected_sums(exact)
    return sums.detach(), list(torch.autograd.grad(sums, exact.leaves, seed))


def draw_seed(head: Head) -> Tensor:
    """Gradients of the sums; the last two, of counts, must not matter."""
    classes = (head.x if head.weight is None else head.weight.transpose(0, 1)).shape[1]
    return torch.randn(head.x.shape[0], head.x.shape[5], 2 * classes + 3, dtype=torch.float64)
