# SPDX-License-Identifier: Apache-2.0
"""The check of a GPU: what it says without one, and its parts that any device runs, on the CPU."""

from __future__ import annotations

import importlib
import json
import math
import runpy
import signal
import sys
from contextlib import nullcontext
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import Tensor

from cardiac4d import Conv4d
from cardiac4d.networks import EncoderDecoder
from cardiac4d.ops import conv4d
from tests.helpers.backends import needs_native
from tests.helpers.process import run_python

TINY = (8, 6, 5, 4)


@pytest.fixture
def script(repo_root: Path, monkeypatch: pytest.MonkeyPatch) -> dict[str, Any]:
    monkeypatch.syspath_prepend(str(repo_root / "scripts"))
    return runpy.run_path(str(repo_root / "scripts" / "gpu_check.py"))


@pytest.fixture
def checks(script: dict[str, Any]) -> Any:
    return importlib.import_module("conv4d_benchmark.gpu_checks")


def test_without_a_gpu_it_says_so_and_checks_nothing(
    script: dict[str, Any], monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(torch.cuda, "is_available", lambda: False)
    assert script["main"]([]) == 2
    said = capsys.readouterr().out
    assert said.startswith(f"no GPU: torch {torch.__version__} finds no CUDA device. Nothing was checked.\n")
    assert "--dry_run" in said


@pytest.fixture
def small(checks: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    tensors = checks.operands(0, (1, 8, 5, 4, 3, 5), (8, 8, 3, 3, 3, 3))
    fixed = lambda device, dtype, *_: (tuple(tensor.to(dtype) for tensor in tensors), {"padding": 1})  # noqa: E731
    monkeypatch.setattr(checks, "_fixed", fixed)
    monkeypatch.setattr(checks, "NUM_KINDS", 2)


@needs_native
@pytest.mark.usefixtures("small")
def test_small_checks_run_on_the_cpu(script: dict[str, Any], capsys: pytest.CaptureFixture[str]) -> None:
    assert script["main"](["--small", "--dry_run"]) == 0
    assert signal.alarm(0) == 0  # nothing ends this process later
    said = capsys.readouterr().out
    assert "- passed values and gradients, a few: 2 problems" in said
    assert "- passed values and gradients in TF32, a few: 2 problems" in said
    assert "- passed fused layers, a few: largest errors of values: float32" in said
    assert said.endswith("3 of 3 checks passed\n")


@needs_native
def test_same_bits_are_asked_for_in_tf32_on_a_gpu(checks: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    seen: list[tuple[torch.dtype, bool]] = []

    def compute(tensors: Any, *_: Any) -> list[Tensor]:
        seen.append((tensors[0].dtype, torch.backends.cudnn.allow_tf32))
        return [torch.zeros(())]

    monkeypatch.setattr(checks, "_with_gradients", compute)
    monkeypatch.setattr(checks, "is_cuda", lambda device: True)
    said = checks.check_repeatable("cpu")
    assert said.endswith("5 problems of conv4d, one for each path, in float64, float32, float16, bfloat16, TF32")
    assert seen[-10:] == [(torch.float32, True)] * 10
    assert len(seen) == 5 * 5 * 2
    assert sum(fast for _, fast in seen) == 10


def test_check_that_this_machine_cannot_do_has_neither_passed_nor_failed(
    checks: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(torch.cuda, "device_count", lambda: 1)
    outcome = checks.run("second device", checks.check_second_device, "cpu")
    assert outcome == ("second device", None, "there is one device")


@needs_native
def test_wrong_kernel_fails(checks: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    def wrong(x: torch.Tensor, *others: Any, **options: Any) -> torch.Tensor:
        return conv4d(x, *others, **options) * (1 if x.dtype == torch.float64 else 1.02)

    monkeypatch.setattr(checks, "conv4d", wrong)
    outcome = checks.run("values", lambda device: checks.check_values(device, 1), "cpu")
    assert not outcome.passed
    assert "value in torch.float32 is off by 2.0e-02" in outcome.detail


@needs_native
@pytest.mark.usefixtures("small")
def test_float32_is_checked_with_tf32_and_without(checks: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    seen: dict[str, Any] = {}

    def check(device: str, count: int, *options: Any) -> str:
        seen["with" if torch.backends.cudnn.allow_tf32 else "without"] = options
        return ""

    before = torch.backends.cudnn.allow_tf32
    monkeypatch.setattr(checks, "check_values", check)
    for name in ("values and gradients", "values and gradients in TF32"):
        assert checks.run(name, checks.checks("cpu", 2)[name], "cpu").passed
    assert seen == {"without": (), "with": ({torch.float32: 2.0**-10}, torch.float32)}
    assert torch.backends.cudnn.allow_tf32 == before


@needs_native
@pytest.mark.usefixtures("small")
def test_autocast_is_checked(checks: Any) -> None:
    assert checks.check_autocast("cpu") == "bfloat16 and float16"


@needs_native
@pytest.mark.slow
def test_registration_is_checked(checks: Any) -> None:
    assert checks.check_registration("cpu") == "conv4d with gradients"
    assert checks.check_fused_registration("cpu") == "residual_block and softmax_sums, with gradients"


@needs_native
def test_layers_agree_and_make_a_table(part: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    layers = part("layers")
    monkeypatch.setattr(layers, "time_ms", lambda run, device: run() or 1.0)
    ceiling, rows = part("floor").Ceiling(1e9, {"bfloat16": 1e12}), []
    for problem in layers.problems(TINY):
        for measure in (layers.measure_native, layers.measure_cudnn):
            rows += measure("cpu", problem, "bfloat16")
    ours, theirs = [{**vars(row)} for row in rows[:2]], [{**vars(row)} for row in rows[2:4]]
    assert len(rows) == 9 * 2 * 2
    assert [row["milliseconds"] for row in ours] == [{"native": 1.0}] * 2
    assert [row["milliseconds"].keys() for row in theirs] == [{"tap by tap", "stacked inputs", "stacked outputs"}] * 2
    both = layers.LayerTimes(**{**ours[1], "milliseconds": {**ours[1]["milliseconds"], **theirs[1]["milliseconds"]}})
    floor = 2 * 2e3 * (1 + 8) * math.prod(TINY) / 1e9  # read and written twice, for the image needs no gradient
    assert layers.floor_ms(both, TINY, ceiling) == pytest.approx(floor)
    shown = layers.to_table([both], TINY, ceiling)
    assert (
        "| first, 1 -> 8, bfloat16, forward + backward | 1.00 | 1.00 | 1.00 | 1.00 | 1.0x | 0.0346 | 28.9x |" in shown
    )


@needs_native
def test_layer_that_fails_or_differs_is_noted_and_costs_no_other(part: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    def fail(x: Tensor, weight: Tensor, stride: int) -> Tensor:
        raise torch.OutOfMemoryError("no memory left\nand more")

    layers = part("layers")
    tap_by_tap, stacked_inputs, stacked_outputs = layers.CUDNN
    wrong = replace(stacked_outputs, compute=lambda *operands: 2 * stacked_outputs.compute(*operands))
    monkeypatch.setattr(layers, "CUDNN", (tap_by_tap, replace(stacked_inputs, compute=fail), wrong))
    monkeypatch.setattr(layers, "time_ms", lambda run, device: run() or 1.0)
    problem = layers.problems((4, 4, 4, 4))[0]
    row = next(layers.measure_cudnn("cpu", problem, "float32"))
    assert row.milliseconds == {"tap by tap": 1.0}
    assert row.problems["stacked inputs"] == "no memory left"
    assert "differs by" in row.problems["stacked outputs"]
    assert layers.to_table([row]).count("failed") == 2
    monkeypatch.setattr(layers, "is_broken", lambda device: True)
    with pytest.raises(RuntimeError, match="stacked inputs: no memory left"):
        next(layers.measure_cudnn("cpu", problem, "float32"))


@pytest.fixture
def part(script: dict[str, Any]) -> Any:
    """Imports a module of the benchmarks by the end of its name."""
    return lambda name: importlib.import_module(f"conv4d_benchmark.gpu_{name}")


@needs_native
def test_dry_run_tries_all_parts_and_writes_what_it_found(
    script: dict[str, Any], part: Any, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    def run_here(job: Any, report: Any) -> None:
        monkeypatch.setattr(part("items"), "problems", lambda size: [])  # layers have a test of their own
        for item in job.items():
            others = "check: autocast", "ceiling", "training with loading", "profile of a step"
            if "bfloat16" in item.name or item.name in others:
                for found in item.find():
                    report.add(found)

    monkeypatch.setattr(part("worker"), "run", run_here)
    files = tmp_path / "gpu.json", tmp_path / "gpu.md"
    assert script["main"](["--dry_run", "--json", str(files[0]), "--table", str(files[1])]) == 0
    found = json.loads(files[0].read_text())
    modes = ("training step", "inference")
    assert [(row["mode"], row["precision"]) for row in found["network"]] == [(mode, "bfloat16") for mode in modes]
    for row in found["network"]:
        assert row["problems"] == {}
        assert row["milliseconds"].keys() == {"native", "composed", "three", "cat", "out3"}
    assert len(found["floor"]) == 3 * 2 * 10
    assert found["training"][0]["steps"] == 3
    assert found["training"][0]["loading"] == "4 studies that stay on cpu, crops of PrefetchingLoader"
    assert len(found["profile"][0]["kernels"]) == 25
    assert files[1].read_text().count("| --- |") == 5


@needs_native
def test_way_that_is_wrong_or_fails_is_noted_and_costs_no_other(part: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    network = part("network")
    wrong = network.Way(nullcontext, lambda x, weight, stride: 1.5 * network.tap_by_tap(x, weight, stride))
    failing = network.Way(nullcontext, lambda x, weight, stride: x.new_zeros(-1))
    ways = {"native": network.WAYS["native"], "wrong": wrong, "failing": failing, "composed": network.WAYS["composed"]}
    monkeypatch.setattr(network, "WAYS", ways)
    rows = {way: next(network.measure("cpu", "float32", way, TINY)) for way in ways}
    assert [way for way in ways if rows[way].milliseconds] == ["native", "composed"]
    assert "differ from those of the composed backend by" in rows["wrong"].problems["wrong"]
    assert rows["failing"].problems["failing"].startswith("RuntimeError: ")
    assert "- inference, float32, failing: RuntimeError" in network.to_table([rows["failing"]])
    monkeypatch.setattr(network, "is_broken", lambda device: True)
    with pytest.raises(RuntimeError, match="inference, failing: RuntimeError"):
        next(network.measure("cpu", "float32", "failing", TINY))


def test_floor_counts_the_convolutions_of_the_network(part: Any) -> None:
    floor = part("floor")
    sizes = [(c.in_channels, c.out_channels, c.stride[0]) for c in EncoderDecoder().modules() if isinstance(c, Conv4d)]
    kinds = [(*problem.channels, problem.stride) for problem in floor.problems(TINY)]
    assert [sizes.count(kind) for kind in kinds] == list(floor.COUNTS)
    arithmetic = floor.Ceiling(math.inf, dict.fromkeys(floor.PRECISIONS, 1e12))
    assert floor.network_ms((96, 96, 64, 16), "tf32", "inference", arithmetic) == pytest.approx(615, abs=5)  # GFLOP
    memory = floor.Ceiling(1e9, dict.fromkeys(floor.PRECISIONS, math.inf))
    half, full = (floor.network_ms(TINY, name, "training step", memory) for name in ("bfloat16", "float32"))
    assert full == pytest.approx(2 * half)
    assert full < 3 * floor.network_ms(TINY, "float32", "inference", memory)


@needs_native
def test_without_monai_the_same_steps_run_and_nothing_is_loaded(part: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "conv4d_benchmark.gpu_loading", None)
    run = part("training").measure("cpu", crop=TINY, steps=2)
    assert run.loading.startswith("nothing is loaded: ")
    assert run.steps == 2


@needs_native
def test_training_ends_when_the_time_is_over_and_fails_where_it_diverges(
    part: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    training = part("training")
    monkeypatch.setitem(sys.modules, "conv4d_benchmark.gpu_loading", None)
    assert training.measure("cpu", lambda: -1.0, crop=TINY, steps=5).steps == 1
    monkeypatch.setattr(training, "_train", lambda *_: ([1.0, math.nan, 1.0], [1.0] * 3, [0.0] * 3))
    with pytest.raises(RuntimeError, match=r"the loss of step 2 of 3 is nan"):
        training.measure("cpu", crop=TINY)


def test_check_of_a_gpu_needs_torch_alone(repo_root: Path) -> None:
    """The network and its loss, too; numpy comes with torch."""
    others = ("monai", "ignite", "scipy", "nibabel", "tqdm", "matplotlib", "fire")
    code = f"""
import sys
sys.path[:0] = {[str(repo_root / "bundle"), str(repo_root / "scripts")]!r}
sys.modules.update(dict.fromkeys({others!r}))
import gpu_check
from cardiac4d import EncoderDecoder
print(EncoderDecoder.__name__)
"""
    assert run_python("-c", code, cwd=repo_root) == "EncoderDecoder\n"
