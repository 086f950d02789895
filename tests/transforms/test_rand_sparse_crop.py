# SPDX-License-Identifier: Apache-2.0
"""The paper's crop: what it centres on, what it fills, and the way back."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
import torch
from monai.data import MetaTensor

from cardiac4d.geometry import TimeAxis
from cardiac4d.transforms import RandSparseCrop, RandSparseCropd, SequenceCrop, rand_sparse_crop

SHAPE = (12, 11, 10, 8)
ANNOTATED = 5


def _with_time(voxels: torch.Tensor, *, full_cycle: bool = False) -> MetaTensor:
    time = TimeAxis.uniform(voxels.shape[-1], 0.05, full_cycle=full_cycle)
    return MetaTensor(voxels, affine=torch.diag(torch.tensor([2.0, 3, 4, 1])), meta=time.to_meta())


def _position_image(shape: tuple[int, ...] = SHAPE) -> torch.Tensor:
    """Every voxel holds its own flat index, so that a crop tells where it came from."""
    return torch.arange(float(np.prod(shape))).view(1, *shape)


def _label(structure: tuple[int, ...] | None, shape: tuple[int, ...] = SHAPE) -> torch.Tensor:
    """255 but for frame ANNOTATED, which is background but for one voxel."""
    label = torch.full((1, *shape), 255, dtype=torch.uint8)
    label[..., ANNOTATED] = 0
    if structure is not None:
        label[(0, *structure, ANNOTATED)] = 2
    return label


def _centres(crop: RandSparseCrop, label: torch.Tensor, draws: int = 60) -> list[tuple[int, ...]]:
    """The voxels drawn; with a crop of one voxel they are the crops."""
    image = _position_image(tuple(label.shape[1:]))
    flat = [int(crop(image, label).item()) for _ in range(draws)]
    return [tuple(int(i) for i in np.unravel_index(f, label.shape[1:])) for f in flat]


def test_probability_one_centres_on_the_structure_alone() -> None:
    crop = RandSparseCrop((1, 1, 1, 1), foreground_prob=1.0).set_random_state(0)
    assert set(_centres(crop, _label((3, 4, 5)))) == {(3, 4, 5, ANNOTATED)}


def test_probability_zero_centres_on_annotated_background_alone() -> None:
    crop = RandSparseCrop((1, 1, 1, 1), foreground_prob=0.0).set_random_state(0)
    centres = _centres(crop, _label((3, 4, 5)))
    assert {c[3] for c in centres} == {ANNOTATED}
    assert (3, 4, 5, ANNOTATED) not in centres
    assert len(set(centres)) > 50


def test_probability_is_that_of_a_structure() -> None:
    crop = RandSparseCrop((1, 1, 1, 1), foreground_prob=0.6).set_random_state(0)
    hits = [centre == (3, 4, 5, ANNOTATED) for centre in _centres(crop, _label((3, 4, 5)), draws=400)]
    assert np.mean(hits) == pytest.approx(0.6, abs=0.07)


def test_every_voxel_of_a_structure_is_drawn_equally_often() -> None:
    label = _label((3, 4, 5))
    label[0, 3, 4, 6, ANNOTATED] = 1
    label[0, 9, 0, 0, ANNOTATED] = 1
    label[0, 11, 10, 9, ANNOTATED] = 2
    crop = RandSparseCrop((1, 1, 1, 1), foreground_prob=1.0).set_random_state(0)
    centres = _centres(crop, label, draws=400)
    counts = [centres.count((*v, ANNOTATED)) for v in [(3, 4, 5), (3, 4, 6), (9, 0, 0), (11, 10, 9)]]
    assert sum(counts) == 400
    assert min(counts) > 70


def test_where_the_kind_drawn_is_missing_the_other_is_taken() -> None:
    assert {c[3] for c in _centres(RandSparseCrop((1, 1, 1, 1), 1.0).set_random_state(0), _label(None))} == {ANNOTATED}
    all_structure = torch.full((1, *SHAPE), 255, dtype=torch.uint8)
    all_structure[..., ANNOTATED] = 1
    assert {c[3] for c in _centres(RandSparseCrop((1, 1, 1, 1), 0.0).set_random_state(0), all_structure)} == {ANNOTATED}


def test_without_any_annotation_the_position_is_anywhere() -> None:
    label = torch.full((1, *SHAPE), 255, dtype=torch.uint8)
    centres = _centres(RandSparseCrop((1, 1, 1, 1)).set_random_state(0), label)
    assert {c[3] for c in centres} == set(range(8))


def test_the_crop_holds_the_centre_and_lies_inside() -> None:
    crop = RandSparseCrop((4, 5, 3, 4), foreground_prob=1.0).set_random_state(0)
    for structure in [(0, 0, 0), (11, 10, 9), (6, 5, 5)]:
        label = _label(structure)
        cut = crop(_position_image(), label)
        assert cut.shape == (1, 4, 5, 3, 4)
        assert len(cut.unique()) == cut.numel(), "a crop inside the sequence repeats nothing"
        assert _position_image()[(0, *structure, ANNOTATED)] in cut
        assert (crop(label, randomize=False) == 2).sum() == 1


def test_the_crop_is_centred_in_space_where_there_is_room() -> None:
    crop = RandSparseCrop((4, 4, 4, 4), foreground_prob=1.0).set_random_state(0)
    crop.randomize(_label((6, 5, 5)))
    assert crop.starts == [4, 3, 3]


def test_the_annotated_frame_lies_anywhere_in_the_crop() -> None:
    """Centred, it would always meet the same phase of the network's strides in time."""
    crop = RandSparseCrop((4, 4, 4, 3), foreground_prob=1.0).set_random_state(0)
    firsts = []
    for _ in range(300):
        crop.randomize(_label((6, 5, 5)))
        assert crop.frames == list(range(crop.frames[0], crop.frames[0] + 3))
        firsts.append(crop.frames[0])
    assert set(firsts) == {ANNOTATED - 2, ANNOTATED - 1, ANNOTATED}
    assert min(firsts.count(first) for first in set(firsts)) > 70


def test_minus_one_takes_the_whole_axis() -> None:
    crop = RandSparseCrop((4, -1, 3, -1)).set_random_state(0)
    assert crop(_position_image(), _label((3, 4, 5))).shape == (1, 4, 11, 3, 8)


def test_a_full_cycle_that_is_too_short_goes_on_with_its_next_beat() -> None:
    crop = RandSparseCrop((-1, -1, -1, 12), foreground_prob=1.0).set_random_state(0)
    image, label = _with_time(_position_image(), full_cycle=True), _with_time(_label((3, 4, 5)), full_cycle=True)
    cut, cut_label = crop(image, label), crop(label, randomize=False)
    first = crop.frames[0]
    assert torch.equal(cut.as_tensor(), _position_image()[..., [(first + k) % 8 for k in range(12)]])
    assert (cut_label[0, 3, 4, 5] == 2).sum() == 1 + int((ANNOTATED - first) % 8 + 8 < 12)
    np.testing.assert_allclose(cut.meta["frame_times_ms"], 50.0 * (first + np.arange(12)))
    assert not cut.meta["full_cycle"]


def test_another_sequence_that_is_too_short_holds_its_last_frame_not_annotated() -> None:
    label = _label((3, 4, 5))
    label[..., 7] = 1
    crop = RandSparseCrop((-1, -1, -1, 12), foreground_prob=1.0).set_random_state(0)
    cut, cut_label = crop(_with_time(_position_image()), _with_time(label)), crop(_with_time(label), randomize=False)
    assert torch.equal(cut[..., :8].as_tensor(), _position_image())
    assert torch.equal(cut[..., 8:].as_tensor(), _position_image()[..., 7:].expand(-1, -1, -1, -1, 4))
    assert torch.equal(cut_label[..., :8].as_tensor(), label)
    assert (cut_label[..., 8:] == 255).all()
    np.testing.assert_allclose(cut.meta["frame_times_ms"], 50.0 * np.array([*range(8), 7, 7, 7, 7]))


def test_space_that_is_too_small_is_padded_by_the_minimum_and_not_annotated() -> None:
    image = _with_time(_position_image() - 100.0)
    crop = RandSparseCrop((16, 11, 13, 8)).set_random_state(0)
    cut, label = crop(image, _with_time(_label((3, 4, 5)))), crop(_with_time(_label((3, 4, 5))), randomize=False)
    inside = (slice(None), slice(2, 14), slice(None), slice(1, 11))
    assert torch.equal(cut[inside].as_tensor(), image.as_tensor())
    assert torch.equal(label[inside].as_tensor(), _label((3, 4, 5)))
    outside = torch.ones(16, 11, 13, dtype=torch.bool)
    outside[2:14, :, 1:11] = False
    assert (cut[0][outside] == -100).all()
    assert (label[0][outside] == 255).all()


def test_affine_and_time_follow_the_crop() -> None:
    image = _with_time(_position_image())
    cut = SequenceCrop()(image, [2, -1, 0], [4, 20, 10], [3, 4, 5])
    np.testing.assert_allclose(cut.affine[:3, 3], [4.0, -3.0, 0.0])
    np.testing.assert_allclose(cut.meta["frame_times_ms"], [150, 200, 250])
    np.testing.assert_allclose(image.affine[:3, 3], 0.0)
    assert len(image.meta["frame_times_ms"]) == 8, "the input keeps its own metadata"
    assert image.applied_operations == []


@pytest.mark.parametrize("roi_size", [(4, 5, 3, 4), (16, 20, 3, 12), (-1, 4, 13, 5)])
@pytest.mark.parametrize("full_cycle", [True, False])
def test_the_inverse_puts_voxels_frames_affine_and_time_back(roi_size: tuple[int, ...], full_cycle: bool) -> None:
    crop = RandSparseCropd(roi_size=roi_size).set_random_state(1)
    image = _position_image()  # its minimum, which pads, is 0 as what lies outside the crop is after the inverse
    data = {
        "image": _with_time(image, full_cycle=full_cycle),
        "label": _with_time(_label((3, 4, 5)), full_cycle=full_cycle),
    }
    cut = crop(data)
    seen = torch.isin(image, cut["image"].as_tensor())
    restored = crop.inverse(cut)["image"]
    assert torch.equal(restored.as_tensor(), image * seen)
    torch.testing.assert_close(restored.affine, data["image"].affine)
    assert TimeAxis.from_meta(restored.meta) == TimeAxis.from_meta(data["image"].meta)
    assert restored.applied_operations == []


def test_image_and_label_are_cut_at_one_place_and_the_seed_decides_where() -> None:
    data: dict[str, Any] = {"image": _with_time(_position_image()), "label": _with_time(_label((3, 4, 5)))}
    data["label"] = _with_time(torch.where(_label((3, 4, 5)) == 255, 255, (_position_image() % 3)).byte())
    first, second, third = (RandSparseCropd(roi_size=(4, 4, 4, 4)).set_random_state(s)(data) for s in (5, 5, 6))
    expected = torch.where(first["label"].as_tensor() == 255, 255, first["image"].as_tensor() % 3).byte()
    assert torch.equal(first["label"].as_tensor(), expected)
    assert torch.equal(first["image"].as_tensor(), second["image"].as_tensor())
    assert not torch.equal(first["image"].as_tensor(), third["image"].as_tensor())


def test_labels_on_a_device_are_counted_as_on_the_host() -> None:
    label = torch.randint(0, 3, (2 * rand_sparse_crop.ROWS_AT_ONCE + 5, 4, 3, 2)).byte()
    label[:, 1] = 255
    label[7] = 255
    for is_kind in (rand_sparse_crop._is_structure, rand_sparse_crop._is_background):
        expected = rand_sparse_crop._count_per_row(label, is_kind)
        found = rand_sparse_crop._count_on_device(label, is_kind)
        assert found.dtype == expected.dtype
        assert found.tolist() == expected.tolist()
        assert expected[7] == 0 < expected[8]


def test_label_that_stays_in_memory_is_counted_once(monkeypatch: pytest.MonkeyPatch) -> None:
    counted: list[int] = []
    count = np.count_nonzero
    monkeypatch.setattr(np, "count_nonzero", lambda array: (counted.append(1), count(array))[1])
    crop, label = RandSparseCrop((2, 2, 2, 2), 1.0).set_random_state(0), _label((3, 4, 5))
    for _ in range(5):
        crop.randomize(label)
    assert len(counted) == SHAPE[0]
    label[label == 2] = 0
    label[0, 1, 1, 1, ANNOTATED] = 1
    crop.randomize(label)
    assert crop.starts == [0, 0, 0]


def test_plain_tensors_are_cropped_too() -> None:
    cut = RandSparseCropd(roi_size=(4, 4, 4, 12))({"image": _position_image(), "label": _label((3, 4, 5))})
    assert type(cut["image"]) is torch.Tensor
    assert (cut["label"][..., 8:] == 255).all()


def test_sizes_that_differ_are_refused() -> None:
    with pytest.raises(ValueError, match=r"`image` .* and `label` .* differ in size"):
        RandSparseCropd()({"image": _position_image((12, 11, 10, 7)), "label": _label(None)})


@pytest.mark.parametrize("roi_size", [(4, 4, 4), (4, 4, 4, 0), (4, 4, -2, 4)])
def test_bad_sizes_are_refused(roi_size: tuple[int, ...]) -> None:
    with pytest.raises(ValueError, match="`roi_size` must be"):
        RandSparseCrop(roi_size)


@pytest.mark.parametrize("prob", [-0.1, 1.1])
def test_bad_probabilities_are_refused(prob: float) -> None:
    with pytest.raises(ValueError, match="`foreground_prob` must lie"):
        RandSparseCrop(foreground_prob=prob)


def test_a_position_needs_a_label() -> None:
    with pytest.raises(ValueError, match="`label` must be given"):
        RandSparseCrop()(_position_image())
