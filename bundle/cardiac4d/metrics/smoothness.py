# SPDX-License-Identifier: Apache-2.0
"""How much a segmentation changes from frame to frame (Myronenko et al. 2019, section 4).

The paper gives neither units nor normalisation; the ones here do not depend on the grid. Both measures are 0 for a mask
that never moves, so read them beside Dice, the error of the ejection fraction, and their values for the reference.
"""

from __future__ import annotations

from itertools import pairwise
from typing import Literal, get_args

import numpy as np
import numpy.typing as npt
from torch import Tensor

from ..conventions import STRUCTURES
from ..geometry import voxel_volume_ml
from ..measure.inputs import Array, as_affine, as_label_map, measured_frames, structure_id
from .averages import mean_of_defined, with_mean
from .cumulative import CaseMetric, Reduction, affine_of, covers_cycle, label_map_of
from .surface import temporal_surface_distance

Measure = Literal["l2", "surface"]


def changed_volumes_ml(
    labels: Array | Tensor, affine: Array | Tensor, structure: str, *, cyclic: bool = False
) -> npt.NDArray[np.float64]:
    """Measure the volume that enters or leaves a structure between consecutive frames.

    Args:
        labels: ``(H, W, D, T)`` label map.
        affine: ``(4, 4)``, voxel to millimetre.
        structure: ``"LV"`` or ``"LVM"``.
        cyclic: also compare the last frame with the first; for a sequence that covers one whole R-R cycle.

    Returns:
        ``(T - 1,)`` millilitres, ``(T,)`` if cyclic and ``T > 1``; NaN where one of the frames is not annotated.

    Raises:
        ValueError: if label map, affine or structure are not as above.
    """
    labels = as_label_map(labels)
    masks = [labels[..., t] == structure_id(structure) for t in _frames(labels, cyclic)]
    measured = measured_frames(labels)[_frames(labels, cyclic)]
    changed = np.array([np.count_nonzero(a ^ b) for a, b in pairwise(masks)], dtype=np.float64)
    return np.where(measured[:-1] & measured[1:], changed * voxel_volume_ml(as_affine(affine)), np.nan)


def temporal_l2(labels: Array | Tensor, affine: Array | Tensor, *, cyclic: bool = False) -> dict[str, float]:
    """Compute the L2 norm of the first temporal difference of each structure's indicator function.

    The norm over space of a difference that is 0 or 1 is the square root of the changed volume, in ``mL^0.5``; the
    value is its mean over the consecutive pairs of frames. It does not depend on voxel size or field of view.

    Args:
        labels: ``(H, W, D, T)`` label map.
        affine: ``(4, 4)``, voxel to millimetre.
        cyclic: see :func:`changed_volumes_ml`.

    Returns:
        ``{"LV": ..., "LVM": ..., "mean": ...}``. A pair of empty frames changes by 0. NaN for a single frame, which
        shows no motion, and if no two consecutive frames are annotated.

    Raises:
        ValueError: if label map or affine are not as above.

    Example:
        >>> labels = np.zeros((10, 10, 10, 2), np.uint8)
        >>> labels[:4, ..., 1] = 1  # 400 voxels of 10 mm^3 appear: 4 mL
        >>> temporal_l2(labels, np.diag([1.0, 1.0, 10.0, 1.0]))
        {'LV': 2.0, 'LVM': 0.0, 'mean': 1.0}
    """
    changed = {name: changed_volumes_ml(labels, affine, name, cyclic=cyclic) for name in STRUCTURES}
    return with_mean({name: mean_of_defined(np.sqrt(volumes)) for name, volumes in changed.items()})


class TemporalSmoothness(CaseMetric):
    """Temporal smoothness of predicted label maps over all frames: columns LV and LVM.

    The label is not used. The affine is read from the ``MetaTensor``; a plain tensor is refused unless ``affine`` is
    given.

    Args:
        measure: ``l2`` for :func:`temporal_l2`, ``surface`` for
            :func:`~cardiac4d.metrics.temporal_surface_distance`.
        cyclic: compare the last frame with the first; ``None`` asks each case's ``full_cycle`` metadata.
        affine: ``(4, 4)``, for predictions that are plain tensors.
        reduction: see :class:`CaseMetric`.

    Raises:
        ValueError: if ``measure`` is not one of the names above, or a case has no affine.
    """

    def __init__(
        self,
        measure: Measure = "l2",
        cyclic: bool | None = None,
        affine: Array | Tensor | None = None,
        reduction: Reduction = "mean",
    ) -> None:
        super().__init__(reduction)
        if measure not in get_args(Measure):
            raise ValueError(f"`measure` must be one of {get_args(Measure)}, got {measure!r}")
        self.measure = temporal_l2 if measure == "l2" else temporal_surface_distance
        self.cyclic = cyclic
        self.affine = affine

    def row(self, pred: Tensor, label: Tensor | None) -> list[float]:
        """See :meth:`CaseMetric.row`."""
        affine = affine_of(pred, self.affine, "TemporalSmoothness")
        values = self.measure(label_map_of(pred, "y_pred"), affine, cyclic=covers_cycle(pred, self.cyclic))
        return [values[name] for name in STRUCTURES]


def _frames(labels: npt.NDArray[np.uint8], cyclic: bool) -> list[int]:
    """Frames in the order they are compared; a cycle of more than one frame ends where it began."""
    num_frames = labels.shape[-1]
    return [*range(num_frames), 0] if cyclic and num_frames > 1 else [*range(num_frames)]
