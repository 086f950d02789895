# SPDX-License-Identifier: Apache-2.0
"""The sums over a softmax and their gradients on the CPU, at every instruction set, through the C interface.

``make sanitize`` runs it with the sanitizers.
"""

from __future__ import annotations

from pathlib import Path

import pytest
import torch

from tests.helpers.backends import needs_compiler
from tests.helpers.comparison import check
from tests.helpers.cpu_kernels import load
from tests.helpers.fused_kernels import call, head_struct
from tests.helpers.softmax_sums import draw_head, draw_seed, expected

pytestmark = needs_compiler


@pytest.mark.parametrize("isa", ["avx512", "avx2", "portable"])
@pytest.mark.parametrize(
    ("size", "channels", "classes"),
    [((3, 5, 4, 16), 8, 3), ((2, 1, 3, 1), 3, 8), ((29, 17, 3, 5), 5, 2), ((1, 1, 2, 2051), 2, 4)],
    ids=str,
)
def test_sums_and_gradients_between_guards(
    library: Path, size: tuple[int, int, int, int], channels: int, classes: int, isa: str
) -> None:
    kernels, head = load(library, isa), draw_head(2 * classes, size, channels, classes)
    assert head.weight is not None
    seed = draw_seed(head)
    right, (by_x, by_weight, *by_bias) = expected(head, seed)
    x, struct = head.x.detach(), head_struct(head, classes)
    found = []
    for threads in (1, 3):
        (sums,) = call(kernels, "softmax_sums", struct, [x], [right], threads)
        results = [x, torch.empty(classes, channels + 1)]
        found.append([sums, *call(kernels, "softmax_sums_grad", struct, [x, seed], results, threads)])
    assert all(torch.equal(one, three) for one, three in zip(*found, strict=True))
    sums, dx, dhead = found[0]
    check(sums, right, 2e-6)
    check(dx, by_x, 2e-6)
    check(dhead[:, :-1], by_weight.flatten(1), 5e-6)
    if by_bias:
        check(dhead[:, -1], by_bias[0], 5e-6)


def test_heads_that_are_none_are_refused(library: Path) -> None:
    kernels, head = load(library, "portable"), draw_head(2, (2, 1, 2, 3), 4, 3)
    sums = torch.zeros(2, 3, 9, dtype=torch.float64)
    for classes, weight in ((0, True), (9, True), (3, False)):
        struct = head_struct(head if weight else head._replace(weight=None, bias=None), classes)
        status = kernels.status("softmax_sums", struct, head.x.data_ptr(), sums.data_ptr())
        assert status == 1
    logits = draw_head(3, (2, 1, 2, 3), 3, 3)
    pointers = (t.data_ptr() for t in (logits.x, sums, torch.empty_like(logits.x), torch.empty(3, 4)))
    assert kernels.status("softmax_sums_grad", head_struct(logits, 3), *pointers) == 1
