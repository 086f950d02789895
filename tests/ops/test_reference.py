# SPDX-License-Identifier: Apache-2.0
"""The oracle itself: against numbers worked out by hand, and against ``conv3d``."""

from __future__ import annotations

import ast
from pathlib import Path

import torch
from torch.nn.functional import conv3d

from cardiac4d.ops import reference
from cardiac4d.ops.reference import conv4d_reference
from tests.helpers.tolerances import assert_near


def test_three_taps_in_time_by_hand() -> None:
    x = torch.tensor([1.0, 2.0, 4.0, 8.0]).view(1, 1, 1, 1, 1, 4)
    weight = torch.tensor([100.0, 10.0, 1.0]).view(1, 1, 1, 1, 1, 3)
    same = conv4d_reference(x, weight, torch.tensor([0.5]), padding=(0, 0, 0, 1))
    assert same.flatten().tolist() == [12.5, 124.5, 248.5, 480.5]
    assert conv4d_reference(x, weight, padding=(0, 0, 0, 1), stride=2).flatten().tolist() == [12, 248]
    assert conv4d_reference(x, weight, padding=(0, 0, 0, 2), dilation=2).flatten().tolist() == [14, 28, 140, 280]


def test_one_frame_is_conv3d_with_groups() -> None:
    x, weight = torch.randn(2, 4, 5, 4, 6), torch.randn(6, 2, 3, 2, 3)
    options = {"stride": 2, "padding": (1, 1, 2), "dilation": (1, 2, 1), "groups": 2}
    expected = conv3d(x.double(), weight.double(), **options)
    options["padding"], options["dilation"] = (1, 1, 2, 0), (1, 2, 1, 1)
    assert_near(conv4d_reference(x[..., None], weight[..., None], **options)[..., 0], expected)


def test_it_imports_nothing_of_the_package() -> None:
    tree = ast.parse(Path(reference.__file__).read_text())
    imported = [node for node in ast.walk(tree) if isinstance(node, ast.ImportFrom)]
    assert all(node.level == 0 and not str(node.module).startswith("cardiac4d") for node in imported)
