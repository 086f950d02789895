# SPDX-License-Identifier: Apache-2.0
"""The C++ CPU kernels against float64, called through their C interface.

``make sanitize`` runs this file, ``test_cpu_fused.py`` and ``test_cpu_passes.py`` under the sanitizers of g++.
"""

from __future__ import annotations

import os
import platform
import subprocess
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import Tensor

from tests.helpers.backends import needs_compiler, needs_nm
from tests.helpers.conv4d_cases import CASES
from tests.helpers.conv4d_kernel_checks import check_problem_of_table
from tests.helpers.conv4d_table import TABLE
from tests.helpers.cpu_kernels import DTYPES, OPERATIONS, PRECISIONS, Kernels, Shape, load, reference
from tests.helpers.tolerances import assert_near

pytestmark = needs_compiler


GENERAL = {name: Shape(batch=2, **case) for name, case in CASES.items()}


WINOGRAD = {
    "crop_0": Shape((9, 7, 7, 8), (8, 8), padding=1),
    "crop_1": Shape((8, 12, 4, 4), (16, 16), padding=1),
    "crop_2": Shape((16, 16, 2, 2), (8, 24), batch=2, padding=1),
    "slabs_of_slices": Shape((5, 6, 40, 16), (4, 8), padding=1),
    "channel_tails": Shape((7, 5, 3, 5), (5, 9), batch=2, padding=1),
    "one_tile": Shape((3, 3, 3, 3), (4, 4), padding=1),
    "one_frame": Shape((6, 7, 5, 1), (4, 4), batch=2, padding=1),
    "one_slice": Shape((6, 7, 1, 9), (4, 4), padding=1),
    "many_frames": Shape((5, 4, 2, 37), (4, 5), padding=1),
    "row_beyond_the_cache": Shape((4, 4, 3, 1100), (4, 4), padding=1),
    "unpadded_height": Shape((9, 6, 4, 5), (4, 6), padding=(0, 2, 1, 1)),
    "unpadded_width_and_depth": Shape((4, 11, 6, 5), (4, 6), padding=(2, 0, 0, 1)),
    "wide_padding_in_depth": Shape((6, 5, 3, 7), (4, 6), padding=(1, 1, 2, 1)),
}
DIRECT = {
    "strided_even": Shape((8, 6, 10, 8), (8, 16), stride=2, padding=1),
    "strided_odd": Shape((9, 7, 5, 7), (5, 3), batch=2, stride=2, padding=1),
    "strided_short_rows": Shape((12, 12, 4, 4), (16, 16), stride=2, padding=1),
    "strided_20_frames": Shape((5, 6, 7, 20), (8, 8), batch=2, stride=2, padding=1),
    "strided_many_frames": Shape((4, 3, 5, 37), (3, 8), stride=2, padding=1),
    "strided_one_slice": Shape((6, 5, 1, 7), (4, 8), stride=2, padding=1),
    "strided_slabs_of_slices": Shape((3, 4, 90, 16), (8, 8), stride=2, padding=1),
    "strided_groups": Shape((7, 6, 5, 8), (6, 20), batch=2, stride=2, padding=1, groups=2),
    "strided_in_time": Shape((4, 5, 6, 16), (8, 8), stride=(1, 1, 1, 2), padding=1),
    "strided_in_space": Shape((6, 5, 7, 9), (8, 8), stride=(2, 2, 2, 1), padding=1),
    "strided_by_3": Shape((7, 6, 8, 10), (4, 5), stride=(1, 2, 1, 3), padding=1),
    "strided_dilated": Shape((8, 7, 9, 12), (4, 5), stride=2, padding=2, dilation=2),
    "one_output_channel": Shape((6, 7, 5, 8), (8, 1), padding=1),
    "one_input_channel": Shape((6, 7, 9, 8), (1, 8), padding=1),
    "one_input_channel_slabs": Shape((4, 5, 70, 16), (1, 8), padding=1),
    "pointwise": Shape((5, 6, 7, 8), (8, 3), batch=2, kernel=1),
    "pointwise_odd_volume": Shape((3, 5, 7, 9), (5, 11), batch=2, kernel=1),
    "pointwise_many_strips": Shape((9, 8, 13, 11), (9, 4), batch=2, kernel=1),
    "pointwise_whole_strips": Shape((8, 8, 8, 8), (16, 24), kernel=1),
    "pointwise_many_channels": Shape((4, 4, 8, 8), (33, 18), kernel=1),
    "pointwise_groups": Shape((5, 4, 6, 8), (6, 15), batch=2, kernel=1, groups=3),
    "pointwise_one_channel": Shape((4, 4, 4, 4), (1, 1), kernel=1),
    "pointwise_padded": Shape((4, 5, 3, 6), (3, 4), kernel=1, padding=1),
    "pointwise_strided": Shape((5, 6, 7, 8), (3, 9), kernel=1, stride=2),
    "unpadded": Shape((6, 5, 4, 6), (8, 8)),
    "wide_padding": Shape((3, 4, 3, 4), (2, 8), kernel=2, padding=(3, 1, 2, 4)),
    "dilated": Shape((7, 9, 6, 8), (4, 8), padding=2, dilation=2),
    "groups": Shape((6, 5, 4, 6), (8, 20), batch=2, groups=2, padding=1),
    "large_kernel": Shape((6, 7, 5, 9), (3, 4), kernel=(5, 1, 3, 7), padding=(2, 0, 1, 3)),
    "unequal_strides": Shape((7, 9, 8, 11), (3, 4), stride=(1, 2, 1, 3), padding=(1, 0, 1, 2)),
}
LIMITS = {"fast": 2e-5, "exact": 8e-7, "direct": 5e-6}
"""The largest error in float32, relative to the largest value of the result."""


def draw(operation: str, shape: Shape, dtype: torch.dtype, *, with_bias: bool = True) -> list[Tensor | None]:
    """The operands of an operation."""
    generator = torch.Generator().manual_seed(sum(shape.size))

    def normal(*size: int) -> Tensor:
        return torch.randn(*size, dtype=torch.float64, generator=generator).to(dtype)

    x, w, dy = normal(*shape.x_shape), normal(*shape.w_shape), normal(*shape.y_shape)
    bias = normal(shape.channels[1]) if with_bias else None
    return {"forward": [x, w, bias], "grad_input": [dy, w], "grad_weight": [x, dy]}[operation]


def check(kernels: Kernels, operation: str, shape: Shape, dtype: torch.dtype, precision: str = "fast") -> None:
    operands = draw(operation, shape, dtype)
    poison(kernels, shape.stride)
    actual = kernels.run(operation, shape, *operands, precision=precision)
    right = reference(operation, shape, *operands)
    if dtype != torch.float32:
        assert_near(actual, right)
        return
    error = (actual.double() - right).abs().max() / right.abs().max().clamp(min=1e-3)
    assert error <= LIMITS[precision]


def poison(kernels: Kernels, stride: Any) -> None:
    """Leave NaN in the working memory that the kernels keep: none may rest on what lies there."""
    shape = Shape((4, 4, 9, 32), (8, 8), stride=stride, padding=1)
    for operation in OPERATIONS:
        operands = [t if t is None else torch.full_like(t, torch.nan) for t in draw(operation, shape, torch.float32)]
        kernels.run(operation, shape, *operands)


@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize("operation", OPERATIONS)
@pytest.mark.parametrize("name", GENERAL)
def test_every_problem_is_the_reference(kernels: Kernels, name: str, operation: str, dtype: torch.dtype) -> None:
    check(kernels, operation, GENERAL[name], dtype)


@pytest.mark.parametrize("name", TABLE)
def test_whole_table_in_float32_writes_nothing_else(kernels: Kernels, name: str) -> None:
    check_problem_of_table(kernels, name)


@pytest.mark.parametrize("precision", PRECISIONS)
@pytest.mark.parametrize("operation", OPERATIONS)
@pytest.mark.parametrize("name", WINOGRAD)
def test_cubes_of_stride_1_are_the_reference(kernels: Kernels, name: str, operation: str, precision: str) -> None:
    check(kernels, operation, WINOGRAD[name], torch.float32, precision)


@pytest.mark.parametrize("operation", OPERATIONS)
@pytest.mark.parametrize("name", DIRECT)
def test_other_problems_are_the_reference(kernels: Kernels, name: str, operation: str) -> None:
    check(kernels, operation, DIRECT[name], torch.float32)


@pytest.mark.parametrize("dtype", [torch.bfloat16, torch.float16])
@pytest.mark.parametrize("operation", OPERATIONS)
@pytest.mark.parametrize(
    "name",
    ["crop_0", "channel_tails", "strided_odd", "strided_20_frames", "pointwise_odd_volume", "pointwise_groups"],
)
def test_half_types_in_fast_kernels(kernels: Kernels, name: str, operation: str, dtype: torch.dtype) -> None:
    check(kernels, operation, (WINOGRAD | DIRECT)[name], dtype)


@pytest.mark.parametrize("isa", ["avx2", "portable"])
@pytest.mark.parametrize("operation", OPERATIONS)
@pytest.mark.parametrize(
    "name",
    [
        "crop_0",
        "crop_1",
        "channel_tails",
        "strided_odd",
        "strided_20_frames",
        "one_input_channel",
        "pointwise_odd_volume",
        "pointwise_many_channels",
    ],
)
def test_lower_instruction_sets(library: Any, name: str, operation: str, isa: str) -> None:
    lowered = load(library, isa)
    if lowered.isa != isa:
        pytest.skip(f"this machine has no {isa}")
    check(lowered, operation, (WINOGRAD | DIRECT)[name], torch.float32)


@pytest.mark.parametrize(
    ("shape", "options", "names"),
    [
        (WINOGRAD["crop_1"], {}, ["winograd4"] * 3),
        (WINOGRAD["crop_1"], {"precision": "exact"}, ["winograd2"] * 3),
        (WINOGRAD["crop_1"], {"precision": "direct"}, ["direct"] * 3),
        (WINOGRAD["crop_1"], {"dtype": torch.bfloat16}, ["winograd4"] * 3),
        (WINOGRAD["crop_1"], {"dtype": torch.float64}, ["general"] * 3),
        (DIRECT["strided_even"], {}, ["direct"] * 3),
        (DIRECT["one_input_channel"], {}, ["direct"] * 3),
        (DIRECT["pointwise"], {}, ["pointwise"] * 3),
        (DIRECT["pointwise_strided"], {}, ["direct"] * 3),
        (DIRECT["pointwise_padded"], {}, ["direct"] * 3),
        (Shape((9, 9, 9, 9), (2, 2), stride=3), {}, ["direct", "general", "direct"]),
        (Shape((3, 3, 3, 40), (2, 2), kernel=(1, 1, 1, 20)), {}, ["general"] * 3),
    ],
)
def test_algorithm(kernels: Kernels, shape: Shape, options: dict[str, Any], names: list[str]) -> None:
    dtype, precision = options.get("dtype", torch.float32), options.get("precision", "fast")
    assert [kernels.algorithm(shape, operation, dtype, precision) for operation in OPERATIONS] == names


def test_a_nan_spoils_its_neighbourhood_alone(kernels: Kernels) -> None:
    """Winograd spreads it over the tiles of 4 x 4 that read it, in (H, W); no further in D and T than the kernel."""
    shape = Shape((17, 17, 5, 6), (4, 4), padding=1)
    x, w, _ = draw("forward", shape, torch.float32)
    x[0, 1, 9, 9, 2, 3] = torch.nan
    spoiled = kernels.run("forward", shape, x, w, None).isnan()
    assert spoiled[:, :, 8:11, 8:11, 1:4, 2:5].all()
    spoiled[:, :, 8:12, 8:12, 1:4, 2:5] = False
    assert not spoiled.any()


@pytest.mark.parametrize("operation", OPERATIONS)
def test_empty_batch(kernels: Kernels, operation: str) -> None:
    shape = replace(GENERAL["cube"], batch=0)
    result = kernels.run(operation, shape, *draw(operation, shape, torch.float32))
    assert (result == 0).all()


def test_without_bias(kernels: Kernels) -> None:
    operands = draw("forward", GENERAL["cube"], torch.float32, with_bias=False)
    assert_near(kernels.run("forward", GENERAL["cube"], *operands), reference("forward", GENERAL["cube"], *operands))


@pytest.mark.parametrize("operation", OPERATIONS)
@pytest.mark.parametrize(
    ("shape", "dtype"),
    [
        (GENERAL["groups_strided_dilated"], torch.float64),
        (WINOGRAD["crop_0"], torch.float32),
        (WINOGRAD["slabs_of_slices"], torch.float32),
        (DIRECT["strided_even"], torch.float32),
        (DIRECT["strided_slabs_of_slices"], torch.float32),
        (DIRECT["pointwise_many_strips"], torch.float32),
    ],
)
def test_any_number_of_threads_gives_the_same_bits(
    kernels: Kernels, shape: Shape, dtype: torch.dtype, operation: str
) -> None:
    operands = draw(operation, shape, dtype)
    one, two, three = (kernels.run(operation, shape, *operands, num_threads=n) for n in (1, 2, 3))
    assert torch.equal(one, two)
    assert torch.equal(one, three)


@pytest.mark.parametrize("operation", OPERATIONS)
def test_sizes_that_do_not_fit_are_refused(kernels: Kernels, operation: str) -> None:
    problem = GENERAL["cube"].to_c(torch.float32, "fast")
    problem.out[2] += 1
    status = kernels.status(operation, problem, None, None, None, *([None] if operation == "forward" else []))
    assert "do not describe a convolution" in kernels.error(status)


@pytest.mark.parametrize("dtype", [torch.bfloat16, torch.float16])
def test_half_types_are_rounded_to_nearest_even(kernels: Kernels, dtype: torch.dtype) -> None:
    """A sum of two values, over all exponents, is what torch makes of the exact sum."""
    generator = torch.Generator().manual_seed(1)
    patterns = torch.randint(-(2**15), 2**15, (2, 1 << 14), generator=generator, dtype=torch.int32)
    x = patterns.to(torch.int16).view(dtype).reshape(1, 2, 1, 1, 1, -1)
    shape = Shape((1, 1, 1, x.shape[-1]), (2, 1), kernel=1)
    result = kernels.run("forward", shape, x, torch.ones(shape.w_shape, dtype=dtype), None)
    right = (x[:, :1].float() + x[:, 1:].float()).to(dtype)
    assert torch.equal(result.isnan(), right.isnan())
    assert torch.equal(result.nan_to_num(), right.nan_to_num())


def _shareable(path: Path) -> set[str]:
    """What an object file defines that others may define as well: of such code the linker keeps one copy."""
    listed = subprocess.run(["nm", "-C", "--defined-only", path], capture_output=True, text=True, check=True).stdout
    symbols = (line.split(maxsplit=2)[1:] for line in listed.splitlines())
    return {name for kind, name in symbols if kind in "VWuvw"} - {"DW.ref.__gxx_personality_v0"}  # a pointer


@needs_nm
@pytest.mark.skipif("CARDIAC4D_TEST_CXXFLAGS" in os.environ, reason="looks at what the package compiles")
def test_units_of_instruction_sets_share_no_code_with_others(library: Path) -> None:
    """The copy that the linker keeps might be the one for AVX-512, on every machine."""
    shareable = {path.name: _shareable(path) for path in library.parent.glob("*.o")}
    units = [name for name in shareable if name.startswith("kernels_")]
    assert len(units) == (3 if platform.machine() == "x86_64" else 1)
    for unit in units:
        others = set().union(*(names for name, names in shareable.items() if name != unit))
        assert shareable[unit] & others == set(), unit
