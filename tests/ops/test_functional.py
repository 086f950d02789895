# SPDX-License-Identifier: Apache-2.0
"""``conv4d`` on every backend: against ``conv3d`` where an axis has extent one, any strides, arguments, autocast.

``test_table.py`` compares it with the float64 reference.
"""

from __future__ import annotations

from collections.abc import Iterator

import pytest
import torch
from torch import Tensor
from torch.nn.functional import conv3d

from cardiac4d.ops import conv4d, use_backend
from cardiac4d.ops.layout import to_frames
from cardiac4d.ops.reference import conv4d_reference
from tests.helpers.backends import BACKENDS
from tests.helpers.conv4d_cases import CASES, channels_innermost, make_problem
from tests.helpers.tolerances import assert_near

BATCHED_CUBE = make_problem("cube", batch=3)
HALF = [torch.bfloat16, torch.float16]


@pytest.fixture(autouse=True, params=BACKENDS)
def backend(request: pytest.FixtureRequest) -> Iterator[str]:
    """Run every test on every backend; a fallback is an error."""
    with use_backend(request.param):
        yield request.param


@pytest.mark.parametrize("name", ["cube", "one_input_channel_strided", "groups_strided_dilated"])
def test_gradients_agree_with_finite_differences(name: str) -> None:
    x, weight, bias, options = make_problem(name, requires_grad=True)

    def tiny(x: Tensor, weight: Tensor, bias: Tensor) -> Tensor:
        return conv4d(x, weight, bias, **options)[..., :2]

    assert torch.autograd.gradcheck(tiny, (x, weight, bias), fast_mode=True)
    assert torch.autograd.gradgradcheck(tiny, (x, weight, bias), fast_mode=True)


@pytest.mark.parametrize("stride", [1, 2])
@pytest.mark.parametrize("axis", range(4), ids="HWDT")
def test_axis_of_extent_one_is_conv3d(axis: int, stride: int) -> None:
    x, weight = torch.randn(2, 4, 5, 4, 6, dtype=torch.float64), torch.randn(6, 2, 3, 2, 3, dtype=torch.float64)
    bias = torch.randn(6, dtype=torch.float64)
    expected = conv3d(x, weight, bias, stride=stride, padding=1, dilation=(1, 2, 1), groups=2)
    padding, dilation = [1, 1, 1], [1, 2, 1]
    padding.insert(axis, 0)
    dilation.insert(axis, 1)
    actual = conv4d(
        x.unsqueeze(2 + axis),
        weight.unsqueeze(2 + axis),
        bias,
        stride=stride,
        padding=padding,
        dilation=dilation,
        groups=2,
    )
    assert_near(actual.squeeze(2 + axis), expected)


def test_frames_stay_within_their_sample() -> None:
    x, weight, bias, options = BATCHED_CUBE
    together = conv4d(x, weight, bias, **options)
    alone = torch.cat([conv4d(sample[None], weight, bias, **options) for sample in x])
    assert_near(together, alone)


@pytest.mark.parametrize("name", ["cube", "one_input_channel", "wide", "groups"])
def test_empty_batch_gives_an_empty_result_and_zero_gradients(name: str) -> None:
    x, weight, bias, options = make_problem(name, batch=0, requires_grad=True)
    out = conv4d(x, weight, bias, **options)
    assert out.shape == (0, *conv4d(make_problem(name).input, weight, bias, **options).shape[1:])
    grads = torch.autograd.grad(out.sum(), (x, weight, bias))
    assert all(not grad.any() for grad in grads)


LAYOUTS = {
    "plain": lambda x: x,
    "channels_innermost": channels_innermost,
    "time_first": lambda x: x.permute(5, 0, 1, 2, 3, 4).contiguous().permute(1, 2, 3, 4, 5, 0),
    "slice": lambda x: x.repeat_interleave(2, 0).repeat(1, 1, 1, 1, 1, 2)[::2, ..., : x.shape[-1]],
    "reversed_memory": lambda x: x.permute(5, 4, 3, 2, 1, 0).contiguous().permute(5, 4, 3, 2, 1, 0),
}


@pytest.mark.parametrize("layout", LAYOUTS)
def test_any_strides_give_the_same_values(layout: str) -> None:
    x, weight, bias, options = BATCHED_CUBE
    view = LAYOUTS[layout](x)
    assert torch.equal(view, x)
    assert torch.equal(conv4d(view, weight, bias, **options), conv4d(x, weight, bias, **options))


def test_expanded_input_and_transposed_weight() -> None:
    x, weight, bias, options = BATCHED_CUBE
    expanded = x[:1, :1].expand(2, 2, -1, -1, -1, -1)
    turned = weight.transpose(2, 5)
    expected = conv4d_reference(expanded, turned, bias, **options)
    assert_near(conv4d(expanded, turned, bias, **options), expected)


@pytest.mark.parametrize("name", ["cube", "one_input_channel", "stride_2_even_frames", "groups", "pointwise"])
def test_result_is_in_the_layout_of_the_backend(name: str, backend: str) -> None:
    x, weight, bias, options = make_problem(name)
    for view in (x, channels_innermost(x)):
        out = conv4d(view, weight, bias, **options)
        assert out.is_contiguous() if backend == "native" else to_frames(out).data_ptr() == out.data_ptr()


def test_input_is_not_changed() -> None:
    x, weight, bias, options = make_problem("cube")
    before = x.clone(), weight.clone(), bias.clone()
    conv4d(x, weight, bias, **options)
    assert all(torch.equal(now, then) for now, then in zip((x, weight, bias), before, strict=True))


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"input": torch.zeros(1, 2, 4, 4, 4)}, r"`input` must have 6 axes .* got shape \[1, 2, 4, 4, 4\]"),
        ({"weight": torch.zeros(3, 2, 3, 3, 3)}, r"`weight` must have 6 axes .* got shape \[3, 2, 3, 3, 3\]"),
        ({"weight": torch.zeros(3, 5, 1, 1, 1, 1)}, r"`input` has 2 channels, but `weight` .* needs 5"),
        ({"groups": 2}, r"`groups` \(=2\) must be positive and divide the output channels \(=3\)"),
        ({"groups": 0}, r"`groups` \(=0\) must be a positive integer"),
        ({"groups": 1.0}, r"`groups` \(=1.0\) must be a positive integer"),
        ({"groups": "1"}, r"`groups` \(='1'\) must be a positive integer"),
        ({"input": torch.zeros(1, 2, 4, 4, 4, 4).double()}, "`weight` is torch.float32 on cpu, but `input` is .*64 on"),
        (
            {"bias": torch.zeros(3, device="meta")},
            "`bias` is torch.float32 on meta, but `input` is .*32 on cpu",
        ),
        ({"bias": torch.zeros(2)}, r"`bias` must have shape \[3\], got \[2\]"),
        ({"stride": 0}, r"`stride` \(=0\) must be one integer or four \(H, W, D, T\), each >= 1"),
        ({"stride": (1, 1, 2)}, r"`stride` \(=\(1, 1, 2\)\) must be one integer or four"),
        ({"padding": (0, 0, 0, -1)}, r"`padding` \(=\(0, 0, 0, -1\)\) must be one integer or four .* >= 0"),
        ({"padding": 2**63 - 1}, r"`padding` \(=9223372036854775807\) must be .* < 2\*\*31"),
        ({"weight": torch.zeros(3, 0, 3, 3, 3, 3)}, r"`weight` must have channels on both sides, got shape \[3, 0,"),
        ({"weight": torch.zeros(0, 2, 3, 3, 3, 3)}, r"`weight` must have channels on both sides, got shape \[0, 2,"),
        ({"padding": "same"}, r"`padding` \(='same'\) must be one integer or four"),
        ({"dilation": 1.5}, r"`dilation` \(=1.5\) must be one integer or four"),
        ({"dilation": (1, 1, 1, 2)}, r"extent 3 with `dilation` \(=2\) does not fit .* extent 4 .* on axis T"),
        ({"input": torch.zeros(1, 2, 4, 2, 4, 4)}, r"does not fit into `input` of extent 2 .* on axis W"),
        ({"input": torch.zeros(1, 2, 4, 4, 0, 4), "padding": 3}, r"`input` of extent 0 .* on axis D"),
    ],
)
def test_bad_argument_is_named(arguments: dict, message: str) -> None:
    valid = {"input": torch.zeros(1, 2, 4, 4, 4, 4), "weight": torch.zeros(3, 2, 3, 3, 3, 3)}
    with pytest.raises(ValueError, match=message):
        conv4d(**{**valid, **arguments})


def test_what_is_no_tensor_is_named() -> None:
    x, weight = torch.zeros(1, 2, 4, 4, 4, 4), torch.zeros(3, 2, 3, 3, 3, 3)
    for arguments, name in (((x.numpy(), weight), "input"), ((x, [1.0]), "weight"), ((x, weight, 1.0), "bias")):
        with pytest.raises(TypeError, match=f"`{name}` must be a torch.Tensor, got (ndarray|list|float)"):
            conv4d(*arguments)


@pytest.mark.parametrize("dtype", HALF)
def test_autocast_decides_the_dtype_as_for_conv3d(dtype: torch.dtype) -> None:
    x, weight, bias, options = make_problem("cube")
    with torch.autocast("cpu", dtype):
        from_float = conv4d(x.float(), weight.float(), bias.float(), **options)
        from_double = conv4d(x, weight, bias, **options)
        assert conv3d(x[..., 0].float(), weight[..., 0].float()).dtype == from_float.dtype == dtype
        assert conv3d(x[..., 0], weight[..., 0]).dtype == from_double.dtype == torch.float64
        # Parts of complex and whole numbers would be lost without a word; the mixture is refused, as torch does.
        for other in (x.to(torch.complex64), x.int()):
            with pytest.raises(ValueError, match=f"`weight` is {dtype} on cpu, but `input` is {other.dtype} on cpu"):
                conv4d(other, weight.float(), **options)
    assert_near(from_float, conv4d_reference(x, weight, bias, **options))


@pytest.mark.parametrize("dtype", HALF)
def test_autocast_returns_gradients_in_the_dtype_of_the_parameters(dtype: torch.dtype) -> None:
    x, weight, bias, options = make_problem("cube")
    weight, bias = weight.float().requires_grad_(), bias.float().requires_grad_()
    with torch.autocast("cpu", dtype):
        out = conv4d(x.float(), weight, bias, **options)
    grads = torch.autograd.grad(out.float().sum(), (weight, bias))
    assert [grad.dtype for grad in grads] == [torch.float32, torch.float32]


def test_meta_tensors_give_the_shape() -> None:
    x, weight, bias, options = make_problem("dilated_unequal_strided")
    with use_backend("auto"):
        on_meta = conv4d(x.to("meta"), weight.to("meta"), bias.to("meta"), **options)
    assert on_meta.shape == conv4d(x, weight, bias, **options).shape


@pytest.mark.needs_cuda
@pytest.mark.parametrize("name", CASES)
def test_forward_on_cuda_is_the_reference(name: str) -> None:
    x, weight, bias, options = make_problem(name)
    with use_backend("auto"):
        actual = conv4d(x.cuda(), weight.cuda(), bias.cuda(), **options)
    assert_near(actual.cpu(), conv4d_reference(x, weight, bias, **options))
