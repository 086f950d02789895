# SPDX-License-Identifier: Apache-2.0
"""The building block of the network, in 3D and 4D."""

from typing import Any

import torch
from torch import Tensor, nn
from torch.nn import functional
from torch.utils.checkpoint import checkpoint

from ..ops.fused import HalfBlock, residual_block, residual_block_
from ..ops.fusion import fuses_block
from ..ops.hooks import has_hooks
from ..ops.settings import same_backend_again
from .conv import Conv4d
from .conv3d import Conv3d
from .norm import GroupNorm


def make_conv(spatial_dims: int, in_channels: int, out_channels: int, kernel_size: int, **options: Any) -> nn.Module:
    """Build ``Conv4d`` or ``Conv3d``, padded so that stride 1 keeps the size.

    Args:
        spatial_dims: 4 (time counts as one) or 3.
        in_channels: channels of the input.
        out_channels: channels of the output.
        kernel_size: odd extent on every axis.
        options: further arguments of the convolution.

    Raises:
        ValueError: if ``spatial_dims`` is neither.
    """
    if spatial_dims not in (3, 4):
        raise ValueError(f"`spatial_dims` (={spatial_dims}) must be 3 or 4")
    conv: type[nn.Module] = Conv4d if spatial_dims == 4 else Conv3d
    return conv(in_channels, out_channels, kernel_size, padding=kernel_size // 2, **options)


class ResidualBlock(nn.Module):
    """GN, ReLU, convolution, twice, plus the identity (Myronenko 2018, arXiv 1810.11654; here in 3D or 4D).

    Computed by one native operator where that serves (:mod:`cardiac4d.ops.fusion`), else layer by layer. Either way
    parameters and results are the same, but for rounding.

    Args:
        spatial_dims: 4 (time counts as one) or 3.
        channels: channels of input and output.
        num_groups: groups of the normalisation; divides ``channels``.
        recompute: keep only the input for the gradient and compute the block once more there: less memory, more time.
        options: further arguments of both convolutions (``bias``, ``time_padding_mode``).

    Example:
        >>> import torch
        >>> ResidualBlock(4, 8, num_groups=8)(torch.zeros(1, 8, 5, 4, 3, 2)).shape
        torch.Size([1, 8, 5, 4, 3, 2])
    """

    def __init__(
        self, spatial_dims: int, channels: int, num_groups: int, *, recompute: bool = False, **options: Any
    ) -> None:
        super().__init__()
        self.recompute = recompute
        self.norm1 = GroupNorm(num_groups, channels)
        self.conv1 = make_conv(spatial_dims, channels, channels, 3, **options)
        self.norm2 = GroupNorm(num_groups, channels)
        self.conv2 = make_conv(spatial_dims, channels, channels, 3, **options)

    def forward(self, x: Tensor) -> Tensor:
        """Map ``(N, channels, *size)`` to the same shape."""
        if not torch.jit.is_scripting():  # TorchScript leaves out what stands under this condition alone
            return self.forward_with_sums(x, None)[0]
        return self._layers(x)

    def forward_with_sums(self, x: Tensor, sums: Tensor | None) -> tuple[Tensor, Tensor | None]:
        """Compute the block with what is known of its input, and pass on what is known of its output.

        Args:
            x: ``(N, channels, *size)``.
            sums: its sums per channel (:func:`cardiac4d.ops.fused.conv4d_sums`), if they are known. Then ``x`` belongs
                to the block: without gradients the output may take its memory.

        Returns:
            The output, and its sums if the fused operator computed it.
        """
        if self.recompute and torch.is_grad_enabled() and not torch.jit.is_tracing():
            # A compiled graph holds the choice of the backend already, and torch's compiler knows no such contexts.
            context: dict[str, Any] = {} if torch.compiler.is_compiling() else {"context_fn": same_backend_again}
            return checkpoint(self._compute, x, sums, use_reentrant=False, preserve_rng_state=False, **context)
        return self._compute(x, sums)

    def _compute(self, x: Tensor, sums: Tensor | None) -> tuple[Tensor, Tensor | None]:
        halves = _fusible_halves(self)
        if halves is not None and _fuses(x, self.norm1.num_channels, *halves):
            options = *halves, self.norm1.num_groups, self.norm1.eps, sums
            if sums is None or torch.is_grad_enabled() or torch.compiler.is_compiling():
                return residual_block(x, *options)
            return x, residual_block_(x, *options)
        return self._layers(x), None

    def _layers(self, x: Tensor) -> Tensor:
        y = self.conv1(functional.relu(self.norm1(x)))
        return self.conv2(functional.relu(self.norm2(y))) + x


def _fusible_halves(block: ResidualBlock) -> tuple[HalfBlock, HalfBlock] | None:
    """Collect the parameters for the fused operator; ``None`` if it would not compute what the layers do."""
    norm1, conv1, norm2, conv2 = block.norm1, block.conv1, block.norm2, block.conv2
    if not isinstance(conv1, Conv4d) or not isinstance(conv2, Conv4d):
        return None
    # A subclass may compute something else; a hook waits for its layer to be called.
    if any(type(x) not in (GroupNorm, Conv4d) or has_hooks(x) for x in (norm1, conv1, norm2, conv2)):
        return None
    if (norm1.num_groups, norm1.eps) != (norm2.num_groups, norm2.eps):
        return None
    if any(part is None for norm in (norm1, norm2) for part in (norm.weight, norm.bias)):
        return None
    if not _keeps_size(conv1) or not _keeps_size(conv2):
        return None
    return _half(norm1, conv1), _half(norm2, conv2)


def _fuses(x: Tensor, channels: int, first: HalfBlock, second: HalfBlock) -> bool:
    convolutions = first.weight, first.bias, second.weight, second.bias
    return fuses_block(x, channels, [*first[:2], *second[:2]], convolutions)


def _half(norm: GroupNorm, conv: Conv4d) -> HalfBlock:
    return HalfBlock(norm.weight, norm.bias, conv.weight, conv.bias)


def _keeps_size(conv: Conv4d) -> bool:
    """Tell whether a convolution is 3x3x3x3, dense, and padded by one zero on every side."""
    dense = conv.weight.shape[0] == conv.weight.shape[1] and conv.groups == 1
    steps = conv.stride == conv.dilation == (1, 1, 1, 1)
    return dense and steps and conv.kernel_size == (3, 3, 3, 3) and conv.pads_one_zero()
