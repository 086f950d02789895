# SPDX-License-Identifier: Apache-2.0
import pytest
import torch
from monai.data import MetaTensor

from cardiac4d.errors import InputError
from cardiac4d.networks import EncoderDecoder
from cardiac4d.workflows.inferer import SequenceInferer


def local_mean(inputs: torch.Tensor) -> torch.Tensor:
    """Stands for a network: two channels that depend on each voxel alone, so windows must agree with the whole."""
    return torch.cat([inputs, 2 * inputs + 1], dim=1)


def ranks_seen(inputs: torch.Tensor) -> torch.Tensor:
    assert inputs.ndim == 5, "a framewise network must see single frames (N, C, H, W, D)"
    return local_mean(inputs)


@pytest.mark.parametrize("framewise", [False, True])
@pytest.mark.parametrize("roi_size", [None, (4, 4, 3), (50, 4, -1)])
def test_windows_agree_with_the_whole_sequence(framewise, roi_size):
    sequence = torch.randn(2, 1, 9, 7, 5, 6)
    infer = SequenceInferer(roi_size, framewise=framewise)
    torch.testing.assert_close(infer(sequence, ranks_seen if framewise else local_mean), local_mean(sequence))


def test_window_keeps_all_frames_together():
    shapes = []

    def network(inputs):
        shapes.append(tuple(inputs.shape))
        return inputs

    SequenceInferer((4, 4, 3), sw_batch_size=1)(torch.zeros(1, 1, 8, 4, 3, 20), network)
    assert {shape[2:] for shape in shapes} == {(4, 4, 3, 20)}


def _blend_of_window_numbers(sequence, roi_size, **options):
    """Prediction of a network that answers with the window's own index, so blending shows."""
    calls = iter(range(1000))
    infer = SequenceInferer(roi_size, **options)
    return infer(sequence, lambda inputs: torch.full_like(inputs, float(next(calls))))


def test_windows_in_space_are_blended_alike_in_every_frame():
    """A Gaussian over time, bounded from below, would leave plain averages in the first and last frame."""
    blended = _blend_of_window_numbers(torch.zeros(1, 1, 12, 8, 8, 16), (8, 8, 8))
    assert len(blended[0, 0, :, 0, 0, 0].unique()) > 2
    torch.testing.assert_close(blended, blended[..., :1].expand_as(blended))


@pytest.mark.parametrize("num_frames", [9, 13, 16])
@pytest.mark.parametrize("full_cycle", [False, True])
def test_windows_in_time_agree_with_the_whole_sequence(num_frames, full_cycle):
    voxels = torch.randn(2, 1, 9, 7, 5, num_frames)
    sequence = MetaTensor(voxels, meta={"full_cycle": [full_cycle] * 2})
    pred = SequenceInferer((4, 4, 3), window_frames=8)(sequence, local_mean)
    torch.testing.assert_close(pred.as_tensor(), local_mean(voxels))


def test_windows_of_a_full_cycle_wrap():
    shapes, firsts = [], []

    def network(inputs):
        shapes.append(inputs.shape[-1])
        firsts.append(int(inputs.flatten()[0]))
        return inputs.clone()

    sequence = torch.arange(10.0).expand(1, 1, 2, 2, 2, 10)
    for full_cycle in (False, True):
        SequenceInferer((2, 2, 2), window_frames=6)(MetaTensor(sequence, meta={"full_cycle": full_cycle}), network)
    assert set(shapes) == {6}
    clipped, wrapped = [0, 3, 4], [7, 0, 3, 6, 7]
    assert firsts == clipped + wrapped


def test_window_of_all_frames_is_the_whole_time_axis():
    shapes = []

    def network(inputs):
        shapes.append(inputs.shape[-1])
        return inputs

    for window_frames in (-1, 6, 50):
        SequenceInferer((2, 2, 2), window_frames=window_frames)(torch.zeros(1, 1, 2, 2, 2, 6), network)
    assert shapes == [6, 6, 6]


@pytest.mark.parametrize("window_frames", [0, -2])
def test_window_without_frames_is_refused(window_frames):
    with pytest.raises(ValueError, match="`window_frames` must be"):
        SequenceInferer((2, 2, 2), window_frames=window_frames)


def test_window_in_time_needs_one_in_space():
    with pytest.raises(ValueError, match="`window_frames` needs `roi_size`"):
        SequenceInferer(window_frames=8)


@pytest.mark.parametrize(("spatial_dims", "framewise"), [(4, True), (3, False)])
def test_network_of_the_other_kind_is_refused_by_the_name_of_the_option(spatial_dims, framewise):
    network = EncoderDecoder(spatial_dims=spatial_dims)
    sequence = torch.zeros(1, 1, 8, 8, 8, 2)
    with pytest.raises(
        InputError, match=rf"--framewise: it is {framewise}, but .* {spatial_dims}D .*baseline_3d\.json"
    ):
        SequenceInferer(framewise=framewise)(sequence, network)


@pytest.mark.parametrize(("spatial_dims", "framewise"), [(4, False), (3, True)])
def test_network_of_the_right_kind_runs(spatial_dims, framewise):
    network = EncoderDecoder(spatial_dims=spatial_dims)
    with torch.no_grad():
        logits = SequenceInferer(framewise=framewise)(torch.zeros(1, 1, 8, 8, 8, 2), network)
    assert logits.shape == (1, 3, 8, 8, 8, 2)


def test_network_sees_plain_tensor_and_prediction_keeps_metadata():
    kinds = []

    def network(inputs):
        kinds.append(type(inputs))
        return inputs

    affine = torch.diag(torch.tensor([2.0, 3.0, 4.0, 1.0], dtype=torch.float64))
    sequence = MetaTensor(torch.zeros(1, 1, 4, 4, 3, 2), affine=affine)
    pred = SequenceInferer()(sequence, network)
    assert kinds == [torch.Tensor]
    assert torch.equal(pred.affine, affine)


def test_cpu_autocast_runs_in_bfloat16_and_returns_float32():
    dtypes = []

    def network(inputs):
        out = torch.nn.functional.conv3d(inputs[..., 0], torch.ones(1, 1, 1, 1, 1))[..., None]
        dtypes.append(out.dtype)
        return out

    pred = SequenceInferer(cpu_autocast=True)(torch.ones(1, 1, 4, 4, 3, 1), network)
    assert dtypes == [torch.bfloat16]
    assert pred.dtype == torch.float32


def test_roi_with_time_axis_is_refused():
    with pytest.raises(ValueError, match=r"`roi_size` must have three entries"):
        SequenceInferer((96, 96, 64, 16))
