# SPDX-License-Identifier: Apache-2.0
"""The check of a GPU: what it says without one, and its parts that any device runs, on the CPU."""

from __future__ import annotations

import importlib
import json
import math
import runpy
import subprocess
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
    said = f"no GPU: torch {torch.__version__} finds no CUDA device. Nothing was checked.\n"
    assert capsys.readouterr().out == said


@pytest.fixture
def small(checks: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    tensors = checks._operands(0, (1, 8, 5, 4, 3, 5), (8, 8, 3, 3, 3, 3))
    fixed = lambda device, dtype, *_: (tuple(tensor.to(dtype) for tensor in tensors), {"padding": 1})  # noqa: E731
    monkeypatch.setattr(checks, "_fixed", fixed)
    monkeypatch.setattr(checks, "NUM_RANDOM", 16)


@needs_native
@pytest.mark.usefixtures("small")
def test_checks_that_any_device_runs_pass_on_the_cpu(checks: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(checks, "LIMITS", {**checks.LIMITS, torch.float32: 2e-5})  # Winograd
    outcomes = list(checks.run_all("cpu", small=True))
    assert [(outcome.name, outcome.passed) for outcome in outcomes] == [
        ("values and gradients", True),
        ("same bits again", True),
    ], outcomes
    assert "2 problems" in outcomes[0].detail


@needs_native
def test_wrong_kernel_fails(checks: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    def wrong(x: torch.Tensor, *others: Any, **options: Any) -> torch.Tensor:
        return conv4d(x, *others, **options) * (1 if x.dtype == torch.float64 else 1.02)

    monkeypatch.setattr(checks, "conv4d", wrong)
    outcome = next(checks.run_all("cpu", small=True))
    assert not outcome.passed
    assert "value in torch.float32 is off by 2.0e-02" in outcome.detail


@needs_native
@pytest.mark.usefixtures("small")
def test_float32_is_checked_with_tf32_and_without(checks: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    seen: dict[str, Any] = {}

    def check(device: str, count: int, limits: Any = None) -> str:
        seen["with" if torch.backends.cudnn.allow_tf32 else "without"] = limits
        return ""

    before = torch.backends.cudnn.allow_tf32
    monkeypatch.setattr(checks, "check_values", check)
    list(checks.run_all("cpu", small=True))
    assert checks.check_tf32("cpu") == ""
    assert seen == {"without": None, "with": {torch.float32: 2.0**-10}}
    assert torch.backends.cudnn.allow_tf32 == before


@needs_native
@pytest.mark.usefixtures("small")
def test_autocast_is_checked(checks: Any) -> None:
    assert checks.check_autocast("cpu") == "bfloat16 and float16"


@needs_native
def test_fused_layers_are_checked(part: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    fused = part("fused")
    monkeypatch.setattr(fused, "BLOCKS", fused.BLOCKS[-1:])
    assert fused.check_fused("cpu").startswith("largest errors of values: torch.float32 ")
    monkeypatch.setattr(fused, "LIMITS", {torch.float32: (1e-5, 1e-9)})
    with pytest.raises(AssertionError, match=r"\(2, 6, 5, 4, 7, 3\) in torch.float32: error .* of 1"):
        fused.check_fused("cpu")


@needs_native
@pytest.mark.slow
def test_registration_is_checked(checks: Any) -> None:
    assert checks.check_registration("cpu") == "conv4d with gradients"


@needs_native
def test_layers_agree_and_make_a_table(script: dict[str, Any], monkeypatch: pytest.MonkeyPatch) -> None:
    layers = importlib.import_module("conv4d_benchmark.gpu_layers")
    monkeypatch.setattr(layers, "time_ms", lambda run, device: run() or 1.0)
    flags = torch.backends.cudnn.allow_tf32
    rows = list(layers.measure("cpu", (4, 4, 4, 4)))
    torch.backends.cudnn.allow_tf32 = flags
    assert len(rows) == 9 * 3 * 2
    assert json.loads(json.dumps([vars(row) for row in rows]))[0]["milliseconds"]["native"] == 1.0
    assert layers.to_table(rows).count(" 1.0x |") == len(rows)


@needs_native
def test_layer_that_fails_or_differs_is_noted_and_costs_no_other(
    script: dict[str, Any], monkeypatch: pytest.MonkeyPatch
) -> None:
    def fail(x: Tensor, weight: Tensor, stride: int) -> Tensor:
        raise torch.OutOfMemoryError("no memory left\nand more")

    layers = importlib.import_module("conv4d_benchmark.gpu_layers")
    tap_by_tap, stacked_inputs, stacked_outputs = layers.CUDNN
    wrong = replace(stacked_outputs, compute=lambda *operands: 2 * stacked_outputs.compute(*operands))
    monkeypatch.setattr(layers, "CUDNN", (tap_by_tap, replace(stacked_inputs, compute=fail), wrong))
    monkeypatch.setattr(layers, "time_ms", lambda run, device: run() or 1.0)
    with torch.backends.cudnn.flags():
        row = next(layers.measure("cpu", (4, 4, 4, 4)))
    assert row.milliseconds == {"native": 1.0, "tap by tap": 1.0}
    assert row.problems["stacked inputs"] == "no memory left"
    assert "differs by" in row.problems["stacked outputs"]
    assert layers.to_table([row]).count("failed") == 2


@pytest.fixture
def part(script: dict[str, Any]) -> Any:
    """Imports a module of the benchmarks by the end of its name."""
    return lambda name: importlib.import_module(f"conv4d_benchmark.gpu_{name}")


@needs_native
def test_dry_run_times_all_parts_and_writes_what_it_found(
    script: dict[str, Any], part: Any, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setattr(part("layers"), "problems", lambda size: [])  # have a test of their own
    monkeypatch.setattr(part("network"), "PRECISIONS", ("bfloat16",))
    files = tmp_path / "gpu.json", tmp_path / "gpu.md"
    assert script["main"](["--dry_run", "--json", str(files[0]), "--table", str(files[1])]) == 0
    found = json.loads(files[0].read_text())
    assert found["seconds"].keys() == {"ceiling", "network", "training", "layers"}
    modes = ("inference", "training step")
    assert [(row["mode"], row["precision"]) for row in found["network"]] == [(mode, "bfloat16") for mode in modes]
    for row in found["network"]:
        assert row["problems"] == {}
        assert row["milliseconds"].keys() == {"native", "composed", "three", "cat", "out3"}
        assert row["floor_ms"] > 0
    assert found["training"]["steps"] == 3
    assert found["training"]["loading"] == "4 studies that stay on cpu, crops of PrefetchingLoader"
    assert files[1].read_text().count("| --- |") == 3


@needs_native
def test_way_that_is_wrong_or_fails_is_noted_and_costs_no_other(part: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    network = part("network")
    wrong = network.Way(nullcontext, lambda x, weight, stride: 1.5 * network.tap_by_tap(x, weight, stride))
    failing = network.Way(nullcontext, lambda x, weight, stride: x.new_zeros(-1))
    ways = {"native": network.WAYS["native"], "wrong": wrong, "failing": failing, "cat": network.WAYS["cat"]}
    monkeypatch.setattr(network, "WAYS", ways)
    monkeypatch.setattr(network, "PRECISIONS", ("float32",))
    ceiling = part("floor").Ceiling(1e9, {"float32": 1e9})
    row = next(network.measure("cpu", ceiling, TINY))
    assert row.milliseconds.keys() == {"native", "cat"}
    assert "differ from those of the first way by" in row.problems["wrong"]
    assert row.problems["failing"].startswith("RuntimeError: ")
    assert row.best == "cat"
    assert "- inference, float32, failing: RuntimeError" in network.to_table([row])


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


@needs_native
def test_replayed_steps_are_compared_with_launched_ones(part: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    graph = part("graph")

    def pretend(step: Any, factor: float = 1.0) -> Any:
        loss = [step() for _ in range(graph.WARM_UP)][-1].clone()
        return lambda: loss.copy_(factor * step()), loss

    monkeypatch.setattr(graph, "capture", pretend)
    monkeypatch.setattr(graph, "PRECISIONS", ("float32",))
    rows = graph.measure("cpu", TINY)
    assert rows[0].replayed_ms > 0
    assert "| training step, float32 |" in graph.to_table(rows)
    monkeypatch.setattr(graph, "capture", lambda step: pretend(step, 1.01))
    with pytest.raises(RuntimeError, match="losses of a replayed step"):
        graph.measure("cpu", TINY)


def test_step_is_captured_after_a_warm_up_on_another_stream(part: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    """With torch's CUDA played by a notebook: what is called, in its order."""
    done: list[str] = []

    class Named:
        def __init__(self, name: str = "side") -> None:
            self.name = name

        def wait_stream(self, other: Any) -> None:
            done.append(f"{self.name} waits for {other.name}")

        def replay(self) -> None:
            done.append("replay")

    def note(name: str) -> Any:
        done.append(name)
        return nullcontext()

    fakes = {"Stream": Named, "current_stream": lambda: Named("main"), "CUDAGraph": Named}
    fakes |= {"stream": lambda stream: note(f"on {stream.name}"), "graph": lambda graph: note("capture")}
    for name, fake in fakes.items():
        monkeypatch.setattr(torch.cuda, name, fake)
    replay, loss = part("graph").capture(lambda: (done.append("step"), torch.ones(()))[1])
    replay()
    steps = ["step"] * part("graph").WARM_UP
    assert done == ["side waits for main", "on side", *steps, "main waits for side", "capture", "step", "replay"]
    assert loss == 1


def test_part_that_fails_is_reported_and_the_others_go_on(part: Any, tmp_path: Path, capsys: Any) -> None:
    report = part("report").Report({"gpu": "none"}, tmp_path / "a.json", tmp_path / "a.md")

    def fail() -> Any:
        raise RuntimeError("out of memory")

    report.run({"first": fail, "second": lambda: ({"a": 1}, "| table |")}, math.inf)
    report.run({"third": fail}, 0.0)
    found = json.loads((tmp_path / "a.json").read_text())
    assert (report.passed, found["second"], found["left_out"]) == (False, {"a": 1}, ["third"])
    assert found["checks"] == [{"name": "first", "passed": False, "detail": "RuntimeError: out of memory"}]
    shown = capsys.readouterr().out
    for text in ("FAILED first: RuntimeError: out of memory", "| table |", "left out: third, no time was left"):
        assert text in shown
        assert text in (tmp_path / "a.md").read_text()


def test_sanitizer_that_takes_too_long_is_left(checks: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    def slow(*_: Any, timeout: float, **__: Any) -> Any:
        raise subprocess.TimeoutExpired("sanitizer", timeout)

    monkeypatch.setattr(checks.shutil, "which", lambda name: name)
    monkeypatch.setattr(checks.subprocess, "run", slow)
    outcomes = list(checks.run_sanitizers("gpu_check.py", 7.0))
    assert [outcome.passed for outcome in outcomes] == [True, True]
    assert outcomes[0].detail.startswith("not finished in 7 s; by itself: compute-sanitizer --tool memcheck")


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
