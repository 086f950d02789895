# SPDX-License-Identifier: Apache-2.0
"""The lower bounds in pyproject.toml are honest: no name is used that the oldest admitted NumPy does not have."""

from __future__ import annotations

import ast
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[1]
OLDEST_NUMPY = "numpy>=1.26"
NEWER_NAMES = """
acos acosh asin asinh atan atan2 atanh bitwise_count bitwise_invert bitwise_left_shift bitwise_right_shift bool
concat cumulative_prod cumulative_sum isdtype linalg.cross linalg.diagonal linalg.matmul linalg.matrix_norm
linalg.matrix_transpose linalg.outer linalg.svdvals linalg.tensordot linalg.trace linalg.vecdot linalg.vector_norm
long matrix_transpose matvec permute_dims pow strings trapezoid ulong unique_all unique_counts unique_inverse
unique_values unstack vecdot vecmat
"""
"""Names under ``np.`` that came with NumPy 2.0 to 2.3."""


def new_names(code: str) -> set[str]:
    """Those of :data:`NEWER_NAMES` that Python code takes from ``np``."""
    dotted = {ast.unparse(node) for node in ast.walk(ast.parse(code)) if isinstance(node, ast.Attribute)}
    return {name for name in NEWER_NAMES.split() if f"np.{name}" in dotted}


def test_the_bound_is_the_one_that_is_checked() -> None:
    assert f'"{OLDEST_NUMPY}"' in (ROOT / "pyproject.toml").read_text(encoding="utf-8")


@pytest.mark.parametrize("folder", ["bundle", "scripts", "tests"])
def test_no_numpy_name_is_newer_than_the_bound(folder: str) -> None:
    found = {path: new_names(path.read_text(encoding="utf-8")) for path in (ROOT / folder).rglob("*.py")}
    assert {str(path): names for path, names in found.items() if names} == {}


def test_new_names_are_recognised_and_old_ones_are_not() -> None:
    assert new_names("a = np.trapezoid(y) + np.linalg.vector_norm(x)") == {"trapezoid", "linalg.vector_norm"}
    assert new_names("a: np.bool_ = np.linalg.norm(x) + np.concatenate(y) + other.trapezoid(y)") == set()
