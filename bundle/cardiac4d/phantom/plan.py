# SPDX-License-Identifier: Apache-2.0
"""What a data set will hold, decided before any voxel: ids, lists, EF groups and numbers of annotated frames."""

from __future__ import annotations

import hashlib
import json
from dataclasses import asdict, dataclass
from typing import Final, Literal

import numpy as np

from .annotation import annotation_counts
from .physiology import GROUP_SHARES, Group
from .presets import Preset

Split = Literal["training", "validation", "test"]
PHANTOM_VERSION: Final = 2
"""Raised whenever the same parameters and seed give other voxels; folders of another version are not continued."""


@dataclass(frozen=True)
class SequencePlan:
    """One sequence to be made.

    Attributes:
        id: file stem.
        index: position in the data set; with the seed it fixes every random number of the sequence.
        split: list that the sequence stands in.
        group: ejection-fraction group.
        num_labeled: number of annotated frames.
    """

    id: str
    index: int
    split: Split
    group: Group
    num_labeled: int

    @property
    def folder_suffix(self) -> str:
        """``Ts`` for sequences that only the test list holds, else ``Tr``."""
        return "Ts" if self.split == "test" else "Tr"


def plan_dataset(preset: Preset, seed: int) -> list[SequencePlan]:
    """Decide lists, groups and annotation of every sequence; equal arguments give equal plans."""
    rng = np.random.default_rng(np.random.SeedSequence(seed))
    sizes: dict[Split, int] = {
        "training": preset.num_training,
        "validation": preset.num_validation,
        "test": preset.num_test,
    }
    splits: list[Split] = [split for split, size in sizes.items() for _ in range(size)]
    if preset.random_split:
        groups = deal_groups(preset.num_sequences, rng)
        splits = [splits[i] for i in rng.permutation(len(splits))]
    else:
        groups = [group for size in sizes.values() for group in deal_groups(size, rng)]
    counts = annotation_counts(preset.num_sequences, preset.num_labeled_frames, preset.num_frames, rng)
    rows = enumerate(zip(splits, groups, counts, strict=True))
    return [SequencePlan(f"phantom_{i:03d}", i, split, group, int(count)) for i, (split, group, count) in rows]


def deal_groups(number: int, rng: np.random.Generator) -> list[Group]:
    """EF groups of ``number`` sequences in random order, as close to :data:`GROUP_SHARES` as whole numbers come."""
    exact = {group: share * number for group, share in GROUP_SHARES.items()}
    whole = {group: int(value) for group, value in exact.items()}
    rest = sorted(exact, key=lambda group: whole[group] - exact[group])
    for group in rest[: number - sum(whole.values())]:
        whole[group] += 1
    dealt = [group for group, count in whole.items() for _ in range(count)]
    return [dealt[i] for i in rng.permutation(number)]


def sequence_rng(seed: int, index: int) -> np.random.Generator:
    """The random numbers of one sequence, independent of every other sequence and of who makes it."""
    return np.random.default_rng(np.random.SeedSequence(seed, spawn_key=(index,)))


def dataset_fingerprint(preset: Preset, seed: int) -> str:
    """Short hash of everything that determines the voxels of a data set."""
    return _hash({"preset": preset.as_dict(), "seed": seed, "version": PHANTOM_VERSION})


def sequence_fingerprint(preset: Preset, seed: int, plan: SequencePlan) -> str:
    """Short hash of everything that determines the voxels of one sequence."""
    return _hash({"dataset": dataset_fingerprint(preset, seed), "plan": asdict(plan)})


def _hash(content: dict[str, object]) -> str:
    return hashlib.sha256(json.dumps(content, sort_keys=True).encode()).hexdigest()[:16]
