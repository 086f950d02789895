# SPDX-License-Identifier: Apache-2.0
"""The paper's random crop for labels that are sparse in time (Myronenko et al. 2019, section 3)."""

from __future__ import annotations

from collections.abc import Callable, Hashable, Mapping, Sequence
from typing import Any

import numpy as np
import torch
from monai.config import KeysCollection
from monai.data import MetaTensor
from monai.transforms import InvertibleTransform, MapTransform, Randomizable
from monai.utils import TraceKeys

from ..conventions import IMAGE_KEY, LABEL_KEY, NOT_ANNOTATED
from ..geometry import TimeAxis
from .cycle import time_axis
from .once_per_tensor import once_per_tensor

ROI_SIZE = (96, 96, 64, 16)
FOREGROUND_PROB = 0.6
ROWS_AT_ONCE = 32
"""Of a label on a GPU: bounds the memory that counting takes."""


class SequenceCrop(InvertibleTransform):
    """Cut a box out of ``(1, H, W, D, T)``; where the box is larger than the sequence, it is filled.

    Floating-point images are padded with their minimum, integer label maps with 255 (not annotated). Frames that repeat
    their predecessor, because the sequence had ended, are 255 in label maps too.
    """

    def __call__(  # type: ignore[override]
        self, img: torch.Tensor, starts: Sequence[int], sizes: Sequence[int], frames: Sequence[int]
    ) -> torch.Tensor:
        """Cut.

        Args:
            img: ``(1, H, W, D, T)``.
            starts: first voxel per spatial axis; may be negative, which pads.
            sizes: extent per spatial axis.
            frames: positions in time, as :meth:`TimeAxis.window` gives them: past T a full cycle begins again.

        Returns:
            ``(1, *sizes, len(frames))``, contiguous, with affine and time axis of the crop.
        """
        voxels = img.as_tensor() if isinstance(img, MetaTensor) else img
        out = _cut(voxels, starts, sizes, np.asarray(frames) % img.shape[-1])
        held = np.r_[False, np.diff(frames) == 0]
        if not out.is_floating_point() and held.any():
            out[..., torch.from_numpy(held)] = NOT_ANNOTATED
        if not isinstance(img, MetaTensor):
            return out
        time = time_axis(img)
        cropped = _moved(out, img, starts)
        cropped.meta.update(time.select(frames).to_meta())
        record = {"starts": list(starts), "frames": list(frames), "time": time.to_meta()}
        self.push_transform(cropped, orig_size=tuple(img.shape[1:]), extra_info=record)
        return cropped

    def inverse(self, data: torch.Tensor) -> torch.Tensor:
        """Put ``(C, *sizes, frames)`` back where it was cut; what lies outside becomes 0."""
        if not isinstance(data, MetaTensor):
            raise TypeError(f"`data` must be a MetaTensor with the record of its crop, got {type(data).__name__}")
        info = self.pop_transform(data)
        record, shape = info[TraceKeys.EXTRA_INFO], info[TraceKeys.ORIG_SIZE]
        out = _paste(data.as_tensor(), record["starts"], np.array(record["frames"]), shape)
        restored = _moved(out, data, [-start for start in record["starts"]])
        restored.meta.update(record["time"])
        return restored


def _moved(voxels: torch.Tensor, like: MetaTensor, starts: Sequence[int]) -> MetaTensor:
    """``voxels`` with the metadata of ``like``, its first voxel at index ``starts`` of ``like``."""
    moved = MetaTensor(voxels, meta=like.meta, applied_operations=like.applied_operations)
    shift = torch.eye(4, dtype=torch.float64)
    shift[:3, 3] = torch.tensor(starts, dtype=torch.float64)
    moved.affine = like.affine.to(torch.float64) @ shift
    return moved


def _overlaps(starts: Sequence[int], sizes: Sequence[int], extents: Sequence[int]) -> tuple[tuple[slice, ...], ...]:
    """Slices, per spatial axis, of the sequence and of the crop that show the same voxels."""
    ranges = [(max(s, 0), min(s + size, n), s) for s, size, n in zip(starts, sizes, extents, strict=True)]
    return tuple(slice(a, b) for a, b, _ in ranges), tuple(slice(a - s, b - s) for a, b, s in ranges)


def _cut(img: torch.Tensor, starts: Sequence[int], sizes: Sequence[int], frames: np.ndarray) -> torch.Tensor:
    inside, place = _overlaps(starts, sizes, img.shape[1:4])
    block = img[(slice(None), *inside)]
    is_run = bool((np.diff(frames) == 1).all())
    block = block[..., frames[0] : frames[-1] + 1] if is_run else block[..., torch.from_numpy(frames)]
    if tuple(block.shape[1:4]) == tuple(sizes):
        return block.clone(memory_format=torch.contiguous_format)
    fill = _minimum(img) if img.is_floating_point() else NOT_ANNOTATED
    out = torch.full((img.shape[0], *sizes, len(frames)), fill, dtype=img.dtype, device=img.device)
    out[(slice(None), *place)] = block
    return out


@once_per_tensor
def _minimum(img: torch.Tensor) -> float:
    return img.min().item()


def _paste(crop: torch.Tensor, starts: Sequence[int], frames: np.ndarray, shape: Sequence[int]) -> torch.Tensor:
    inside, place = _overlaps(starts, crop.shape[1:4], shape[:3])
    different, first = np.unique(frames % shape[3], return_index=True)
    out = torch.zeros((crop.shape[0], *shape), dtype=crop.dtype, device=crop.device)
    seen = crop[(slice(None), *place)][..., torch.from_numpy(first)]
    out[(slice(None), *inside)][..., torch.from_numpy(different)] = seen
    return out


class RandSparseCrop(Randomizable, InvertibleTransform):
    """Crop at random, centred on what is annotated.

    With probability ``foreground_prob`` the crop is centred on an annotated LV or LVM voxel, otherwise on an annotated
    background voxel; never on a voxel that is not annotated. Where the label has none of the kind drawn, one of the
    other kind is taken; where it has no annotated voxel at all, the position is uniform (such a crop trains on temporal
    smoothness alone). The centre is moved so that the crop lies inside the sequence. A spatial axis shorter than the
    crop is padded on both sides.

    In time the drawn frame may come to lie anywhere in the crop, uniformly, because it is the only one there that is
    sure to be annotated: in the middle, the network would learn from labels at one phase of its strides in time alone.
    (A reconstruction: the paper does not say how it places the crop in time.) A sequence shorter than the crop goes on
    with its next beat, from any phase, if it covers a full cycle; otherwise its last frame is held, not annotated.

    Args:
        roi_size: H, W, D, T; -1 for a whole axis.
        foreground_prob: between 0 and 1.

    Example:
        >>> crop = RandSparseCrop((4, 4, 4, 2)).set_random_state(seed=0)
        >>> label = torch.full((1, 8, 8, 8, 5), 255, dtype=torch.uint8)
        >>> crop(torch.rand(1, 8, 8, 8, 5), label).shape
        torch.Size([1, 4, 4, 4, 2])
    """

    def __init__(self, roi_size: Sequence[int] = ROI_SIZE, foreground_prob: float = FOREGROUND_PROB) -> None:
        if len(roi_size) != 4 or any(size == 0 or size < -1 for size in roi_size):
            raise ValueError(f"`roi_size` must be four positive sizes (or -1) for H, W, D, T, got {tuple(roi_size)}")
        if not 0.0 <= foreground_prob <= 1.0:
            raise ValueError(f"`foreground_prob` must lie between 0 and 1, got {foreground_prob}")
        self.roi_size, self.foreground_prob = tuple(int(size) for size in roi_size), float(foreground_prob)
        self.cropper = SequenceCrop()
        self.starts: list[int] = []
        self.sizes: list[int] = []
        self.frames: list[int] = []

    def randomize(self, label: torch.Tensor) -> None:
        """Draw the position of the crop for ``label`` ``(1, H, W, D, T)``."""
        extents = label.shape[1:]
        sizes = [n if size == -1 else size for size, n in zip(self.roi_size, extents, strict=True)]
        voxels = label.as_tensor() if isinstance(label, MetaTensor) else label
        centre, time = self._draw_voxel(voxels[0]), time_axis(label)
        self.starts = [_start(c, size, n) for c, size, n in zip(centre[:3], sizes[:3], extents[:3], strict=True)]
        self.sizes = sizes[:3]
        self.frames = time.window(self._draw_first_frame(centre[3], sizes[3], time), sizes[3]).tolist()

    def _draw_voxel(self, label: torch.Tensor) -> tuple[int, ...]:
        kinds = (_is_structure, _is_background)
        for is_kind in kinds if self.R.random() < self.foreground_prob else kinds[::-1]:
            per_row = _count_per_row(label, is_kind)
            if per_row.any():
                return _nth_voxel(label, is_kind, per_row, int(self.R.randint(per_row.sum(), dtype=np.int64)))
        return tuple(int(self.R.randint(extent)) for extent in label.shape)

    def _draw_first_frame(self, frame: int, size: int, time: TimeAxis) -> int:
        """Uniform over the windows that hold ``frame``; a full cycle shorter than the window begins at any phase."""
        if size > len(time):
            return int(self.R.randint(len(time))) if time.full_cycle else 0
        return int(self.R.randint(max(frame - size + 1, 0), min(frame, len(time) - size) + 1))

    def __call__(self, img: torch.Tensor, label: torch.Tensor | None = None, randomize: bool = True) -> torch.Tensor:
        """Crop ``img`` ``(1, H, W, D, T)`` around a voxel drawn from ``label``, or where the last call did."""
        if randomize:
            if label is None:
                raise ValueError("`label` must be given to draw a position")
            self.randomize(label)
        return self.cropper(img, self.starts, self.sizes, self.frames)

    def inverse(self, data: torch.Tensor) -> torch.Tensor:
        """Put a crop back where it was cut; see :meth:`SequenceCrop.inverse`."""
        return self.cropper.inverse(data)


def _is_structure(labels: Any) -> Any:
    """Tell which labels of an array or a tensor are LV or LVM."""
    return (labels != 0) & (labels != NOT_ANNOTATED)


def _is_background(labels: Any) -> Any:
    return labels == 0


@once_per_tensor
def _count_per_row(label: torch.Tensor, is_kind: Callable[[Any], Any]) -> np.ndarray:
    """Count the voxels of a kind in every row of ``(H, W, D, T)``: what takes longest of a crop."""
    if label.device.type != "cpu":
        return _count_on_device(label, is_kind)
    return np.array([np.count_nonzero(is_kind(row)) for row in label.numpy()])  # several times faster than torch


def _count_on_device(label: torch.Tensor, is_kind: Callable[[Any], Any]) -> np.ndarray:
    counts = [is_kind(rows).flatten(1).sum(dim=1) for rows in label.split(ROWS_AT_ONCE)]
    return torch.cat(counts).numpy(force=True)


def _nth_voxel(label: torch.Tensor, is_kind: Any, per_row: np.ndarray, nth: int) -> tuple[int, ...]:
    """Index of the ``nth`` voxel of a kind, looking into one row only."""
    before = np.cumsum(per_row)
    row = int(np.searchsorted(before, nth, side="right"))
    within = nth - (int(before[row - 1]) if row else 0)
    flat = int(np.flatnonzero(is_kind(label[row].numpy(force=True)))[within])
    return (row, *(int(i) for i in np.unravel_index(flat, label.shape[1:])))


def _start(centre: int, size: int, extent: int) -> int:
    """First voxel of a crop around ``centre`` that lies inside; centred, hence negative, where it is too large."""
    if size >= extent:
        return -((size - extent) // 2)
    return min(max(centre - size // 2, 0), extent - size)


class RandSparseCropd(Randomizable, MapTransform, InvertibleTransform):
    """Dictionary twin of :class:`RandSparseCrop`: one position for all keys, drawn from the label.

    Args:
        keys: entries to crop, all ``(1, H, W, D, T)`` of one shape; floating point counts as image, integer as label.
        label_key: the sparse label from which the position is drawn.
        roi_size: see :class:`RandSparseCrop`.
        foreground_prob: see :class:`RandSparseCrop`.
        allow_missing_keys: pass over keys that an entry does not have.
    """

    def __init__(
        self,
        keys: KeysCollection = (IMAGE_KEY, LABEL_KEY),
        label_key: str = LABEL_KEY,
        roi_size: Sequence[int] = ROI_SIZE,
        foreground_prob: float = FOREGROUND_PROB,
        allow_missing_keys: bool = False,
    ) -> None:
        MapTransform.__init__(self, keys, allow_missing_keys)
        self.label_key = label_key
        self.cropper = RandSparseCrop(roi_size, foreground_prob)

    def set_random_state(self, seed: int | None = None, state: np.random.RandomState | None = None) -> RandSparseCropd:
        """Seed the generator, as in every MONAI transform."""
        super().set_random_state(seed, state)
        self.cropper.set_random_state(seed, state)
        return self

    def __call__(self, data: Mapping[Hashable, Any]) -> dict[Hashable, Any]:
        """Crop every key at one position."""
        d = dict(data)
        self.cropper.randomize(d[self.label_key])
        extents = d[self.label_key].shape[1:]
        for key in self.key_iterator(d):
            if d[key].shape[1:] != extents:
                raise ValueError(
                    f"`{key}` {tuple(d[key].shape)} and `{self.label_key}` {tuple(extents)} differ in size"
                )
            d[key] = self.cropper(d[key], randomize=False)
        return d

    def inverse(self, data: Mapping[Hashable, Any]) -> dict[Hashable, Any]:
        """Put every key back where it was cut."""
        d = dict(data)
        for key in self.key_iterator(d):
            d[key] = self.cropper.inverse(d[key])
        return d
