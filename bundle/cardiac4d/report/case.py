# SPDX-License-Identifier: Apache-2.0
"""The pictures of one case, drawn and written together."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import numpy as np
import numpy.typing as npt
import torch

from ..measure import as_label_map, measure_left_ventricle, measured_frames
from .overlay import CONTRAST_CT_WINDOW_HU, overlay
from .style import save_png
from .volumes import volume_curve

Array = npt.NDArray[np.generic]


def write_case_pictures(
    folder: str | Path,
    case_id: str,
    image: Array | torch.Tensor,
    pred: Array | torch.Tensor,
    affine: Array | torch.Tensor,
    *,
    frame_times_ms: Sequence[float] | Array | torch.Tensor | None = None,
    reference: Array | torch.Tensor | None = None,
    window: tuple[float, float] | None = CONTRAST_CT_WINDOW_HU,
) -> tuple[Path, Path]:
    """Write the volume curve and the contours at end-diastole and end-systole of one case.

    The two frames of the contours are those of the reference, where there is one: sparse labels know no others. The
    volume curve marks those of the prediction. Both pictures say whose they are.

    Args:
        folder: receives ``<case_id>_volumes.png`` and ``<case_id>_contours.png``, which replace older ones.
        case_id: name of the case.
        image: ``(H, W, D, T)``.
        pred: ``(H, W, D, T)``; 0, 1 LV, 2 LVM.
        affine: ``(4, 4)``, voxel to RAS millimetres.
        frame_times_ms: ``(T,)``, if known.
        reference: ``(H, W, D, T)``; 255 = not annotated. One without any annotation counts as none.
        window: see :func:`cardiac4d.report.overlay`.

    Returns:
        The two paths, volumes first.

    Raises:
        ValueError: if shapes disagree.
    """
    truth = None if reference is None else as_label_map(reference, "reference")
    if truth is not None and not measured_frames(truth).any():
        truth = None
    function = measure_left_ventricle(pred, affine, frame_times_ms)
    expected = None if truth is None else measure_left_ventricle(truth, affine, frame_times_ms)
    curve = volume_curve(function, frame_times_ms, reference=expected, title=case_id)
    shown = expected or function
    whose = "Predicted" if expected is None else "Reference"
    frames = {f"{whose} ED": shown.ed_frame, f"{whose} ES": shown.es_frame}
    contours = overlay(image, pred, affine, frames, reference=truth, window=window, title=case_id)
    folder = Path(folder)
    return save_png(curve, folder / f"{case_id}_volumes.png"), save_png(contours, folder / f"{case_id}_contours.png")
