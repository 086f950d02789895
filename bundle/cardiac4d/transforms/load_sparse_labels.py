# SPDX-License-Identifier: Apache-2.0
"""Load labels that are sparse in time: any on-disk convention becomes 0, 1 LV, 2 LVM, 255 not annotated."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import torch
from monai.config import KeysCollection
from monai.data import MetaTensor
from monai.transforms import InvertibleTransform, MapTransform

from ..conventions import FRAMES_KEY, FULL_CYCLE_KEY, IMAGE_KEY, LABEL_KEY, LABELED_FRAMES_KEY, TRUTH_KEY
from ..geometry import Grid, Spacing
from ..io import LabelConvention, LoadedGrid, Place, check_same_grid, label_convention, open_sequence, read_labels
from .resample import NEAREST, FrameResampler
from .sequence_loader import SequenceLoader, check_frames

CONSUMED_FIELDS = (LABELED_FRAMES_KEY, "label_map", "empty_frames_are_unlabeled", FRAMES_KEY)
"""Fields of an entry that describe the label file; afterwards the label itself says what they said."""


class LoadSparseLabels(SequenceLoader):
    """Load a 4D label file as ``(T, H, W, D)`` uint8 with values 0, 1 (LV), 2 (LVM) and 255 (not annotated).

    Resampled with nearest neighbour, frame by frame, onto the same grid as :class:`LoadSequence` with equal arguments.

    Args:
        spacing_mm: as for the image; ``None`` for the study's own grid, on which volumes and Dice are measured.
        orientation: as for the image; ``None`` for the study's own axes.
    """

    mode = NEAREST

    def __call__(
        self,
        path: Place,
        convention: LabelConvention | None = None,
        *,
        image_path: Place | LoadedGrid | None = None,
        frames: Sequence[int] | None = None,
        full_cycle: bool = False,
    ) -> MetaTensor:
        """Load ``path``.

        Args:
            path: a 4D label file, or what else :func:`~cardiac4d.io.open_sequence` takes.
            convention: what its values mean and which frames are annotated; default: 0, 1, 2 and 255 or -1.
            image_path: the image, on whose grid the labels must lie, or that grid where it is loaded already.
            frames: 0-based frames to load; default all.
            full_cycle: the file covers one whole R-R interval.

        Returns:
            ``(T, H, W, D)`` uint8.

        Raises:
            InputError: if the file cannot be used, does not fit the image, or holds no annotated frame although the
                entry does not say so with an empty ``labeled_frames``.
        """
        source = open_sequence(path)
        if image_path is not None:
            check_same_grid(source, image_path if isinstance(image_path, LoadedGrid) else open_sequence(image_path))
        convention = convention or LabelConvention()
        chosen = check_frames(source, frames)
        grid_map = self.plan(source.grid)
        labels = read_labels(source, convention, chosen)
        voxels = self.stream(labels, len(chosen), FrameResampler(grid_map, NEAREST), torch.uint8)
        return self.attach_meta(voxels, source, source.time_axis(full_cycle=full_cycle).select(chosen), grid_map)


class LoadSparseLabelsd(MapTransform, InvertibleTransform):
    """Dictionary twin of :class:`LoadSparseLabels`; load all label files of an entry with *one* such transform.

    Uses and then removes ``labeled_frames``, ``label_map``, ``empty_frames_are_unlabeled`` and ``frames`` of the entry
    (they have different lengths, so they would not collate). ``labeled_frames`` and ``empty_frames_are_unlabeled``
    describe sparse labels and do not apply to ``dense_keys``. If the image was loaded before, its frames are loaded.

    Args:
        keys: entries that hold paths of label files.
        image_key: the image whose grid the labels must share, loaded or still a path; not checked where missing.
        spacing_mm: see :class:`LoadSparseLabels`.
        orientation: see :class:`LoadSparseLabels`.
        dense_keys: those among ``keys`` that hold labels of every frame, such as ``truth``.
        allow_missing_keys: pass over keys that an entry does not have.
    """

    def __init__(
        self,
        keys: KeysCollection = LABEL_KEY,
        image_key: str = IMAGE_KEY,
        spacing_mm: Spacing = (1.0, 1.0, 1.0),
        orientation: str | None = "RAS",
        *,
        dense_keys: Sequence[str] = (TRUTH_KEY,),
        allow_missing_keys: bool = False,
    ) -> None:
        super().__init__(keys, allow_missing_keys)
        self.image_key, self.dense_keys = image_key, tuple(dense_keys)
        self.loader = LoadSparseLabels(spacing_mm, orientation)

    def __call__(self, data: Mapping[Any, Any]) -> dict[Any, Any]:
        """Load every key."""
        d = dict(data)
        image_path, frames = self._image(d)
        sparse = label_convention(d)
        for key in self.key_iterator(d):
            convention = LabelConvention(sparse.label_map) if key in self.dense_keys else sparse
            d[key] = self.loader(
                d[key],
                convention,
                image_path=image_path,
                frames=frames,
                full_cycle=bool(d.get(FULL_CYCLE_KEY, False)),
            )
        return {key: value for key, value in d.items() if key not in CONSUMED_FIELDS}

    def _image(self, d: Mapping[Any, Any]) -> tuple[Place | LoadedGrid | None, Sequence[int] | None]:
        """The image or, once it is loaded, its grid on disk, where there is one; and the frames to load."""
        image = d.get(self.image_key)
        if not isinstance(image, MetaTensor):
            return image, d.get(FRAMES_KEY)
        meta = image.meta
        grid = Grid(tuple(meta["spatial_shape"].tolist()), np.asarray(meta["original_affine"]))
        loaded = LoadedGrid(str(meta["filename_or_obj"]), grid, int(meta["num_source_frames"]))
        return loaded, meta["frame_indices"].tolist()

    def inverse(self, data: Mapping[Any, Any]) -> dict[Any, Any]:
        """Take every key back to its study's grid; see :meth:`SequenceLoader.inverse`."""
        d = dict(data)
        for key in self.key_iterator(d):
            d[key] = self.loader.inverse(d[key])
        return d
