# SPDX-License-Identifier: Apache-2.0
from __future__ import annotations

import copy
import inspect
import io

import numpy as np
import pytest
import torch
from torch import nn

from cardiac4d import Conv4d
from cardiac4d.layers.padding import pad4d
from cardiac4d.ops import use_backend
from cardiac4d.ops.layout import to_frames
from cardiac4d.ops.reference import conv4d_reference
from tests.helpers.conv4d_cases import channels_innermost
from tests.helpers.tolerances import assert_near

NUMPY_MODES = {"zeros": "constant", "reflect": "reflect", "replicate": "edge", "circular": "wrap"}


def test_signature_is_that_of_conv3d_and_a_time_padding_mode() -> None:
    ours, theirs = (list(inspect.signature(module).parameters.values()) for module in (Conv4d, nn.Conv3d))
    assert [(p.name, p.default, p.kind) for p in ours[:-1]] == [(p.name, p.default, p.kind) for p in theirs]
    assert (ours[-1].name, ours[-1].default) == ("time_padding_mode", None)


@pytest.mark.parametrize("time_mode", [None, *NUMPY_MODES])
@pytest.mark.parametrize("mode", NUMPY_MODES)
def test_padding_modes_of_space_and_time(mode: str, time_mode: str | None) -> None:
    conv = Conv4d(
        2, 3, (3, 2, 3, 3), padding=(1, 2, 0, 2), padding_mode=mode, time_padding_mode=time_mode, dtype=torch.float64
    )
    x = torch.randn(2, 2, 4, 4, 5, 4, dtype=torch.float64)
    in_space = np.pad(x.numpy(), [(0, 0), (0, 0), (1, 1), (2, 2), (0, 0), (0, 0)], mode=NUMPY_MODES[mode])
    padded = np.pad(in_space, [(0, 0)] * 5 + [(2, 2)], mode=NUMPY_MODES[time_mode or mode])
    assert_near(conv(x), conv4d_reference(torch.from_numpy(padded), conv.weight, conv.bias))


@pytest.mark.parametrize("mode", NUMPY_MODES)
def test_gradient_through_every_padding_mode(mode: str) -> None:
    conv = Conv4d(1, 2, 3, padding=(1, 0, 1, 2), padding_mode=mode, dtype=torch.float64)
    x = torch.randn(2, 1, 3, 3, 3, 4, dtype=torch.float64, requires_grad=True)
    assert torch.autograd.gradcheck(conv, (x,), fast_mode=True)


@pytest.mark.filterwarnings("ignore:Using padding='same' with even kernel lengths")
@pytest.mark.parametrize("layout", ["plain", "channels_innermost"])
@pytest.mark.parametrize("mode", NUMPY_MODES)
@pytest.mark.parametrize(
    "options",
    [{"padding": 2, "stride": 2}, {"padding": "same"}, {"padding": "same", "dilation": 2}, {"padding": "valid"}],
    ids=["strided", "same", "same_dilated", "valid"],
)
def test_one_time_tap_is_conv3d_frame_by_frame(options: dict, mode: str, layout: str) -> None:
    flat = nn.Conv3d(4, 6, (2, 3, 4), groups=2, padding_mode=mode, dtype=torch.float64, **options)
    in_4d = {name: (value, value, value, 1) for name, value in options.items() if isinstance(value, int)}
    if isinstance(options["padding"], int):
        in_4d["padding"] = (options["padding"],) * 3 + (0,)
    conv = Conv4d(4, 6, (2, 3, 4, 1), groups=2, padding_mode=mode, dtype=torch.float64, **{**options, **in_4d})
    conv.load_state_dict({"weight": flat.weight.detach()[..., None], "bias": flat.bias.detach()})
    x = torch.randn(2, 4, 8, 7, 9, 3, dtype=torch.float64)
    expected = torch.stack([flat(frame) for frame in x.unbind(-1)], -1)
    assert_near(conv(channels_innermost(x) if layout == "channels_innermost" else x), expected)


def test_same_padding_keeps_every_extent_with_even_dilated_kernels() -> None:
    conv = Conv4d(1, 1, (2, 3, 4, 2), padding="same", dilation=(1, 2, 1, 3))
    assert conv(torch.zeros(1, 1, 5, 6, 7, 8)).shape == (1, 1, 5, 6, 7, 8)


def test_circular_time_makes_the_output_shift_with_a_cycle() -> None:
    x = torch.randn(1, 2, 4, 4, 4, 6)
    cyclic, zeros = Conv4d(2, 3, 3, padding=1, time_padding_mode="circular"), Conv4d(2, 3, 3, padding=1)
    assert_near(cyclic(x.roll(2, -1)), cyclic(x).roll(2, -1))
    assert not torch.allclose(zeros(x.roll(2, -1)), zeros(x).roll(2, -1), atol=1e-3)


def test_initialisation_is_that_of_torch() -> None:
    torch.manual_seed(3)
    ours = Conv4d(4, 6, (3, 3, 3, 1), groups=2)
    torch.manual_seed(3)
    theirs = nn.Conv3d(4, 6, 3, groups=2)
    assert torch.equal(ours.weight[..., 0], theirs.weight)
    assert torch.equal(ours.bias, theirs.bias)


def test_state_dict_loads_with_weights_only_and_copies() -> None:
    conv = Conv4d(2, 3, 3, padding=1, time_padding_mode="reflect")
    file = io.BytesIO()
    torch.save(conv.state_dict(), file)
    file.seek(0)
    other = Conv4d(2, 3, 3, padding=1, time_padding_mode="reflect")
    other.load_state_dict(torch.load(file, weights_only=True))
    x = torch.randn(1, 2, 3, 3, 3, 3)
    assert torch.equal(other(x), conv(x))
    assert torch.equal(copy.deepcopy(conv)(x), conv(x))


def test_device_dtype_and_bias_arguments() -> None:
    conv = Conv4d(1, 2, 3, bias=False, device="meta", dtype=torch.bfloat16)
    assert conv.bias is None
    assert (conv.weight.device.type, conv.weight.dtype, conv.weight.shape) == (
        "meta",
        torch.bfloat16,
        (2, 1, 3, 3, 3, 3),
    )


def test_printed_form_names_what_is_not_default() -> None:
    conv = Conv4d(1, 2, 3, padding=1, bias=False, time_padding_mode="circular")
    expected = (
        "Conv4d(1, 2, kernel_size=(3, 3, 3, 3), stride=(1, 1, 1, 1), padding=(1, 1, 1, 1), bias=False, "
        "time_padding_mode=circular)"
    )
    assert repr(conv) == expected
    assert "time_padding_mode" not in repr(Conv4d(1, 2, 3, padding_mode="circular"))


@pytest.mark.parametrize("mode", NUMPY_MODES)
def test_repeating_padding_keeps_the_layout(mode: str) -> None:
    x, amounts, modes = torch.randn(2, 3, 4, 4, 4, 5), [1, 0, 1, 1, 0, 1, 2, 1], [mode] * 4
    plain, frames = pad4d(x, amounts, modes), pad4d(channels_innermost(x), amounts, modes)
    assert plain.is_contiguous()
    assert to_frames(frames).data_ptr() == frames.data_ptr()
    assert torch.equal(plain, frames)


@pytest.mark.parametrize(
    "options",
    [
        {"padding": 1},
        {"padding": "same", "dilation": 2, "kernel_size": 2},
        {"padding": 1, "padding_mode": "replicate", "time_padding_mode": "circular", "stride": 2},
        {"padding": 1, "padding_mode": "reflect", "groups": 2, "bias": False},
    ],
    ids=["zeros", "same", "replicate_circular", "reflect_groups"],
)
def test_torchscript_gives_the_same_bits_on_any_shape(options: dict) -> None:
    conv = Conv4d(2, 4, **{"kernel_size": 3, **options})
    scripted = torch.jit.script(conv)
    for shape in [(1, 2, 5, 4, 3, 6), (2, 2, 3, 6, 5, 4), (1, 2, 4, 4, 4, 3)]:
        x = torch.randn(shape)
        with use_backend("composed"):
            assert torch.equal(scripted(x), conv(x))


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"groups": 3}, r"`in_channels` \(=4\) must be divisible by `groups` \(=3\)"),
        ({"groups": 4}, r"`out_channels` \(=6\) must be divisible by `groups` \(=4\)"),
        ({"groups": 0}, r"`groups` \(=0\) must be a positive integer"),
        ({"groups": 1.0}, r"`groups` \(=1.0\) must be a positive integer"),
        ({"out_channels": 0}, r"`out_channels` \(=0\) must be a positive integer"),
        ({"in_channels": 4.0}, r"`in_channels` \(=4.0\) must be a positive integer"),
        ({"kernel_size": (3, 3, 3)}, r"`kernel_size` \(=\(3, 3, 3\)\) must be one integer or four"),
        ({"stride": 0}, r"`stride` \(=0\) must be one integer or four"),
        ({"padding": -1}, r"`padding` \(=-1\) must be one integer or four"),
        ({"padding": "some"}, r"some"),
        ({"padding": "same", "stride": 2}, r"padding='same' is not supported for strided"),
        ({"padding_mode": "mirror"}, r"`padding_mode` \(='mirror'\) must be one of zeros, reflect"),
        ({"time_padding_mode": "wrap"}, r"`time_padding_mode` \(='wrap'\) must be one of zeros, reflect"),
    ],
)
def test_bad_argument_is_named(arguments: dict, message: str) -> None:
    with pytest.raises(ValueError, match=message):
        Conv4d(**{"in_channels": 4, "out_channels": 6, "kernel_size": 3, **arguments})


@pytest.mark.parametrize(("mode", "longest"), [("reflect", 0), ("circular", 1)])
def test_axis_too_short_for_its_padding_mode(mode: str, longest: int) -> None:
    conv = Conv4d(1, 1, 5, padding=2, time_padding_mode=mode)
    with pytest.raises(
        ValueError, match=f"padding mode '{mode}' adds at most {longest} to an axis of extent 1, got 2, 2"
    ):
        conv(torch.zeros(1, 1, 4, 4, 4, 1))


def test_input_without_batch_axis_is_refused() -> None:
    with pytest.raises(ValueError, match="`input` must have 6 axes"):
        Conv4d(1, 1, 3, padding=1, time_padding_mode="circular")(torch.zeros(1, 4, 4, 4, 4))
