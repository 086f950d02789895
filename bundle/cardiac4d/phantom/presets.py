# SPDX-License-Identifier: Apache-2.0
"""Sizes of a phantom data set, from a laptop's to the paper's."""

from __future__ import annotations

from dataclasses import asdict, dataclass
from typing import Any, Final

FEWEST_FRAMES_PER_CYCLE: Final = 8


@dataclass(frozen=True)
class Preset:
    """Everything about a data set but its seed.

    Attributes:
        name: name of the preset.
        num_training: sequences in the training list.
        num_validation: sequences in the validation list.
        num_test: sequences of their own in the test list; 0 makes the test list repeat the validation list.
        num_labeled_frames: annotated frames in all sequences together.
        random_split: split all sequences at random; otherwise each list gets its share of every EF group.
        matrix: pixels per row and column of a slice.
        pixel_mm: range of the pixel size.
        slice_mm: slice spacings to choose from.
        depth_mm: range of the height of the field of view.
        num_frames: frames per cycle.
        stair_step_probability: share of the sequences with stair steps between bands of slices.
        label_jitter: draw the annotated labels as a human reader does; without it they are the truth.
        systolic_wall_gain: share of the wall's volume that the reader adds at end-systole, 0 to 0.2.
    """

    name: str
    num_training: int
    num_validation: int
    num_test: int
    num_labeled_frames: int
    random_split: bool
    matrix: int
    pixel_mm: tuple[float, float]
    slice_mm: tuple[float, ...]
    depth_mm: tuple[float, float]
    num_frames: int = 20
    stair_step_probability: float = 0.0
    label_jitter: bool = True
    systolic_wall_gain: float = 0.0

    def __post_init__(self) -> None:
        if self.num_frames < FEWEST_FRAMES_PER_CYCLE or self.matrix < 16:
            raise ValueError(
                f"`num_frames` (={self.num_frames}) must be at least {FEWEST_FRAMES_PER_CYCLE} to show end-systole, "
                f"and `matrix` (={self.matrix}) at least 16"
            )
        if not 0.0 <= self.systolic_wall_gain <= 0.2:
            raise ValueError(f"`systolic_wall_gain` (={self.systolic_wall_gain}) must lie in 0 to 0.2")

    @property
    def num_sequences(self) -> int:
        """Sequences in the data set."""
        return self.num_training + self.num_validation + self.num_test

    def as_dict(self) -> dict[str, Any]:
        """The parameters, for fingerprints and records."""
        return asdict(self)


PRESETS: Final[dict[str, Preset]] = {
    "laptop": Preset(
        name="laptop",
        num_training=10,
        num_validation=2,
        num_test=4,
        num_labeled_frames=65,
        random_split=False,
        matrix=64,
        pixel_mm=(2.3, 2.6),
        slice_mm=(3.5,),
        depth_mm=(110.0, 132.0),
    ),
    "small": Preset(
        name="small",
        num_training=16,
        num_validation=4,
        num_test=4,
        num_labeled_frames=97,
        random_split=False,
        matrix=136,
        pixel_mm=(1.1, 1.3),
        slice_mm=(2.0,),
        depth_mm=(106.0, 140.0),
        stair_step_probability=0.2,
    ),
    "paper": Preset(
        name="paper",
        num_training=49,
        num_validation=12,
        num_test=0,
        num_labeled_frames=247,
        random_split=True,
        matrix=512,
        pixel_mm=(0.24, 0.46),
        slice_mm=(2.0, 2.0, 2.0, 1.5),
        depth_mm=(80.0, 158.0),
        stair_step_probability=0.2,
    ),
}
