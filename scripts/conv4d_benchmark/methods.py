# SPDX-License-Identifier: Apache-2.0
"""What is compared: problems, and methods that solve them, each in the memory layout that suits it best."""

from __future__ import annotations

import functools
from collections.abc import Callable, Sequence
from dataclasses import dataclass

import torch
from torch import Tensor

Transform = Callable[[Tensor], Tensor]
Convolve = Callable[[Tensor, Tensor, int], Tensor]


@dataclass(frozen=True)
class Problem:
    """One convolution of one sample, with half the kernel as padding.

    Attributes:
        name: what the tables call it.
        channels: in and out.
        size: H, W, D, T of the input.
        kernel: extent on every axis, odd.
        stride: on every axis.
    """

    name: str
    channels: tuple[int, int]
    size: tuple[int, int, int, int]
    kernel: int = 3
    stride: int = 1

    def tensors(self, dtype: torch.dtype = torch.float32) -> tuple[Tensor, Tensor]:
        """Draw the same input ``(1, C, H, W, D, T)`` and weight ``(C_out, C_in, K, K, K, K)`` in every call."""
        source, target = self.channels
        generator = torch.Generator().manual_seed(0)
        x = torch.randn(1, source, *self.size, generator=generator)
        weight = torch.randn(target, source, *[self.kernel] * 4, generator=generator)
        return x.to(dtype), (weight / (source * self.kernel**4) ** 0.5).to(dtype)

    @property
    def gigaflop(self) -> float:
        """Nominal arithmetic of the forward pass: a product and a sum per weight and output, padding included."""
        outputs = functools.reduce(lambda total, extent: total * ((extent - 1) // self.stride + 1), self.size, 1)
        return 2e-9 * self.kernel**4 * self.channels[0] * self.channels[1] * outputs


@dataclass(frozen=True)
class Method:
    """One way to compute a 4D convolution.

    Attributes:
        name: what the tables call it.
        kind: ``native``, ``torch`` (pure PyTorch) or ``peer`` (a published algorithm).
        compute: maps input and weight, each as laid out below, and a stride to the output.
        lay_out: brings ``(1, C, H, W, D, T)`` into the method's own layout; not timed.
        arrange: brings the weight into the method's own order; not timed.
        restore: views the output as ``(1, C, H, W, D, T)`` again.
        dtype: what it computes in.
        strides: which strides it knows.
    """

    name: str
    kind: str
    compute: Convolve
    lay_out: Transform
    arrange: Transform
    restore: Transform
    dtype: torch.dtype = torch.float32
    strides: Sequence[int] = (1, 2)

    def operands(self, problem: Problem) -> tuple[Tensor, Tensor]:
        """Input and weight of a problem, ready for :attr:`compute`."""
        x, weight = problem.tensors(self.dtype)
        return self.lay_out(x), self.arrange(weight)

    def forward(self, x: Tensor, weight: Tensor, stride: int = 1) -> Tensor:
        """Compute ``(1, C, H, W, D, T)`` and ``(C_out, C_in, K, K, K, K)`` to the output in the same order of axes."""
        return self.restore(self.compute(self.lay_out(x), self.arrange(weight), stride))


def same(tensor: Tensor) -> Tensor:
    """Leave a tensor as it is."""
    return tensor
