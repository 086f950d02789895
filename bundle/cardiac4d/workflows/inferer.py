# SPDX-License-Identifier: Apache-2.0
"""Apply a network to a sequence: whole or by sliding windows in space, all frames jointly or one by one."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from contextlib import AbstractContextManager, nullcontext
from typing import Any

import torch
from monai.inferers import Inferer, sliding_window_inference
from monai.utils import convert_to_dst_type
from torch import Tensor

from ..conventions import TIME_AXIS

Network = Callable[[Tensor], Tensor]


class SequenceInferer(Inferer):
    """Run a network over ``(N, C, H, W, D, T)``, keeping the time axis whole.

    A 4D network sees every frame of a window at once. With ``framewise`` the frames are folded into the batch instead,
    so that a 3D network (the baseline of Myronenko et al. 2019) goes through exactly the same workflows.
    The network sees plain tensors, which is faster than :class:`monai.data.MetaTensor`; the prediction carries the
    metadata of the input again, so that it can be inverted to the study's own grid.

    Args:
        roi_size: window in voxels, ``(H, W, D)``; -1, or a window longer than its axis, takes the axis whole. ``None``
            applies the network to the whole input, which is what training crops need.
        overlap: overlap of neighbouring windows, in [0, 1).
        sw_batch_size: windows (or, framewise, frames of one window position) per forward pass.
        mode: weight of overlapping windows, ``"gaussian"`` or ``"constant"``.
        framewise: treat every frame as an independent 3D volume.
        cpu_autocast: run the forward pass in bfloat16 autocast on a CPU. (On CUDA use the engine's ``amp``; MONAI's
            engines silently ignore it on a CPU.)
        progress: show a progress bar over the windows.

    Raises:
        ValueError: if ``roi_size`` has not three entries.
    """

    def __init__(
        self,
        roi_size: Sequence[int] | None = None,
        overlap: float = 0.25,
        sw_batch_size: int = 1,
        mode: str = "gaussian",
        *,
        framewise: bool = False,
        cpu_autocast: bool = False,
        progress: bool = False,
    ) -> None:
        super().__init__()
        if roi_size is not None and len(roi_size) != 3:
            raise ValueError(f"`roi_size` must have three entries (H, W, D), got {tuple(roi_size)}")
        self.roi_size = None if roi_size is None else tuple(roi_size)
        self.overlap, self.sw_batch_size, self.mode = overlap, sw_batch_size, mode
        self.framewise, self.cpu_autocast, self.progress = framewise, cpu_autocast, progress

    def __call__(self, inputs: Tensor, network: Network, *args: Any, **kwargs: Any) -> Tensor:
        """Return the logits, ``(N, C_out, H, W, D, T)`` float32."""
        plain = inputs.as_tensor() if hasattr(inputs, "as_tensor") else inputs
        with self._autocast(plain.device):
            logits = self._by_frame(plain, network) if self.framewise else self._by_window(plain, network)
        return convert_to_dst_type(logits.float(), inputs)[0]

    def _autocast(self, device: torch.device) -> AbstractContextManager[None]:
        active = self.cpu_autocast and device.type == "cpu"
        return torch.autocast("cpu", torch.bfloat16) if active else nullcontext()

    def _by_frame(self, inputs: Tensor, network: Network) -> Tensor:
        frames = inputs.movedim(TIME_AXIS, 1)  # (N, T, C, H, W, D)
        folded = self._by_window(frames.flatten(0, 1), network)
        return folded.unflatten(0, frames.shape[:2]).movedim(1, TIME_AXIS)

    def _by_window(self, inputs: Tensor, network: Network) -> Tensor:
        if self.roi_size is None:
            return network(inputs)
        roi = [
            size if window == -1 else min(window, size)
            for window, size in zip(self.roi_size, inputs.shape[2:5], strict=True)
        ]
        logits: Any = sliding_window_inference(
            inputs,
            [*roi, *inputs.shape[5:]],
            self.sw_batch_size,
            network,
            overlap=self.overlap,
            mode=self.mode,
            progress=self.progress,
        )
        return logits
