# SPDX-License-Identifier: Apache-2.0
"""Transforms for 4D sequences: array classes and dictionary twins (``...d``), invertible where they move voxels."""

from __future__ import annotations

from .load_sequence import LoadSequence, LoadSequenced
from .load_sparse_labels import LoadSparseLabels, LoadSparseLabelsd
from .rand_cyclic_shift import CyclicShift, RandCyclicShiftd
from .rand_in_plane_affine import InPlaneAffine, RandInPlaneAffined
from .rand_sparse_crop import RandSparseCrop, RandSparseCropd, SequenceCrop
from .save_probabilities import SaveProbabilitiesd
from .save_sequence import SaveSequence, SaveSequenced
from .scale_sequence import ScaleSequenceRange, ScaleSequenceRanged
from .time_last import TimeLast, TimeLastd

__all__ = [
    "CyclicShift",
    "InPlaneAffine",
    "LoadSequence",
    "LoadSequenced",
    "LoadSparseLabels",
    "LoadSparseLabelsd",
    "RandCyclicShiftd",
    "RandInPlaneAffined",
    "RandSparseCrop",
    "RandSparseCropd",
    "SaveProbabilitiesd",
    "SaveSequence",
    "SaveSequenced",
    "ScaleSequenceRange",
    "ScaleSequenceRanged",
    "SequenceCrop",
    "TimeLast",
    "TimeLastd",
]
