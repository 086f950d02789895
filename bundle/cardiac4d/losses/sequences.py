# SPDX-License-Identifier: Apache-2.0
"""What every loss does with its input first: plain tensors, checked shapes and labels, float32 probabilities.

Nothing here waits for an accelerator or branches on its numbers, so that a training step can become a CUDA graph.
"""

from __future__ import annotations

from collections.abc import Callable

import torch
from torch import Tensor

from ..conventions import NOT_ANNOTATED
from ..ops.head_input import HeadInput
from ..ops.layout import are_frames, from_frames, to_frames


def host_sees(x: Tensor) -> bool:
    """Tell whether Python may look at the numbers of a tensor: on the CPU, and not while the compiler records."""
    return x.device.type == "cpu" and not torch.compiler.is_compiling()


def as_sequence(scores: Tensor | HeadInput, name: str = "logits") -> Tensor:
    """Return ``scores`` as a plain tensor with a time axis.

    Args:
        scores: ``(N, C, H, W, D, T)``, or ``(N, C, H, W, D)`` from a 3D network, taken as one frame. A subclass such as
            MONAI's ``MetaTensor`` is unwrapped, because it slows every operation down and a loss needs no metadata. Of
            what a network left to its loss the logits are computed.
        name: what to call it in an error.

    Returns:
        ``(N, C, H, W, D, T)`` that shares memory and graph with ``scores``.

    Raises:
        ValueError: if the number of axes is neither 6 nor 5, or an axis is empty.
    """
    if isinstance(scores, HeadInput):
        scores = scores.logits()
    if type(scores) is not Tensor:
        scores = scores.as_subclass(Tensor)
    if scores.ndim == 5:
        scores = scores.unsqueeze(-1)
    if scores.ndim != 6 or 0 in scores.shape:
        raise ValueError(f"`{name}` must be a non-empty (N, C, H, W, D, T) or (N, C, H, W, D), got {_text(scores)}")
    return scores


def as_sparse_label(label: Tensor, scores: Tensor) -> Tensor:
    """Return ``label`` as a plain integer tensor, checked against the scores it belongs to.

    Args:
        label: ``(N, 1, H, W, D, T)``, or ``(N, 1, H, W, D)`` for a single frame; class indices ``0 .. C - 1`` and
            255 = not annotated. A floating tensor is accepted if it holds whole numbers.
        scores: ``(N, C, H, W, D, T)``, see :func:`as_sequence`.

    Returns:
        ``(N, H, W, D, T)`` of an integer type; lies in memory as the scores do.

    Raises:
        ValueError: if the shape differs, or a value is neither a class index nor 255. Off the CPU a wrong value makes
            the device fail an assertion instead, which is seen whenever something next waits for it.
    """
    label = _as_label_of(label, scores)
    if are_frames(scores):
        label = from_frames(to_frames(label))
    label = _whole_numbers(label.squeeze(1))
    wrong = _wrong(label, scores.shape[1])
    demand_classes(~wrong.any(), label, scores.shape[1])
    return label


def as_byte_label(label: Tensor, scores: Tensor) -> Tensor:
    """Return ``label`` as the fused operators take it, all of it checked but the values of one that is uint8 already.

    Args:
        label: see :func:`as_sparse_label`.
        scores: ``(N, C, H, W, D, T)``, or anything of that shape.

    Returns:
        ``(N, 1, H, W, D, T)``, uint8.

    Raises:
        ValueError: see :func:`as_sparse_label`.
    """
    if label.dtype == torch.uint8:
        return _as_label_of(label, scores)
    return as_sparse_label(label, scores).to(torch.uint8).unsqueeze(1)


def demand_classes(holds: Tensor, label: Tensor, num_classes: int) -> None:
    """Refuse a label with other values than class indices and 255, unless a scalar says that it holds none.

    Raises:
        ValueError: see :func:`as_sparse_label`.
    """
    rule = f"`label` must hold 0 .. {num_classes - 1} or {NOT_ANNOTATED} (not annotated)"
    _demand(holds, rule, lambda: f", got {sorted(label[_wrong(label, num_classes)].unique().tolist())}")


def _wrong(label: Tensor, num_classes: int) -> Tensor:
    return ((label < 0) | (label >= num_classes)) & (label != NOT_ANNOTATED)


def _as_label_of(label: Tensor, scores: Tensor) -> Tensor:
    """A plain tensor of the size that belongs to the scores."""
    label = as_sequence(label, "label")
    expected = (scores.shape[0], 1, *scores.shape[2:])
    if tuple(label.shape) != expected:
        raise ValueError(
            f"`label` must have shape {expected} to match `logits` {_text(scores)}, got {_text(label)}; "
            "pass class indices, not one-hot channels"
        )
    return label


def annotated_frames(label: Tensor) -> Tensor:
    """Say which frames are annotated: those with at least one voxel that is not 255.

    Args:
        label: ``(N, H, W, D, T)``, integer.

    Returns:
        ``(N, T)``, bool.
    """
    return (label != NOT_ANNOTATED).flatten(1, 3).any(dim=1)


def softmax(logits: Tensor, dim: int = 1) -> Tensor:
    """Softmax in float32 or wider, whatever autocast made of the logits.

    Over the channels of ``(N, C, H, W, D, T)`` on an accelerator frames stay frames: torch's own operator would copy
    them to plain memory, and the gradient back.
    """
    dtype = torch.promote_types(logits.dtype, torch.float32)
    if dim == 1 and logits.dim() == 6 and not host_sees(logits) and are_frames(logits):
        return from_frames(torch.softmax(to_frames(logits), dim=-1, dtype=dtype))
    return torch.softmax(logits, dim=dim, dtype=dtype)


def _whole_numbers(label: Tensor) -> Tensor:
    if label.dtype == torch.bool:
        return label.to(torch.uint8)
    if not label.is_floating_point():
        return label
    whole = label.to(torch.int16)
    rule = "`label` must hold whole numbers; resample label maps with nearest neighbour"
    _demand((whole.to(label.dtype) == label).all(), rule)
    return whole


def _demand(holds: Tensor, rule: str, details: Callable[[], str] = lambda: "") -> None:
    """Raise a ValueError if a scalar is false, or on an accelerator let it stop there, without waiting for it."""
    if not host_sees(holds):
        torch._assert_async(holds, rule)
    elif not holds:
        raise ValueError(rule + details())


def _text(tensor: Tensor) -> str:
    return str(tuple(tensor.shape))
