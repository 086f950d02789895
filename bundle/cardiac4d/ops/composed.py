# SPDX-License-Identifier: Apache-2.0
"""4D convolution composed of :func:`torch.nn.functional.conv3d` calls: no compiler, any device, exportable.

The frames of all samples form one batch of 3D volumes. A kernel of KT time taps is then one of three formulations:

tap by tap
    one conv3d per tap over the frames it reads, each result added at its place in the output;
stacked outputs
    one conv3d whose ``KT * C_out`` outputs hold all taps, then shift and add in time;
stacked inputs
    the frames that a window of taps reads side by side as ``KT * C_in`` channels, then one conv3d.

They differ in speed alone; :func:`_formulation` states the choice, ``docs/conv4d.md`` the reasons. Tensors named
``frames`` are contiguous ``(N, T, H, W, D, C)``. All of this compiles under TorchScript.
"""

from typing import NamedTuple

import torch
from torch import Tensor
from torch.nn import functional

from .arguments import output_size
from .layout import from_frames, to_frames
from .onednn import misreads_padding, misses_onednn, pad_batch


class _Space(NamedTuple):
    """What every conv3d gets: three entries each, for H, W and D."""

    stride: list[int]
    padding: list[int]
    dilation: list[int]
    groups: int


class _Time(NamedTuple):
    """The time axis: output frame ``t`` reads the input frames ``t * stride + tap * dilation - padding``."""

    num_in: int
    num_out: int
    taps: int
    stride: int
    padding: int
    dilation: int


def conv4d_composed(
    input: Tensor,
    weight: Tensor,
    bias: Tensor | None,
    stride: list[int],
    padding: list[int],
    dilation: list[int],
    groups: int,
) -> Tensor:
    """See :func:`cardiac4d.ops.conv4d`; takes checked arguments, four integers per size.

    Returns:
        ``(N, C_out, EH, EW, ED, ET)``, physically ``N, T, H, W, D, C`` (see :mod:`cardiac4d.ops.layout`).
    """
    frames = to_frames(input)
    num_in, taps = frames.shape[1], weight.shape[5]
    num_out = output_size([num_in], [taps], stride[3:], padding[3:], dilation[3:])[0]
    space = _Space(stride[:3], padding[:3], dilation[:3], groups)
    time = _Time(num_in, num_out, taps, stride[3], padding[3], dilation[3])
    if _full_tap(time) < 0:
        # Every output frame reads some padding: make the padding real frames, so that every tap is a full one.
        frames = _pad_time(frames, time.padding)
        time = _Time(frames.shape[1], num_out, taps, time.stride, 0, time.dilation)
    formulation = _formulation(frames, weight, groups, time)
    if formulation == "stacked inputs":
        out = _stacked_inputs(frames, weight, bias, space, time)
    elif formulation == "stacked outputs":
        out = _stacked_outputs(frames, weight, bias, space, time)
    else:
        out = _tap_by_tap(frames, weight, bias, space, time)
    return from_frames(out)


def _formulation(frames: Tensor, weight: Tensor, groups: int, time: _Time) -> str:
    """Choose the fastest formulation for a problem; the order of the questions matters."""
    if time.taps == 1 or groups > 1:
        return "tap by tap"
    if weight.shape[1] == 1:
        return "stacked inputs"
    half = frames.dtype == torch.bfloat16 or frames.dtype == torch.float16
    few_frames_kept = time.stride > 1 or 2 * time.num_out <= time.num_in
    wide = weight.shape[0] >= 32  # the outputs of one tap fill the machine by themselves
    if half or few_frames_kept or wide:
        return "tap by tap"
    return "stacked outputs"


def _tap_by_tap(frames: Tensor, weight: Tensor, bias: Tensor | None, space: _Space, time: _Time) -> Tensor:
    """One conv3d per time tap, added with a shift; reads only the frames that count, so a stride in time is cheap."""
    base = _full_tap(time)
    _, start, _ = _tap_range(base, time)
    out = _conv3d(_every(frames, start, time.num_out, time.stride), weight.select(5, base), bias, space)
    for tap in range(time.taps):
        first, start, count = _tap_range(tap, time)
        if tap != base and count > 0:
            part = _conv3d(_every(frames, start, count, time.stride), weight.select(5, tap), None, space)
            out = _add_frames(out, first, part)
    return out


def _stacked_outputs(frames: Tensor, weight: Tensor, bias: Tensor | None, space: _Space, time: _Time) -> Tensor:
    """One conv3d with all taps side by side as output channels, then shift and add; time stride 1, one group."""
    channels, base = weight.shape[0], _full_tap(time)
    if bias is not None:
        bias = functional.pad(bias, [base * channels, (time.taps - 1 - base) * channels])
    stacked = weight.permute(5, 0, 1, 2, 3, 4).flatten(0, 1)
    # `split`, because its backward is one concatenation; a slice per tap would fill a whole zero tensor each.
    parts = _conv3d(frames, stacked, bias, space).split(channels, dim=-1)
    _, start, _ = _tap_range(base, time)
    out = parts[base].narrow(1, start, time.num_out).clone(memory_format=torch.contiguous_format)
    for tap in range(time.taps):
        first, start, count = _tap_range(tap, time)
        if tap != base and count > 0:
            out = _add_frames(out, first, parts[tap].narrow(1, start, count))
    return out


def _stacked_inputs(frames: Tensor, weight: Tensor, bias: Tensor | None, space: _Space, time: _Time) -> Tensor:
    """One conv3d over the frames of each window, side by side as input channels; one group."""
    padded = _pad_time(frames, time.padding)
    reads = [_every(padded, tap * time.dilation, time.num_out, time.stride) for tap in range(time.taps)]
    stacked = weight.permute(0, 5, 1, 2, 3, 4).flatten(1, 2)
    return _conv3d(torch.cat(reads, dim=-1), stacked, bias, space)


def _add_frames(out: Tensor, first: int, part: Tensor) -> Tensor:
    """Add ``part`` to the frames of ``out`` from ``first`` on: in place, but not where a graph for ONNX is recorded."""
    if not torch.jit.is_scripting():  # noqa: SIM102  (TorchScript leaves out what stands under this condition alone)
        if torch.onnx.is_in_onnx_export():
            # torch's tracing exporter loses additions to a view, without a word.
            after = out.shape[1] - first - part.shape[1]
            return out + functional.pad(part, [0, 0] * 4 + [first, after])
    out.narrow(1, first, part.shape[1]).add_(part)
    return out


def _conv3d(frames: Tensor, weight: Tensor, bias: Tensor | None, space: _Space) -> Tensor:
    """Convolve every frame in space: ``(N, T, H, W, D, C_in)`` to contiguous ``(N, T, EH, EW, ED, C_out)``."""
    batch = [frames.shape[0], frames.shape[1]]
    x, padding = frames.flatten(0, 1).permute(0, 4, 1, 2, 3), space.padding
    if misses_onednn(x, weight):
        x = pad_batch(x)
    if misreads_padding(x):
        x = functional.pad(x, [padding[2], padding[2], padding[1], padding[1], padding[0], padding[0]])
        padding = [0, 0, 0]
    y = functional.conv3d(x, weight, bias, space.stride, padding, space.dilation, space.groups)
    y = y.narrow(0, 0, batch[0] * batch[1])
    return y.permute(0, 2, 3, 4, 1).contiguous().unflatten(0, batch)


def _every(frames: Tensor, start: int, count: int, step: int) -> Tensor:
    """View ``count`` frames from ``start`` on, ``step`` apart."""
    return frames[:, start : start + (count - 1) * step + 1 : step]


def _pad_time(frames: Tensor, amount: int) -> Tensor:
    """Add ``amount`` zero frames at both ends."""
    return functional.pad(frames, [0, 0] * 4 + [amount, amount]) if amount > 0 else frames


def _tap_range(tap: int, time: _Time) -> tuple[int, int, int]:
    """Which frames a time tap joins, those in the padding left out.

    Returns:
        The first output frame, the input frame it reads, and the number of output frames (0 or less if none).
    """
    offset = tap * time.dilation - time.padding
    first = max(0, -(offset // time.stride))
    last = min(time.num_out - 1, (time.num_in - 1 - offset) // time.stride)
    return first, first * time.stride + offset, last - first + 1


def _full_tap(time: _Time) -> int:
    """Find a tap that reads a real frame for every output frame, -1 if there is none; the middle one is the usual."""
    for tap in [time.taps // 2] + list(range(time.taps)):  # noqa: RUF005  (TorchScript knows no unpacking)
        if _tap_range(tap, time)[2] == time.num_out:
            return tap
    return -1
