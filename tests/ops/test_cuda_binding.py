# SPDX-License-Identifier: Apache-2.0
"""How CUDA tensors reach their kernels: choice of the backend, layouts, memory. No GPU is needed.

The binding that the package compiles runs here on tensors of the CPU, with emulated kernels behind it; what it asks
torch about devices is answered by ``tests/helpers/cuda_emulation/binding.cpp``. torch's fake tensors stand for CUDA
tensors.
"""

from __future__ import annotations

from typing import Any

import pytest
import torch
from torch import Tensor
from torch._subclasses import FakeTensorMode

from cardiac4d.ops import (
    BackendError,
    backend_info,
    conv4d,
    conv4d_input,
    conv4d_weight,
    fusion,
    layout,
    native,
    sources,
    use_backend,
)
from cardiac4d.ops.backend import TF32, precision_code, runs_native
from cardiac4d.ops.fusion import fuses_block, fuses_softmax, fuses_sums, fuses_upsample_add, fuses_upsample_conv
from cardiac4d.ops.layout import from_frames, to_frames
from cardiac4d.ops.reference import conv4d_reference
from cardiac4d.ops.settings import PRECISIONS
from tests.helpers.backends import needs_compiler, needs_cuda_library, needs_native
from tests.helpers.comparison import check
from tests.helpers.conv4d_cases import CASES, make_problem
from tests.helpers.cuda_kernels import OPERATORS
from tests.helpers.fused_cuda_calls import LIMITS, TF32_LIMIT, is_frames
from tests.helpers.tolerances import assert_near


def _positional(options: dict[str, Any]) -> list[Any]:
    """Stride, padding, dilation, groups and precision as the operators take them."""
    defaults = {"stride": 1, "padding": 0, "dilation": 1, "groups": 1}
    *sizes, groups = ({**defaults, **options}[name] for name in defaults)
    return [*([size] * 4 if isinstance(size, int) else list(size) for size in sizes), groups, 0]


@needs_compiler
@pytest.mark.parametrize("layout", ["plain", "frames", "strided"])
@pytest.mark.parametrize("name", ["cube", "groups_strided_dilated", "one_voxel"])
def test_operators_compute_the_reference_from_any_layout(operators: Any, name: str, layout: str) -> None:
    x, weight, bias, options = make_problem(name, requires_grad=True)
    expected = conv4d_reference(x, weight, bias, **options)
    seed = torch.randn_like(expected)
    by_x, by_weight = torch.autograd.grad(expected, (x, weight), seed)

    def lay(tensor: Tensor) -> Tensor:
        tensor = tensor.detach()
        if layout == "strided":
            return tensor.repeat_interleave(2, 4)[..., ::2, :]
        return from_frames(to_frames(tensor)) if layout == "frames" else tensor

    arguments = _positional(options)
    y = operators.conv4d(lay(x), lay(weight), bias.detach(), *arguments)
    dx = operators.conv4d_input(list(x.shape), lay(weight), lay(seed), *arguments)
    dw = operators.conv4d_weight(lay(x), list(weight.shape), lay(seed), *arguments)
    for actual, right in ((y, expected), (dx, by_x), (dw, by_weight)):
        assert_near(actual, right)
    assert is_frames(y)
    assert is_frames(dx)
    assert dw.is_contiguous()
    assert operators.guards_alive() == 0


@needs_compiler
def test_operators_take_every_dtype_and_an_empty_batch(operators: Any) -> None:
    x, weight, _, options = make_problem("cube")
    for dtype in (torch.float32, torch.bfloat16, torch.float16):
        y = operators.conv4d(x.to(dtype), weight.to(dtype), None, *_positional(options))
        assert y.dtype == dtype
        assert_near(y, conv4d_reference(x.to(dtype), weight.to(dtype), **options))
    empty = operators.conv4d(x[:0], weight, None, *_positional(options))
    assert empty.shape[0] == 0
    gradient = operators.conv4d_weight(x[:0], list(weight.shape), empty, *_positional(options))
    assert torch.equal(gradient, torch.zeros_like(weight))


@needs_compiler
@pytest.mark.parametrize("precision", range(TF32 + 1))
def test_operators_take_every_precision(operators: Any, precision: int) -> None:
    """Of float32 in eight channels, where the precision chooses the kernel."""
    x, weight = (torch.randn(size) for size in ((2, 8, 3, 4, 5, 3), (8, 8, 3, 3, 3, 3)))
    exact = [tensor.double().requires_grad_() for tensor in (x, weight)]
    expected = conv4d_reference(*exact, padding=1)
    seed = torch.randn(expected.shape)
    right = [expected, *torch.autograd.grad(expected, exact, seed.double())]
    arguments = [*_positional({"padding": 1})[:-1], precision]
    results = [
        operators.conv4d(x, weight, None, *arguments),
        operators.conv4d_input(list(x.shape), weight, seed, *arguments),
        operators.conv4d_weight(x, list(weight.shape), seed, *arguments),
    ]
    for actual, theirs in zip(results, right, strict=True):
        check(actual, theirs, TF32_LIMIT if precision == TF32 else LIMITS[torch.float32])
        if precision == TF32:
            with pytest.raises(AssertionError):  # else nothing was rounded
                check(actual, theirs, LIMITS[torch.float32])


@needs_compiler
def test_operators_take_views_that_begin_anywhere(operators: Any) -> None:
    x, weight = torch.randn(1, 8, 3, 3, 3, 3).bfloat16(), torch.randn(8, 8, 3, 3, 3, 3).bfloat16()
    shifted = torch.empty(x.numel() + 1, dtype=x.dtype)[1:].view(1, 3, 3, 3, 3, 8)
    view = from_frames(shifted.copy_(to_frames(x)))
    assert view.data_ptr() % 16 != 0
    arguments = _positional({"padding": 1})
    y = operators.conv4d(x, weight, None, *arguments)
    assert torch.equal(operators.conv4d(view, weight, None, *arguments), y)
    gradients = [operators.conv4d_weight(tensor, list(weight.shape), y, *arguments) for tensor in (view, x)]
    assert torch.equal(*gradients)


@needs_compiler
def test_operators_refuse_what_would_read_beyond_memory(operators: Any) -> None:
    x, weight, bias, options = make_problem("cube")
    arguments = _positional(options)
    with pytest.raises(RuntimeError, match="weight must be on the device and have the dtype of the other"):
        operators.conv4d(x, weight.float(), None, *arguments)
    with pytest.raises(RuntimeError, match="bias has the wrong size"):
        operators.conv4d(x, weight, bias[1:], *arguments)
    with pytest.raises(RuntimeError, match="grad_output has the wrong size"):
        operators.conv4d_weight(x, list(weight.shape), x, *arguments)
    with pytest.raises(RuntimeError, match="do not fit groups"):
        operators.conv4d(x[:, 1:], weight, None, *arguments)
    assert operators.guards_alive() == 0


@needs_compiler
@needs_native
@pytest.mark.parametrize("name", ["cube", "groups_strided_dilated", "one_voxel", "one_frame"])
def test_fake_results_have_the_sizes_and_strides_of_the_real_ones(
    operators: Any, name: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(native, "CUDA_PROBLEM", "")
    x, weight, bias, options = make_problem(name)
    arguments = _positional(options)
    y = operators.conv4d(x, weight, bias, *arguments)
    real = [
        y,
        operators.conv4d_input(list(x.shape), weight, y, *arguments),
        operators.conv4d_weight(x, list(weight.shape), y, *arguments),
    ]
    with FakeTensorMode(), use_backend("native"):
        x, weight, bias = (torch.empty(t.shape, dtype=t.dtype, device="cuda") for t in (x, weight, bias))
        y = conv4d(x, weight, bias, **options)
        fake = [y, conv4d_input(x.shape, weight, y, **options), conv4d_weight(x, weight.shape, y, **options)]
    assert [(t.shape, t.stride(), t.dtype) for t in fake] == [(t.shape, t.stride(), t.dtype) for t in real]
    assert {t.device.type for t in fake} == {"cuda"}


@pytest.fixture
def cuda_tensor() -> Tensor:
    with FakeTensorMode():
        return torch.empty(1, 8, 4, 4, 4, 4, device="cuda")


@needs_native
def test_cuda_kernels_serve_where_they_are_asked_for(cuda_tensor: Tensor, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(native, "CUDA_PROBLEM", "")
    monkeypatch.setattr("cardiac4d.ops.info.architectures_of_library", lambda library: "90")  # it may not be there
    with use_backend("auto", strict=True):
        assert not runs_native(cuda_tensor)
        assert backend_info()["cuda_backend"] == "composed"
    with use_backend("native"):
        assert runs_native(cuda_tensor)
        assert backend_info()["cuda_backend"] == "native"


def test_missing_cuda_library_is_an_error_where_it_is_asked_for(
    cuda_tensor: Tensor, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(native, "CUDA_PROBLEM", "not built: where nvcc is, run it")
    with use_backend("native"):
        with pytest.raises(BackendError, match="the native library for CUDA is not built: where nvcc is, run it"):
            runs_native(cuda_tensor)
        info = backend_info()
    assert (info["cuda_backend"], info["cuda_architectures"]) == ("none: an error", "none")
    assert info["cuda"] == native.CUDA_PROBLEM


@needs_native
@pytest.mark.parametrize("autocast", [False, True])
def test_fused_kernels_serve_where_they_are_asked_for(autocast: bool, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(native, "CUDA_PROBLEM", "")
    # The context manager wants a GPU.
    monkeypatch.setattr(torch, "is_autocast_enabled", lambda device: autocast and device == "cuda")
    monkeypatch.setattr(torch, "get_autocast_dtype", lambda device: torch.bfloat16)

    def answers(x: Tensor) -> list[bool]:
        weight, norm = torch.empty(8, 8, 1, 1, 1, 1, device="cuda"), torch.empty(8, device="cuda")
        skip = layout.new_empty_for_kernels(x, [1, 8, 8, 7, 8, 7])
        with torch.no_grad():
            return [
                fuses_sums(x, weight, None),
                fuses_block(x, 8, [norm], [weight]),
                fuses_upsample_conv(x, weight, None, skip),
                fuses_upsample_add(x, skip),
                fuses_softmax(x, weight, None),
            ]

    with FakeTensorMode(), use_backend("native", fused=True):
        plain, image = (torch.empty(1, channels, 4, 4, 4, 4, device="cuda") for channels in (8, 1))
        frames = layout.new_empty_for_kernels(plain, plain.shape)
        assert answers(plain) == [True, False, False, False, True]
        assert answers(frames) == [True, not autocast, not autocast, True, True]
        assert answers(frames.bfloat16()) == [autocast, autocast, autocast, True, autocast]
        assert answers(frames.double()) == [False] * 5
        assert fuses_sums(image, torch.empty(8, 1, 3, 3, 3, 3, device="cuda"), None)
        with use_backend("auto"):
            assert answers(frames) == [False] * 5


@needs_cuda_library
def test_library_registers_the_kernels_for_cuda_tensors() -> None:
    for name in OPERATORS:
        assert torch._C._dispatch_has_kernel_for_dispatch_key(f"cardiac4d::{name}", "CUDA")
    assert backend_info()["cuda"] == "loaded"
    assert backend_info()["cuda_architectures"]


@pytest.mark.needs_cuda
@pytest.mark.parametrize("dtype", [torch.float64, torch.float32, torch.bfloat16, torch.float16])
@pytest.mark.parametrize("name", CASES)
def test_gpu_computes_the_reference_and_the_same_bits_again(name: str, dtype: torch.dtype) -> None:
    x, weight, bias, options = make_problem(name)
    operands = [tensor.to(dtype) for tensor in (x, weight, bias)]
    leaves = [tensor.cuda().requires_grad_() for tensor in operands]
    references = [tensor.double().requires_grad_() for tensor in operands]
    expected = conv4d_reference(*references, **options)
    seed = torch.randn_like(expected).to(dtype)
    right = [expected, *torch.autograd.grad(expected, references, seed.double())]
    with use_backend("native"):
        results = []
        for _ in range(2):
            out = conv4d(*leaves, **options)
            results.append([out, *torch.autograd.grad(out, leaves, seed.cuda())])
    for first, second, correct in zip(*results, right, strict=True):
        assert torch.equal(first, second)
        assert_near(first.cpu(), correct)


@pytest.mark.parametrize(("allowed", "precision"), [(True, "fast"), (True, "exact"), (False, "fast")])
def test_float32_is_tf32_on_a_gpu_where_torch_and_the_precision_allow_it(allowed: bool, precision: str) -> None:
    with FakeTensorMode():
        on_gpu = torch.empty(1, device="cuda")
    asked_for = PRECISIONS.index(precision)
    torch.compiler.reset()  # compiled code keeps what held when it was compiled
    with torch.backends.cudnn.flags(allow_tf32=allowed), use_backend(precision=precision):
        code = torch.compile(precision_code, fullgraph=True, backend="eager")(on_gpu)
        assert code == precision_code(on_gpu) == (TF32 if allowed and precision == "fast" else asked_for)
        assert precision_code(torch.empty(1)) == precision_code(on_gpu.half()) == asked_for


def test_limits_of_a_head_are_those_of_the_kernels() -> None:
    header = (sources.CSRC / "cuda" / "fused.h").read_text()
    assert f"C4D_CUDA_MAX_HEAD = {fusion.MAX_HEAD} " in header
    assert f"C4D_CUDA_MAX_CLASSES = {fusion.MAX_CLASSES} " in header


def test_code_of_tf32_is_that_of_the_kernels() -> None:
    assert f"C4D_TF32 = {TF32} " in (sources.CSRC / "conv4d_problem.h").read_text()
