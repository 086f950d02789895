# SPDX-License-Identifier: Apache-2.0
"""What the benchmark says of the machine, its environment, and the memory of a process."""

from __future__ import annotations

import sys
from pathlib import Path

import pytest

from scripts.conv4d_benchmark import machine, memory, network
from scripts.conv4d_benchmark.environment import TUNED, for_child, is_tuned, tuned, untuned
from scripts.conv4d_benchmark.plan import Plan
from scripts.conv4d_benchmark.scaling import problems
from tests.helpers.backends import needs_native


def test_allocator_settings_come_and_go() -> None:
    plain = {"HOME": "somewhere"}
    assert not is_tuned(plain)
    assert is_tuned(tuned(plain))
    assert not is_tuned({**tuned(plain), "GLIBC_TUNABLES": "glibc.malloc.hugetlb=1"})
    assert untuned(tuned(plain)) == plain
    assert set(TUNED) == {"GLIBC_TUNABLES", "THP_MEM_ALLOC_ENABLE"}


def test_children_find_the_same_modules(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sys, "path", ["", "one", "two"])
    assert for_child({"PYTHONPATH": "old"})["PYTHONPATH"].split(":") == ["one", "two"]


def test_processor_is_named(tmp_path: Path) -> None:
    file = tmp_path / "cpuinfo"
    file.write_text("processor\t: 0\nmodel name\t: Some CPU @ 3 GHz\nmodel name\t: Another\n")
    assert machine.cpu_model(file) == "Some CPU @ 3 GHz"
    assert machine.cpu_model(tmp_path / "missing")


@pytest.mark.parametrize(
    ("siblings", "text"),
    [(["0", "1"], "none share a core"), (["0-1", "0-1"], "sharing a core: 0-1"), ([], "does not say")],
)
def test_shared_cores_are_named(
    siblings: list[str], text: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    for cpu, content in enumerate(siblings):
        (tmp_path / str(cpu)).write_text(f"{content}\n")
    monkeypatch.setattr(machine, "TOPOLOGY", str(tmp_path / "{}"))
    monkeypatch.setattr(machine, "usable_cpus", lambda: [0, 1])
    assert text in machine.sibling_text()


@pytest.mark.parametrize(("together", "shares"), [(105.0, True), (190.0, False)])
def test_threads_that_gain_nothing_are_said_to_share_a_core(
    together: float, shares: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(machine.torch, "get_num_threads", lambda: 2)
    monkeypatch.setattr(machine, "fma_peak", lambda threads: (100.0, together, "made up"))
    monkeypatch.setattr(machine, "copy_bandwidth", lambda: 10.0)
    text = machine.calibrate()["multiply-add peak, float32"]
    assert text.startswith(f"100 GFLOP/s with 1 thread, {together:.0f} with 2 (made up)")
    assert ("share the arithmetic of one core" in text) is shares


def test_without_a_compiler_the_matrix_product_stands_in(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("CXX", "no-such-compiler")
    monkeypatch.setattr(machine, "_matmul_peak", lambda threads: 7.0 * threads)
    assert machine.fma_peak(2) == (7.0, 14.0, "torch.matmul, for want of a compiler")


def test_fields_of_the_status_are_in_kibibytes() -> None:
    assert memory.status_bytes("VmHWM:\t    20 kB\nVmRSS:\t    10 kB\n", "VmRSS") == 10240


def test_memory_is_measured_of_every_variant_and_of_the_whole_scan() -> None:
    plan = Plan(size=(96, 96, 64, 16))
    cases = memory.cases(plan.size, plan.whole_scan)
    assert ("composed", "training step", plan.size) in cases
    assert ("native", "training step", (112, 122, 80, 20)) in cases
    assert ("pvjosue/pytorch_convNd", "training step", plan.size) not in cases


@needs_native
@pytest.mark.skipif(not memory.supported(), reason="reads the peak from /proc")
def test_peak_of_a_fresh_process_holds_at_least_one_activation() -> None:
    size = (32, 32, 24, 8)
    peak = memory.in_fresh_process("native", "training step", size, 1)
    assert peak.problem == ""
    one_activation_gb = 8 * 4 * 32 * 32 * 24 * 8 / memory.GIGABYTE
    assert 4 * one_activation_gb < peak.rise_gb < peak.peak_gb


def test_process_that_fails_is_a_result() -> None:
    peak = memory.in_fresh_process("no such variant", "inference", (4, 4, 4, 4), 1)
    assert "no such variant" in peak.problem
    assert peak.peak_gb != peak.peak_gb


@needs_native
def test_network_gate_compares_every_variant() -> None:
    assert network.check_all() == len(network.VARIANTS)


@needs_native
def test_network_gate_stops_a_wrong_variant(monkeypatch: pytest.MonkeyPatch) -> None:
    right = network.loop_over_padded_frames
    wrong = network.Variant("peer", network.nullcontext, lambda x, weight, stride: 2 * right(x, weight, stride))
    monkeypatch.setitem(network.VARIANTS, "wrong one", wrong)
    with pytest.raises(RuntimeError, match="computed by wrong one is wrong"):
        network.check_all()


def test_scaling_series_follow_the_size() -> None:
    series = problems((96, 96, 64, 16))
    assert [problem.size[3] for problem in series[:5]] == [4, 8, 16, 20, 32]
    assert [problem.size[0] for problem in series[5:9]] == [24, 48, 72, 96]
    assert [problem.channels for problem in series[9:]] == [(c, c) for c in (8, 16, 24, 32, 48, 64)]
    assert series[9].size == (32, 32, 16, 8)
    assert min(min(problem.size) for problem in problems((1, 2, 1, 1))) == 1
