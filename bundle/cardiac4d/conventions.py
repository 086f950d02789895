# SPDX-License-Identifier: Apache-2.0
"""The vocabulary of the package: axis order, label ids, units and dictionary keys, written once.

Axis order
    In memory an image is ``(1, H, W, D, T)`` float32 and a label map ``(1, H, W, D, T)`` uint8; a network sees
    ``(N, C, H, W, D, T)``. ``H, W, D`` are the first, second and third spatial axis of the *array* (x, y, z of a file
    in RAS order); **time is last**, as in Myronenko et al. 2019. While space is being resampled, time stands in the
    channel axis instead, ``(T, H, W, D)`` ("time first"), because MONAI's spatial transforms are right in that layout
    only.

Labels
    0 background, 1 left-ventricular cavity (LV), 2 left-ventricular myocardium (LVM), **255 not annotated**. Sparsity
    in time lives in the label map itself, so it survives every crop, flip, pad and cache.

Units
    Lengths in millimetres (``*_mm``), times in milliseconds (``*_ms``), volumes in millilitres (``*_ml``), masses in
    grams (``*_g``), ejection fractions in percent (``*_percent``), intensities in Hounsfield units (``*_hu``).
    Frame indices are **0-based** everywhere.
"""

from __future__ import annotations

from typing import Final

TIME_AXIS: Final = -1

BACKGROUND: Final = 0
LV: Final = 1
LVM: Final = 2
NOT_ANNOTATED: Final = 255
NUM_CLASSES: Final = 3
STRUCTURES: Final[dict[str, int]] = {"LV": LV, "LVM": LVM}
"""Foreground structures by the name used in tables, in the order of their label ids."""

IMAGE_KEY: Final = "image"
LABEL_KEY: Final = "label"
PRED_KEY: Final = "pred"
TRUTH_KEY: Final = "truth"
"""Dense reference labels of every frame, where they exist (the phantom has them)."""

CASE_ID_KEY: Final = "id"
LABELED_FRAMES_KEY: Final = "labeled_frames"
FRAMES_KEY: Final = "frames"
"""Optional: load these frames of the sequence only."""

FULL_CYCLE_KEY: Final = "full_cycle"
"""True when the sequence covers one whole R-R interval, so that its last frame precedes its first."""

CASE_ROW_KEY: Final = "case_row"
"""What was measured in a case, in the output of an evaluator: for the handlers after the one that measures."""

REFERENCE_EF_KEY: Final = "ef_percent"
"""Optional reference ejection fraction of the case, from a clinical report or the phantom."""

REFERENCE_EF_RANGE_PERCENT: Final = (1.0, 100.0)
"""A reference lies above the first and at most at the second: 0.61, given for 61 %, is refused."""

# Keys of ``MetaTensor.meta`` that carry the time axis.
META_FRAME_TIMES_MS: Final = "frame_times_ms"
META_FRAME_DURATION_MS: Final = "frame_duration_ms"
META_CYCLE_LENGTH_MS: Final = "cycle_length_ms"
META_FULL_CYCLE: Final = "full_cycle"

META_PLACE: Final = "place"
"""Key of ``MetaTensor.meta``: where the sequence was loaded from, to open it again (:func:`cardiac4d.io.reopen`)."""

HU_RANGE: Final = (-1024.0, 1024.0)
"""Intensities that ``scale_intensity`` of the CT workflows maps to -1 and 1; those beyond are not clipped."""

MYOCARDIUM_DENSITY_G_PER_ML: Final = 1.05
LVM_VARIATION_TOLERANCE_PERCENT: Final = 20.0
"""A predicted myocardial volume that varies by more than this over the sequence, ``100 * (max - min) / mean``, is
warned of. Muscle is all but incompressible; counting voxels of the phantom's truth gives at most 1.5 %, of its
simulated reader at most 11 %."""

REDUCED_EF_PERCENT: Final = 55.0
"""An ejection fraction below this is called reduced (Myronenko et al. 2019, section 4)."""
