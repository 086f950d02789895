# SPDX-License-Identifier: Apache-2.0
"""Apply a network to a sequence: whole or by sliding windows in space and time, frames jointly or one by one."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from contextlib import AbstractContextManager, nullcontext
from typing import Any

import torch
from monai.data import MetaTensor
from monai.inferers import Inferer, sliding_window_inference
from monai.utils import convert_to_dst_type
from torch import Tensor

from ..conventions import META_FULL_CYCLE, TIME_AXIS
from ..errors import InputError
from ..losses import HeadInput

Network = Callable[[Tensor], Tensor | HeadInput]

SIGMA_SPACE = 0.125
"""Width of the Gaussian weight on a spatial axis, as a share of the window; MONAI's own default."""
SIGMA_TIME = 0.25
"""The same in time: wider, because MONAI bounds the product of all axes from below, which would flatten it in space."""
TIME_OVERLAP = 0.5
"""Every frame then lies in the middle half of some window."""
EVEN = 1e3
"""A width that weighs all positions alike."""


class SequenceInferer(Inferer):
    """Run a network over ``(N, C, H, W, D, T)``.

    A 4D network sees every frame of a window at once. With ``framewise`` the frames are folded into the batch instead,
    so that a 3D network (the baseline of Myronenko et al. 2019) goes through exactly the same workflows.

    The window covers the whole time axis unless ``window_frames`` says otherwise. A network trained on crops of few
    frames is more accurate on windows of as many: on longer sequences its layers meet fewer frames beside the zero
    padding than they were trained with. Where the input covers a full cycle (``full_cycle`` in its metadata), windows
    in time wrap, so that the first frame has neighbours on both sides like any other.

    The network sees plain tensors, which is faster than :class:`monai.data.MetaTensor`; the prediction carries the
    metadata of the input again, so that it can be inverted to the study's own grid.

    Args:
        roi_size: window in voxels, ``(H, W, D)``; -1, or a window longer than its axis, takes the axis whole. ``None``
            applies the network to the whole input, which is what training crops need.
        overlap: overlap of neighbouring windows, in [0, 1).
        sw_batch_size: windows (or, framewise, frames of one window position) per forward pass.
        mode: weight of overlapping windows, ``"gaussian"`` or ``"constant"``.
        window_frames: frames per window; -1, or more than the sequence has, takes the time axis whole. Neighbouring
            windows share half of their frames.
        framewise: treat every frame as an independent 3D volume.
        cpu_autocast: run the forward pass in bfloat16 autocast on a CPU. (On CUDA use the engine's ``amp``; MONAI's
            engines silently ignore it on a CPU.)
        progress: show a progress bar over the windows.

    Raises:
        ValueError: if ``roi_size`` has not three entries; if ``window_frames`` is no number of frames, or is given
            without a ``roi_size``.
    """

    def __init__(
        self,
        roi_size: Sequence[int] | None = None,
        overlap: float = 0.25,
        sw_batch_size: int = 1,
        mode: str = "gaussian",
        *,
        window_frames: int = -1,
        framewise: bool = False,
        cpu_autocast: bool = False,
        progress: bool = False,
    ) -> None:
        super().__init__()
        if roi_size is not None and len(roi_size) != 3:
            raise ValueError(f"`roi_size` must have three entries (H, W, D), got {tuple(roi_size)}")
        if window_frames == 0 or window_frames < -1:
            raise ValueError(f"`window_frames` must be a positive number of frames, or -1 for all, got {window_frames}")
        if roi_size is None and window_frames != -1:
            raise ValueError("`window_frames` needs `roi_size`: without it the network sees the whole input at once")
        self.roi_size = None if roi_size is None else tuple(roi_size)
        self.overlap, self.sw_batch_size, self.mode = overlap, sw_batch_size, mode
        self.window_frames = window_frames
        self.framewise, self.cpu_autocast, self.progress = framewise, cpu_autocast, progress

    def __call__(self, inputs: Tensor, network: Network, *args: Any, **kwargs: Any) -> Tensor | HeadInput:
        """Return the logits, ``(N, C_out, H, W, D, T)`` float32; what a network has for its loss instead, as it is.

        Raises:
            InputError: if the network says by its ``spatial_dims`` that it does not fit ``framewise``.
        """
        _check_kind(network, self.framewise)
        plain = inputs.as_tensor() if isinstance(inputs, MetaTensor) else inputs
        with self._autocast(plain.device):
            if self.framewise:
                logits = self._by_frame(plain, network)
            else:
                logits = self._in_time(plain, network, wrap=_is_full_cycle(inputs))
        if isinstance(logits, HeadInput):  # in training: the loss takes it
            return logits
        return convert_to_dst_type(logits.float(), inputs)[0]

    def _autocast(self, device: torch.device) -> AbstractContextManager[None]:
        active = self.cpu_autocast and device.type == "cpu"
        return torch.autocast("cpu", torch.bfloat16) if active else nullcontext()

    def _by_frame(self, inputs: Tensor, network: Network) -> Tensor | HeadInput:
        frames = inputs.movedim(TIME_AXIS, 1)  # (N, T, C, H, W, D)
        folded = self._by_window(frames.flatten(0, 1), network, [], [])
        return folded.unflatten(0, frames.shape[:2]).movedim(1, TIME_AXIS)

    def _in_time(self, inputs: Tensor, network: Network, *, wrap: bool) -> Tensor | HeadInput:
        num_frames, window = inputs.shape[TIME_AXIS], self.window_frames
        if window == -1 or window >= num_frames:
            return self._by_window(inputs, network, [num_frames], [(0.0, EVEN)])
        time = [(TIME_OVERLAP, SIGMA_TIME)]
        if not wrap:
            return self._by_window(inputs, network, [window], time)
        margin = window // 2
        cycle = torch.arange(-margin, num_frames + margin, device=inputs.device) % num_frames
        logits = self._by_window(inputs.index_select(TIME_AXIS, cycle), network, [window], time)
        return logits.narrow(TIME_AXIS, margin, num_frames)

    def _by_window(
        self, inputs: Tensor, network: Network, frames: list[int], time: list[tuple[float, float]]
    ) -> Tensor | HeadInput:
        """Slide over space, and over time where ``inputs`` has it; ``time``: overlap and width of the weight there."""
        if self.roi_size is None:
            return network(inputs)
        roi = [
            size if window == -1 else min(window, size)
            for window, size in zip(self.roi_size, inputs.shape[2:5], strict=True)
        ]
        overlaps, sigmas = zip(*[(self.overlap, SIGMA_SPACE)] * 3, *time, strict=True)
        logits: Any = sliding_window_inference(
            inputs,
            [*roi, *frames],
            self.sw_batch_size,
            network,  # type: ignore[arg-type]  # a HeadInput is for training, on whole inputs
            overlap=overlaps,
            mode=self.mode,
            sigma_scale=sigmas,
            progress=self.progress,
        )
        return logits


def _check_kind(network: Network, framewise: bool) -> None:
    """A 4D network given single frames, or a 3D one given sequences, would only complain of a shape."""
    dims = getattr(getattr(network, "module", network), "spatial_dims", None)  # also inside a data-parallel wrapper
    if dims in (3, 4) and framewise != (dims == 3):
        raise InputError(
            "--framewise",
            f"it is {framewise}, but the network is a {dims}D one",
            "leave it to the configs: configs/baseline_3d.json sets it together with the 3D network",
        )


def _is_full_cycle(inputs: Tensor) -> bool:
    """Whether every sequence of the batch covers a full cycle; collated metadata holds one flag per sequence."""
    flags = inputs.meta.get(META_FULL_CYCLE, False) if isinstance(inputs, MetaTensor) else False
    return bool(torch.as_tensor(flags).all())
