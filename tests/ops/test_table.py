# SPDX-License-Identifier: Apache-2.0
"""Every problem of the table on every backend: result and all gradients, in several dtypes, against float64."""

from __future__ import annotations

import pytest
import torch

from cardiac4d.ops import conv4d, use_backend
from tests.helpers.backends import BACKENDS
from tests.helpers.conv4d_table import TABLE, expected, is_truly_4d, uncovered_pairs
from tests.helpers.tolerances import assert_near

HALF = [torch.bfloat16, torch.float16]


def test_the_table_is_large_and_combines_every_pair_of_settings() -> None:
    assert len(TABLE) >= 200
    assert sum(map(is_truly_4d, TABLE.values())) >= 75
    assert uncovered_pairs() == set()


@pytest.mark.parametrize("name", TABLE)
@pytest.mark.parametrize("backend", BACKENDS)
def test_result_and_gradients_are_those_of_the_reference(backend: str, name: str) -> None:
    problem = expected(name)
    half = HALF[len(name) % 2]  # one of both is enough for each problem
    with use_backend(backend):
        for dtype in (torch.float64, torch.float32, half):
            leaves = [operand.to(dtype).requires_grad_() for operand in problem.operands]
            result = conv4d(*leaves, **problem.options)
            gradients = torch.autograd.grad(result, leaves, problem.seed.to(dtype))
            assert {tensor.dtype for tensor in (result, *gradients)} == {dtype}
            assert_near(result, problem.result)
            for ours, theirs in zip(gradients, problem.gradients, strict=True):
                assert_near(ours, theirs)
