# SPDX-License-Identifier: Apache-2.0
"""Every method that the benchmark times computes the 4D convolution, values and gradients."""

from __future__ import annotations

import dataclasses

import pytest
import torch

from cardiac4d.ops.reference import conv4d_reference
from scripts.conv4d_benchmark import accuracy
from scripts.conv4d_benchmark.formulations import FOR_LARGE, FORMULATIONS, HALF, POINTWISE, matrix_product
from scripts.conv4d_benchmark.methods import Method, Problem
from scripts.conv4d_benchmark.native import NATIVE, NATIVE_HALF
from scripts.conv4d_benchmark.peers import CORRECTIONS, PEERS
from tests.helpers.backends import needs_native

PROBLEMS = [
    Problem("odd", (2, 3), (4, 5, 3, 6)),
    Problem("even, stride 2", (3, 2), (6, 4, 5, 8), stride=2),
    Problem("odd, stride 2", (2, 2), (5, 3, 4, 7), stride=2),
    Problem("one frame", (2, 3), (3, 4, 3, 1)),
    Problem("one frame, stride 2", (2, 3), (3, 4, 3, 1), stride=2),
    Problem("wide kernel", (2, 2), (6, 5, 7, 6), kernel=5),
    Problem("1x1", (3, 2), (3, 4, 2, 5), kernel=1),
]


def baselines(problem: Problem) -> list[Method]:
    methods = [*FORMULATIONS, *PEERS, *(POINTWISE if problem.kernel == 1 else ())]
    return [method for method in methods if problem.stride in method.strides]


@pytest.mark.parametrize("problem", PROBLEMS, ids=lambda problem: problem.name)
def test_baselines_agree_with_the_reference(problem: Problem) -> None:
    x, weight = problem.tensors(torch.float64)
    leaves = x.requires_grad_(), weight.requires_grad_()
    expected = conv4d_reference(x, weight, stride=problem.stride, padding=problem.kernel // 2)
    upstream = torch.randn_like(expected)
    gradients = torch.autograd.grad(expected, leaves, upstream)
    for method in baselines(problem):
        out = method.forward(x, weight, problem.stride)
        torch.testing.assert_close(out, expected, msg=lambda text, name=method.name: f"{name}: {text}")
        for found, gradient in zip(torch.autograd.grad(out, leaves, upstream), gradients, strict=True):
            torch.testing.assert_close(found, gradient, msg=lambda text, name=method.name: f"{name}: {text}")


def test_layout_of_the_operands_is_made_before_the_timing() -> None:
    problem = PROBLEMS[0]
    for method in (*FORMULATIONS, *PEERS):
        x, _ = method.operands(problem)
        last = "channels last" in method.name or "composed" in method.name
        dense = x.permute(0, 5, 2, 3, 4, 1) if "composed" in method.name else x
        form = torch.channels_last_3d if last and x.dim() == 5 else torch.contiguous_format
        assert dense.is_contiguous(memory_format=form), method.name


def test_large_layers_get_the_channels_last_forms() -> None:
    left_out = {method.name for method in FORMULATIONS} - {method.name for method in FOR_LARGE}
    assert left_out == {"s1: tap by tap", "s3: stacked outputs", "composed backend"}


def test_corrections_name_peers_that_are_timed() -> None:
    assert set(CORRECTIONS) <= {peer.name for peer in PEERS}


def test_matrix_product_refuses_a_larger_kernel() -> None:
    with pytest.raises(ValueError, match="extent one"):
        matrix_product(*Problem("cube", (2, 2), (3, 3, 3, 3)).tensors(), 1)


@pytest.mark.parametrize(
    ("problem", "gigaflop"),
    [
        (Problem("level 0", (8, 8), (96, 96, 64, 16)), 97.8),
        (Problem("down", (8, 16), (96, 96, 64, 16), stride=2), 12.2),
        (Problem("odd", (1, 1), (3, 3, 3, 3), kernel=1, stride=2), 32e-9),
    ],
)
def test_arithmetic_counts_outputs(problem: Problem, gigaflop: float) -> None:
    assert problem.gigaflop == pytest.approx(gigaflop, rel=5e-3)


@needs_native
def test_gate_lets_correct_methods_pass() -> None:
    strides_1_and_2 = 2 * (len(NATIVE) + 1 + len(FORMULATIONS) + len(HALF)) + len(PEERS) + 2
    assert accuracy.check_all() == strides_1_and_2 + len(NATIVE) + 1 + len(POINTWISE)


@pytest.mark.parametrize("fault", [lambda y: y + 1e-3, lambda y: y * float("nan")], ids=["offset", "nan"])
def test_gate_stops_a_wrong_method(fault: object, monkeypatch: pytest.MonkeyPatch) -> None:
    right = FORMULATIONS[0]
    wrong = dataclasses.replace(right, name="wrong one", restore=lambda y: fault(right.restore(y)))
    monkeypatch.setattr(accuracy, "_all_methods", lambda problem: [wrong])
    with pytest.raises(RuntimeError, match="wrong one is wrong for stride 1"):
        accuracy.check_all()


def test_least_error_is_that_of_the_best_method_for_each_result() -> None:
    found = [accuracy.Errors("a", "cube", 1.0, 5.0, 3.0), accuracy.Errors("b", "cube", 2.0, 4.0, 3.5)]
    assert accuracy.least(found) == accuracy.Errors(accuracy.LEAST_OF_TORCH, "cube", 1.0, 4.0, 3.0)


@needs_native
def test_errors_are_relative_to_the_largest_value() -> None:
    problem = Problem("cube", (8, 8), (5, 6, 4, 5))
    exact, half = accuracy.errors(NATIVE[1], problem), accuracy.errors(NATIVE_HALF, problem)
    assert 0 < exact.forward < 2e-6
    assert 1e-4 < half.forward < 3e-2
