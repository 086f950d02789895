# SPDX-License-Identifier: Apache-2.0
"""Pictures of a result: volume curve, contours on the image, agreement over a cohort; pictures of a training."""

from __future__ import annotations

from .agreement import ef_agreement
from .case import write_case_pictures
from .montage import dataset_montage, sequence_montage
from .overlay import overlay
from .style import as_pixels, png_path, save_png
from .training_curves import training_curves
from .training_page import write_training_summary
from .training_panel import phase_frames, training_panel
from .variants import variant_montage
from .volumes import volume_curve

__all__ = [
    "as_pixels",
    "dataset_montage",
    "ef_agreement",
    "overlay",
    "phase_frames",
    "png_path",
    "save_png",
    "sequence_montage",
    "training_curves",
    "training_panel",
    "variant_montage",
    "volume_curve",
    "write_case_pictures",
    "write_training_summary",
]
