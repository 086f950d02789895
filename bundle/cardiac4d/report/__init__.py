# SPDX-License-Identifier: Apache-2.0
"""Pictures of a result: volume curve, contours on the image, agreement over a cohort."""

from __future__ import annotations

from .agreement import ef_agreement
from .case import write_case_pictures
from .montage import dataset_montage, sequence_montage
from .overlay import overlay
from .style import png_path, save_png
from .variants import variant_montage
from .volumes import volume_curve

__all__ = [
    "dataset_montage",
    "ef_agreement",
    "overlay",
    "png_path",
    "save_png",
    "sequence_montage",
    "variant_montage",
    "volume_curve",
    "write_case_pictures",
]
