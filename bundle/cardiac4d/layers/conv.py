# SPDX-License-Identifier: Apache-2.0
"""``Conv4d``: :class:`torch.nn.Conv3d` with one more axis."""

from typing import Any

from torch import Tensor
from torch.nn.modules.conv import _ConvNd

from ..ops.arguments import Size4, check_extents, check_shapes, to_count, to_size4
from ..ops.functional import conv4d_parsed
from ..ops.fused import conv4d_sums
from ..ops.fusion import fuses_sums
from .padding import PADDING_MODES, PaddingMode, pad4d


class Conv4d(_ConvNd):
    """Apply a true, non-separable 4D convolution to ``(N, C, H, W, D, T)``.

    Signature, initialisation, state dict and printing are those of :class:`torch.nn.Conv3d`; sizes are one integer or
    four in the order H, W, D, T. Computed by :func:`cardiac4d.ops.conv4d`, which states shapes and memory layout.
    Unlike ``Conv3d`` it takes no input without a batch axis: five axes could as well be a batch of 3D volumes.

    Args:
        in_channels: channels of the input.
        out_channels: channels of the output.
        kernel_size: extent of the kernel.
        stride: step, in voxels and frames.
        padding: amount on *each* side, or ``"valid"`` (none), or ``"same"`` (output as large as the input; needs
            stride 1; the odd voxel of an even kernel goes to the far side).
        dilation: spacing between taps.
        groups: channel groups; divides both channel counts.
        bias: learn an offset per output channel.
        padding_mode: ``"zeros"``, ``"reflect"``, ``"replicate"`` or ``"circular"``.
        device: where the parameters live.
        dtype: dtype of the parameters.
        time_padding_mode: the mode on the time axis alone; ``None`` means ``padding_mode``. ``"circular"`` suits
            sequences that cover one whole cardiac cycle.

    Attributes:
        weight: ``(out_channels, in_channels // groups, KH, KW, KD, KT)``.
        bias: ``(out_channels,)`` or ``None``.

    Raises:
        ValueError: if an argument is not admissible; the message names it.

    Example:
        >>> import torch
        >>> Conv4d(1, 8, 3, padding=1, time_padding_mode="circular")(torch.zeros(1, 1, 6, 6, 4, 5)).shape
        torch.Size([1, 8, 6, 6, 4, 5])
    """

    _modes: list[str]
    _repeated: list[int]
    _zeros: list[int]

    def __init__(
        self,
        in_channels: int,
        out_channels: int,
        kernel_size: Size4,
        stride: Size4 = 1,
        padding: Size4 | str = 0,
        dilation: Size4 = 1,
        groups: int = 1,
        bias: bool = True,
        padding_mode: PaddingMode = "zeros",
        device: Any = None,
        dtype: Any = None,
        *,
        time_padding_mode: PaddingMode | None = None,
    ) -> None:
        time_padding_mode = padding_mode if time_padding_mode is None else time_padding_mode
        _check_channels(in_channels, out_channels, groups)
        _check_mode("padding_mode", padding_mode)
        _check_mode("time_padding_mode", time_padding_mode)
        super().__init__(
            in_channels,
            out_channels,
            to_size4(kernel_size, "kernel_size", minimum=1),
            to_size4(stride, "stride", minimum=1),
            padding if isinstance(padding, str) else to_size4(padding, "padding", minimum=0),
            to_size4(dilation, "dilation", minimum=1),
            False,
            (0, 0, 0, 0),
            groups,
            bias,
            padding_mode,
            device=device,
            dtype=dtype,
        )
        self.time_padding_mode = time_padding_mode
        self._split_padding()

    def _split_padding(self) -> None:
        """Divide the padding between the operator (the same zeros on both sides) and `pad4d` (all else)."""
        space: list[str] = [self.padding_mode] * 3
        self._modes = [*space, self.time_padding_mode]
        self._repeated, self._zeros = [0] * 8, [0] * 4
        for axis, (before, after) in enumerate(self._padding_per_side()):
            if self._modes[axis] == "zeros" and before == after:
                self._zeros[axis] = before
            else:
                self._repeated[2 * axis : 2 * axis + 2] = before, after

    def _padding_per_side(self) -> list[tuple[int, int]]:
        if not isinstance(self.padding, str):
            return [(amount, amount) for amount in self.padding]
        if self.padding == "valid":
            return [(0, 0)] * 4
        totals = [gap * (extent - 1) for gap, extent in zip(self.dilation, self.kernel_size, strict=True)]
        return [(total // 2, total - total // 2) for total in totals]

    def forward(self, input: Tensor) -> Tensor:
        """Convolve ``(N, C_in, H, W, D, T)`` to ``(N, C_out, EH, EW, ED, ET)``."""
        padded = pad4d(input, self._repeated, self._modes)
        return conv4d_parsed(
            padded, self.weight, self.bias, list(self.stride), self._zeros, list(self.dilation), self.groups
        )

    def forward_with_sums(self, input: Tensor) -> tuple[Tensor, Tensor | None]:
        """Convolve, and sum up the result for a normalisation where one operator does both; else ``None``."""
        plain = self.groups == 1 and self.dilation == (1, 1, 1, 1) and max(self._repeated) == 0
        if not plain or not fuses_sums(input, self.weight, self.bias):
            return self.forward(input), None
        check_shapes(list(input.shape), list(self.weight.shape), 1)
        check_extents(list(input.shape), list(self.weight.shape), list(self.stride), self._zeros, [1, 1, 1, 1])
        return conv4d_sums(input, self.weight, self.bias, list(self.stride), self._zeros)

    def pads_one_zero(self) -> bool:
        """Tell whether the padding is one zero on every side of every axis, time included."""
        return self._zeros == [1, 1, 1, 1] and max(self._repeated) == 0

    def pads(self) -> bool:
        """Tell whether there is any padding."""
        return any(side != (0, 0) for side in self._padding_per_side())

    def extra_repr(self) -> str:
        """As ``Conv3d``, with the padding mode of time where it differs."""
        text = super().extra_repr()
        if self.time_padding_mode != self.padding_mode:
            text += f", time_padding_mode={self.time_padding_mode}"
        return text


def _check_channels(in_channels: int, out_channels: int, groups: int) -> None:
    to_count(groups, "groups")
    for name, count in (("in_channels", in_channels), ("out_channels", out_channels)):
        if to_count(count, name) % groups:
            raise ValueError(f"`{name}` (={count}) must be divisible by `groups` (={groups})")


def _check_mode(name: str, mode: str) -> None:
    if mode not in PADDING_MODES:
        raise ValueError(f"`{name}` (={mode!r}) must be one of {', '.join(PADDING_MODES)}")
