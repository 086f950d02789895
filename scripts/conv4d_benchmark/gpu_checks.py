# SPDX-License-Identifier: Apache-2.0
"""Whether the native kernels are right on a GPU: against float64 on the CPU, and as part of PyTorch.

Each check raises an ``AssertionError`` that says what is wrong, or returns what it saw in a few words.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any, NamedTuple

import torch
from torch import Tensor

from cardiac4d.ops import conv4d, use_backend

from .gpu_device import is_cuda
from .gpu_fused import SMALL, check_fused
from .gpu_fused_in_torch import check_fused_compile, check_fused_registration
from .gpu_guards import GuardZones, lay_between_nan
from .gpu_precision import precision
from .gpu_problems import NUM_KINDS, Case, draw_cases, operands

NUM_RANDOM = 40
LIMITS = {torch.float64: 1e-13, torch.float32: 5e-6, torch.float16: 2.0**-10, torch.bfloat16: 2.0**-7}
"""Largest error of a value and its gradients, relative to the largest expected one. Half types are summed in float32
and rounded once: a unit in the last place. Float32 is checked with TF32 switched off, and then once more with it."""
TF32_LIMIT = {torch.float32: 2.0**-10}
RESULTS = ("value", "input", "weight", "bias")
"""What a call with gradients gives."""


class Outcome(NamedTuple):
    """What a check found.

    Attributes:
        name: of the check.
        passed: ``None`` where this machine could not check it.
        detail: what was seen, what is wrong, or why it could not be checked.
    """

    name: str
    passed: bool | None
    detail: str


class NotCheckedError(RuntimeError):
    """This machine lacks what a check needs; says what."""


Check = Callable[[str], str]


def small_checks() -> dict[str, Check]:
    """List few and small problems by name, for a sanitizer, or to see whether anything runs at all."""
    return {
        "values and gradients, a few": lambda device: check_values(device, NUM_KINDS),
        "values and gradients in TF32, a few": lambda device: check_tf32(device, NUM_KINDS),
        "fused layers, a few": lambda device: check_fused(device, SMALL),
    }


def checks(device: str, count: int = NUM_RANDOM) -> dict[str, Check]:
    """List the checks by name, those that other parts rely on first; with so many random problems."""
    found: dict[str, Check] = {
        "values and gradients": lambda device: check_values(device, count),
        "fused layers": check_fused,
        "same bits again": check_repeatable,
        "values and gradients in TF32": lambda device: check_tf32(device, (count + 1) // 2),
        "autocast": check_autocast,
    }
    if is_cuda(device):
        found |= {"second stream": check_stream, "CUDA graph": check_graph, "second device": check_second_device}
    return found


def late_checks(device: str) -> dict[str, Check]:
    """List those by name that take long and say less of the kernels; a CPU would take too long to compile."""
    found: dict[str, Check] = {
        "opcheck of conv4d": check_registration,
        "opcheck of fused layers": check_fused_registration,
    }
    if is_cuda(device):
        found |= {"torch.compile of conv4d": check_compile, "torch.compile of fused layers": check_fused_compile}
    return found


def run(name: str, check: Check, device: str) -> Outcome:
    """Run one check; whatever goes wrong is its finding."""
    # On the CPU the fast precision has algorithms that round more than the limits allow.
    choice = "fast" if is_cuda(device) else "exact"
    try:
        with use_backend("native", precision=choice), precision("float32"):
            return Outcome(name, True, check(device))
    except NotCheckedError as reason:
        return Outcome(name, None, str(reason))
    except Exception as error:
        return Outcome(name, False, f"{type(error).__name__}: {error}"[:400])


def _with_gradients(
    tensors: Sequence[Tensor], options: dict[str, Any], layouts: tuple[str, str] = ("plain", "plain")
) -> list[Tensor]:
    """Value and gradients of a call; the seed of the gradients is the same on every device."""
    x, weight, bias = tensors
    laid = lay_between_nan(x, layouts[0]), lay_between_nan(weight, "plain"), bias
    leaves = [tensor.detach().requires_grad_() for tensor in laid]
    out = conv4d(*leaves, **options)
    seed = torch.randn(out.shape, generator=torch.Generator().manual_seed(1)).bfloat16().to(out)
    seed = lay_between_nan(seed, layouts[1])
    return [out.detach(), *torch.autograd.grad(out, leaves, seed)]


def check_values(
    device: str,
    count: int,
    limits: Mapping[torch.dtype, float] | None = None,
    held_by: torch.dtype = torch.bfloat16,
) -> str:
    """Compare values and gradients of every dtype with float64 on the CPU, of numbers that a dtype holds."""
    limits = LIMITS if limits is None else limits
    worst, guarded = dict.fromkeys(limits, 0.0), 0
    for case in draw_cases(count, held_by):
        with use_backend("composed"):
            expected = _with_gradients(case.tensors, case.options)
        for dtype, limit in limits.items():
            error, between_zones = _compare(case, expected, dtype, limit, device)
            worst[dtype], guarded = max(worst[dtype], error), guarded + between_zones
    errors = ", ".join(f"{str(dtype)[6:]} {error:.1e}" for dtype, error in worst.items())
    results = len(RESULTS) * len(limits) * count
    return f"{count} problems, largest errors: {errors}; {guarded} of {results} results lay between guard zones"


def _compare(case: Case, expected: list[Tensor], dtype: torch.dtype, limit: float, device: str) -> tuple[float, int]:
    """Compute a case; its largest error, and how many of its results lay between guard zones."""
    tensors = [tensor.to(device, dtype) for tensor in case.tensors]
    what = f"{case.options}, {tensors[0].shape}, {case.layouts}"
    try:
        zones = GuardZones(device, [tensor.numel() * dtype.itemsize for tensor in expected])
        results = _with_gradients(tensors, case.options, case.layouts)
        found = [tensor.cpu() for tensor in results]
        zones.check()
    except (AssertionError, RuntimeError) as broken:  # a broken kernel shows with the first result, and names no call
        raise type(broken)(f"{dtype}, {what}: {broken}") from broken
    worst = 0.0
    for name, actual, right in zip(RESULTS, found, expected, strict=True):
        scale = max(right.abs().max().item(), 1e-3)
        error = (actual.double() - right).abs().max().item() / scale
        assert error <= limit, f"{name} in {dtype} is off by {error:.1e}: {what}"
        worst = max(worst, error)
    return worst, zones.count(results)


def check_tf32(device: str, count: int = NUM_RANDOM // 2) -> str:
    """Compare values and gradients of float32 where torch's flags allow TF32."""
    with precision("tf32"):
        return check_values(device, count, TF32_LIMIT, torch.float32)  # which TF32 must round


def _fixed(device: str, dtype: torch.dtype) -> tuple[tuple[Tensor, ...], dict[str, Any]]:
    """One problem for tensor cores, of several tiles."""
    tensors = operands(0, (2, 8, 19, 18, 33, 9), (8, 8, 3, 3, 3, 3))
    return tuple(tensor.to(device, dtype) for tensor in tensors), {"padding": 1}


def _same(first: list[Tensor], second: list[Tensor], what: str) -> None:
    for a, b in zip(first, second, strict=True):
        assert torch.equal(a, b), f"{what} gives other bits: {(a - b).abs().max().item():.1e}"


def check_repeatable(device: str) -> str:
    """Compute the same again on every path of conv4d, in every dtype, and in TF32 where there is that."""
    kinds = {str(dtype)[6:]: (dtype, "float32") for dtype in LIMITS}
    if is_cuda(device):
        kinds["TF32"] = torch.float32, "tf32"
    for name, (dtype, chosen) in kinds.items():
        for case in draw_cases(NUM_KINDS):
            tensors = tuple(tensor.to(device, dtype) for tensor in case.tensors)
            with precision(chosen):
                first, second = (_with_gradients(tensors, case.options, case.layouts) for _ in range(2))
            _same(first, second, f"another call in {name}")
    return f"2 calls each of {NUM_KINDS} problems of conv4d, one for each path, in {', '.join(kinds)}"


def check_autocast(device: str) -> str:
    """Autocast computes in its dtype, and gradients come back in that of the tensors."""
    tensors, options = _fixed(device, torch.float32)
    for dtype in (torch.bfloat16, torch.float16):
        with torch.autocast(device, dtype):
            out = conv4d(tensors[0], tensors[1].requires_grad_(), tensors[2], **options)
        assert out.dtype == dtype, f"{out.dtype} under autocast of {dtype}"
        (gradient,) = torch.autograd.grad(out.float().square().mean(), tensors[1])
        assert gradient.dtype == torch.float32, f"a gradient in {gradient.dtype}"
    return "bfloat16 and float16"


def check_compile(device: str) -> str:
    """Compile a call and its backward as one graph."""
    tensors, options = _fixed(device, torch.bfloat16)
    leaves = [tensor.requires_grad_() for tensor in tensors]
    compiled = torch.compile(lambda *t: conv4d(*t, **options) * 2, fullgraph=True)
    plain = conv4d(*leaves, **options) * 2
    fast = compiled(*leaves)
    assert torch.equal(plain, fast), "the compiled value differs"
    gradients = [torch.autograd.grad(out.sum(), leaves[1])[0] for out in (plain, fast)]
    assert torch.equal(*gradients), "the compiled gradient differs"
    return "fullgraph, with backward"


def check_registration(device: str) -> str:
    """Run torch's own check of operators: schema, fake kernel, autograd, compiler."""
    tensors, _ = _fixed(device, torch.float32)
    leaves = [tensor[:, :, :4, :4, :4, :4].requires_grad_() if tensor.dim() == 6 else tensor for tensor in tensors]
    ones = [1, 1, 1, 1]
    torch.library.opcheck(torch.ops.cardiac4d.conv4d.default, (*leaves, ones, ones, ones, 1, 0))
    return "conv4d with gradients"


def check_stream(device: str) -> str:
    """Compute on a stream of its own, behind work that makes the operands there."""
    tensors, options = _fixed(device, torch.bfloat16)
    expected = _with_gradients(tensors, options)
    stream = torch.cuda.Stream()
    stream.wait_stream(torch.cuda.current_stream())
    with torch.cuda.stream(stream):
        torch.cuda._sleep(10_000_000)
        copies = tuple(tensor.clone() for tensor in tensors)
        found = _with_gradients(copies, options)
    torch.cuda.current_stream().wait_stream(stream)
    _same(expected, found, "another stream")
    return "behind copies on the same stream"


def check_graph(device: str) -> str:
    """Capture value and gradients in a CUDA graph, and replay it with other numbers."""
    tensors, options = _fixed(device, torch.bfloat16)
    seed = torch.ones_like(conv4d(*tensors, **options))
    static = [tensor.clone().requires_grad_() for tensor in tensors]

    def step() -> list[Tensor]:
        out = conv4d(*static, **options)
        return [out, *torch.autograd.grad(out, static, seed)]

    stream = torch.cuda.Stream()
    stream.wait_stream(torch.cuda.current_stream())
    with torch.cuda.stream(stream):
        step()
    torch.cuda.current_stream().wait_stream(stream)
    graph = torch.cuda.CUDAGraph()
    with torch.cuda.graph(graph):
        captured = step()
    with torch.no_grad():
        static[0].copy_(tensors[0].flip(2))
    graph.replay()
    _same([tensor.clone() for tensor in captured], step(), "a replayed graph")
    return "value and gradients, replayed with another input"


def check_second_device(device: str) -> str:
    """Compute on a device that is not the current one."""
    if torch.cuda.device_count() < 2:
        raise NotCheckedError("there is one device")
    tensors, options = _fixed(device, torch.bfloat16)
    expected = _with_gradients(tensors, options)
    found = _with_gradients(tuple(tensor.to("cuda:1") for tensor in tensors), options)
    _same(expected, [tensor.to("cuda:0") for tensor in found], "another device")
    return "cuda:1, while cuda:0 is current"
