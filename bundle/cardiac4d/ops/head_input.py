# SPDX-License-Identifier: Apache-2.0
"""What a network hands to its loss in place of logits."""

from typing import NamedTuple, NoReturn

from torch import Tensor

from .functional import conv4d
from .settings import chosen_backend


class HeadInput(NamedTuple):
    """What the last convolution of a network takes, 1x1x1x1, for a loss that computes it with its own sums.

    Attributes:
        features: ``(N, C, H, W, D, T)``.
        weight: ``(classes, C, 1, 1, 1, 1)``, of the same dtype.
        bias: ``(classes,)`` or ``None``.
        backend: what the network computes with, see :func:`cardiac4d.ops.use_backend`.
    """

    features: Tensor
    weight: Tensor
    bias: Tensor | None
    backend: str

    @property
    def operands(self) -> tuple[Tensor, Tensor, Tensor | None]:
        """What the convolution takes."""
        return self.features, self.weight, self.bias

    def logits(self) -> Tensor:
        """Compute what the network would have returned, ``(N, classes, H, W, D, T)``."""
        with chosen_backend(self.backend):
            return conv4d(*self.operands)

    def __getattr__(self, name: str) -> NoReturn:
        """Say what to do where somebody takes it for logits."""
        raise AttributeError(
            f"a HeadInput has no {name!r}: it is what a network with `head_in_loss` gives in training; take its "
            "`.logits()`, or set `head_in_loss` to False"
        )
