# SPDX-License-Identifier: Apache-2.0
"""Transforms for 4D sequences: array classes and dictionary twins (``...d``), invertible where they move voxels."""

from __future__ import annotations

from .load_sequence import LoadSequence, LoadSequenced
from .load_sparse_labels import LoadSparseLabels, LoadSparseLabelsd
from .rand_cyclic_shift import CyclicShift, RandCyclicShiftd
from .rand_dose_noise import DoseNoise, RandDoseNoised
from .rand_in_plane_affine import InPlaneAffine, RandInPlaneAffined
from .rand_intensity_drift import IntensityDrift, RandIntensityDriftd
from .rand_sparse_crop import RandSparseCrop, RandSparseCropd, SequenceCrop
from .rand_spatial_warp import RandSpatialWarpd, SpatialWarp
from .rand_time_reversal import RandTimeReversald, TimeReversal
from .rand_time_subsample import RandTimeSubsampled, TimeSubsample
from .save_probabilities import SaveProbabilitiesd
from .save_sequence import SaveSequence, SaveSequenced
from .scale_sequence import ScaleSequenceRange, ScaleSequenceRanged
from .time_last import TimeLast, TimeLastd

__all__ = [
    "CyclicShift",
    "DoseNoise",
    "InPlaneAffine",
    "IntensityDrift",
    "LoadSequence",
    "LoadSequenced",
    "LoadSparseLabels",
    "LoadSparseLabelsd",
    "RandCyclicShiftd",
    "RandDoseNoised",
    "RandInPlaneAffined",
    "RandIntensityDriftd",
    "RandSparseCrop",
    "RandSparseCropd",
    "RandSpatialWarpd",
    "RandTimeReversald",
    "RandTimeSubsampled",
    "SaveProbabilitiesd",
    "SaveSequence",
    "SaveSequenced",
    "ScaleSequenceRange",
    "ScaleSequenceRanged",
    "SequenceCrop",
    "SpatialWarp",
    "TimeLast",
    "TimeLastd",
    "TimeReversal",
    "TimeSubsample",
]
