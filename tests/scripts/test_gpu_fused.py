# SPDX-License-Identifier: Apache-2.0
"""The check of a GPU: fused layers, their operands, and what the sanitizers see of them."""

from __future__ import annotations

import importlib
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import torch
from torch.utils._python_dispatch import TorchDispatchMode

from tests.helpers.backends import needs_native


@pytest.fixture
def part(repo_root: Path, monkeypatch: pytest.MonkeyPatch) -> Callable[[str], Any]:
    """Imports a module of the benchmarks by the end of its name."""
    monkeypatch.syspath_prepend(str(repo_root / "scripts"))
    return lambda name: importlib.import_module(f"conv4d_benchmark.gpu_{name}")


@needs_native
def test_small_checks_reach_every_kind_of_kernel(part: Any) -> None:
    """The sanitizers see what these call, and nothing else: here in float32, as a CPU has it."""
    checks, called = part("checks"), set[str]()

    class Names(TorchDispatchMode):
        def __torch_dispatch__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
            called.add(func.name())
            return func(*args, **(kwargs or {}))

    with Names():
        for name, check in checks.small_checks().items():
            assert checks.run(name, check, "cpu").passed, name
    ours = {name.removeprefix("cardiac4d::") for name in called if name.startswith("cardiac4d::")}
    assert ours >= {"conv4d", "conv4d_sums", "residual_block", "residual_block_backward", "upsample_conv_add"}
    assert ours >= {"upsample_backward", "pointwise_softmax", "softmax_sums", "softmax_sums_backward"}


@needs_native
def test_fused_layers_are_checked(part: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    fused, laid = part("fused"), []
    problems = replace(fused.LARGE, blocks=fused.BLOCKS[-1:])
    lay = fused.lay_between_nan
    monkeypatch.setattr(fused, "lay_between_nan", lambda x, layout: laid.append(layout) or lay(x, layout))
    assert fused.check_fused("cpu", problems).startswith("largest errors of values: float32 ")
    assert laid == ["plain"] * 2 * (1 + 2 + 3)  # block, network twice, loss of 2, 3 and 5 classes
    monkeypatch.setattr(fused, "LIMITS", {"float32": (1e-5, 1e-9)})
    with pytest.raises(AssertionError, match=r"\(2, 6, 5, 4, 7, 3\) in float32: error .* of 1"):
        fused.check_fused("cpu", problems)
    monkeypatch.setattr(fused, "is_cuda", lambda device: True)
    frames = fused.lay_out(torch.ones(2, 3, 4, 4, 4, 4), "cpu")
    assert laid[-1] == "frames"
    assert frames.stride(1) == 1


@needs_native
@pytest.mark.slow
def test_compiled_graphs_of_fused_layers_are_compared(part: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    fused, compile_graph = part("fused_in_torch"), torch.compile
    monkeypatch.setattr(torch, "compile", lambda call, **options: compile_graph(call, backend="aot_eager", **options))
    assert fused.check_fused_compile("cpu") == "residual_block and softmax_sums: fullgraph, with backward"
    monkeypatch.setattr(torch, "compile", lambda call, **options: lambda *tensors: 1.5 * call(*tensors))
    with pytest.raises(AssertionError, match="residual_block: the compiled value differs"):
        fused.check_fused_compile("cpu")
