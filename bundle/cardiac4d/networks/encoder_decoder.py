# SPDX-License-Identifier: Apache-2.0
"""The encoder-decoder of Myronenko et al. 2019 (arXiv 1906.07295, table 1), in 4D and 3D."""

from collections.abc import Sequence
from typing import Any

import torch
from torch import Tensor, nn

from ..layers.blocks import ResidualBlock, make_conv
from ..layers.chain import Chain, convolve_and_upsample, convolve_in_loss, convolve_to_probabilities
from ..layers.norm import GroupNorm
from ..layers.operators import HeadInput, check_backend, chosen_backend, has_hooks
from ..layers.upsampling import UpsampleAdd

BLOCKS_DOWN = {4: (1, 2, 4), 3: (1, 2, 4, 4)}
BLOCKS_UP = {4: (1, 1), 3: (1, 1, 1)}


class UpStage(nn.Module):
    """Halve the channels with a 1x1 convolution, up-sample by two, add the skip connection, refine.

    The paper's DecoderUp and DecoderBlock of one level.
    """

    def __init__(
        self, spatial_dims: int, channels: int, num_blocks: int, num_groups: int, *, recompute: bool, **options: Any
    ) -> None:
        super().__init__()
        self.conv = make_conv(spatial_dims, 2 * channels, channels, 1, **options)
        self.up = UpsampleAdd()
        blocks = [
            ResidualBlock(spatial_dims, channels, num_groups, recompute=recompute, **options) for _ in range(num_blocks)
        ]
        self.blocks = Chain(*blocks)

    def forward(self, x: Tensor, skips: list[Tensor]) -> Tensor:
        """Map ``(N, 2 * channels, *ceil(size / 2))`` and a skip ``(N, channels, *size)`` to the skip's shape.

        The skip is taken off the end of the list, so that its memory is free, in inference, while the blocks compute.
        """
        if not torch.jit.is_scripting():  # noqa: SIM102  (TorchScript leaves out what stands under this condition alone)
            if not has_hooks(self.blocks):
                return self.blocks.forward_with_sums(*convolve_and_upsample(self.conv, self.up, x, skips.pop()))
        return self.blocks(self.up(self.conv(x), skips.pop()))


class EncoderDecoder(nn.Module):
    """Segment a sequence of volumes (4D) or one volume (3D) with residual blocks, strided convolutions and skips.

    The defaults are the paper's table. With ``spatial_dims=4``: three levels of 8, 16 and 32 channels, time strided
    like space, 861,856 convolution weights. With ``spatial_dims=3``: the same design in 3D and one level more, the
    paper's baseline, whose added level is not given there and our choice (64 channels, 4 blocks; 1,285,104 weights).
    Also ours: 8 groups, no bias. Up-sampled features are cropped to their skip connection, so every axis, time
    included, may have any extent.

    Args:
        spatial_dims: 4 for ``(N, C, H, W, D, T)``, 3 for ``(N, C, H, W, D)``.
        in_channels: channels of the input.
        out_channels: classes, background included.
        init_filters: channels of the first level; each further level doubles them.
        blocks_down: residual blocks per encoder level, the first level first; ``None`` means the paper's table.
        blocks_up: residual blocks per decoder level, the deepest first; one entry fewer than ``blocks_down``.
        num_groups: groups of every normalisation; divides ``init_filters``.
        bias: give the convolutions a bias.
        final_norm_act: GN and ReLU before the last convolution, as the network's BraTS ancestor has them; table 1
            does not list them.
        time_padding_mode: padding on the time axis, see :class:`cardiac4d.Conv4d`; 4D only.
        backend: what computes the 4D convolutions of this network: ``"native"`` or ``"composed"`` as
            :func:`cardiac4d.ops.use_backend` has it; ``"auto"`` leaves the choice to that function. Files for
            TorchScript and ONNX are written with the composed one in every case but ``"native"``.
        checkpoint_blocks: compute every residual block once more for its gradient instead of keeping what is inside it:
            less memory in training, more time, the same results.
        head_in_loss: in training mode, with gradients, leave the last convolution to the loss: ``forward`` then returns
            a :class:`cardiac4d.losses.HeadInput`, which :class:`cardiac4d.losses.SparseSequenceLoss` takes like logits,
            and neither logits nor probabilities are ever stored. Only where the native backend serves and no hook waits
            for the network's output or its head; everywhere else ``forward`` returns logits as ever.

    Raises:
        ValueError: if an argument is not admissible; the message names it.

    Example:
        >>> import torch
        >>> EncoderDecoder()(torch.zeros(1, 1, 9, 8, 7, 5)).shape
        torch.Size([1, 3, 9, 8, 7, 5])
    """

    def __init__(
        self,
        spatial_dims: int = 4,
        in_channels: int = 1,
        out_channels: int = 3,
        init_filters: int = 8,
        blocks_down: Sequence[int] | None = None,
        blocks_up: Sequence[int] | None = None,
        num_groups: int = 8,
        *,
        bias: bool = False,
        final_norm_act: bool = False,
        time_padding_mode: str = "zeros",
        checkpoint_blocks: bool = False,
        backend: str = "auto",
        head_in_loss: bool = False,
    ) -> None:
        super().__init__()
        down = tuple(BLOCKS_DOWN.get(spatial_dims, ()) if blocks_down is None else blocks_down)
        up = tuple(BLOCKS_UP.get(spatial_dims, ()) if blocks_up is None else blocks_up)
        _check(spatial_dims, init_filters, num_groups, down, up, time_padding_mode)
        self.spatial_dims, self.in_channels = spatial_dims, in_channels
        self.backend, self.head_in_loss = check_backend(backend), head_in_loss
        options: dict[str, Any] = {"bias": bias}
        if spatial_dims == 4:
            options["time_padding_mode"] = time_padding_mode
        block_options = {"recompute": checkpoint_blocks, **options}
        widths = [init_filters * 2**level for level in range(len(down))]
        self.encoder = nn.ModuleList()
        for level, (width, num_blocks) in enumerate(zip(widths, down, strict=True)):
            source, stride = (in_channels, 1) if level == 0 else (width // 2, 2)
            first = make_conv(spatial_dims, source, width, 3, stride=stride, **options)
            blocks = [ResidualBlock(spatial_dims, width, num_groups, **block_options) for _ in range(num_blocks)]
            self.encoder.append(Chain(first, *blocks))
        self.decoder = nn.ModuleList(
            UpStage(spatial_dims, width, num_blocks, num_groups, recompute=checkpoint_blocks, **options)
            for width, num_blocks in zip(widths[-2::-1], up, strict=True)
        )
        norm_act = [GroupNorm(num_groups, init_filters), nn.ReLU()] if final_norm_act else []
        self.head = nn.Sequential(*norm_act, make_conv(spatial_dims, init_filters, out_channels, 1, **options))

    def forward(self, x: Tensor) -> Tensor:
        """Map an image ``(N, in_channels, *size)`` to logits ``(N, out_channels, *size)``.

        The first convolution brings the image into the layout of its backend, and all later layers keep it; the
        logits come in it as well (see :mod:`cardiac4d.ops.layout`). With ``head_in_loss`` see there.

        Raises:
            ValueError: if the number of axes or channels is not the network's.
        """
        self._check_input(x)
        if not torch.jit.is_scripting():  # TorchScript leaves out what stands under this condition alone
            with chosen_backend(self.backend):
                # `-> Tensor` is for TorchScript, which knows no HeadInput and never returns one.
                return self._apply_head(self._features(x))  # type: ignore[return-value]
        return self.head(self._features(x))

    def probabilities(self, x: Tensor) -> Tensor:
        """Map an image ``(N, in_channels, *size)`` to the softmax of its logits over the classes.

        Without gradients the last convolution and the softmax are one pass, where the native backend serves.

        Raises:
            ValueError: if the number of axes or channels is not the network's.
        """
        self._check_input(x)
        with chosen_backend(self.backend):
            x = self._features(x)
            if has_hooks(self) or has_hooks(self.head):
                return self.head(x).softmax(1)
            return convolve_to_probabilities(self.head[-1], self.head[:-1](x))

    def _apply_head(self, x: Tensor) -> Tensor | HeadInput:
        """Logits, or what they are computed from, for a loss."""
        if not self._leaves_head_to_loss():
            return self.head(x)
        x = self.head[:-1](x)
        for_loss = convolve_in_loss(self.head[-1], x, self.backend)
        return self.head[-1](x) if for_loss is None else for_loss

    def _leaves_head_to_loss(self) -> bool:
        if not (self.head_in_loss and self.training and torch.is_grad_enabled()) or torch.jit.is_tracing():
            return False
        is_replica = getattr(self, "_is_replica", False)  # of nn.DataParallel, which would stack weights like samples
        return not is_replica and not has_hooks(self) and not has_hooks(self.head)

    def _features(self, x: Tensor) -> Tensor:
        """What the last convolution takes."""
        skips: list[Tensor] = []
        for stage in self.encoder:
            x = stage(x)
            skips.append(x)
        skips.pop()
        for stage in self.decoder:
            x = stage(x, skips)
        return x

    def _check_input(self, x: Tensor) -> None:
        if x.dim() != self.spatial_dims + 2 or x.shape[1] != self.in_channels:
            axes = "(N, C, H, W, D, T)" if self.spatial_dims == 4 else "(N, C, H, W, D)"
            raise ValueError(f"`x` must be {axes} with C = {self.in_channels}, got shape {list(x.shape)}")


def _check(
    spatial_dims: int, init_filters: int, num_groups: int, down: Sequence[int], up: Sequence[int], time_mode: str
) -> None:
    if spatial_dims not in (3, 4):
        raise ValueError(f"`spatial_dims` (={spatial_dims}) must be 3 or 4")
    if num_groups < 1 or init_filters < 1 or init_filters % num_groups:
        raise ValueError(
            f"`init_filters` (={init_filters}) must be positive and divisible by `num_groups` (={num_groups})"
        )
    if not down or min(down) < 0 or len(up) != len(down) - 1 or min(up, default=0) < 0:
        raise ValueError(
            f"`blocks_up` (={tuple(up)}) must have one entry fewer than `blocks_down` (={tuple(down)}), none negative"
        )
    if spatial_dims == 3 and time_mode != "zeros":
        raise ValueError(f"`time_padding_mode` (={time_mode!r}) needs `spatial_dims` 4")
