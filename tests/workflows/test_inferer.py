# SPDX-License-Identifier: Apache-2.0
import pytest
import torch
from monai.data import MetaTensor

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
