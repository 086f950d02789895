# SPDX-License-Identifier: Apache-2.0
from pathlib import Path

import numpy as np
from matplotlib.image import imread

from cardiac4d.geometry import TimeAxis
from cardiac4d.io import load_datalist, write_sequence
from cardiac4d.workflows.demonstration import draw_case

from ..helpers.studies import AFFINE, FRAME_DURATION_S, beating_ball, write_small_dataset


def _segmented(results: Path, name: str, labels: np.ndarray) -> Path:
    time = TimeAxis.uniform(labels.shape[-1], FRAME_DURATION_S)
    write_sequence(results / "segmentations" / f"{name}_seg.nii.gz", labels, AFFINE, time)
    return results


def test_case_is_drawn_from_its_files(tmp_path):
    entry = load_datalist(write_small_dataset(tmp_path / "data") / "dataset.json", "test")[0]
    labels = beating_ball(num_frames=5, seed=100)[1]
    good = draw_case(entry, _segmented(tmp_path / "good", entry["id"], labels))
    assert [path.name for path in good] == ["case0_volumes.png", "case0_contours.png"]
    static = np.repeat(labels[..., :1], labels.shape[-1], axis=-1)
    bad = draw_case(entry, _segmented(tmp_path / "bad", entry["id"], static))
    for drawn, other in zip(good, bad, strict=True):
        assert not np.array_equal(imread(drawn), imread(other)), "the pictures show the segmentation"


def test_case_without_reference_is_drawn(tmp_path):
    entry = load_datalist(write_small_dataset(tmp_path / "data") / "dataset.json", "test")[0]
    alone = {key: entry[key] for key in ("id", "image")}
    labels = beating_ball(num_frames=5, seed=100)[1]
    assert all(path.exists() for path in draw_case(alone, _segmented(tmp_path / "out", entry["id"], labels)))
