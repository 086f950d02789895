# SPDX-License-Identifier: Apache-2.0
"""Bands of slices from different beats."""

from __future__ import annotations

import numpy as np
import pytest

from cardiac4d.phantom.stairs import sample_slabs, whole_stack


@pytest.mark.parametrize(("num_slices", "slice_mm"), [(70, 2.0), (14, 8.0), (1, 3.0)])
def test_slabs_cover_every_slice_once(num_slices: int, slice_mm: float) -> None:
    slabs = sample_slabs(num_slices, slice_mm, np.random.default_rng(0))
    assert num_slices == 1 or min(slab.stop - slab.start for slab in slabs) >= 2
    assert [k for slab in slabs for k in range(slab.start, slab.stop)] == list(range(num_slices))


def test_slabs_are_as_thick_and_shifted_as_measured() -> None:
    rng = np.random.default_rng(1)
    stacks = [sample_slabs(80, 2.0, rng) for _ in range(30)]
    inner = [slab for stack in stacks for slab in stack[1:-1]]
    assert all(19 <= (slab.stop - slab.start) * 2.0 <= 39 for slab in inner)
    assert all(0.5 <= np.linalg.norm(slab.shift_mm) <= 3.0 and abs(slab.phase_error) <= 0.03 for slab in inner)
    assert all(stack[0].shift_mm == (0.0, 0.0, 0.0) for stack in stacks)


def test_whole_stack_is_one_still_band() -> None:
    (slab,) = whole_stack(12)
    assert (slab.start, slab.stop, slab.shift_mm, slab.phase_error) == (0, 12, (0.0, 0.0, 0.0), 0.0)
